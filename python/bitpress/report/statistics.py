"""Histograms of a tensor's values and of its codes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bitpress.dtypes import to_float32
from bitpress.errors import BitpressError
from bitpress.scheme import Coded
from bitpress.tensor import PackedTensor, Role

__all__ = ["Histogram", "TensorStatistics", "codes_histogram", "entropy", "statistics_of", "values_histogram"]

BINS = 64
_FEW = 256  # so many values or fewer are a grid, with a bin each where it is even
_SLICE = 1 << 20  # codes unpacked at a time


@dataclass(frozen=True)
class Histogram:
    """``counts`` over equal bins from ``low`` to ``high``."""

    counts: tuple[int, ...]
    low: float
    high: float

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self.counts)


@dataclass(frozen=True)
class TensorStatistics:
    """What the page shows of a tensor.

    ``values`` leaves out exact zeros where they are more than half; None where there is no finite value or no numpy
    dtype. ``codes`` counts integer codes, or the bytes of a tensor kept as it is.
    """

    values: Histogram | None
    codes: Histogram | None
    code_name: str
    zeros: float  # share of elements that are exactly zero
    minimum: float
    maximum: float
    mean: float
    deviation: float
    without_zeros: bool

    @property
    def code_entropy(self) -> float:
        """Order-0 entropy of the codes, bits a code."""
        return entropy(self.codes.counts) if self.codes else 0.0


def entropy(counts: tuple[int, ...]) -> float:
    """Shannon's order-0 entropy, bits a symbol (C. E. Shannon, A Mathematical Theory of Communication, 1948)."""
    array = np.asarray(counts, np.float64)
    array = array[array > 0]
    if array.size < 2:
        return 0.0
    share = array / array.sum()
    return float(-(share * np.log2(share)).sum())


def codes_histogram(stream: memoryview, bits: int, count: int) -> Histogram:
    """How often each ``bits``-bit code stands in a packed stream of ``count`` codes (docs/format.md, section 4)."""
    totals = np.zeros(1 << bits, np.int64)
    packed = np.frombuffer(stream, np.uint8)
    for first in range(0, count, _SLICE):  # a slice begins on a whole byte: _SLICE is a multiple of 8
        codes = min(_SLICE, count - first)
        piece = packed[first * bits // 8 : (first + codes) * bits // 8 + 1]
        if bits == 8:
            values = piece[:codes]
        else:
            digits = np.unpackbits(piece, bitorder="little")[: codes * bits].reshape(codes, bits)
            values = digits @ (1 << np.arange(bits)).astype(np.uint16)
        totals += np.bincount(values, minlength=1 << bits)
    return Histogram(tuple(map(int, totals)), 0, (1 << bits) - 1)


def _edges(shown: np.ndarray) -> tuple[float, float, int]:
    """Where equal bins begin and end, and how many: one a step where the values lie on a short even grid."""
    low, high = float(shown.min()), float(shown.max())
    width = max(abs(low), abs(high))
    if not high - low > width * 1e-6:  # one value, or too close for equal bins
        return low - (width or 1) / 2, high + (width or 1) / 2, BINS - 1  # an odd count: the value is in the middle
    few = np.unique(shown[:4096])
    if 1 < few.size <= _FEW:
        step = float(np.diff(few).min())
        steps = (high - low) / step
        if steps < _FEW and abs(steps - round(steps)) < 0.01 * steps:
            return low - step / 2, high + step / 2, round(steps) + 1
    return low, high, BINS


def values_histogram(array: np.ndarray) -> tuple[Histogram | None, dict[str, float], bool]:
    """A histogram of the finite values, their moments, and whether zeros were left out of the histogram."""
    flat = np.asarray(array).reshape(-1)
    flat = flat.real if np.iscomplexobj(flat) else flat
    wide = flat.astype(np.float64 if flat.dtype.itemsize > 4 else np.float32)
    finite = wide[np.isfinite(wide)]
    if finite.size == 0:
        return None, {"minimum": 0.0, "maximum": 0.0, "mean": 0.0, "deviation": 0.0, "zeros": 0.0}, False
    zeros = float(np.count_nonzero(finite == 0) / finite.size)
    scale = float(max(abs(finite.min()), abs(finite.max()))) or 1.0  # so that no square overflows
    scaled = finite / np.float64(scale)
    moments = {
        "minimum": float(finite.min()),
        "maximum": float(finite.max()),
        "mean": scale * float(scaled.mean()),
        "deviation": scale * float(scaled.std()),
        "zeros": zeros,
    }
    without = 0.5 < zeros < 1
    shown = finite[finite != 0] if without else finite
    with np.errstate(over="ignore"):
        low, high, bins = _edges(shown)
    if not math.isfinite(high - low):
        return None, moments, without
    counts, _ = np.histogram(shown.astype(np.float64, copy=False), bins=bins, range=(low, high))
    return Histogram(tuple(map(int, counts)), low, high), moments, without


def _values(packed: PackedTensor) -> np.ndarray:
    """The elements as numpy can count them; empty for a dtype that it cannot read."""
    try:
        return packed.unpack()
    except BitpressError:
        pass
    try:
        return to_float32(packed.to_bytes(), packed.dtype)
    except (BitpressError, KeyError, ValueError):
        return np.empty(0, np.float32)


def statistics_of(packed: PackedTensor) -> TensorStatistics:
    """Histograms and moments of one tensor."""
    values, moments, without = values_histogram(_values(packed))
    scheme = packed.scheme.values
    if isinstance(scheme, Coded):
        held = packed.streams[Role.CODES]
        codes = codes_histogram(held, scheme.bits, packed.code_count)
    else:
        data = packed.streams[Role.DATA]
        codes = codes_histogram(data, 8, data.nbytes)
    name = "codes" if isinstance(scheme, Coded) else "bytes"
    return TensorStatistics(values, codes, name, without_zeros=without, **moments)
