"""Codes of 1 to 8 bits without waste: docs/format.md section 4, "Packed codes"."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core

__all__ = ["pack", "packed_size", "unpack"]


def packed_size(count: int, bits: int) -> int:
    """Bytes that ``count`` codes of ``bits`` bits take."""
    return (count * bits + 7) // 8


def _check(bits: int) -> None:
    if not 1 <= bits <= 8:
        raise ValueError(f"bits must be 1..8, not {bits}")


def pack(codes: Any, bits: int) -> bytes:
    """Bytes-like ``codes`` (a byte each, or a uint8 array, row-major), ``bits`` bits each, least significant first.

    ValueError for a code of 2**bits or more.
    """
    _check(bits)
    flat = np.ascontiguousarray(np.frombuffer(codes, np.uint8) if not isinstance(codes, np.ndarray) else codes)
    if flat.dtype != np.uint8:
        raise ValueError(f"codes must be uint8, not {flat.dtype}")
    flat = flat.reshape(-1)
    if flat.size and int(flat.max()) >> bits:
        raise ValueError(f"{int(flat.max())} is not among the codes of {bits} bits")
    return _core.pack_codes(flat, bits)


def unpack(packed: Any, count: int, bits: int, *, out: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
    """``count`` codes from bytes-like ``packed``: uint8 [count], or ``out`` (uint8, contiguous, ``count`` of them).

    ValueError unless ``packed`` has exactly ``packed_size(count, bits)`` bytes and its unused last bits are zero.
    """
    _check(bits)
    buffer = np.frombuffer(packed, np.uint8)
    used = count * bits % 8
    if count < 0 or buffer.size != packed_size(count, bits) or (used and int(buffer[-1]) >> used):
        raise ValueError(f"{buffer.size} bytes are not {count} codes of {bits} bits")
    codes = np.empty(count, np.uint8) if out is None else out
    if codes.dtype != np.uint8 or codes.size != count or not codes.flags.c_contiguous:
        raise ValueError(f"out must be {count} contiguous uint8, not {codes.size} {codes.dtype}")
    _core.unpack_codes(buffer, bits, codes)
    return codes
