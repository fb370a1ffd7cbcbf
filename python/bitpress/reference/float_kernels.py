"""Oracles of the float kernels (csrc/kernels/kernels.def, "float networks"): plain loops in float64.

A kernel's sum of n float32 products may be taken in any order, fused or not; ``bound`` says how far it may be from the
exact one (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., eq. 3.5, with room for the last rounding).
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "affine",
    "binary",
    "bound",
    "depthwise",
    "gather_panel",
    "gemm",
    "gemv",
    "pack_panel",
    "sort_rows",
    "unpack_panels",
]

Array = np.ndarray
PANEL = 16


def bound(n: int, magnitude: Array | float) -> Array | float:
    """The largest error of a float32 sum of ``n`` products whose magnitudes add up to ``magnitude``."""
    return (n + 2) * 2.0**-24 / (1 - (n + 2) * 2.0**-24) * magnitude + 1e-37


def unpack_panels(panels: Array, n: int, k: int) -> Array:
    """Panels of k x 16, one after the other, as a matrix [k, n]."""
    columns = -(-n // PANEL)
    return panels.reshape(columns, k, PANEL).transpose(1, 0, 2).reshape(k, columns * PANEL)[:, :n]


def clip(x: float, low: float, high: float) -> float:
    """min(max(x, low), high), where NaN stays NaN."""
    if x < low:
        x = low
    if x > high:
        x = high
    return x


def gemm(c: Array, a: Array, b: Array, low: float, high: float) -> tuple[Array, Array]:
    """clip(c + a @ b), and each element's error bound. c [m, n], a [m, k], b [k, n]."""
    m, k = a.shape
    n = b.shape[1]
    out, error = np.empty((m, n)), np.empty((m, n))
    for i in range(m):
        for j in range(n):
            total, size = float(c[i, j]), abs(float(c[i, j]))
            for p in range(k):
                product = float(a[i, p]) * float(b[p, j])
                total += product
                size += abs(product)
            out[i, j] = clip(total, low, high)
            error[i, j] = bound(k + 1, size)
    return out, error


def gemv(y: Array, a: Array, x: Array) -> tuple[Array, Array]:
    """y + a @ x, and each element's error bound. y [m], a [m, k], x [k]."""
    out, error = gemm(y[:, None], a, x[:, None], -np.inf, np.inf)
    return out[:, 0], error[:, 0]


def pack_panel(a: Array) -> Array:
    """a [rows <= 16, k] as one panel [k * 16]."""
    rows, k = a.shape
    out = np.zeros(k * PANEL, np.float32)
    for j in range(k):
        for i in range(rows):
            out[j * PANEL + i] = a[i, j]
    return out


def depthwise(
    x: Array, w: Array, offsets: Array, row_step: int, bias: float, low: float, high: float, rows: int, n: int
) -> tuple[Array, Array]:
    """A depthwise convolution of one plane, [rows, n], and each element's error bound. x flat; w and offsets a tap."""
    out, error = np.empty((rows, n)), np.empty((rows, n))
    for r in range(rows):
        for i in range(n):
            total, size = float(bias), abs(float(bias))
            for t in range(w.size):
                product = float(w[t]) * float(x[int(offsets[t]) + r * row_step + i])
                total += product
                size += abs(product)
            out[r, i] = clip(total, low, high)
            error[r, i] = bound(w.size + 1, size)
    return out, error


def sort_rows(x: Array, first: int, stride: int, length: int, y: Array) -> None:
    """Column c of x [rows, n] goes to (first + c) % stride * length + (first + c) // stride of y's row; y in place."""
    for row, to in zip(x, y, strict=True):
        for c, value in enumerate(row):
            to[(first + c) % stride * length + (first + c) // stride] = value


def gather_panel(x: Array, offsets: Array, n: int, room: int, fill: float) -> Array:
    """n elements of x from each of the offsets on, as rows of 16: zeros up to room, then ``fill``."""
    out = np.full((offsets.size, PANEL), fill, np.float32)
    out[:, :room] = 0
    for row, offset in zip(out, offsets, strict=True):
        row[:n] = x[int(offset) : int(offset) + n]
    return out


def binary(op: int, a: Array, b: Array, n: int, low: float, high: float) -> Array:
    """clip(a op b) in float32; op: 0 add, 1 subtract, 2 multiply, 3 divide, 4 the greater, 5 the less."""
    function = (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)[op]
    with np.errstate(all="ignore"):
        result = np.broadcast_to(function(a, b, dtype=np.float32), n)
    return np.array([clip(value, float(np.float32(low)), float(np.float32(high))) for value in result], np.float32)


def affine(x: Array, scale: float, shift: float, low: float, high: float) -> Array:
    """clip(x * scale + shift) in float32, rounded after the product and after the sum."""
    with np.errstate(all="ignore"):
        result = x * np.float32(scale) + np.float32(shift)
    return np.array([clip(value, float(np.float32(low)), float(np.float32(high))) for value in result], np.float32)
