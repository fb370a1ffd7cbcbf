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

__all__ = ["CARRIERS", "OnnxTensor", "Place", "constant_tensor", "dtype_name"]

# onnx.TensorProto.DataType: safetensors' name
_DTYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 11: "F64", 12: "U32", 13: "U64",
    14: "C64",
}  # fmt: skip
# What is narrower than any type in which a network runs, and how its values are held: F16, BF16; 8- and 4-bit floats;
# U4, I4, U2, I2.
CARRIERS = {10: "F32", 16: "F32", 17: "F32", 18: "F32", 19: "F32", 20: "F32", 23: "F32", 24: "F32",
            21: "U8", 22: "I8", 25: "U8", 26: "I8"}  # fmt: skip
_HALVES = {10: "F16", 16: "BF16"}  # stored as they are, read as F32
# Where a tensor without raw bytes keeps its elements, by safetensors' name; the rest are in int32_data.
_FIELDS = {"F32": "float_data", "C64": "float_data", "F64": "double_data", "I64": "int64_data"}
_FIELDS |= dict.fromkeys(("U32", "U64"), "uint64_data")


def dtype_name(data_type: int, what: str) -> str:
    """The type in which values of an ONNX element type run; UnsupportedError, naming ``what``, for strings."""
    if data_type in CARRIERS:
        return CARRIERS[data_type]
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
        self.element = int(proto.data_type)
        self.dtype = _HALVES.get(proto.data_type) or dtype_name(proto.data_type, name)
        self._decoded = proto.data_type in CARRIERS and proto.data_type not in _HALVES
        self.shape = tuple(int(size) for size in proto.dims)
        if any(size < 0 for size in self.shape):
            raise FormatError(f"tensor {name!r} has a negative size: {self.shape}")
        self.elements = math.prod(self.shape)
        self.nbytes = (self.elements * _stored_bits(proto.data_type, self.dtype) + 7) // 8
        self._place = place
        if proto.data_location == 1:
            self._place = self._external(folder)
        elif place is not None:
            self._require(place.length, self.nbytes, "bytes")
        elif proto.HasField("raw_data"):
            self._require(len(proto.raw_data), self.nbytes, "bytes")
        elif self._decoded:
            self._require(len(proto.int32_data), self.nbytes, "elements")
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
        if self._decoded:
            return self._decode(dtype)
        if self._place is not None:
            return self._map(self._place, dtype)
        if self.proto.HasField("raw_data"):
            return np.frombuffer(self.proto.raw_data, dtype).reshape(self.shape)
        field = getattr(self.proto, self._field)
        if self.dtype in ("F16", "BF16"):
            width = f"<u{dtype.itemsize}"  # such elements stand in int32_data by their bits
            return np.array(field, np.int64).astype(width).view(dtype).reshape(self.shape)
        if self.dtype == "C64":
            return np.array(field, "<f4").view(dtype).reshape(self.shape)
        return np.array(field).astype(dtype).reshape(self.shape)

    def _decode(self, dtype: np.dtype) -> np.ndarray:
        """Elements that no network runs in, as what holds them."""
        import onnx

        proto = onnx.TensorProto(data_type=self.proto.data_type, dims=self.shape)
        if self._place is not None:
            with self._place.path.open("rb") as file:
                file.seek(self._place.offset)
                proto.raw_data = file.read(self._place.length)
        elif self.proto.HasField("raw_data"):
            proto.raw_data = self.proto.raw_data
        else:
            proto.raw_data = bytes(item & 0xFF for item in self.proto.int32_data)
        self._require(len(proto.raw_data), self.nbytes, "bytes")
        return np.asarray(onnx.numpy_helper.to_array(proto)).astype(dtype)

    def _map(self, place: Place, dtype: np.dtype) -> np.ndarray:
        with place.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < place.offset + place.length:
                raise FormatError(f"tensor {self.name!r}: {place.path} became shorter")
            page = place.offset - place.offset % mmap.ALLOCATIONGRANULARITY
            length = place.offset + place.length - page
            view = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=page)
        array = np.frombuffer(view, dtype, self.elements, place.offset - page).reshape(self.shape)
        return array if array.flags.aligned else array.copy()


def _stored_bits(data_type: int, dtype: str) -> int:
    """Bits an element takes in the file."""
    return {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}.get(data_type, 8 if data_type in range(17, 25) else DTYPES[dtype].bits)


def constant_tensor(node: onnx.NodeProto) -> onnx.TensorProto:
    """The value of a Constant node, whichever of its attributes holds it."""
    import onnx

    kinds = {
        "value_float": onnx.TensorProto.FLOAT,
        "value_floats": onnx.TensorProto.FLOAT,
        "value_int": onnx.TensorProto.INT64,
        "value_ints": onnx.TensorProto.INT64,
    }
    for attribute in node.attribute:
        if attribute.name == "value":
            tensor: onnx.TensorProto = attribute.t
            break
        if attribute.name in kinds:
            value = onnx.helper.get_attribute_value(attribute)
            dims = [] if attribute.name in ("value_float", "value_int") else [len(value)]
            tensor = onnx.helper.make_tensor("", kinds[attribute.name], dims, value if dims else [value])
            break
    else:
        raise UnsupportedError(f'operator Constant (node "{node.name}") is not supported without a tensor of numbers')
    return tensor
