"""Lossless floats beside zipnn, one thread: the weights of EfficientNet-Lite0 and MiniLM as bfloat16 and float32.

Both give new bytes. zipnn changes what it encodes in place, so it is given a copy, which its time does not include.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from datasets import efficientnet, minilm

import bitpress as bp

NETWORKS = {"EfficientNet-Lite0": efficientnet, "MiniLM": minilm}
KINDS = {"bfloat16": ("BF16", ml_dtypes.bfloat16), "float32": ("F32", np.float32)}


@pytest.fixture(scope="module", params=[(name, kind) for name in NETWORKS for kind in KINDS], ids=" ".join)
def weights(request: pytest.FixtureRequest) -> tuple[str, str, bytes]:
    """The network's name, zipnn's name of the elements, and their bytes."""
    name, kind = request.param
    arrays = [array.ravel() for array in NETWORKS[name]()]
    return name, kind, np.concatenate(arrays).astype(KINDS[kind][1]).tobytes()


@pytest.mark.parametrize("coder", ["bitpress", "zipnn"])
@pytest.mark.parametrize("way", ["encode", "decode"])
def test_planes(benchmark, way: str, coder: str, weights: tuple[str, str, bytes]) -> None:
    name, kind, data = weights
    benchmark.group = f"{way} {name} in {kind}"
    benchmark.extra_info["ours"] = "planes"
    if coder == "bitpress":
        blob = bp.planes.encode(data, dtype=KINDS[kind][0])
        decode = lambda: bp.planes.decode(blob)  # noqa: E731
        encode = lambda given: bp.planes.encode(given, dtype=KINDS[kind][0])  # noqa: E731
    else:
        zipnn = pytest.importorskip("zipnn", reason="pip install zipnn")
        peer = zipnn.ZipNN(bytearray_dtype=kind, input_format="byte", threads=1)
        blob, encode = peer.compress(bytearray(data)), peer.compress
        decode = lambda: peer.decompress(blob)  # noqa: E731
        benchmark.extra_info["peer"] = "zipnn"
    assert decode() == data
    benchmark.extra_info.update(bytes=len(data), bits_a_byte=round(8 * len(blob) / len(data), 3))
    if way == "decode":
        benchmark(decode)
    else:
        benchmark.pedantic(encode, setup=lambda: ((bytearray(data),), {}), rounds=5)
