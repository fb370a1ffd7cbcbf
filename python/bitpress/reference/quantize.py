"""Uniform quantization as docs/format.md section 4 states it: float32, ties to even, one operation at a time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = ["dequantize", "quantize", "scale_index", "steps", "without_outliers"]

Floats = npt.NDArray[np.float32]
SMALLEST = np.float32(2.0**-126)


def scale_index(
    shape: tuple[int, ...], *, axis: int | None = None, group_size: int | None = None
) -> npt.NDArray[np.int64]:
    """Which scale each element has, in the tensor's shape: per tensor, along ``axis``, or by groups within a row."""
    if axis is not None:
        along = [1] * len(shape)
        along[axis] = shape[axis]
        return np.broadcast_to(np.arange(shape[axis]).reshape(along), shape).copy()
    if group_size is not None:
        rows = shape[0] if len(shape) > 1 else 1
        size = int(np.prod(shape, dtype=np.int64))
        columns = size // rows if rows else 0
        groups = -(-columns // group_size)
        row, column = np.divmod(np.arange(size), max(columns, 1))
        index: npt.NDArray[np.int64] = row * groups + column // group_size
        return index.reshape(shape)
    return np.zeros(shape, np.int64)


def steps(values: Floats, bits: int, *, symmetric: bool) -> tuple[np.float32, np.float32]:
    """Scale and zero of the elements [n >= 1] that share them."""
    low = min(np.float32(0), values.min())
    high = max(np.float32(0), values.max())
    if symmetric:
        levels = 1 if bits == 1 else 2 ** (bits - 1) - 1
        scale = max(max(-low, high) / np.float32(levels), SMALLEST)
        return np.float32(scale), np.float32(0.5 if bits == 1 else 2 ** (bits - 1))
    levels = 2**bits - 1
    scale = max((high - low) / np.float32(levels), SMALLEST)
    return np.float32(scale), np.float32(min(np.rint(-low / scale), levels))


def without_outliers(values: Floats, percent: float, *, symmetric: bool) -> Floats:
    """The elements [n >= 1] in rising order (of magnitude, where symmetric) that span a range of ``percent``."""
    share = 1 - Fraction(str(percent)) / 100
    ordered = np.array(sorted(values.tolist(), key=abs if symmetric else None), np.float32)
    gone = min(int(share * len(ordered)), len(ordered) - 1)
    if symmetric:
        return ordered[: len(ordered) - gone]
    inside = min(gone // 2, (len(ordered) - 1) // 2)
    return ordered[inside : len(ordered) - inside]


def quantize(x: Floats, scale: Floats, zero: Floats, low: int, high: int) -> npt.NDArray[np.uint8 | np.uint16]:
    """Codes of elements; ``scale`` and ``zero`` are one each or one an element."""
    with np.errstate(over="ignore", under="ignore"):
        whole = np.floor(zero)
        code = np.rint(x / scale + (zero - whole)) + whole
    clipped: Floats = np.clip(code, low, high)
    return clipped.astype(np.uint8 if high < 256 else np.uint16)


def dequantize(codes: npt.NDArray[np.uint8 | np.uint16], scale: Floats, zero: Floats) -> Floats:
    """``scale * (code - zero)``."""
    return (scale * (codes.astype(np.float32) - zero)).astype(np.float32)
