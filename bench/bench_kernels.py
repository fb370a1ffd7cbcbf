"""Kernels that have no better home, beside their peers."""

from __future__ import annotations

import numpy as np
import pytest

from bitpress import _core

DATA = np.random.Generator(np.random.PCG64(1)).bytes(1 << 20)


@pytest.mark.benchmark(group="xxh64, 1 MiB")
def test_xxh64(benchmark) -> None:
    benchmark.extra_info["bytes"] = len(DATA)
    benchmark(_core.xxh64, DATA)


@pytest.mark.benchmark(group="xxh64, 1 MiB")
def test_xxh64_peer(benchmark) -> None:
    xxhash = pytest.importorskip("xxhash", reason="pip install xxhash")
    benchmark.extra_info.update(bytes=len(DATA), peer=f"xxhash {xxhash.VERSION}")
    assert benchmark(xxhash.xxh64_intdigest, DATA) == _core.xxh64(DATA)
