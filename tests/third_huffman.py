"""Huffman's chunks, from section 5 of docs/format.md alone. A part of third_reader.py."""

from __future__ import annotations

from third_bits import Bits, must, rows_head, varint


def code_table(bits: Bits) -> dict[tuple[int, int], int]:
    """(length, code word) -> symbol."""
    sizes: list[int] = []
    total, previous = 0, 8
    while total < 1 << 12:
        must(len(sizes) < 256, "a symbol above 255")
        if bits.bit() == 0:
            size = previous
        elif bits.bit() == 0:
            size = previous - 1 if bits.bit() else previous + 1
        elif bits.bit() == 0:
            size = bits.number(4)
        else:
            k = 0
            while bits.bit() == 0:
                k += 1
                must(k <= 7, "a run that is too long")
            run = (1 << k) + bits.number(k)
            sizes += [0] * run
            must(len(sizes) <= 256, "a symbol above 255")
            continue
        must(1 <= size <= 12, "a code's length")
        sizes.append(size)
        previous = size
        total += 1 << 12 - size
    must(total == 1 << 12, "the code is not complete")
    words: dict[tuple[int, int], int] = {}
    word, length = 0, 0
    for size, symbol in sorted((size, symbol) for symbol, size in enumerate(sizes) if size):
        word = (word + 1 if words else 0) << size - length
        length = size
        words[size, word] = symbol
    must(len(words) >= 2, "fewer than two symbols")
    return words


def huffman_chunk(chunk: bytes, m: int, s: int, words: dict[tuple[int, int], int] | None) -> bytes:
    at = 0
    if words is None:
        bits = Bits(chunk)
        words = code_table(bits)
        at = bits.rest_of_byte()
    must(s == 0 or m >= 1024, "too many streams")
    out, at = streams(chunk, at, m, s, words, last_told=False)
    return out


def streams(
    chunk: bytes, at: int, m: int, s: int, words: dict[tuple[int, int], int], last_told: bool
) -> tuple[bytes, int]:
    """The m bytes of the streams at ``at``, and where they end."""
    count = (1, 2, 4, 6)[s]
    sizes = []
    for _ in range(count - (not last_told)):
        size, at = varint(chunk, at)
        sizes.append(size)
    must(at + sum(sizes) <= len(chunk), "streams end early")
    if not last_told:
        sizes.append(len(chunk) - at - sum(sizes))
    out = bytearray()
    segment = -(-m // count)
    for i, size in enumerate(sizes):
        bits = Bits(chunk[at : at + size])
        at += size
        for _ in range(min(segment, m - i * segment)):
            length = word = 0
            while (length, word) not in words:
                must(length < 12, "no such code word")
                word, length = word << 1 | bits.bit(), length + 1
            out.append(words[length, word])
        must(bits.rest_of_byte() == size, "bytes after a stream")
    return bytes(out), at


def coded_rows(chunk: bytes, m: int, s: int) -> bytes:
    must(m <= 1 << 18 and chunk[1] == 4, "a chunk of rows")
    count, begins, ends, at = rows_head(chunk, m, 1 << 18)

    def sequence(size: int) -> bytes:
        nonlocal at
        bits = Bits(chunk[at:])
        words = code_table(bits)
        out, at = streams(chunk, at + bits.rest_of_byte(), size, s if size >= 1024 else 0, words, last_told=True)
        return out

    of = sequence(len(ends))
    must(max(of) < count, "a row's table")
    out = bytearray(m)
    for t in range(count):
        mine = [j for i in range(len(ends)) if of[i] == t for j in range(begins[i], ends[i])]
        must(mine, "a table without rows")
        for j, symbol in zip(mine, sequence(len(mine)), strict=True):
            out[j] = symbol
    must(at == len(chunk), "bytes after the last table")
    return bytes(out)
