"""Element types: safetensors' names, their numbers in the file, and numpy's view of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import UnsupportedError

__all__ = [
    "DTYPES",
    "FLOATS",
    "Buffer",
    "Dtype",
    "array_bytes",
    "bytes_array",
    "dtype_of",
    "from_float32",
    "numpy_dtype",
    "stored_bytes",
    "to_float32",
]

Buffer = bytes | bytearray | memoryview
FLOATS: tuple[str, ...] = ("F16", "BF16", "F32", "F64")  # what integer values can stand for


@dataclass(frozen=True)
class Dtype:
    """One element type: ``name`` as safetensors writes it, ``number`` as docs/format.md does, ``bits`` an element."""

    name: str
    number: int
    bits: int
    numpy: str  # numpy's name for it, or ml_dtypes'; empty where neither has one


DTYPES: dict[str, Dtype] = {
    name: Dtype(name, number, bits, numpy)
    for number, (name, bits, numpy) in enumerate(
        [
            ("BOOL", 8, "bool"),
            ("U8", 8, "uint8"),
            ("I8", 8, "int8"),
            ("F8_E5M2", 8, "float8_e5m2"),
            ("F8_E4M3", 8, "float8_e4m3fn"),
            ("I16", 16, "int16"),
            ("U16", 16, "uint16"),
            ("F16", 16, "float16"),
            ("BF16", 16, "bfloat16"),
            ("I32", 32, "int32"),
            ("U32", 32, "uint32"),
            ("F32", 32, "float32"),
            ("I64", 64, "int64"),
            ("U64", 64, "uint64"),
            ("F64", 64, "float64"),
            ("F8_E8M0", 8, "float8_e8m0fnu"),
            ("F4", 4, ""),
            ("F6_E2M3", 6, ""),
            ("F6_E3M2", 6, ""),
            ("C64", 64, "complex64"),
        ]
    )
}
_BY_NUMPY = {dtype.numpy: dtype.name for dtype in DTYPES.values() if dtype.numpy}


def dtype_of(array: np.ndarray) -> str:
    """safetensors' name of an array's dtype; UnsupportedError for object, string and other dtypes."""
    try:
        return _BY_NUMPY[array.dtype.name]
    except KeyError:
        raise UnsupportedError(f"dtype {array.dtype} cannot be stored") from None


def numpy_dtype(name: str) -> np.dtype:
    """The numpy dtype, little-endian, of safetensors' name; ml_dtypes supplies bfloat16 and the 8-bit floats."""
    dtype = DTYPES[name]
    try:
        return np.dtype(dtype.numpy).newbyteorder("<")
    except TypeError:
        pass
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        raise UnsupportedError(f"numpy has no {name}: install ml_dtypes, or read the bytes") from None
    if not hasattr(ml_dtypes, dtype.numpy or "-"):
        raise UnsupportedError(f"neither numpy nor ml_dtypes has {name}: read the bytes")
    found: np.dtype = np.dtype(getattr(ml_dtypes, dtype.numpy))
    return found


def stored_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes that a dense tensor takes; elements of 4 and 6 bits are packed."""
    return (math.prod(shape) * DTYPES[dtype].bits + 7) // 8


def array_bytes(array: npt.NDArray[Any]) -> memoryview:
    """A read-only view of an array's elements, little-endian and row-major; a copy only where they are not that yet."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1).view(np.uint8).data.toreadonly()


def bytes_array(data: Buffer, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The array that little-endian, row-major bytes hold, not copied. UnsupportedError where numpy lacks the dtype."""
    return np.frombuffer(data, dtype=numpy_dtype(dtype)).reshape(shape)


def to_float32(data: Buffer, dtype: str) -> npt.NDArray[np.float32]:
    """Elements of a dtype in ``FLOATS`` as aligned float32 (F64: to nearest even, infinite beyond float32's range)."""
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    source = np.frombuffer(data, {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype])
    with np.errstate(over="ignore"):
        return np.require(source.astype(np.float32, copy=False), requirements="A")


def from_float32(values: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[Any]:
    """float32 rounded to nearest even, little-endian; beyond the largest finite value of F16 or BF16, that value.

    BF16 comes back as its bits, uint16.
    """
    if dtype == "BF16":
        most = np.uint32(0x7F7F0000).view(np.float32)
        bits = np.clip(values, -most, most).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    if dtype == "F16":
        return np.clip(values, -65504, 65504).astype("<f2")
    return values.astype({"F32": "<f4", "F64": "<f8"}[dtype], copy=False)
