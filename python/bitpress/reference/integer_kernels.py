"""Oracles of the integer kernels (csrc/kernels/kernels.def, "integer products of networks"), in plain numpy."""

from __future__ import annotations

import numpy as np

__all__ = ["gemm", "pack_panel", "pack_quads", "place", "quantize_columns", "quantize_row"]

Array = np.ndarray
PANEL = 16


def quantize_columns(x: Array, largest: int) -> tuple[Array, Array]:
    """The codes [k, 16], from -largest to largest, of x [k, 16] and the scale of each column."""
    codes, scales = np.zeros(x.shape, np.int16), np.zeros(PANEL, np.float32)
    for j in range(PANEL):
        if not np.isfinite(x[:, j]).all():
            scales[j] = np.nan
            continue
        most = np.abs(x[:, j]).max(initial=np.float32(0))
        if most >= np.float32(2.0**-100):
            scales[j] = most / np.float32(largest)
            codes[:, j] = np.rint(x[:, j] * (np.float32(largest) / most))
    return codes, scales


def pack_panel(codes: Array) -> Array:
    """Codes [k, 16] as a panel of pairs."""
    even = np.zeros((-(-len(codes) // 2) * 2, PANEL), np.int16)
    even[: len(codes)] = codes
    return even.reshape(-1, 2, PANEL).transpose(0, 2, 1).reshape(-1)


def gemm(start: Array, a: Array, b: Array, column_scales: Array, row_scales: Array, low: float, high: float) -> Array:
    """clip(start + a @ b, scaled), in the kernel's order of roundings. start [m, n] or [m, 1], a [m, k], b [k, n]."""
    sums = a.astype(np.int64) @ b.astype(np.int64)
    assert np.abs(sums).max(initial=0) < 2**31
    with np.errstate(all="ignore"):
        result = start + sums.astype(np.float32) * column_scales[None, :] * row_scales[:, None]
    result = np.where(result < np.float32(low), np.float32(low), result)
    return np.where(result > np.float32(high), np.float32(high), result)


def place(p: int, spread: int) -> int:
    """Where number p of k stands among codes in blocks of 32 * spread."""
    block, inside = divmod(p, 32 * spread)
    return block * 32 * spread + inside % spread * 32 + inside // spread


def quantize_row(x: Array, spread: int) -> tuple[Array, float, int]:
    """The 8-bit codes of a row, in their order and with zeros up to a multiple of 4; their scale; their sum."""
    codes = np.zeros(-(-x.size // 4) * 4, np.int8)
    if not np.isfinite(x).all():
        return codes, float("nan"), 0
    most = np.abs(x).max(initial=np.float32(0))
    if most < np.float32(2.0**-100):
        return codes, 0.0, 0
    values = np.rint(x * (np.float32(127) / most)).astype(np.int8)
    for p in range(x.size):
        codes[p if spread == 1 else place(p, spread)] = values[p]
    return codes, float(most / np.float32(127)), int(values.astype(int).sum())


def pack_quads(codes: Array) -> Array:
    """Codes [k, 16] as a panel of quads."""
    deep = np.zeros((-(-len(codes) // 4) * 4, PANEL), np.uint8)
    deep[: len(codes)] = codes
    return deep.reshape(-1, 4, PANEL).transpose(0, 2, 1).reshape(-1)
