"""Error-bounded arrays: the bound holds for every element, frames are what the page says, damage is refused."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bitpress as bp
from bitpress import _core

TESTS = Path(__file__).resolve().parent.parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


_module("third_codings")
third = _module("third_bounded")


def field(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """Noise that neighbours share a part of, negative values cut off in places: what activations look like."""
    values = np.random.Generator(np.random.PCG64(seed)).integers(-(2**20), 2**20, shape).astype(np.float64)
    for axis in range(len(shape)):
        values = values + np.roll(values, 1, axis)
    values[..., : shape[-1] // 3] = np.maximum(values[..., : shape[-1] // 3], 0)
    return values / 2**20


def check(values: np.ndarray, blob: bytes, **bound: float) -> np.ndarray:
    decoded = bp.bounded.decode(blob)
    assert decoded.dtype == values.dtype and decoded.shape == values.shape
    finite = np.isfinite(values)
    assert np.array_equal(decoded[~finite].view(np.uint8), np.ascontiguousarray(values[~finite]).view(np.uint8))
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(decoded[finite].astype(np.float64) - values[finite].astype(np.float64))
    size = np.abs(values[finite].astype(np.float64))
    if "relative" in bound:
        assert np.all(error <= bound["relative"] * size)
        assert np.array_equal(decoded[finite] < 0, values[finite] < 0)
    elif "absolute" in bound:
        assert np.all(error <= bound["absolute"])
    elif size.size:
        assert np.all(error <= bound["value_range"] * (values[finite].max().astype(float) - values[finite].min()))
    return decoded


SHAPES = [
    (1,),
    (2,),
    (7,),
    (1000,),
    (3, 1),
    (1, 5),
    (17, 31),
    (5, 6, 7),
    (3, 4, 9, 11),
    (2, 1, 3, 1, 40),
    (300_000,),
    (3, 300_000),
]
BOUNDS = [{"absolute": 0.01}, {"absolute": 1e-6}, {"relative": 0.05}, {"relative": 1e-4}, {"value_range": 1e-3}]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("bound", BOUNDS, ids=str)
def test_the_bound_holds_for_every_element(dtype: str, bound: dict[str, float]) -> None:
    for shape in SHAPES:
        values = field(shape).astype(dtype)
        blob = bp.bounded.encode(values, **bound)
        check(values, blob, **bound)
        assert blob == bp.bounded.encode(np.asfortranarray(values), **bound)
        assert len(blob) <= values.nbytes + 60 + 9 * bp.bounded.info(blob).chunks


finite_or_not = st.one_of(
    st.floats(width=32),
    st.sampled_from(
        [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 2.0**-149, -(2.0**-126), 3.4028234663852886e38]
    ),
    st.floats(-1, 1, width=32),
)


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]), hnp.array_shapes(max_dims=4, max_side=9), elements=finite_or_not
    ),
    st.sampled_from(["absolute", "relative", "value_range"]),
    st.sampled_from([0.9, 1e-2, 1e-5, 1e-12]),
)
def test_any_values_any_bound(values: np.ndarray, kind: str, bound: float) -> None:
    with np.errstate(over="ignore"):
        blob = bp.bounded.encode(values, **{kind: bound})
        decoded = check(values, blob, **{kind: bound}) if kind != "value_range" else bp.bounded.decode(blob)
    shape, elements = third.bounded(blob)
    assert shape == values.shape
    assert elements == decoded.tobytes()


def test_the_third_reader_finds_the_same() -> None:
    for shape, bound in [
        ((40, 30), BOUNDS[0]),
        ((3, 20, 17), BOUNDS[1]),
        ((2, 5, 9, 8), BOUNDS[2]),
        ((900,), BOUNDS[3]),
    ]:
        for dtype in ("f4", "f8"):
            values = field(shape).astype(dtype)
            values.flat[5::97] = np.nan
            values.flat[11] = -np.inf
            blob = bp.bounded.encode(values, **bound)
            assert third.bounded(blob) == (shape, bp.bounded.decode(blob).tobytes())


def test_chunks_decode_alone_and_on_threads() -> None:
    values = field((9, 300, 300)).astype("f4")
    blob = bp.bounded.encode(values, absolute=1e-3)
    whole = bp.bounded.decode(blob)
    chunks = bp.bounded.info(blob).chunks
    assert chunks > 3
    for first in range(chunks):
        a, b = _core.bounded_chunk_start(blob, first), _core.bounded_chunk_start(blob, first + 1)
        part = np.empty(b - a, np.float32)
        _core.bounded_decode_into(blob, first, first + 1, part)
        assert np.array_equal(part, whole.reshape(-1)[a:b])
    for threads in (0, 2, 3, 100):
        assert np.array_equal(bp.bounded.decode(blob, threads=threads), whole)
    results = [np.empty_like(whole) for _ in range(4)]
    workers = [threading.Thread(target=bp.bounded.decode, args=(blob,), kwargs={"out": out}) for out in results]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(np.array_equal(out, whole) for out in results)


def test_bytes_are_the_same_everywhere() -> None:
    """What the encoder gives today, on any CPU: a change of it, or of rANS', shows here."""
    digest = hashlib.sha256()
    for dtype in ("f4", "f8"):
        for bound in BOUNDS:
            digest.update(bp.bounded.encode(field((6, 40, 50)).astype(dtype), **bound))
    assert digest.hexdigest() == "b0fac971fb4f5f600b93a869a5d6de00a5f1e733045d339ffe315ac3a9adff1f"


def test_truncation_is_refused_at_every_byte() -> None:
    values = field((20, 30)).astype("f4")
    values[3, 4] = np.nan
    for bound in BOUNDS[:3]:
        blob = bp.bounded.encode(values, **bound)
        for cut in range(len(blob)):
            with pytest.raises((bp.CorruptError, bp.FormatError)):
                bp.bounded.decode(blob[:cut])
        with pytest.raises(bp.CorruptError):
            bp.bounded.decode(blob + b"\0")


def test_flips_are_refused_or_give_as_many_elements() -> None:
    values = field((20, 30)).astype("f4")
    blob = bp.bounded.encode(values, absolute=0.01)
    refused = 0
    for at in range(4, len(blob)):  # not the shape
        for bit in (1, 128):
            damaged = bytearray(blob)
            damaged[at] ^= bit
            try:
                assert bp.bounded.decode(damaged).shape == values.shape
            except (bp.CorruptError, bp.FormatError):
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "head",
    [b"", b"\0", b"\4\0", b"\0\x09", b"\0\1", b"\0\1\0x", b"\0\1\x80\0", b"\0\1\1" + bytes(8), b"\2\1\1" + bytes(8)],
)
def test_heads_that_are_none(head: bytes) -> None:
    with pytest.raises((bp.CorruptError, bp.FormatError)):
        bp.bounded.decode(head + bytes(8) if len(head) > 10 else head)


def test_large_claims_are_refused_before_anything_is_allocated() -> None:
    step = np.float64(1).tobytes()
    claim = b"\0\1" + b"\x80" * 5 + b"\x01"
    for tail in (b"", bytes(100), b"\5\0\0\0" * 20):
        with pytest.raises((bp.CorruptError, bp.FormatError)):
            bp.bounded.decode(claim + step + tail)
    with pytest.raises(bp.FormatError):
        bp.bounded.decode(bp.bounded.encode(np.zeros(1000), absolute=1.0), max_size=7999)


def test_arguments() -> None:
    values = field((4, 5)).astype("f4")
    for bad in ({}, {"absolute": 1, "relative": 0.1}, {"absolute": 0}, {"absolute": -1}, {"relative": 1.0}):
        with pytest.raises(ValueError):
            bp.bounded.encode(values, **bad)
    for wrong in (values.astype("f2"), values.astype("i4"), np.zeros((1,) * 9)):
        with pytest.raises(ValueError, match="float32"):
            bp.bounded.encode(wrong, absolute=1)
    blob = bp.bounded.encode(values, absolute=0.1)
    out = np.empty_like(values)
    assert bp.bounded.decode(blob, out=out) is out
    for other in (out.astype("f8"), out.T, np.empty((4, 6), "f4")):
        with pytest.raises(bp.ShapeError):
            bp.bounded.decode(blob, out=other)
    assert bp.bounded.decode(bp.bounded.encode(np.zeros((3, 0, 2)), absolute=1)).shape == (3, 0, 2)
    assert bp.bounded.decode(bp.bounded.encode(np.float64(3.25), relative=1e-3)).shape == ()


def test_decoding_needs_its_output_and_64_kib() -> None:
    assert _core.bounded_workspace() <= 65536


@pytest.mark.parametrize("shape", [(300_000,), (257,), (3, 70_000), (40_000, 2), (3, 150, 150), (5, 128, 129)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_and_planes_longer_than_what_is_kept(shape: tuple[int, ...], dtype: type) -> None:
    """Tokens that wait are moved, magnitudes found again: one mistake, and all that follows is off."""
    rng = np.random.Generator(np.random.PCG64(6))
    values = rng.normal(size=shape)
    for axis in range(len(shape)):
        values = values + np.roll(values, 1, axis)
    values = values.astype(dtype)
    values.flat[::101] *= 1e6  # magnitudes above 2^16
    for bound in (0.1, 1e-3):
        blob = bp.bounded.encode(values, absolute=bound)
        assert np.abs(bp.bounded.decode(blob).astype(np.float64) - values).max() <= bound


@pytest.mark.parametrize(
    "shape",
    [(1 << 20,), (2, 1 << 17), (1 << 17, 2), (64, 128, 128), (40_000, 5, 7), (3, 200, 300), (4, 3, 9, 100), (7,), ()],
)
def test_encoding_needs_at_most_twice_the_chunk(shape: tuple[int, ...]) -> None:
    chunk = 2**18 * 4
    tables = 2**16
    assert _core.bounded_encode_workspace(0, shape) <= 2 * chunk + tables
    assert _core.bounded_encode_workspace(1, shape) <= 2 * chunk + tables


@pytest.mark.parametrize("threads", [2, 3, 64, 0])
def test_threads_give_the_same_bytes(threads: int) -> None:
    values = field((9, 300, 400))
    values[3, 7, 11] = np.nan
    for array in (values.astype(np.float32), values.reshape(-1), values[0]):
        for bound in ({"absolute": 1e-3}, {"relative": 1e-3}):
            assert bp.bounded.encode(array, threads=threads, **bound) == bp.bounded.encode(array, **bound)
    with pytest.raises(ValueError, match="negative"):
        bp.bounded.encode(values, absolute=1e-3, threads=-1)
