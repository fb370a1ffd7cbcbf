"""What the codecs of numcodecs and zarr share: contiguous bytes in, bytes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import bitpack
from ..dtypes import DTYPES, dtype_of
from ..errors import CorruptError, UnsupportedError

__all__ = ["known_dtype", "pack", "plane_dtype", "unpack"]


def known_dtype(name: str | None) -> str | None:
    """A name of an element type as it is, or None; ValueError for any other."""
    if name is not None and name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {name!r}")
    return name


def plane_dtype(dtype: np.dtype[Any]) -> str:
    """What ``planes`` takes elements of a numpy dtype for: single bytes where safetensors has no name for it, and
    where they are not little-endian.
    """
    try:
        name = dtype_of(np.empty(0, dtype))
    except UnsupportedError:
        return "U8"
    return name if dtype == dtype.newbyteorder("<") else "U8"


def pack(codes: npt.NDArray[np.uint8], bits: int) -> bytes:
    """One byte that says the count modulo 8, then the packed codes."""
    return bytes([codes.size % 8]) + bitpack.pack(codes, bits).tobytes()


def unpack(blob: Any, bits: int, out: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
    """The inverse; CorruptError for anything that ``pack`` does not write. ValueError where ``out`` does not fit."""
    buffer = np.frombuffer(blob, np.uint8)
    if buffer.size == 0:
        raise CorruptError("bitpack: the input is empty")
    rest = int(buffer[0])
    whole, odd = divmod(buffer.size - 1 - bitpack.packed_size(rest, bits), bits)
    if rest > 7 or whole < 0 or odd:
        raise CorruptError(f"bitpack: {buffer.size - 1} bytes are not codes of {bits} bits")
    count = 8 * whole + rest
    if out is not None and out.size != count:
        raise ValueError(f"out has {out.size} bytes, the result {count}")
    try:
        return bitpack.unpack(buffer[1:], count, bits, out=out)
    except ValueError as error:
        raise CorruptError(f"bitpack: {error}") from None
