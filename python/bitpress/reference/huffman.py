"""Huffman's code in plain Python: the oracle of csrc/codings/huffman.cpp, byte for byte. Malformed input: ValueError.

Sources: Huffman 1952; package-merge: Larmore and Hirschberg 1990; canonical codes: Schwartz and Kallick 1964.
"""

from __future__ import annotations

from collections import Counter

from . import rans_rows
from .frame import (
    CODED,
    CODED_SHARED,
    FILL,
    STORED,
    BitReader,
    BitWriter,
    Chunk,
    decode_frame,
    read_varint,
    write_frame,
    write_varint,
)
from .rans_model import Model

__all__ = ["MAX_BITS", "canonical_codes", "code_lengths", "decode", "encode", "read_table", "write_table"]

MAX_BITS = 12
CHUNK_LOG = 18
FAST_WORTH = 20  # where a byte takes less than two bits, groups of rows must save one part in so many
STREAMS = (1, 2, 4, 6)  # by the two bits of the chunk table's entry


def code_lengths(counts: dict[int, int], limit: int = MAX_BITS) -> dict[int, int]:
    """Lengths of at most ``limit`` with the least sum of count * length, by package-merge; two symbols at least."""
    order = sorted((count, symbol) for symbol, count in counts.items() if count)
    leaves = [(count, [symbol]) for count, symbol in order]
    level: list[tuple[int, list[int]]] = []
    for _ in range(limit):
        packages = [
            (a[0] + b[0], a[1] + b[1]) for a, b in zip(level[::2], level[1::2], strict=False)
        ]  # an odd last item is dropped
        level = sorted(leaves + packages, key=lambda item: item[0])  # stable: a leaf first on equal weight
    lengths = Counter(symbol for _, symbols in level[: 2 * len(leaves) - 2] for symbol in symbols)
    return dict(sorted(lengths.items()))


def canonical_codes(lengths: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Symbol -> (code word, length); the word's most significant bit comes first."""
    codes, word, before = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        word <<= length - before
        codes[symbol] = (word, length)
        word, before = word + 1, length
    return codes


def write_table(lengths: dict[int, int]) -> bytes:
    """The compact form of a complete code's lengths."""
    bits, previous, symbol = BitWriter(), 8, 0
    while symbol <= max(lengths):
        length = lengths.get(symbol, 0)
        if length == 0:
            run = next(k for k in range(1, 256) if symbol + k in lengths)
            log = run.bit_length() - 1
            bits.put(0b111, 3)
            bits.put(1 << log, log + 1)
            bits.put(run - 2**log, log)
            symbol += run
            continue
        if length == previous:
            bits.put(0, 1)
        elif length == previous + 1:
            bits.put(0b001, 3)
        elif length == previous - 1:
            bits.put(0b101, 3)
        else:
            bits.put(0b011, 3)
            bits.put(length, 4)
        previous = length
        symbol += 1
    return bits.bytes()


def read_table(data: bytes) -> tuple[dict[int, int], int]:
    """The lengths at the front of ``data``, and how many bytes they take."""
    bits, lengths, total, previous, symbol = BitReader(data), dict[int, int](), 0, 8, 0
    while total < 2**MAX_BITS:
        if bits.take(1):
            if bits.take(1) == 0:
                previous += -1 if bits.take(1) else 1
            elif bits.take(1) == 0:
                previous = bits.take(4)
            else:
                log = 0
                while bits.take(1) == 0:
                    log += 1
                if log > 7:
                    raise ValueError("a run of absent symbols is too long")
                symbol += 2**log + bits.take(log)
                if symbol > 255:
                    raise ValueError("the code has too many symbols")
                continue
        if symbol > 255 or not 1 <= previous <= MAX_BITS:
            raise ValueError("the code has too many symbols or a wrong length")
        lengths[symbol] = previous
        symbol += 1
        total += 2 ** (MAX_BITS - previous)
    if total > 2**MAX_BITS:
        raise ValueError("the code is over-full")
    return lengths, bits.finish()


def best_code(counts: dict[int, int]) -> dict[int, int]:
    """The lengths that the encoder takes: at most 12 bits, or 11 where a symbol takes less than 4.5 bits on average."""
    lengths = code_lengths(counts)
    return code_lengths(counts, 11) if 2 * _cost(counts, lengths) < 9 * sum(counts.values()) else lengths


def _cost(counts: dict[int, int], lengths: dict[int, int]) -> int:
    return sum(count * lengths[symbol] for symbol, count in counts.items())


def _segments(decoded: int, streams: int) -> list[tuple[int, int]]:
    size = -(-decoded // streams)
    return [(k * size, min((k + 1) * size, decoded)) for k in range(streams)]


def _encode_with(chunk: bytes, streams_log: int, lengths: dict[int, int], tell_last: bool = False) -> bytes:
    words = {symbol: f"{word:0{length}b}" for symbol, (word, length) in canonical_codes(lengths).items()}
    streams = []
    for start, end in _segments(len(chunk), STREAMS[streams_log]):
        bits = BitWriter()
        bits.put_bits("".join([words[byte] for byte in chunk[start:end]]))
        streams.append(bits.bytes())
    told = streams if tell_last else streams[:-1]
    return b"".join(write_varint(len(stream)) for stream in told) + b"".join(streams)


class _Rows:
    """A chunk of rows, a code for the map and for each table; ``most`` is what it takes at most."""

    def __init__(self, groups: rans_rows.Groups, streams_log: int) -> None:
        self.streams_log = streams_log
        self.head = groups.head
        self.most = len(groups.head)
        self.parts = []
        for model in groups.parts:
            counts = dict(model.counts)
            if len(counts) == 1:  # no code has one symbol
                counts[min(counts) ^ 1] = 1
            lengths = best_code(counts)
            self.most += len(write_table(lengths)) + _cost(counts, lengths) // 8 + 4 * STREAMS[self.log(model.symbols)]
            self.parts.append((model.symbols, lengths))

    def log(self, symbols: bytes) -> int:
        return _sequence_log(self.streams_log, len(symbols))

    def stored(self) -> bytes:
        parts = [write_table(code) + _encode_with(s, self.log(s), code, tell_last=True) for s, code in self.parts]
        return self.head + b"".join(parts)


def _sequence_log(streams_log: int, size: int) -> int:
    return streams_log if size >= 1024 else 0


def encode(data: bytes, row: int = 0) -> bytes:
    """A frame: the very bytes that the native encoder writes; ``row``: bytes of a row, where data have any."""
    shared: dict[int, int] = {}
    row = rans_rows.whole_rows(row) if row <= 2**CHUNK_LOG else 0
    if len(data) > 2**CHUNK_LOG and len(set(data)) > 1:
        shared = best_code(Counter(data))

    def encode_chunk(start: int, chunk: bytes, may_share: bool) -> tuple[int, int, bytes]:
        if len(chunk) == 1:
            return STORED, 0, chunk
        streams_log = 0 if len(chunk) < 1024 else 2 if len(chunk) < 16384 else 3
        counts = Counter(chunk)
        lengths = best_code(counts)
        kind, table, bits = CODED, write_table(lengths), _cost(counts, lengths)
        if may_share and _cost(counts, shared) <= bits + 8 * len(table):
            lengths, kind, table, bits = shared, CODED_SHARED, b"", _cost(counts, shared)
        most = len(table) + (bits // 8 + 4 * STREAMS[streams_log] - 3 if streams_log else -(-bits // 8))
        groups = rans_rows.group(chunk, start, row, Model(chunk)) if row else None
        if groups:
            rows = _Rows(groups, streams_log)
            worth = FAST_WORTH if 4 * most < len(chunk) else rans_rows.WORTH
            if rows.most + rows.most // worth <= most and rows.most < len(chunk):
                return FILL, streams_log, rows.stored()
        if most >= len(chunk):
            return STORED, 0, chunk
        return kind, streams_log, table + _encode_with(chunk, streams_log, lengths)

    return write_frame(data, CHUNK_LOG, write_table(shared) if shared else b"", encode_chunk)


def _decode_stream(stream: bytes, words: dict[tuple[int, int], int], count: int) -> bytes:
    bits, out = BitReader(stream), bytearray()
    while len(out) < count:
        word, length = 0, 0
        while (word, length) not in words:
            word, length = word << 1 | bits.take(1), length + 1
        out.append(words[word, length])
    if bits.finish() != len(stream):
        raise ValueError("bytes follow a stream's last code word")
    return bytes(out)


def _decode_streams(
    stored: bytes, at: int, streams_log: int, decoded: int, lengths: dict[int, int], last_told: bool
) -> tuple[bytes, int]:
    """The bytes of the streams that begin ``at``, their lengths first, and where the streams end."""
    sizes = []
    for _ in range(STREAMS[streams_log] - (not last_told)):
        size, at = read_varint(stored, at)
        sizes.append(size)
    if not last_told:
        sizes.append(max(len(stored) - at - sum(sizes), 0))
    words = {code: symbol for symbol, code in canonical_codes(lengths).items()}
    out = b""
    for (start, end), size in zip(_segments(decoded, STREAMS[streams_log]), sizes, strict=True):
        if at + size > len(stored):
            raise ValueError("the streams are longer than their chunk")
        out += _decode_stream(stored[at : at + size], words, end - start)
        at += size
    return out, at


def _decode_chunk(stored: bytes, streams_log: int, decoded: int, lengths: dict[int, int]) -> bytes:
    if streams_log and decoded < 1024:
        raise ValueError("a chunk this small has one stream")
    return _decode_streams(stored, 0, streams_log, decoded, lengths, last_told=False)[0]


def _decode_rows(chunk: Chunk, pair: list[dict[int, int]]) -> bytes:
    stored, n = chunk.stored, chunk.decoded_bytes
    if n > 2**CHUNK_LOG:
        raise ValueError("a chunk of rows is too large")
    row, first, at = rans_rows.read_head(stored, n, 2**CHUNK_LOG)
    places = rans_rows.spans(n, row, first)

    def read(at: int, size: int) -> tuple[bytes, int]:
        lengths, used = read_table(stored[at:])
        log = _sequence_log(chunk.streams_log, size)
        return _decode_streams(stored, at + used, log, size, lengths, last_told=True)

    where, at = read(at, len(places))
    out = bytearray(n)
    for rows in rans_rows.of_tables(places, where, stored[0]):
        if not rows:
            raise ValueError("a table has no rows")
        symbols, at = read(at, sum(b - a for a, b in rows))
        rans_rows.put(symbols, rows, out)
    if at != len(stored):
        raise ValueError("bytes follow the last table's streams")
    return bytes(out)


def decode(blob: bytes) -> bytes:
    """The bytes that a frame holds."""
    return decode_frame(blob, read_table, _decode_chunk, _decode_rows)
