"""Oracles of operators that round, accumulate or select."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray

__all__ = ["OPERATORS"]

_TYPES = {1: np.uint8, 2: np.int8, 5: np.int16, 6: np.uint16, 9: np.int32, 10: np.uint32, 11: np.float32, 12: np.int64,
          13: np.uint64, 14: np.float64}  # fmt: skip


def round_to(x: Array, *, format: Sequence[int], alpha: float) -> Array:
    """format: bits of the mantissa, least exponent of a normal number, overflow (0: alpha, 1: infinite, 2: NaN), flags
    (1: zero has no sign, 2: powers of two, upwards); alpha: the largest finite number."""
    mantissa, least, overflow, flags = format
    most = float(np.float32(alpha))
    above = (most, np.inf, np.nan)[overflow]
    result = np.empty(x.shape, np.float32)
    for place, number in np.ndenumerate(x.astype(np.float64)):
        size = abs(number)
        if np.isnan(number) or (flags & 2 and number < 0):
            result[place] = np.nan
            continue
        exponent = max(least, int(np.floor(np.log2(min(size, most)))) if size else least)
        step = 2.0 ** (exponent - mantissa)
        if np.isinf(size):
            rounded = float(size)
        elif flags & 2:
            rounded = 2.0 ** max(float(np.ceil(np.log2(size))), least) if size else 2.0**least
        else:
            rounded = float(np.rint(size / step) * step)
        if rounded > most:
            rounded = above
        result[place] = 0.0 if rounded == 0 and flags & 1 else np.copysign(rounded, number)
    return result


def bit_cast(x: Array, *, to: int) -> Array:
    """The same bytes as another type of the same size."""
    return np.ascontiguousarray(x).view(_TYPES[to]).reshape(x.shape)


def _cumulate(function: Any, start: int) -> Callable[..., Array]:
    def run(x: Array, *, axis: int = 0, exclusive: int = 0, reverse: int = 0) -> Array:
        wide = np.moveaxis(x.astype(np.float64) if x.dtype.kind == "f" else x, axis, 0)
        wide = wide[::-1] if reverse else wide
        if exclusive:
            wide = np.concatenate([np.full_like(wide[:1], start), wide[:-1]])
        found = function(wide, axis=0, dtype=wide.dtype)
        return np.asarray(np.moveaxis(found[::-1] if reverse else found, 0, axis), x.dtype)

    return run


def top_k(x: Array, *, axis: int = -1, k: int = 1, largest: int = 1) -> tuple[Array, Array]:
    """The best k, best first; of equal ones the first."""
    order = np.argsort(x, axis=axis, kind="stable")
    if largest:  # stable from the other end
        order = np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    places = np.take(order, np.arange(k), axis=axis)
    return np.take_along_axis(x, places, axis), places.astype(np.int64)


OPERATORS: dict[str, Callable[..., Any]] = {
    "RoundTo": round_to,
    "BitCast": bit_cast,
    "CumSum": _cumulate(np.cumsum, 0),
    "CumProd": _cumulate(np.cumprod, 1),
    "TopK": top_k,
}
