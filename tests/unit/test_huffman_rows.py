"""Chunks of rows of Huffman that lie are refused, truncated ones too."""

from __future__ import annotations

import pytest
from forged_frames import agree_on_damage, decoded, refused

import bitpress as bp
from bitpress.reference import frame, rans_rows
from bitpress.reference import huffman as reference

N, R = 4000, 100
TWO, FOUR = {0: 1, 255: 1}, {0: 2, 1: 2, 2: 2, 9: 2}
WHERE = bytes([0, 1] * 20 + [0])


def chunk(
    count: int = 2,
    row: int = R,
    first: int = 60,
    where: bytes = WHERE,
    told: int = 0,
    more: bytes = b"",
    log: int = 3,
    chunk_log: int = 18,
    n: int = N,
) -> bytes:
    """A frame of one chunk of rows: n bytes, all 0. ``told``: added to the first stream's length of the map."""

    def sequence(symbols: bytes, code: dict[int, int], told: int = 0) -> bytes:
        streams = reference._encode_with(symbols, log if len(symbols) >= 1024 else 0, code, tell_last=True)
        return reference.write_table(code) + bytes([streams[0] + told]) + streams[1:]

    sizes = [0] * 3
    for (a, b), table in zip(rans_rows.spans(n, max(row, 1), max(first, 1)), where, strict=False):
        sizes[table] += b - a
    stored = bytes([count, rans_rows.HOW]) + frame.write_varint(row) + frame.write_varint(first)
    stored += sequence(where, FOUR, told)
    for size, code in zip(sizes, (TWO, FOUR, TWO), strict=True):
        stored += sequence(bytes(size), code) if size else b""
    stored += more
    entry = (frame.FILL + 4 * log + 16 * (len(stored) - 1)).to_bytes(3, "little")
    return frame.write_varint(n) + bytes([chunk_log - 12]) + entry + stored


HOSTILE = {
    "one table": chunk(1),
    "nine tables": chunk(9),
    "more tables than there are": chunk(3),
    "a table without rows": chunk(3, more=reference.write_table(TWO) + bytes(1)),
    "a row that is too short": chunk(row=63, first=60),
    "no first row": chunk(first=0),
    "a first row longer than a row": chunk(first=101),
    "a row's table that is not there": chunk(where=WHERE[:-1] + bytes([2])),
    "fewer rows in the map": chunk(where=WHERE[:-1]),
    "more rows in the map": chunk(where=WHERE + bytes(4)),
    "a stream that is shorter than it says": chunk(told=1),
    "a stream that is longer than it says": chunk(told=-1),
    "a stream beyond the chunk": chunk(told=100),
    "a byte too many": chunk(more=bytes(1)),
    "a row above 2^18": chunk(row=(1 << 18) + 1, first=N, where=bytes(1)),
    "a chunk above 2^18": chunk(row=1 << 17, first=1 << 17, where=bytes([0, 1, 0]), n=(1 << 18) + 1, chunk_log=19),
}


@pytest.mark.parametrize("blob", HOSTILE.values(), ids=HOSTILE)
def test_hostile_chunks_are_refused(blob: bytes) -> None:
    refused("huffman", blob)


def test_what_the_hostile_ones_are_made_from_is_accepted() -> None:
    wide = chunk(row=1 << 17, first=1 << 17, where=bytes([0, 1]), n=1 << 18, chunk_log=19)
    for blob in (chunk(), *(chunk(log=log) for log in range(3)), wide):
        assert set(decoded("huffman", blob)) == {0}
    with pytest.raises(bp.CorruptError):
        bp.rans.decode(chunk())


def test_truncation_and_flips_are_refused_or_harmless() -> None:
    blob = chunk(log=1)
    agree_on_damage("huffman", blob, 8 * min(len(blob), 150))
