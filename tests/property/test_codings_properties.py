"""For any bytes, every coding gives them back, in frames that keep to their bounds; for any frame, nothing breaks."""

from __future__ import annotations

import contextlib
import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitpress as bp
from bitpress import _core, codings
from bitpress.reference import huffman as reference_huffman
from bitpress.reference import lzw as reference_lzw

CODINGS = sorted(_core.CODINGS)
FRAMED = [name for name in CODINGS if name != "raw"]


@st.composite
def any_bytes(draw: st.DrawFn, most: int = 6000) -> bytes:
    """Short bytes as they come, or long ones: an alphabet, its weights and a piece repeated."""
    piece = draw(st.binary(max_size=200))
    if draw(st.booleans()) or not piece:
        return piece
    size = draw(st.integers(0, most))
    if draw(st.booleans()):
        return (piece * (size // len(piece) + 1))[:size]
    rng = np.random.Generator(np.random.PCG64(draw(st.integers(0, 2**32 - 1))))
    alphabet = np.frombuffer(piece, np.uint8)
    power = draw(st.floats(0, 4))
    weights = 1.0 / np.arange(1, len(alphabet) + 1) ** power
    return rng.choice(alphabet, size, p=weights / weights.sum()).tobytes()


@pytest.mark.parametrize("coding", CODINGS)
@given(data=any_bytes(40_000))
@settings(max_examples=150, deadline=None)
def test_round_trip(coding: str, data: bytes) -> None:
    frame = _core.encode(coding, data)
    assert _core.decoded_size(coding, frame) == len(data)
    assert _core.decode(coding, frame, len(data)) == data
    assert len(frame) <= len(data) + 8 + 3
    assert _core.encode(coding, data) == frame


@pytest.mark.parametrize("coding", FRAMED)
@given(data=any_bytes(3000))
@settings(max_examples=60, deadline=None)
def test_frames_are_the_oracles(coding: str, data: bytes) -> None:
    oracle = importlib.import_module(f"bitpress.reference.{coding}")
    frame = _core.encode(coding, data)
    assert frame == oracle.encode(data)
    assert oracle.decode(frame) == data


@pytest.mark.parametrize("coding", FRAMED)
@given(data=any_bytes(2500), changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_changed_frame_means_the_same_to_both_decoders(
    coding: str, data: bytes, changes: list[tuple[int, int]]
) -> None:
    frame = bytearray(_core.encode(coding, data))
    for at, value in changes:
        frame[at % len(frame)] = value
    _both(coding, bytes(frame))


@pytest.mark.parametrize("coding", FRAMED)
@given(blob=st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_bytes_mean_the_same_to_both_decoders(coding: str, blob: bytes) -> None:
    _both(coding, blob)


def _both(coding: str, blob: bytes) -> None:
    """Both decoders refuse, or both give the same bytes."""
    with contextlib.suppress(bp.FormatError):
        if _core.decoded_size(coding, blob) > 1 << 16:
            return  # possible, but slow in plain Python
    oracle = importlib.import_module(f"bitpress.reference.{coding}")
    try:
        wanted = oracle.decode(blob)
    except ValueError:
        with pytest.raises(bp.FormatError):
            _core.decode(coding, blob)
    else:
        assert _core.decode(coding, blob) == wanted


@given(data=any_bytes(5000), max_bits=st.integers(9, 16), block=st.booleans())
@settings(max_examples=60, deadline=None)
def test_z_files(data: bytes, max_bits: int, block: bool) -> None:
    if block:
        blob = bp.lzw.encode(data, format="z", max_bits=max_bits)
        assert blob == reference_lzw.encode_z(data, max_bits)
    else:
        blob = reference_lzw.encode_z(data, max_bits, block=False)
    assert bp.lzw.decode(blob, max_size=len(data)) == reference_lzw.decode_z(blob) == data


@given(flags=st.integers(0, 255), body=st.binary(max_size=120))
@settings(max_examples=300, deadline=None)
def test_any_bytes_as_a_z_file(flags: int, body: bytes) -> None:
    blob = b"\x1f\x9d" + bytes([flags]) + body
    try:
        wanted = reference_lzw.decode_z(blob)
    except ValueError:
        with pytest.raises(bp.FormatError):
            bp.lzw.decode(blob)
    else:
        assert bp.lzw.decode(blob) == wanted


@given(counts=st.lists(st.integers(0, 10**12), min_size=2, max_size=256).filter(lambda c: sum(map(bool, c)) > 1))
@settings(max_examples=60, deadline=None)
def test_tables_round_trip(counts: list[int]) -> None:
    lengths = reference_huffman.code_lengths(dict(enumerate(counts)))
    table = reference_huffman.write_table(lengths)
    assert reference_huffman.read_table(table) == (lengths, len(table))
    assert len(table) <= 224


@given(data=any_bytes(), coding=st.sampled_from([*CODINGS, "auto"]))
@settings(max_examples=100, deadline=None)
def test_streams(data: bytes, coding: str) -> None:
    number, stored = codings.encode_stream(data, coding)
    assert len(stored) <= len(data)
    assert codings.decode_stream(stored, number, len(data)) == data
