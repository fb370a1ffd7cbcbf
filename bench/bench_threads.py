"""Two threads beside one, on 32 MiB of codes and of floats. Needs two cores."""

from __future__ import annotations

import os

import numpy as np
import pytest
from conftest import CORES
from datasets import CODES

import bitpress as bp

DATA = {
    "huffman": lambda: np.tile(CODES["Gaussian int4"](), 2),
    "rans": lambda: np.tile(CODES["Gaussian int8"](), 2),
    "planes": lambda: np.random.Generator(np.random.PCG64(1)).standard_normal(1 << 23, np.float32),
    "lzw": lambda: CODES["Gaussian int4"](),
}


@pytest.fixture
def two_cores():
    if len(CORES) < 2:
        pytest.skip("needs two cores")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("way", ["encode", "decode"])
@pytest.mark.parametrize("coding", DATA)
def test_threads(benchmark, coding: str, way: str, threads: int, two_cores: None) -> None:
    coder, data = getattr(bp, coding), DATA[coding]()
    blob = coder.encode(data)
    room = bytearray(data.nbytes)
    benchmark.group = f"two threads: {way}, {coding}"
    benchmark.extra_info["bytes"] = data.nbytes
    if threads == 1:
        benchmark.extra_info["peer"] = "one thread"
    if way == "encode":
        benchmark(coder.encode, data, threads=threads)
    else:
        benchmark(coder.decode, blob, out=room, threads=threads)
