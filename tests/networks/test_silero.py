"""Silero's voice detector as it ships in its package: LSTMs, convolutions, and a branch that its sample rate picks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from bitpress import onnx_backend  # noqa: E402
from bitpress.compression import compress  # noqa: E402
from bitpress.importers.onnx import load  # noqa: E402
from bitpress.recipe import Recipe  # noqa: E402
from bitpress.session import Session  # noqa: E402


def folder() -> Path:
    found = importlib.util.find_spec("silero_vad")
    if found is None or found.origin is None:
        pytest.skip("needs silero-vad: pip install --no-deps silero-vad")
    return Path(found.origin).parent / "data"


@pytest.mark.parametrize("name", ["silero_vad", "silero_vad_16k_op15", "silero_vad_half", "silero_vad_op18_ifless"])
def test_it_runs_unchanged(name: str) -> None:
    path = folder() / f"{name}.onnx"
    rng = np.random.default_rng(4)
    model = onnx.load(path)
    fed = {
        "input": (rng.standard_normal((1, 576)) * 0.1).astype(np.float32),
        "state": (rng.standard_normal((2, 1, 128)) * 0.1).astype(np.float32),
        "sr": np.array(16000),
    }
    inputs = {value.name: fed[value.name] for value in model.graph.input}
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    theirs = runtime.InferenceSession(path, options).run(None, inputs)
    ours = onnx_backend.run_model(model, list(inputs.values()))
    for got, want in zip(ours, theirs, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, atol=2e-6)


@pytest.mark.parametrize(("rate", "samples"), [(16000, 576), (8000, 288)])
def test_the_sample_rate_picks_a_branch_at_run_time(rate: int, samples: int) -> None:
    """One file with both branches, and loops of branches in them, answers as onnxruntime does."""
    path = folder() / "silero_vad.onnx"
    shapes = {"input": (1, samples), "state": (2, 1, 128)}
    session = Session(compress(load(path, input_shapes=shapes), Recipe.lossless(coding="raw")))
    rng = np.random.default_rng(5)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    theirs = runtime.InferenceSession(path, options)
    state = np.zeros((2, 1, 128), np.float32)
    for _ in range(3):
        sound = (rng.standard_normal((1, samples)) * 0.1).astype(np.float32)
        fed = {"input": sound, "state": state, "sr": np.array(rate)}
        for got, want in zip(session.run(fed).values(), theirs.run(None, fed), strict=True):
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, atol=2e-6)
            state = want
