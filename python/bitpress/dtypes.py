"""Element types: safetensors' names, their numbers in the file, and numpy's view of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import UnsupportedError

__all__ = ["DTYPES", "Dtype", "dtype_of", "numpy_dtype"]


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
