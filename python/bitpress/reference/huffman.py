"""Huffman's code in plain Python: the oracle of csrc/codings/huffman.cpp, byte for byte. Malformed input: ValueError.

Sources: Huffman 1952; package-merge: Larmore and Hirschberg 1990; canonical codes: Schwartz and Kallick 1964.
"""

from __future__ import annotations

from collections import Counter

from .frame import (
    CODED,
    CODED_SHARED,
    STORED,
    BitReader,
    BitWriter,
    decode_frame,
    read_varint,
    write_frame,
    write_varint,
)

__all__ = ["MAX_BITS", "canonical_codes", "code_lengths", "decode", "encode", "read_table", "write_table"]

MAX_BITS = 12
CHUNK_LOG = 18
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


def _encode_with(chunk: bytes, streams_log: int, lengths: dict[int, int]) -> bytes:
    words = {symbol: f"{word:0{length}b}" for symbol, (word, length) in canonical_codes(lengths).items()}
    streams = []
    for start, end in _segments(len(chunk), STREAMS[streams_log]):
        bits = BitWriter()
        bits.put_bits("".join([words[byte] for byte in chunk[start:end]]))
        streams.append(bits.bytes())
    return b"".join(write_varint(len(stream)) for stream in streams[:-1]) + b"".join(streams)


def encode(data: bytes) -> bytes:
    """A frame: the very bytes that the native encoder writes."""
    shared: dict[int, int] = {}
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
        most = bits // 8 + 4 * STREAMS[streams_log] - 3 if streams_log else -(-bits // 8)
        if len(table) + most >= len(chunk):
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


def _decode_chunk(stored: bytes, streams_log: int, decoded: int, lengths: dict[int, int]) -> bytes:
    if streams_log and decoded < 1024:
        raise ValueError("a chunk this small has one stream")
    sizes, at = [], 0
    for _ in range(STREAMS[streams_log] - 1):
        size, at = read_varint(stored, at)
        sizes.append(size)
    words = {code: symbol for symbol, code in canonical_codes(lengths).items()}
    out = b""
    segments = _segments(decoded, STREAMS[streams_log])
    for (start, end), size in zip(segments, [*sizes, max(len(stored) - at - sum(sizes), 0)], strict=True):
        if at + size > len(stored):
            raise ValueError("the streams are longer than their chunk")
        out += _decode_stream(stored[at : at + size], words, end - start)
        at += size
    return out


def decode(blob: bytes) -> bytes:
    """The bytes that a frame holds."""
    return decode_frame(blob, read_table, _decode_chunk)
