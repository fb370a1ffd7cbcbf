"""Wide codes (docs/format.md, layout 2 of a stream): byte symbols under a coding, raw bits beside the large ones."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence

from .frame import BitReader, BitWriter, read_varint, write_varint
from .rans import cost, frequencies

__all__ = ["decode", "encode", "symbol_of", "value_of"]

BLOCK = 1 << 16
DIRECT = 128


def value_of(code: int, middle: int, bits: int) -> int:
    """u: 0 for the middle, then one above, one below, two above ... modulo 2**bits."""
    difference = (code - middle) & (1 << bits) - 1
    return 2 * difference if difference < 1 << bits - 1 else 2 * ((1 << bits) - difference) - 1


def symbol_of(u: int, split: int) -> tuple[int, int]:
    """The symbol of a value and how many raw bits follow."""
    if u < DIRECT:
        return u, 0
    log = u.bit_length() - 1
    return DIRECT + (log - 7 << split) + (u >> log - split) - (1 << split), log - split


def _cost(counts: Counter[int], split: int) -> int:
    symbols: Counter[int] = Counter()
    raw = 0
    for u, n in counts.items():
        symbol, width = symbol_of(u, split)
        symbols[symbol] += n
        raw += n * width
    return cost(symbols, frequencies(symbols)) + (raw << 16)


def encode(codes: Sequence[int], coding: str, bits: int) -> bytes:
    """The stream of codes below 2**bits, as the library writes it."""
    middle = sorted(codes)[(len(codes) - 1) // 2] if codes else 0
    values = [value_of(code, middle, bits) for code in codes]
    split = min((1, 2, 3), key=lambda split: _cost(Counter(values), split)) if codes else 1
    symbols = bytes(symbol_of(u, split)[0] for u in values)
    blocks = []
    for first in range(0, len(values), BLOCK):
        writer = BitWriter()
        for u in values[first : first + BLOCK]:
            width = symbol_of(u, split)[1]
            writer.put(u % 2**width, width)
        blocks.append(writer.bytes())
    frame: bytes = importlib.import_module(f"bitpress.reference.{coding}").encode(symbols)
    head = bytes([split]) + middle.to_bytes(2, "little") + write_varint(len(frame))
    return head + frame + b"".join(len(block).to_bytes(3, "little") for block in blocks) + b"".join(blocks)


def decode(blob: bytes, coding: str, bits: int) -> list[int]:
    """The codes of a stream; ValueError where it breaks a rule."""
    if len(blob) < 4:
        raise ValueError("the head is cut off")
    split, middle = blob[0], int.from_bytes(blob[1:3], "little")
    if not 1 <= split <= 3 or middle >> bits:
        raise ValueError("no such split or middle")
    size, at = read_varint(blob, 3)
    if at + size > len(blob):
        raise ValueError("the frame is cut off")
    symbols = importlib.import_module(f"bitpress.reference.{coding}").decode(blob[at : at + size])
    at += size
    blocks = -(-len(symbols) // BLOCK)
    raw_at = at + 3 * blocks
    codes = []
    for k in range(blocks):
        size = int.from_bytes(blob[at + 3 * k : at + 3 * k + 3], "little")
        if raw_at + size > len(blob) or at + 3 * k + 3 > len(blob):
            raise ValueError("the raw bits are cut off")
        raw = BitReader(blob[raw_at : raw_at + size])
        for symbol in symbols[BLOCK * k : BLOCK * (k + 1)]:
            u = symbol
            if symbol >= DIRECT:
                log, part = 7 + (symbol - DIRECT >> split), (symbol - DIRECT) % 2**split
                if log >= bits:
                    raise ValueError("a symbol that stands for no code")
                u = (2**split + part << log - split) + raw.take(log - split)
            codes.append((middle + (-(u + 1) // 2 if u % 2 else u // 2)) % 2**bits)
        if raw.finish() != size:
            raise ValueError("raw bits after the last")
        raw_at += size
    if raw_at != len(blob):
        raise ValueError("bytes after the raw bits")
    return codes
