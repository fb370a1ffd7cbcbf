"""Chunks of rows of rANS that lie are refused."""

from __future__ import annotations

import pytest
from forged_frames import agree_on_damage, decoded, refused

import bitpress as bp
from bitpress import _core
from bitpress.reference import frame, rans_rows
from bitpress.reference import rans as reference

N, R = 1000, 100
FLAT, TWO = {0: 4095, 1: 1}, {0: 2048, 1: 1024, 255: 1024}


def chunk(
    count: int = 2,
    row: int = R,
    first: int = 60,
    where: bytes = bytes([0, 1] * 5 + [0]),
    more: bytes = b"",
    log: int = 0,
) -> bytes:
    """A frame of one chunk of rows: N bytes, all 0."""
    f = {0: 2048, 1: 1024, 2: 1024}
    head = bytes([count, rans_rows.HOW]) + frame.write_varint(row) + frame.write_varint(first)
    head += reference.write_table(f) + reference.write_table(TWO) + reference.write_table(FLAT)
    sizes = [0, 0, 0]
    spans = rans_rows.spans(N, max(row, 1), max(first, 1))
    for (a, b), table in zip(spans, where, strict=False):
        sizes[table] += b - a
    sequences = [(where, f), *((bytes(size), table) for size, table in zip(sizes, (TWO, FLAT, FLAT), strict=True))]
    stored = head + reference._write(sequences, log) + more
    entry = (frame.FILL + 4 * log + 16 * (len(stored) - 1)).to_bytes(3, "little")
    return frame.write_varint(N) + bytes([8]) + entry + stored


HOSTILE = {
    "one table": chunk(1),
    "nine tables": chunk(9),
    "more tables than there are": chunk(3),
    "a row that is too short": chunk(row=63, first=60),
    "no first row": chunk(first=0),
    "a first row longer than a row": chunk(first=101),
    "a row's table that is not there": chunk(where=bytes([0, 1] * 5 + [2])),
    "fewer rows in the map": chunk(where=bytes([0, 1] * 5)),
    "more rows in the map": chunk(where=bytes([0, 1] * 6)),
    "a word too many": chunk(more=bytes(2)),
    "a byte too many": chunk(more=bytes(1)),
    "a row above 2^20": chunk(row=(1 << 20) + 1, first=N, where=bytes(1)),
}


@pytest.mark.parametrize("blob", HOSTILE.values(), ids=HOSTILE)
def test_hostile_chunks_are_refused(blob: bytes) -> None:
    refused("rans", blob)


def test_what_the_hostile_ones_are_made_from_is_accepted() -> None:
    for blob in (chunk(), chunk(log=1), chunk(row=1 << 20, first=N, where=bytes(1)), chunk(where=bytes(11))):
        assert decoded("rans", blob) == bytes(N)
    for coding in ("huffman", "lzw"):
        with pytest.raises(bp.CorruptError):
            _core.decode(coding, chunk())


def test_truncation_and_flips_are_refused_or_harmless() -> None:
    blob = chunk(log=1)
    agree_on_damage("rans", blob, 8 * len(blob))
