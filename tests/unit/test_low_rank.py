"""Low rank: two products where they are smaller, with no more lost than was said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_models import model, node

import bitpress as bp
from bitpress.passes.low_rank import truncated

rng = np.random.default_rng(2)


@given(rows=st.integers(1, 30), columns=st.integers(1, 30), energy=st.floats(0.01, 1), seed=st.integers(0, 5))
def test_the_least_rank_that_keeps_the_energy(rows: int, columns: int, energy: float, seed: int) -> None:
    w = np.random.default_rng(seed).normal(size=(rows, columns)) * np.geomspace(1, 1e-3, columns)
    found = truncated(w, energy, "w")
    values = np.linalg.svd(w, compute_uv=False) ** 2
    least = int(np.argmax(np.cumsum(values) >= energy * values.sum() * (1 - 1e-9))) + 1
    if found is None:
        assert least * (rows + columns) >= w.size
        return
    left, right = found
    assert left.shape[1] == least
    assert left.size + right.size < w.size
    lost = np.square(w - left @ right).sum()
    assert lost <= (1 - energy) * values.sum() + 1e-9
    np.testing.assert_allclose(lost, values[least:].sum(), atol=1e-9)  # Eckart and Young: the best of this rank


def network(op: str) -> tuple[Any, dict[str, np.ndarray]]:
    """A product of rank 3 and one that is not low."""
    thin = (rng.normal(size=(40, 3)) @ rng.normal(size=(3, 30))).astype(np.float32)
    tensors = {"fc.weight": thin, "full.weight": rng.normal(size=(30, 8)).astype(np.float32)}
    if op == "Gemm":
        tensors |= {"fc.weight": thin.T.copy(), "fc.bias": rng.normal(size=30).astype(np.float32)}
        first = node("Gemm", "x fc.weight fc.bias", "h", transB=1)
    else:
        first = node("MatMul", "x fc.weight", "h")
    nodes = [first, node("Relu", "h", "r"), node("MatMul", "r full.weight", "y")]
    return model(nodes, {"x": ["n", 40]}, ["y"], tensors), tensors


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_a_matrix_of_low_rank_becomes_two(op: str) -> None:
    net, _ = network(op)
    recipe = bp.Recipe.from_dict({"rules": [], "low_rank": 0.9999})
    assert bp.Recipe.from_dict(recipe.to_dict()) == recipe
    assert not recipe.is_lossless
    small, whole = bp.compress(net, recipe), bp.compress(net, bp.Recipe())
    shapes = {name: tensor.shape for name, tensor in small.tensors.items() if "fc.weight" in name}
    left, right = ((30, 3), (3, 40)) if op == "Gemm" else ((40, 3), (3, 30))
    assert shapes == {"left.fc.weight": left, "right.fc.weight": right}
    assert "full.weight" in small.tensors
    x = rng.normal(size=(5, 40)).astype(np.float32)
    got, wanted = (next(iter(bp.Session(each).run({"x": x}).values())) for each in (small, whole))
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)


def test_what_is_left_alone_and_what_is_refused() -> None:
    net, tensors = network("MatMul")
    kept = bp.compress(net, bp.Recipe(low_rank=0.9, ignore=("fc.*",)))
    assert "fc.weight" in kept.tensors
    assert not [name for name in kept.tensors if "fc.weight" in name and name != "fc.weight"]
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(bp.SchemeError, match=r"low_rank must be 0\.\.1"):
            bp.Recipe(low_rank=wrong)
    with pytest.raises(bp.SchemeError, match="for networks"):
        bp.compress(tensors, bp.Recipe(low_rank=0.5))
    with pytest.raises(bp.SchemeError, match="w: NaN or infinity"):
        truncated(np.full((4, 4), np.nan), 0.5, "w")
    assert truncated(np.zeros((0, 4)), 0.5, "w") is None
    assert truncated(np.zeros((9, 9)), 0.5, "w") is not None
