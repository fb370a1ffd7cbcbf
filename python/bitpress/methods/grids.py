"""Grids of integer codes in numpy: how scales are picked, how elements are rounded.

The arithmetic is docs/format.md's, section 4: float32, one operation at a time, ties to even; so that what a method
expects of its codes is what a reader gets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import SchemeError
from ..scheme import Integer

__all__ = ["FACTORS", "Grid", "min_max", "percentile", "search"]

Floats = npt.NDArray[np.float32]
SMALLEST = np.float32(2.0**-126)
FACTORS = tuple(1 - 0.05 * step for step in range(11))  # of the range from least to greatest: 1 .. 0.5


@dataclass(frozen=True)
class Grid:
    """The values that elements can take: ``scale * (code - zero)``. ``scales`` and ``zeros`` are float32 [scales]."""

    values: Integer
    scales: Floats
    zeros: Floats

    @property
    def low(self) -> int:
        """The least code: symmetric codes are as many below zero as above."""
        return 0 if not self.values.symmetric or self.values.bits == 1 else 1

    def codes(self, x: Floats, scale: Floats, zero: Floats) -> Floats:
        """The codes nearest to elements whose scales and zeros are given, as whole float32."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            whole = np.floor(zero)
            codes = np.rint(x / scale + (zero - whole)) + whole
        return np.asarray(np.clip(codes, np.float32(self.low), np.float32(2**self.values.bits - 1)), np.float32)

    def nearest(self, x: Floats, scale: Floats, zero: Floats) -> Floats:
        """The values of those codes."""
        return np.asarray(scale * (self.codes(x, scale, zero) - zero), np.float32)

    @property
    def stored_zeros(self) -> npt.NDArray[np.uint8 | np.uint16] | None:
        """What an affine scheme stores."""
        return None if self.values.symmetric else self.zeros.astype(self.values.code_dtype)


def min_max(x: Floats, index: npt.NDArray[np.intp], values: Integer, name: str = "tensor") -> Grid:
    """The grid that docs/format.md picks for elements (any shape) whose scales have these numbers (same shape)."""
    low, high = _ranges(x, index, name)
    return _grid(low, high, values, name)


def percentile(
    x: Floats,
    index: npt.NDArray[np.intp],
    values: Integer,
    percent: float,
    mask: npt.NDArray[np.bool_] | None,
    name: str = "tensor",
) -> Grid:
    """The grid of each scale's range without its outliers: ``percent`` (above 0, up to 100) of the elements lie inside.

    Of n elements (those that ``mask`` stores, where not all are) ``floor((1 - percent / 100) n)`` are outliers: of a
    symmetric grid the greatest magnitudes, of an affine one half of them, rounded down, at each end. The range ends at
    the element next to them, and holds 0.
    """
    if not np.isfinite(x).all():
        raise SchemeError(f"{name}: NaN or infinity cannot be an integer code")
    flat, elements = np.ascontiguousarray(index).reshape(-1), x.reshape(-1)
    count = int(flat.max(initial=-1)) + 1
    if mask is not None:
        flat, elements = flat[mask.reshape(-1)], elements[mask.reshape(-1)]
    if values.symmetric:
        elements = np.abs(elements)
    order = np.lexsort((elements, flat)) if count > 1 else np.argsort(elements)
    ordered = elements[order]
    sizes = np.bincount(flat, minlength=count)
    ends = np.cumsum(sizes)
    gone = np.floor((100 - percent) / 100 * sizes + 1e-9).astype(np.int64)
    some = sizes > 0
    low, high = np.zeros(count, np.float32), np.zeros(count, np.float32)
    if values.symmetric:
        high[some] = ordered[(ends - 1 - np.minimum(gone, sizes - 1))[some]]
    else:
        inside = np.minimum(gone // 2, (sizes - 1) // 2)
        low[some] = np.minimum(ordered[(ends - sizes + inside)[some]], 0)
        high[some] = np.maximum(ordered[(ends - 1 - inside)[some]], 0)
    return _grid(low, high, values, name)


def search(
    x: Floats,
    index: npt.NDArray[np.intp],
    values: Integer,
    weight: npt.NDArray[np.float64] | None,
    mask: npt.NDArray[np.bool_] | None,
    name: str = "tensor",
) -> Grid:
    """Of the ranges ``FACTORS`` times the whole one, for each scale, that of the least sum of ``weight * error**2``.

    ``weight`` has the elements' shape (or broadcasts to it); None: all ones. ``mask``: those that are
    stored, where not all are. Among equals, the widest range wins.
    """
    low, high = _ranges(x, index, name)
    best = _grid(low, high, values, name)
    scales, zeros = best.scales.copy(), best.zeros.copy()
    least = np.full(low.size, np.inf)
    one = index[..., :1] if index.ndim and index.strides[-1] == 0 else index  # a row of one scale is summed as one
    flat = np.ascontiguousarray(one).reshape(-1)
    for factor in FACTORS:
        grid = _grid(low * np.float32(factor), high * np.float32(factor), values, name)
        error = np.square(grid.nearest(x, grid.scales[one], grid.zeros[one]) - x)
        error = error if weight is None else error * weight
        error = error if mask is None else error * mask
        if one is not index:
            error = error.sum(-1, dtype=np.float64)
        sums = np.bincount(flat, error.reshape(-1), low.size)
        better = sums < least
        least[better] = sums[better]
        scales[better], zeros[better] = grid.scales[better], grid.zeros[better]
    return Grid(values, scales, zeros)


def _ranges(x: Floats, index: npt.NDArray[np.intp], name: str) -> tuple[Floats, Floats]:
    """Least and greatest of the elements of each scale, widened to hold 0."""
    if not np.isfinite(x).all():
        raise SchemeError(f"{name}: NaN or infinity cannot be an integer code")
    flat = np.ascontiguousarray(index).reshape(-1)
    count = int(flat.max(initial=-1)) + 1
    low, high = np.zeros(count, np.float32), np.zeros(count, np.float32)
    np.minimum.at(low, flat, x.reshape(-1))
    np.maximum.at(high, flat, x.reshape(-1))
    return low, high


def _grid(low: Floats, high: Floats, values: Integer, name: str) -> Grid:
    bits = values.bits
    with np.errstate(over="ignore"):
        if values.symmetric:
            levels = 1 if bits == 1 else 2 ** (bits - 1) - 1
            scales = np.maximum(np.maximum(-low, high) / np.float32(levels), SMALLEST)
            zeros = np.full(scales.shape, 0.5 if bits == 1 else 2 ** (bits - 1), np.float32)
        else:
            levels = 2**bits - 1
            scales = np.maximum((high - low) / np.float32(levels), SMALLEST)
            zeros = np.minimum(np.rint(-low / scales), np.float32(levels))
        if not np.isfinite(scales * np.float32(2**bits)).all():
            raise SchemeError(f"{name}: a magnitude is too large for int{bits}: scale * 2**bits must be a float32")
    return Grid(values, scales.astype(np.float32), zeros.astype(np.float32))
