"""Bounded arrays beside SZ3 and ZFP (in imagecodecs), fpzip and numcodecs' own; sizes go to bench/ratios.csv.

All get the same array and the same absolute bound. fpzip has no bound: it is given the fewest bits that keep it.
numcodecs: FixedScaleOffset on the bound's grid, then Blosc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from datasets import FLOATS
from sizes import record

import bitpress as bp

BOUNDS = (1e-2, 1e-3, 1e-4)
Coder = tuple[Callable[[], Any], Callable[[Any], Any]]


@pytest.fixture(scope="module", params=FLOATS)
def floats(request: pytest.FixtureRequest) -> tuple[str, np.ndarray]:
    return request.param, np.ascontiguousarray(FLOATS[request.param]())


def _bitpress(values: np.ndarray, bound: float) -> Coder:
    return lambda: bp.bounded.encode(values, absolute=bound), bp.bounded.decode


def _sz3(values: np.ndarray, bound: float) -> Coder:
    codecs = pytest.importorskip("imagecodecs", reason="pip install imagecodecs")
    shape, dtype = values.shape, values.dtype
    return lambda: codecs.sz3_encode(values, mode="abs", abs=bound), lambda blob: codecs.sz3_decode(blob, shape, dtype)


def _zfp(values: np.ndarray, bound: float) -> Coder:
    codecs = pytest.importorskip("imagecodecs", reason="pip install imagecodecs")
    return lambda: codecs.zfp_encode(values, level=bound, mode="a"), codecs.zfp_decode


def _fpzip(values: np.ndarray, bound: float) -> Coder:
    """The fewest bits of precision that keep the bound."""
    fpzip = pytest.importorskip("fpzip", reason="pip install fpzip")
    shaped = values.reshape((1,) * (4 - values.ndim) + values.shape)
    for precision in range(6, 33):
        blob = fpzip.compress(shaped, precision=precision, order="C")
        if np.abs(fpzip.decompress(blob, order="C") - shaped).max() <= bound:
            break
    return lambda: fpzip.compress(shaped, precision=precision, order="C"), lambda blob: fpzip.decompress(
        blob, order="C"
    ).reshape(values.shape)


def _numcodecs(values: np.ndarray, bound: float) -> Coder:
    """Rounded to the bound's grid, then Blosc: zstd over shuffled bytes."""
    numcodecs = pytest.importorskip("numcodecs", reason="pip install numcodecs")
    grid = numcodecs.FixedScaleOffset(offset=0, scale=0.5 / bound, dtype="f4", astype="i4")
    blosc = numcodecs.Blosc("zstd", 5, numcodecs.Blosc.SHUFFLE)
    return lambda: blosc.encode(grid.encode(values)), lambda blob: grid.decode(
        np.frombuffer(blosc.decode(blob), "i4")
    ).reshape(values.shape)


CODERS = {"bitpress": _bitpress, "sz3": _sz3, "zfp": _zfp, "fpzip": _fpzip, "numcodecs, Blosc": _numcodecs}


@pytest.mark.parametrize("share", BOUNDS)
@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("way", ["encode", "decode"])
def test_bounded(benchmark, way: str, coder: str, share: float, floats: tuple[str, np.ndarray]) -> None:
    name, values = floats
    bound = share * float(np.ptp(values))
    encode, decode = CODERS[coder](values, bound)
    blob = encode()
    size = memoryview(blob).nbytes
    # Peers keep a bound in their own arithmetic: the last bits of it are not held against them.
    assert np.abs(np.asarray(decode(blob)).reshape(values.shape) - values).max() <= bound * (1 + 1e-3)
    benchmark.group = f"{way} {name}, {share:.0e} of the range"
    benchmark.extra_info.update(bytes=values.nbytes, bits_a_byte=round(8 * size / values.nbytes, 3))
    benchmark.extra_info["ours" if coder == "bitpress" else "peer"] = "bounded" if coder == "bitpress" else coder
    record(f"{name}, {share:.0e} of the range, {coder}", size, values.nbytes)
    benchmark(encode) if way == "encode" else benchmark(decode, blob)
