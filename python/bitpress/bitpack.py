"""Codes of 1..8 bits in packed bytes, and back: the codes of integer tensors, for any array of small numbers.

Two layouts (docs/format.md, section 4): ``plain``, every code right behind the one before, for interchange; and
``lanes``, blocks of 1024 codes transposed so that a vector unpacks 32 codes with one shift and one mask, for speed
(the idea of Afroozeh and Boncz, "The FastLanes compression layout", 2023, here for bytes and in the codes' own order).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _core

__all__ = ["LAYOUTS", "pack", "packed_size", "unpack"]

Layout = Literal["plain", "lanes"]
LAYOUTS: tuple[str, ...] = ("plain", "lanes")


def _is_lanes(layout: str) -> bool:
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    return layout == "lanes"


def packed_size(count: int, bits: int, *, layout: Layout = "plain") -> int:
    """Bytes that ``count`` codes of ``bits`` bits take. ValueError as for ``pack``, and for a negative count."""
    if not 0 <= count < 2**56:
        raise ValueError(f"count must be 0..2**56-1, not {count}")
    return _core.bitpack_size(count, bits, _is_lanes(layout))


def pack(codes: npt.ArrayLike, bits: int, *, layout: Layout = "plain") -> npt.NDArray[np.uint8]:
    """Codes of any shape, whole numbers from 0 to 2**bits - 1, to packed bytes (uint8, one dimension).

    ``plain``: ceil(n * bits / 8) bytes; ``lanes``: 128 * bits bytes a block of 1024 codes, the last one filled up with
    zeros. ValueError: a code that does not fit, ``bits`` outside 1..8, another layout. TypeError: codes that are no
    integers.
    """
    given = np.asarray(codes)
    if given.dtype.kind not in "iub":
        raise TypeError(f"codes must be integers, not {given.dtype}")
    lanes = _is_lanes(layout)
    if not 1 <= bits <= 8:
        raise ValueError(f"bits must be 1..8, not {bits}")
    if given.size and (bits < 8 or given.dtype != np.uint8):
        low, high = int(given.min()), int(given.max())
        if low < 0 or high >= 2**bits:
            raise ValueError(f"codes of {bits} bits are 0..{2**bits - 1}, not {low if low < 0 else high}")
    flat = np.ascontiguousarray(given).reshape(-1).astype(np.uint8, copy=False)
    return _core.bitpack(flat, bits, lanes)


def unpack(
    packed: Any,
    count: int,
    bits: int,
    *,
    layout: Layout = "plain",
    dtype: npt.DTypeLike = np.uint8,
    scale: float = 1.0,
    zero: float = 0,
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """``count`` codes from packed bytes (any buffer of exactly the bytes that they take): one dimension of ``dtype``.

    ``uint8``: the codes. ``int8``: code - zero, ``zero`` a whole number from 0 to 255, modulo 256. ``float32``:
    scale * (code - zero) in float32, one rounding for the difference and one for the product. ``out``: a C-contiguous
    array of ``count`` of them, which is then the result. ValueError: another number of bytes, unused last bits that are
    not zero, ``bits`` outside 1..8, another layout, dtype or out, a scale or zero that the dtype does not take.
    """
    kind = np.dtype(dtype)
    _check_target(kind, scale, zero)
    buffer = np.frombuffer(packed, np.uint8)
    used = count * bits % 8 if layout == "plain" else 0
    if buffer.size != packed_size(count, bits, layout=layout) or (used and int(buffer[-1]) >> used):
        raise ValueError(f"{buffer.size} bytes are not {count} codes of {bits} bits")
    values = np.empty(count, kind) if out is None else out
    if values.dtype != kind or values.size != count or not values.flags.c_contiguous:
        raise ValueError(f"out must be {count} contiguous {kind}, not {values.size} {values.dtype}")
    if not values.flags.writeable:
        raise ValueError("out is read-only")
    lanes = _is_lanes(layout)
    if kind == np.float32:
        _core.bitunpack_f32(buffer, values, bits, lanes, scale, zero)
    elif kind == np.int8:
        _core.bitunpack_s8(buffer, values, bits, lanes, int(zero))
    else:
        _core.bitunpack(buffer, values, bits, lanes)
    return values


def _check_target(kind: np.dtype[Any], scale: float, zero: float) -> None:
    if kind not in (np.uint8, np.int8, np.float32):
        raise ValueError(f"no codes of dtype {kind}")
    if kind != np.float32 and scale != 1.0:
        raise ValueError(f"only float32 takes a scale, not {kind}")
    if kind == np.uint8 and zero != 0:
        raise ValueError("codes are uint8 with zero 0")
    if kind == np.int8 and (zero != int(zero) or not 0 <= zero <= 255):
        raise ValueError(f"zero must be a whole number from 0 to 255, not {zero}")
