"""magika's own ONNX file (the package magika), as it is: equal to onnxruntime."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress.recipe import Recipe
from bitpress.session import Session

pytest.importorskip("onnx", reason="needs the package onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")


def model() -> Path:
    spec = importlib.util.find_spec("magika")
    if spec is None or spec.origin is None:
        pytest.skip("needs magika: pip install magika")
    return next((Path(spec.origin).parent / "models").glob("*/model.onnx"))


@pytest.mark.parametrize("batch", [1, 3])
def test_equals_onnxruntime_for_any_batch(batch: int) -> None:
    path = model()
    found = bytes_of(batch)
    theirs = onnxruntime.InferenceSession(path).run(None, {"bytes": found})[0]
    session = Session(bp.compress(path, Recipe.lossless(coding="raw")))
    (ours,) = session.run({"bytes": found}).values()
    # Probabilities behind two norms: sums of at most 2048 products, each a rounding of 2^-24 that adds like a walk.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=8 * 2048**0.5 * 2.0**-24)


def bytes_of(batch: int) -> np.ndarray:
    """What magika feeds: the first and last bytes of a file, 256 where it is shorter."""
    rng = np.random.default_rng(batch)
    rows = rng.integers(0, 256, (batch, 2048)).astype(np.int32)
    rows[0, 700:1024] = 256
    return rows
