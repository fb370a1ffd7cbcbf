"""Codes of 9 to 16 bits beside zstd, fed the same codes as words: 1 Mi codes of `rows.WIDE`. GB/s are of words."""

from __future__ import annotations

import numpy as np
import pytest
from rows import WIDE, N

from bitpress import _core

CODINGS = ("huffman", "rans")


@pytest.fixture(scope="module", params=WIDE)
def codes(request: pytest.FixtureRequest) -> tuple[str, int, np.ndarray]:
    """A name, the bits of a code, and the codes."""
    bits, make = WIDE[request.param]
    return request.param, bits, np.concatenate([make(seed) for seed in range(1, 5)])  # no two parts alike


@pytest.mark.parametrize("coding", CODINGS)
def test_decode(benchmark, codes: tuple[str, int, np.ndarray], coding: str) -> None:
    name, bits, words = codes
    packed = _core.pack_codes(words, bits)
    stream = _core.encode_packed(coding, packed, bits, 4 * N)
    benchmark.group, benchmark.extra_info["bytes"] = f"{name}, decode", words.nbytes
    assert benchmark(_core.decode_packed, coding, stream, bits, 4 * N) == packed


@pytest.mark.parametrize("coding", CODINGS)
def test_encode(benchmark, codes: tuple[str, int, np.ndarray], coding: str) -> None:
    name, bits, words = codes
    packed = _core.pack_codes(words, bits)
    benchmark.group, benchmark.extra_info["bytes"] = f"{name}, encode", words.nbytes
    benchmark(_core.encode_packed, coding, packed, bits, 4 * N)


@pytest.mark.parametrize("way", ["decode", "encode"])
def test_zstd(benchmark, codes: tuple[str, int, np.ndarray], way: str) -> None:
    zstandard = pytest.importorskip("zstandard", reason="pip install zstandard")
    name, _, words = codes
    data = words.astype("<u2").tobytes()
    coder, stored = zstandard.ZstdCompressor(1), zstandard.ZstdCompressor(1).compress(data)
    benchmark.group = f"{name}, {way}"
    benchmark.extra_info["peer"] = f"zstd {'.'.join(map(str, zstandard.ZSTD_VERSION))} -1"
    benchmark.extra_info["bytes"], benchmark.extra_info["stored"] = words.nbytes, len(stored)
    if way == "encode":
        benchmark(coder.compress, data)
    else:
        assert benchmark(zstandard.ZstdDecompressor().decompress, stored) == data
