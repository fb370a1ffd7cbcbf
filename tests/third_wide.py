"""Wide codes (layout 2 of a stream) from docs/format.md alone. A part of third_reader.py."""

from __future__ import annotations

from third_bits import Bits, must, varint
from third_codings import frame, planes


def coded(data: bytes, coding: int) -> bytes:
    return planes(data) if coding == 4 else frame(data, coding)


def wide_codes(data: bytes, coding: int, bits: int, count: int) -> bytes:
    """Layout 2 of a stream: the packed codes."""
    must(len(data) >= 4 and 1 <= data[0] <= 3, "head of wide codes")
    split, middle = data[0], data[1] | data[2] << 8
    must(middle < 1 << bits, "middle")
    size, at = varint(data, 3)
    must(at + size <= len(data), "frame of wide codes")
    symbols = coded(data[at : at + size], coding)
    must(len(symbols) == count, "how many wide codes")
    at += size
    blocks = -(-len(symbols) // 65536)
    must(at + 3 * blocks <= len(data), "table of wide codes")
    sizes = [int.from_bytes(data[at + 3 * i : at + 3 * i + 3], "little") for i in range(blocks)]
    at += 3 * blocks
    codes = []
    for i, size in enumerate(sizes):
        must(at + size <= len(data), "raw bits of wide codes")
        raw = Bits(data[at : at + size])
        at += size
        for symbol in symbols[65536 * i : 65536 * (i + 1)]:
            u = symbol
            if symbol >= 128:
                e = 7 + (symbol - 128 >> split)
                must(e < bits, "a symbol of wide codes")
                u = (1 << split) + (symbol - 128) % (1 << split) << e - split | raw.number(e - split)
            codes.append((middle + (-(u + 1) // 2 if u & 1 else u // 2)) % (1 << bits))
        must(raw.rest_of_byte() == size, "raw bits after the last")
    must(at == len(data), "bytes after wide codes")
    packed = sum(code << i * bits for i, code in enumerate(codes))
    return packed.to_bytes(-(-count * bits // 8), "little")
