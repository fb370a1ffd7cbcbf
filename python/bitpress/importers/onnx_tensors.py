"""One tensor of an ONNX model: checked when it is found, read when it is asked for."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..dtypes import DTYPES, numpy_dtype
from ..errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    import onnx

__all__ = ["OnnxTensor", "Place", "dtype_name"]

# onnx.TensorProto.DataType: safetensors' name
_DTYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 12: "U32",
    13: "U64", 14: "C64", 16: "BF16", 17: "F8_E4M3", 19: "F8_E5M2", 24: "F8_E8M0",
}  # fmt: skip
# Where a tensor without raw bytes keeps its elements, by safetensors' name; the rest are in int32_data.
_FIELDS = {"F32": "float_data", "C64": "float_data", "F64": "double_data", "I64": "int64_data"}
_FIELDS |= dict.fromkeys(("U32", "U64"), "uint64_data")


def dtype_name(data_type: int, what: str) -> str:
    """safetensors' name of an ONNX element type; UnsupportedError, naming ``what``, for strings and the rest."""
    if data_type not in _DTYPES:
        raise UnsupportedError(f"{what!r} has ONNX element type {data_type}, which is not supported")
    return _DTYPES[data_type]


@dataclass(frozen=True)
class Place:
    """Where a tensor's bytes are."""

    path: Path
    offset: int
    length: int


class OnnxTensor:
    """A TensorProto whose dtype, shape and place have been checked against each other."""

    def __init__(self, name: str, proto: onnx.TensorProto, folder: Path | None, place: Place | None = None) -> None:
        self.name = name
        self.proto = proto
        self.dtype = dtype_name(proto.data_type, name)
        self.shape = tuple(int(size) for size in proto.dims)
        if any(size < 0 for size in self.shape):
            raise FormatError(f"tensor {name!r} has a negative size: {self.shape}")
        self.elements = math.prod(self.shape)
        self.nbytes = self.elements * DTYPES[self.dtype].bits // 8
        self._place = place
        if proto.data_location == 1:
            self._place = self._external(folder)
        elif place is not None:
            self._require(place.length, self.nbytes, "bytes")
        elif proto.HasField("raw_data"):
            self._require(len(proto.raw_data), self.nbytes, "bytes")
        else:
            per_element = 2 if self.dtype == "C64" else 1
            self._require(len(getattr(proto, self._field)), self.elements * per_element, "elements")

    @property
    def mapped(self) -> bool:
        """Whether the elements stay in a file until they are read."""
        return self._place is not None

    @property
    def _field(self) -> str:
        return _FIELDS.get(self.dtype, "int32_data")

    def _require(self, found: int, needed: int, unit: str) -> None:
        if found != needed:
            raise FormatError(f"tensor {self.name!r} of shape {self.shape} has {found} {unit}, not {needed}")

    def _external(self, folder: Path | None) -> Place:
        """Where external data is: inside the model's folder, and long enough."""
        entries = {entry.key: entry.value for entry in self.proto.external_data}
        location = entries.get("location", "")
        if folder is None:
            raise FormatError(f"tensor {self.name!r} is in external file {location!r}, and no folder was given")
        try:
            root, path = folder.resolve(), (folder / location).resolve()
            inside = location != "" and not Path(location).is_absolute() and path.is_relative_to(root) and path != root
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside or ".." in Path(location).parts:
            raise FormatError(f"tensor {self.name!r} is in external file {location!r}, outside the model's folder")
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", self.nbytes))
        except ValueError:
            raise FormatError(f"tensor {self.name!r} has an external offset or length that is no number") from None
        self._require(length, self.nbytes, "external bytes")
        if not path.is_file():
            raise FormatError(f"tensor {self.name!r} is in external file {location!r}, which is not there")
        size = path.stat().st_size
        if offset < 0 or offset + length > size:
            raise FormatError(
                f"tensor {self.name!r} takes bytes {offset}..{offset + length} of {location!r}, which has {size}"
            )
        return Place(path, offset, length)

    def read(self) -> np.ndarray:
        """The elements, in the tensor's shape.

        External data and large initializers are mapped, and copied only where they stand on an odd offset.
        """
        dtype = numpy_dtype(self.dtype)
        if self.elements == 0:
            return np.empty(self.shape, dtype)
        if self._place is not None:
            return self._map(self._place, dtype)
        if self.proto.HasField("raw_data"):
            return np.frombuffer(self.proto.raw_data, dtype).reshape(self.shape)
        field = getattr(self.proto, self._field)
        if self._field == "int32_data" and self.dtype in ("F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0"):
            width = f"<u{dtype.itemsize}"  # such elements stand in int32_data by their bits
            return np.array(field, np.int64).astype(width).view(dtype).reshape(self.shape)
        if self.dtype == "C64":
            return np.array(field, "<f4").view(dtype).reshape(self.shape)
        return np.array(field).astype(dtype).reshape(self.shape)

    def _map(self, place: Place, dtype: np.dtype) -> np.ndarray:
        with place.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < place.offset + place.length:
                raise FormatError(f"tensor {self.name!r}: {place.path} became shorter")
            page = place.offset - place.offset % mmap.ALLOCATIONGRANULARITY
            length = place.offset + place.length - page
            view = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=page)
        array = np.frombuffer(view, dtype, self.elements, place.offset - page).reshape(self.shape)
        return array if array.flags.aligned else array.copy()
