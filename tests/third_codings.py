"""Section 5 of docs/format.md, from that page alone: Huffman, rANS, LZW and planes. A part of third_reader.py."""

from __future__ import annotations

from third_bits import Bits, Refused, decoded_length, must
from third_huffman import code_table, coded_rows, huffman_chunk
from third_rans import frequency_table, rans_chunk, split_chunk

__all__ = ["Refused", "frame", "planes"]


def frame(data: bytes, coding: int) -> bytes:
    n, at = decoded_length(data)
    if n == 0:
        return b""
    head = data[at]
    at += 1
    c = (head & 15) + 12
    must(c <= 20 and head >> 6 == 0 and (coding == 2 or not head & 32), "head of a frame")
    must(coding in (1, 2) or not head & 16, "a shared table of LZW")
    chunks = n + (1 << c) - 1 >> c
    must(at + 3 * chunks <= len(data), "chunk table ends early")
    entries = [int.from_bytes(data[at + 3 * i : at + 3 * i + 3], "little") for i in range(chunks)]
    at += 3 * chunks
    shared: dict | None = None
    if head & 16:
        bits = Bits(data[at:])
        shared = code_table(bits) if coding == 1 else frequency_table(bits)
        at += bits.rest_of_byte()
    pair: list[dict[int, int]] = []
    for _ in range(2 if head & 32 else 0):
        bits = Bits(data[at:])
        pair.append(frequency_table(bits))
        at += bits.rest_of_byte()
    out = bytearray()
    for i, entry in enumerate(entries):
        kind, s, size = entry & 3, entry >> 2 & 3, (entry >> 4) + 1
        m = min(n - (i << c), 1 << c)
        must(at + size <= len(data), "chunk ends early")
        chunk = data[at : at + size]
        at += size
        split = coding in (1, 2) and kind == 1 and size > 1
        must(s == 0 or split or (kind >= 2 and coding in (1, 2)), "streams of a chunk")
        if kind == 0:
            must(size == m, "a stored chunk's length")
            out += chunk
        elif split:
            must(size < m, "a split chunk's length")
            out += split_chunk(chunk, m, s, pair) if coding == 2 else coded_rows(chunk, m, s)
        elif kind == 1:
            must(size == 1, "a filled chunk's length")
            out += chunk * m
        else:
            must(size < m, "a coded chunk's length")
            must(kind == 2 or shared is not None, "no shared table")
            table = shared if kind == 3 else None
            if coding == 1:
                out += huffman_chunk(chunk, m, s, table)
            elif coding == 2:
                out += rans_chunk(chunk, m, s, table)
            else:
                out += lzw_chunk(chunk, m)
    must(at == len(data), "bytes after the last chunk")
    return bytes(out)


def planes(data: bytes) -> bytes:
    n, at = decoded_length(data)
    if n == 0:
        return b""
    c, kind = (data[at] & 15) + 12, data[at] >> 4
    at += 1
    must(c <= 18 and kind <= 9, "head of a frame")
    w = (1, 2, 4, 8, 2, 4, 8, 2, 4, 8)[kind]
    must(n % w == 0, "whole elements")
    chunks = n + (1 << c) - 1 >> c
    must(at + 3 * w * chunks <= len(data), "plane table ends early")
    table = data[at : at + 3 * w * chunks]
    at += 3 * w * chunks
    out = bytearray()
    for i in range(chunks):
        m = min(n - (i << c), 1 << c) // w
        held = []
        for k in range(w):
            entry = int.from_bytes(table[3 * (i * w + k) : 3 * (i * w + k) + 3], "little")
            how, size = entry & 3, (entry >> 4) + 1
            must(entry >> 2 & 3 == 0 and at + size <= len(data), "a plane's entry")
            stored = data[at : at + size]
            at += size
            must(how != 1 or size == 1, "a filled plane's length")
            must(how < 2 or size < m, "a coded plane's length")
            plane = stored * m if how == 1 else frame(stored, how - 1) if how > 1 else stored
            must(len(plane) == m, "a plane's length")
            held.append(plane)
        for j in range(m):
            y = sum(plane[j] << 8 * k for k, plane in enumerate(held))
            out += element(y, kind, 8 * w).to_bytes(w, "little")
    must(at == len(data), "bytes after the last plane")
    return bytes(out)


def element(y: int, kind: int, bits: int) -> int:
    if kind in (4, 5):
        p = bits - 9
        return (y >> p & 1) << bits - 1 | y >> p + 1 << p | y & (1 << p) - 1
    if kind == 6:
        return (y >> 52 & 1) << 63 | (y >> 53 & 7) << 60 | y >> 56 << 52 | y & (1 << 52) - 1
    if kind >= 7:
        return y >> 1 if y & 1 == 0 else (1 << bits) - 1 - (y >> 1)
    return y


def lzw_chunk(chunk: bytes, m: int) -> bytes:
    bits = Bits(chunk)
    strings = [bytes([i]) for i in range(256)]
    out = bytearray()
    previous = b""
    i = 0
    while len(out) < m:
        below = min(256 + i, 65536)
        width = max(9, (below - 1).bit_length())
        word = bits.number(width)
        must(word < below, "no such code")
        if i and len(strings) < 65536:
            first = previous[:1] if word == len(strings) else strings[word][:1]
            strings.append(previous + first)
        previous = strings[word]
        out += previous
        i += 1
    must(len(out) == m, "a string goes beyond the chunk")
    must(bits.rest_of_byte() == len(chunk), "bytes after the codes")
    return bytes(out)
