"""Whole networks from their files, beside onnxruntime on one thread in the same run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitpress as bp
from bitpress.demo import networks
from bitpress.recipe import Recipe, Rule
from bitpress.scheme import Scheme

NETWORKS: dict[str, Callable[[], Path]] = {
    "EfficientNet-Lite0": networks.efficientnet_lite0,
    "crepe tiny": lambda: networks.crepe("tiny"),
    "crepe full": lambda: networks.crepe("full"),
}
SCHEMES: dict[str, Scheme | None] = {
    "fp32": None,
    "int8": Scheme.int(8, axis=0),
    "int4": Scheme.int(4, axis=0),
    "int4, half zeros": Scheme.int(4, axis=0, sparse=True),
}


def source(name: str) -> tuple[Path, np.ndarray]:
    """The ONNX file and an input; skips where the package that holds the network is not installed."""
    try:
        path = NETWORKS[name]()
    except networks.MissingError as error:
        pytest.skip(str(error))
    import onnx

    dims = onnx.load(path, load_external_data=False).graph.input[0].type.tensor_type.shape.dim
    shape = [dim.dim_value or 1 for dim in dims]
    return path, np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def recipe(label: str) -> Recipe:
    scheme = SCHEMES[label]
    if scheme is None:
        return Recipe()
    return Recipe((Rule("*", scheme, min_elements=1024, sparsity=0.5 if "zeros" in label else None),))


@pytest.mark.parametrize("label", SCHEMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_network(benchmark: Any, name: str, label: str, tmp_path: Path) -> None:
    path, x = source(name)
    bp.compress(path, recipe(label)).save(tmp_path / "network.bp")
    session = bp.Session(tmp_path / "network.bp")
    feed = {session.inputs[0].name: x}
    benchmark.group = name
    benchmark.name = label
    benchmark(session.run, feed)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_peer(benchmark: Any, name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    path, x = source(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    benchmark.group = name
    benchmark.extra_info["peer"] = f"onnxruntime {onnxruntime.__version__} fp32"
    benchmark(session.run, None, {session.get_inputs()[0].name: x})
