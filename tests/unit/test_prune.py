"""Magnitude pruning: exact counts, ties, thresholds, over one tensor and over a model."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bitpress as bp
from bitpress.methods import magnitude, method, names

values = st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, 1e-45, 3e38])
arrays = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=12), elements=values)


def oracle(flat: np.ndarray, sparsity: float) -> np.ndarray:
    """Which go: a stable sort by magnitude, lowest index first."""
    gone = np.zeros(flat.size, bool)
    gone[np.argsort(np.abs(flat), kind="stable")[: round(sparsity * flat.size)]] = True
    return gone


@given(array=arrays, sparsity=st.floats(0, 1))
def test_exactly_the_smallest_of_one_array(array: np.ndarray, sparsity: float) -> None:
    pruned = bp.prune(array, sparsity=sparsity)
    gone = oracle(array.reshape(-1), sparsity).reshape(array.shape)
    assert pruned.tobytes() == np.where(gone, np.float32(0), array).tobytes()
    assert np.count_nonzero(pruned) == min(array.size - round(sparsity * array.size), np.count_nonzero(array))


@given(tensors=st.lists(arrays, min_size=1, max_size=4), sparsity=st.floats(0, 1))
def test_exactly_the_smallest_of_a_model(tensors: list[np.ndarray], sparsity: float) -> None:
    named = {f"t{index}": array for index, array in enumerate(tensors)}
    pruned = bp.prune(named, sparsity=sparsity)
    flat = np.concatenate([array.reshape(-1) for array in tensors])
    expected = np.where(oracle(flat, sparsity), np.float32(0), flat)
    assert list(pruned) == list(named)
    assert b"".join(pruned[name].tobytes() for name in named) == expected.tobytes()
    for name, array in named.items():
        assert pruned[name].shape == array.shape


@given(array=arrays, threshold=st.sampled_from([0.0, 0.4, 0.5, 1.0, 5.0]))
def test_threshold_is_exclusive(array: np.ndarray, threshold: float) -> None:
    pruned = bp.prune({"w": array}, threshold=threshold)["w"]
    assert pruned.tobytes() == np.where(np.abs(array) < threshold, np.float32(0), array).tobytes()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, ">f4"])
def test_every_floating_dtype(dtype: str) -> None:
    array = np.random.default_rng(1).standard_normal((30, 20)).astype(dtype)
    pruned = bp.prune(array, sparsity=0.75)
    assert pruned.dtype == array.dtype and np.count_nonzero(pruned) == 150
    gone = oracle(array.reshape(-1).astype(np.float32), 0.75).reshape(array.shape)
    np.testing.assert_array_equal(pruned, np.where(gone, np.zeros_like(array), array))


def test_more_than_one_chunk_and_no_copy_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(magnitude, "CHUNK", 64)
    array = np.random.default_rng(2).integers(-5, 5, 1000).astype(np.float32)
    before = array.copy()
    pruned = bp.prune(array, sparsity=0.6)
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(pruned == 0, oracle(array, 0.6) | (array == 0))


def test_what_is_refused() -> None:
    ones = np.ones(4, np.float32)
    for both in ({}, {"sparsity": 0.5, "threshold": 1.0}):
        with pytest.raises(bp.SchemeError, match="one of them"):
            bp.prune(ones, **both)
    for sparsity in (-0.1, 1.1, float("nan")):
        with pytest.raises(bp.SchemeError, match=r"sparsity must be 0\.\.1"):
            bp.prune(ones, sparsity=sparsity)
    for threshold in (-1.0, float("nan")):
        with pytest.raises(bp.SchemeError, match="threshold must be"):
            bp.prune(ones, threshold=threshold)
    with pytest.raises(bp.SchemeError, match=r"^w: NaN or infinity cannot be ranked"):
        bp.prune({"v": ones, "w": np.array([np.nan, 1])}, sparsity=0.5)
    with pytest.raises(bp.SchemeError, match=r"^w: pruning takes F16, BF16, F32, F64, not I64"):
        bp.prune({"w": np.arange(3)}, sparsity=0.5)


def test_every_method_packs_and_is_found_by_name() -> None:
    array = np.random.default_rng(4).standard_normal((8, 9)).astype(np.float32)
    assert "round" in names() and "magnitude" not in names()
    for name in names():
        tensor = method(name).pack(array.data.cast("B"), "F32", array.shape, bp.Scheme.int(4, axis=0), name="w")
        tensor.check()
        assert tensor.shape == array.shape and tensor.scheme == bp.Scheme.int(4, axis=0)
    with pytest.raises(bp.SchemeError, match="no method"):
        method("../evil")
