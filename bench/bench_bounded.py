"""Bounded arrays beside SZ3 (pysz) and ZFP (zfpy), same array, same absolute bound; sizes go to bench/ratios.csv.

zfpy's 1.0.1.post0 keeps numcodecs from being imported: install it into an environment of its own, or leave it out.
"""

from __future__ import annotations

import numpy as np
import pytest
from rows import activations
from sizes import record

import bitpress as bp

BOUNDS = (1e-2, 1e-3, 1e-4)


def _array() -> np.ndarray:
    return activations((64, 128, 128))


def _sz3(values: np.ndarray, bound: float) -> np.ndarray:
    pysz = pytest.importorskip("pysz", reason="install pysz")
    config = pysz.szConfig(values.shape)
    config.errorBoundMode, config.absErrorBound = pysz.szErrorBoundMode.ABS, bound
    blob, _ = pysz.sz.compress(values, config)
    return blob


@pytest.mark.parametrize("share", BOUNDS)
@pytest.mark.parametrize("coder", ["bitpress", "sz3", "zfp"])
@pytest.mark.parametrize("way", ["encode", "decode"])
def test_bounded(benchmark, way: str, coder: str, share: float) -> None:
    values = _array()
    bound = share * float(np.ptp(values))
    benchmark.group = f"bounded {way} {share:.0e} of the range"
    benchmark.extra_info["bytes"] = values.nbytes
    if coder != "bitpress":
        benchmark.extra_info["peer"] = coder
    if coder == "bitpress":
        blob = bp.bounded.encode(values, absolute=bound)
        calls = {"encode": lambda: bp.bounded.encode(values, absolute=bound), "decode": lambda: bp.bounded.decode(blob)}
    elif coder == "sz3":
        pysz = pytest.importorskip("pysz", reason="install pysz")
        blob = _sz3(values, bound)
        decode = lambda: pysz.sz.decompress(blob, values.dtype, values.shape)  # noqa: E731
        calls = {"encode": lambda: _sz3(values, bound), "decode": decode}
    else:
        zfpy = pytest.importorskip("zfpy", reason="install zfpy")
        blob = zfpy.compress_numpy(values, tolerance=bound)
        calls = {
            "encode": lambda: zfpy.compress_numpy(values, tolerance=bound),
            "decode": lambda: zfpy.decompress_numpy(blob),
        }
    record(
        f"64 x 128 x 128 float32, like activations, {share:.0e} of the range, {coder}", len(bytes(blob)), values.nbytes
    )
    benchmark(calls[way])
