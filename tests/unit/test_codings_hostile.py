"""Frames built by hand: each breaks one rule of docs/format.md section 5 and is refused, at once, by both decoders."""

from __future__ import annotations

import importlib
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import bitpress as bp
from bitpress import _core
from bitpress.reference import huffman as reference_huffman
from bitpress.reference.frame import CODED, CODED_SHARED, FILL, STORED, BitWriter, write_varint

FRAMED = sorted(name for name in _core.CODINGS if name != "raw")


def frame(
    decoded: int, *chunks: tuple[int, int, bytes], head: int = 0, body: bytes = b"", sizes: list[int] | None = None
) -> bytes:
    """A frame of chunks (kind, streams_log, bytes); ``body`` stands before them, ``sizes`` overrides their lengths."""
    out = write_varint(decoded) + bytes([head])
    for k, (kind, streams_log, stored) in enumerate(chunks):
        size = len(stored) if sizes is None else sizes[k]
        out += (kind + 4 * streams_log + 16 * (size - 1)).to_bytes(3, "little")
    return out + body + b"".join(stored for _, _, stored in chunks)


def bits(*numbers: tuple[int, int] | str) -> bytes:
    """Numbers as (value, bits), or bits as they stand, filled up with zeros to bytes."""
    writer = BitWriter()
    for number in numbers:
        if isinstance(number, str):
            writer.put_bits(number)
        else:
            writer.put(*number)
    return writer.bytes()


def length(value: int) -> str:
    """The token that tells a length outright."""
    return "110" + f"{value:04b}"[::-1]


TWO = bits(length(1) + "0")  # the code of the symbols 0 and 1, a bit each


def refused(coding: str, blob: bytes, error: type[Exception] = bp.CorruptError) -> None:
    with pytest.raises(error, match=rf"^{coding}: "):
        _core.decode(coding, blob)
    with pytest.raises(ValueError):
        importlib.import_module(f"bitpress.reference.{coding}").decode(blob)


def test_the_builder_builds_what_is_accepted() -> None:
    for coding in FRAMED:
        for blob, data in (
            (frame(3, (STORED, 0, b"abc")), b"abc"),
            (frame(4096, (FILL, 0, b"x")), b"x" * 4096),
            (frame(4098, (FILL, 0, b"x"), (STORED, 0, b"ab")), b"x" * 4096 + b"ab"),
        ):
            assert _core.decode(coding, blob) == data
    assert bp.huffman.decode(frame(16, (CODED, 0, TWO + b"\x35\0"))) == bytes([1, 0, 1, 0, 1, 1, 0, 0] + [0] * 8)
    assert bp.huffman.decode(frame(4, (CODED_SHARED, 0, b"\5"), head=16, body=TWO)) == bytes([1, 0, 1, 0])
    assert bp.lzw.decode(frame(8, (CODED, 0, bits((97, 9), (256, 9), (257, 9), (97, 9), (97, 9))))) == b"a" * 8


HEADS: dict[str, bytes] = {
    "nothing": b"",
    "a cut varint": b"\x80",
    "a varint with a needless byte": b"\x80\0",
    "bytes after an empty frame": b"\0\0",
    "no head": b"\1",
    "no chunk table": b"\1\0",
    "no chunk": b"\1\0\0\0\0",
    "a reserved bit of the head": frame(3, (STORED, 0, b"abc"), head=32),
    "bit 7 of the head": frame(3, (STORED, 0, b"abc"), head=128),
    "chunks of 2**21": frame(3, (STORED, 0, b"abc"), head=9),
    "too few chunks": frame(4097, (FILL, 0, b"x")),
    "too many chunks": frame(4096, (FILL, 0, b"x"), (FILL, 0, b"x")),
    "bytes after the last chunk": frame(3, (STORED, 0, b"abc")) + b"d",
    "a stored chunk too short": frame(4, (STORED, 0, b"abc")),
    "a stored chunk too long": frame(2, (STORED, 0, b"abc")),
    "a stored chunk cut off": frame(3, (STORED, 0, b"ab"), sizes=[3]),
    "a stored chunk with streams": frame(3, (STORED, 1, b"abc")),
    "a filled chunk of two bytes": frame(9, (FILL, 0, b"xx")),
    "a filled chunk with streams": frame(9, (FILL, 1, b"x")),
    "a chunk beyond the frame": frame(4097, (FILL, 0, b"x"), (FILL, 0, b"x"), sizes=[1, 900]),
    "a coded chunk as long as its data": frame(3, (CODED, 0, b"abc")),
    "a coded chunk longer than its data": frame(2, (CODED, 0, b"abc")),
    "a shared table that is not there": frame(900, (CODED_SHARED, 0, b"abc")),
}


@pytest.mark.parametrize("what", HEADS)
@pytest.mark.parametrize("coding", FRAMED)
def test_heads(coding: str, what: str) -> None:
    refused(coding, HEADS[what])


@pytest.mark.parametrize("coding", FRAMED)
@pytest.mark.parametrize("claim", [2**20 + 1, 2**32, 2**40, 2**48 - 1, 2**48, 2**60, 2**63, 2**64 - 1, 2**70])
def test_enormous_claims_cost_nothing(coding: str, claim: int) -> None:
    """Refused in constant time, before anything is allocated; also where a megabyte of frame follows."""
    blob = frame(claim, (FILL, 0, b"x"), head=8)
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(bp.FormatError):
        _core.decode(coding, blob)
    assert time.process_time() - start < 0.01
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    if claim > 2**40:
        with pytest.raises(bp.FormatError):
            _core.decoded_size(coding, blob + bytes(1 << 20))


@pytest.mark.parametrize("coding", FRAMED)
def test_how_much_a_short_frame_can_be(coding: str) -> None:
    """The largest ratio: chunks of 2**20 (or 18) equal bytes take four bytes each. max_size refuses it unopened."""
    log = 18 if coding == "planes" else 20
    blob = frame(3 << 20, *[(FILL, 0, b"x")] * (3 << 20 >> log), head=log - 12)
    assert _core.decode(coding, blob) == b"x" * (3 << 20)
    with pytest.raises(bp.FormatError, match="3145728 decoded bytes, at most 3145727 allowed"):
        _core.decode(coding, blob, (3 << 20) - 1)


TABLES: dict[str, bytes] = {
    "cut": bits(length(2) + length(1))[:1],
    "incomplete: the symbols end": bits(length(1), "111" + "0000000" + "1" + "1111111", length(2)),
    "over-full": bits(length(1) + length(2) + length(1)),
    "a length of 0": bits(length(0), length(1), "0"),
    "a length of 13": bits(length(13) + "0" * 8191),
    "12 + 1": bits(length(12) + "100" + length(1) + "0"),
    "1 - 1": bits(length(1) + "101" + "0"),
    "a run beyond the last symbol": bits("111" + "0000000" + "1" + "1111111" + "111" + "1" + length(1) + "0"),
    "a run of 256 or more": bits("111" + "00000000" + "1" + "00000000" + length(1) + "0"),
    "bits after the last token": bits(length(1) + "0" + "00000001"),
}


@pytest.mark.parametrize("what", TABLES)
def test_huffman_tables(what: str) -> None:
    tail = b"" if what == "cut" else bytes(113)
    refused("huffman", frame(900, (CODED, 0, TABLES[what] + tail)))
    refused("huffman", frame(900, (CODED_SHARED, 0, bytes(113)), head=16, body=TABLES[what]))


def _streams(*streams: bytes, sizes: list[int] | None = None) -> bytes:
    lengths = [len(stream) for stream in streams[:-1]] if sizes is None else sizes
    return TWO + b"".join(map(write_varint, lengths)) + b"".join(streams)


STREAMS: dict[str, bytes] = {
    "too short": frame(24, (CODED, 0, TWO + bytes(2))),
    "too long": frame(24, (CODED, 0, TWO + bytes(4))),
    "bits after the last": frame(23, (CODED, 0, TWO + b"\0\0\x80")),
    "none": frame(24, (CODED, 0, TWO)),
    "four in fewer than 1024 bytes": frame(1023, (CODED, 2, _streams(*[bytes(32)] * 4))),
    "one longer, one shorter": frame(1024, (CODED, 2, _streams(bytes(33), bytes(31), bytes(32), bytes(32)))),
    "sizes beyond the chunk": frame(1024, (CODED, 2, _streams(*[bytes(32)] * 4, sizes=[32, 32, 65]))),
    "a size of 2**40": frame(1024, (CODED, 2, _streams(*[bytes(32)] * 4, sizes=[32, 2**40, 32]))),
    "a last one too long": frame(1024, (CODED, 2, _streams(*[bytes(32)] * 3, bytes(33)))),
    "a last one too short": frame(1024, (CODED, 2, _streams(*[bytes(32)] * 3, bytes(31)))),
    "sizes cut off": frame(1024, (CODED, 3, TWO + b"\x80")),
}


@pytest.mark.parametrize("what", STREAMS)
def test_huffman_streams(what: str) -> None:
    refused("huffman", STREAMS[what])
    right = frame(1024, (CODED, 2, _streams(*[bytes(32)] * 4)))
    assert bp.huffman.decode(right) == reference_huffman.decode(right) == bytes(1024)


LZW: dict[str, bytes] = {
    "a shared table": frame(900, (CODED_SHARED, 0, b"abc"), head=16),
    "streams": frame(900, (CODED, 1, bits((97, 9), (256, 9)))),
    "a first code that is no byte": frame(9, (CODED, 0, bits((256, 9), (97, 9)))),
    "a code above the newest": frame(9, (CODED, 0, bits((97, 9), (257, 9)))),
    "a string beyond the chunk": frame(4, (CODED, 0, bits((97, 9), (256, 9), (257, 9))[:3])),
    "too few codes": frame(9, (CODED, 0, bits((97, 9), (98, 9)))),
    "bytes after the last code": frame(9, (CODED, 0, bits((97, 9), (256, 9), (257, 9), (258, 9)) + b"\0")),
    "bits after the last code": frame(6, (CODED, 0, bits((97, 9), (256, 9), (257, 9), (1, 1)))),
}


@pytest.mark.parametrize("what", LZW)
def test_lzw_codes(what: str) -> None:
    refused("lzw", LZW[what])


@pytest.mark.parametrize("coding", _core.CODINGS)
def test_output_of_another_size(coding: str) -> None:
    data = np.arange(5000, dtype=np.uint8) % 50
    blob = _core.encode(coding, data)
    guarded = np.full(len(data) + 64, 0xEE, np.uint8)
    for size in (0, 1, 4095, 4096, 4999):
        with pytest.raises(ValueError, match="cannot hold"):
            _core.decode_into(coding, blob, guarded[:size])
        assert np.all(guarded[size:] == 0xEE)
    with pytest.raises(ValueError, match="larger than the result"):
        _core.decode_into(coding, blob, guarded[:5001])
    _core.decode_into(coding, blob, guarded[:5000])
    assert np.array_equal(guarded[:5000], data) and np.all(guarded[5000:] == 0xEE)
    with pytest.raises((BufferError, TypeError, ValueError)):
        _core.decode_into(coding, blob, bytes(5000))
    with pytest.raises((BufferError, ValueError)):
        _core.decode_into(coding, blob, np.zeros(10_000, np.uint8)[::2])


@pytest.mark.parametrize("coding", FRAMED)
@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda blob: np.frombuffer(blob, np.uint8)])
def test_errors_are_one_line_and_name_the_coding(coding: str, make: Callable[[bytes], object]) -> None:
    with pytest.raises(bp.CorruptError) as caught:
        getattr(bp, coding).decode(make(b"\x80"))
    assert str(caught.value) == f"{coding}: the input ends before what it announces"
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, OSError)
