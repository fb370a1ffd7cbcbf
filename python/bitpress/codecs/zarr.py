"""The codings as codecs of zarr's version 3: the same names and bytes as ``bitpress.codecs.numcodecs``.

Lossless ones turn bytes into bytes: they stand after zarr's ``bytes`` codec.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from zarr.abc.codec import ArrayBytesCodec, BytesBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON, parse_named_configuration
from zarr.registry import register_codec

from .. import bounded, codings, lzw_formats
from ..errors import CorruptError
from . import _bytes

__all__ = ["BitpackCodec", "BoundedCodec", "HuffmanCodec", "LzwCodec", "PlanesCodec", "RansCodec"]


@dataclass(frozen=True)
class _BytesCodec(BytesBytesCodec):
    """Bytes in, bytes out, in a thread of its own: the GIL is free while the core works."""

    is_fixed_size = False
    name: ClassVar[str]

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> _BytesCodec:
        """The codec that an array's metadata names; its options are the fields of the class."""
        _, options = parse_named_configuration(data, cls.name, require_configuration=False)
        return cls(**(options or {}))

    def to_dict(self) -> dict[str, JSON]:
        """What an array's metadata says of it."""
        options: dict[str, JSON] = dict(vars(self))
        return {"name": self.name, "configuration": options} if options else {"name": self.name}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before the bytes are."""
        raise NotImplementedError

    def _encode(self, data: Any) -> Any:
        raise NotImplementedError

    def _decode(self, data: Any) -> Any:
        raise NotImplementedError

    def _encode_sync(self, chunk: Buffer, spec: ArraySpec) -> Buffer:
        return spec.prototype.buffer.from_bytes(self._encode(chunk.as_numpy_array().view(np.uint8)))

    def _decode_sync(self, chunk: Buffer, spec: ArraySpec) -> Buffer:
        return spec.prototype.buffer.from_bytes(self._decode(chunk.as_numpy_array().view(np.uint8)))

    async def _encode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)


@dataclass(frozen=True)
class _CodingCodec(_BytesCodec):
    _coder: ClassVar[Any]

    def _encode(self, data: Any) -> Any:
        return self._coder.encode(data)

    def _decode(self, data: Any) -> Any:
        return self._coder.decode(data)


@dataclass(frozen=True)
class HuffmanCodec(_CodingCodec):
    """``bp.huffman``."""

    name = "bitpress_huffman"
    _coder = codings.huffman


@dataclass(frozen=True)
class RansCodec(_CodingCodec):
    """``bp.rans``."""

    name = "bitpress_rans"
    _coder = codings.rans


@dataclass(frozen=True)
class LzwCodec(_CodingCodec):
    """``bp.lzw`` in the framing of bitpress."""

    name = "bitpress_lzw"
    _coder = lzw_formats.lzw


@dataclass(frozen=True)
class PlanesCodec(_BytesCodec):
    """``bp.planes``: floats and integers without loss, byte plane by byte plane.

    ``dtype``: what the elements are, in safetensors' names; by default what the array says. ValueError for an unknown
    name. The ``bytes`` codec before it must be little-endian, as it is by default.
    """

    name = "bitpress_planes"
    dtype: str | None = None

    def __post_init__(self) -> None:
        _bytes.known_dtype(self.dtype)

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> PlanesCodec:
        """The codec for an array: its dtype, where none was given."""
        native = array_spec.dtype.to_native_dtype().newbyteorder("<")
        return self if self.dtype is not None else replace(self, dtype=_bytes.plane_dtype(native))

    def to_dict(self) -> dict[str, JSON]:
        """What an array's metadata says of it."""
        return super().to_dict() if self.dtype is not None else {"name": self.name}

    def _encode(self, data: Any) -> Any:
        return codings.planes.encode(data, dtype=self.dtype or "U8")

    def _decode(self, data: Any) -> Any:
        return codings.planes.decode(data)


@dataclass(frozen=True)
class BitpackCodec(_BytesCodec):
    """Bytes below 2**bits in ``bits`` bits each, 1 to 8; ValueError where one does not fit."""

    name = "bitpress_bitpack"
    bits: int = 4

    def __post_init__(self) -> None:
        if self.bits not in range(1, 9):
            raise ValueError(f"bits must be 1..8, not {self.bits!r}")

    def _encode(self, data: Any) -> Any:
        return _bytes.pack(data, self.bits)

    def _decode(self, data: Any) -> Any:
        return _bytes.unpack(data, self.bits).tobytes()


@dataclass(frozen=True)
class BoundedCodec(ArrayBytesCodec):
    """``bp.bounded``, in the place of zarr's ``bytes``: float32 and float64, every element within one bound."""

    is_fixed_size = False
    name: ClassVar[str] = "bitpress_bounded"
    absolute: float | None = None
    relative: float | None = None
    value_range: float | None = None

    def __post_init__(self) -> None:
        if len(self._bounds()) != 1:
            raise ValueError("give one of absolute, relative and value_range")

    def _bounds(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> BoundedCodec:
        """The codec that an array's metadata names."""
        options: Any = parse_named_configuration(data, cls.name)[1]
        return cls(**options)

    def to_dict(self) -> dict[str, JSON]:
        """What an array's metadata says of it."""
        return {"name": self.name, "configuration": dict(self._bounds())}

    def validate(self, *, dtype: Any, **others: Any) -> None:
        """ValueError for other dtypes than float32 and float64."""
        if dtype.to_native_dtype() not in (np.float32, np.float64):
            raise ValueError(f"{self.name} takes float32 and float64, not {dtype}")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before the elements are."""
        raise NotImplementedError

    def _encode_sync(self, chunk: NDBuffer, spec: ArraySpec) -> Buffer:
        return spec.prototype.buffer.from_bytes(bounded.encode(chunk.as_numpy_array(), **self._bounds()))

    def _decode_sync(self, chunk: Buffer, spec: ArraySpec) -> NDBuffer:
        values = bounded.decode(np.ascontiguousarray(chunk.as_numpy_array()))
        if values.shape != spec.shape:
            raise CorruptError(f"bounded: a frame of {values.shape} for a chunk of {spec.shape}")
        return spec.prototype.nd_buffer.from_numpy_array(values)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)


register_codec(BoundedCodec.name, BoundedCodec)
for _codec in (HuffmanCodec, RansCodec, LzwCodec, PlanesCodec, BitpackCodec):
    register_codec(_codec.name, _codec)
