"""Byte planes in plain Python: the oracle of csrc/codings/planes.cpp, byte for byte. Malformed input: ValueError.

Sources: Parquet's BYTE_STREAM_SPLIT; Hershcovitch et al., "ZipNN: lossless compression for AI models" (2024).
"""

from __future__ import annotations

from collections import Counter

from . import huffman, rans
from .frame import read_varint, write_varint

__all__ = ["BF16", "F32", "F64", "SIGNED", "WIDTHS", "decode", "encode", "join", "rearranged", "restored", "split"]

CHUNK_LOG = 18
STORED, FILL, HUFFMAN, RANS = range(4)
CODERS = {HUFFMAN: huffman, RANS: rans}
WIDTHS = (1, 2, 4, 8, 2, 4, 8, 2, 4, 8)  # bytes an element, by kind
BF16, F32, F64 = 4, 5, 6
SIGNED = (7, 8, 9)


def rearranged(x: int, kind: int) -> int:
    """An element's bits as they are cut into planes."""
    bits = 8 * WIDTHS[kind]
    if kind in (BF16, F32):
        mantissa = bits - 9
        sign, exponent = x >> bits - 1, x >> mantissa & 255
        return exponent << mantissa + 1 | sign << mantissa | x % (1 << mantissa)
    if kind == F64:
        sign, exponent = x >> 63, x >> 52 & 2047
        return exponent % 256 << 56 | exponent // 256 << 53 | sign << 52 | x % (1 << 52)
    if kind in SIGNED:
        return 2 * x if x < 1 << bits - 1 else 2 * ((1 << bits) - 1 - x) + 1
    return x


def restored(y: int, kind: int) -> int:
    """The inverse of ``rearranged``."""
    bits = 8 * WIDTHS[kind]
    if kind in (BF16, F32):
        mantissa = bits - 9
        sign, exponent = y >> mantissa & 1, y >> mantissa + 1
        return sign << bits - 1 | exponent << mantissa | y % (1 << mantissa)
    if kind == F64:
        sign, exponent = y >> 52 & 1, (y >> 53 & 7) << 8 | y >> 56
        return sign << 63 | exponent << 52 | y % (1 << 52)
    if kind in SIGNED:
        return (1 << bits) - 1 - y // 2 if y % 2 else y // 2
    return y


def split(data: bytes, kind: int) -> list[bytes]:
    """The planes of whole elements, lowest first."""
    width = WIDTHS[kind]
    rows = [
        rearranged(int.from_bytes(data[i : i + width], "little"), kind).to_bytes(width, "little")
        for i in range(0, len(data), width)
    ]
    return [bytes(row[k] for row in rows) for k in range(width)]


def join(planes: list[bytes], kind: int) -> bytes:
    """The inverse of ``split``."""
    width = WIDTHS[kind]
    return b"".join(
        restored(int.from_bytes(bytes(row), "little"), kind).to_bytes(width, "little")
        for row in zip(*planes, strict=True)
    )


def _encode_plane(plane: bytes) -> tuple[int, bytes]:
    counts = Counter(plane)
    n, most = len(plane), max(counts.values())
    if n > 1 and most == n:
        return FILL, plane[:1]
    if 160 * sum(count * count for count in counts.values()) > n * n:
        coding = RANS if 2 * most > n else HUFFMAN
        coded = CODERS[coding].encode(plane)
        if len(coded) < n:
            return coding, coded
    return STORED, plane


def encode(data: bytes, kind: int = 0) -> bytes:
    """A frame: the very bytes that the native encoder writes."""
    if not data:
        return write_varint(0)
    table, body = bytearray(), bytearray()
    for start in range(0, len(data), 1 << CHUNK_LOG):
        for plane in split(data[start : start + (1 << CHUNK_LOG)], kind):
            coding, stored = _encode_plane(plane)
            table += (coding + 16 * (len(stored) - 1)).to_bytes(3, "little")
            body += stored
    return write_varint(len(data)) + bytes([CHUNK_LOG - 12 + 16 * kind]) + table + body


def _decode_plane(entry: int, stored: bytes, count: int) -> bytes:
    coding = entry % 4
    if entry // 4 % 4:
        raise ValueError("bits of a plane's entry that must be zero")
    if coding == FILL:
        if len(stored) != 1:
            raise ValueError("a filled plane of more than a byte")
        return stored * count
    if coding != STORED:
        if len(stored) >= count:
            raise ValueError("a coded plane is not shorter than its bytes")
        stored = CODERS[coding].decode(stored)
    if len(stored) != count:
        raise ValueError("a plane of a wrong length")
    return stored


def decode(blob: bytes) -> bytes:
    """The elements that a frame holds."""
    n, at = read_varint(blob, 0)
    if n >= 2**48:
        raise ValueError("the decoded length is too large")
    if n == 0:
        if at != len(blob):
            raise ValueError("bytes follow an empty frame")
        return b""
    if at >= len(blob):
        raise ValueError("the head is cut off")
    chunk_log, kind = 12 + blob[at] % 16, blob[at] // 16
    at += 1
    if chunk_log > CHUNK_LOG or kind >= len(WIDTHS) or n % WIDTHS[kind]:
        raise ValueError("the head is wrong")
    width = WIDTHS[kind]
    chunks = -(-n // (1 << chunk_log))
    body = at + 3 * width * chunks
    if len(blob) - at < 4 * width * chunks:
        raise ValueError("the frame is too short for its planes")
    out = []
    for chunk in range(chunks):
        planes = []
        for _ in range(width):
            entry = int.from_bytes(blob[at : at + 3], "little")
            at += 3
            size = entry // 16 + 1
            if body + size > len(blob):
                raise ValueError("the planes are cut off")
            count = min(n - (chunk << chunk_log), 1 << chunk_log) // width
            planes.append(_decode_plane(entry, blob[body : body + size], count))
            body += size
        out.append(join(planes, kind))
    if body != len(blob):
        raise ValueError("bytes follow the last plane")
    return b"".join(out)
