"""What section 5 of docs/format.md begins with: bits, varints, heads. A part of third_reader.py."""

from __future__ import annotations


class Refused(Exception):
    """The page does not allow this file."""


def must(condition: object, what: str) -> None:
    if not condition:
        raise Refused(what)


class Bits:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def bit(self) -> int:
        must(self.at < 8 * len(self.data), "bits end early")
        bit = self.data[self.at // 8] >> self.at % 8 & 1
        self.at += 1
        return bit

    def number(self, width: int) -> int:
        return sum(self.bit() << i for i in range(width))

    def rest_of_byte(self) -> int:
        """Skips to the next byte, whose index it gives; the bits skipped are zero."""
        while self.at % 8:
            must(self.bit() == 0, "bits after the end")
        return self.at // 8


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(7):
        must(at + i < len(data), "varint ends early")
        byte = data[at + i]
        value |= (byte & 127) << 7 * i
        if byte < 128:
            must(byte or i == 0, "varint is not the shortest")
            return value, at + i + 1
    raise Refused("varint is too long")


def decoded_length(data: bytes) -> tuple[int, int]:
    n, at = varint(data, 0)
    must(n < 1 << 48, "decoded length")
    must(at == len(data) if n == 0 else at < len(data), "bytes after an empty frame, or none after a head")
    return n, at


def rows_head(chunk: bytes, m: int, most: int) -> tuple[int, list[int], list[int], int]:
    """Number of tables, where rows begin and end, and where what follows does."""
    must(2 <= chunk[0] <= 8, "number of tables")
    r, at = varint(chunk, 2)
    first, at = varint(chunk, at)
    must(64 <= r <= most and 1 <= first <= min(r, m), "lengths of rows")
    ends = [*range(first, m, r), m]
    return chunk[0], [0, *ends[:-1]], ends, at
