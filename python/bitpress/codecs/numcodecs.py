"""The codings as numcodecs codecs: ``bitpress_huffman``, ``bitpress_rans``, ``bitpress_lzw``, ``bitpress_planes``,
``bitpress_bitpack``, ``bitpress_bounded``.

They take anything with the buffer protocol, arrays in the order of their memory, and release the GIL while they work.
Damaged input raises CorruptError (a ValueError), an ``out`` of another size ValueError.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray
from numcodecs.registry import register_codec

from .. import bounded, codings, lzw_formats
from . import _bytes

__all__ = [
    "BitpressBitpack",
    "BitpressBounded",
    "BitpressHuffman",
    "BitpressLzw",
    "BitpressPlanes",
    "BitpressRans",
]


def _flat(data: Any) -> Any:
    return ensure_contiguous_ndarray(data).reshape(-1, order="A").view(np.uint8)


class _Coding(Codec):
    """A lossless coding without options."""

    _coder: ClassVar[Any]

    def encode(self, buf: Any) -> bytes:
        """A frame of the bytes of ``buf``."""
        result: bytes = self._coder.encode(_flat(buf))
        return result

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The bytes of a frame, in ``out`` where given."""
        if out is None:
            return self._coder.decode(_flat(buf))
        self._coder.decode(_flat(buf), out=_flat(out))
        return out


class BitpressHuffman(_Coding):
    """``bp.huffman``."""

    codec_id = "bitpress_huffman"
    _coder = codings.huffman


class BitpressRans(_Coding):
    """``bp.rans``."""

    codec_id = "bitpress_rans"
    _coder = codings.rans


class BitpressLzw(_Coding):
    """``bp.lzw`` in the framing of bitpress."""

    codec_id = "bitpress_lzw"
    _coder = lzw_formats.lzw


class BitpressPlanes(_Coding):
    """``bp.planes``: floats and integers without loss, byte plane by byte plane.

    ``dtype``: what the elements are, in safetensors' names (``"BF16"``); by default what the array says, which for
    bytes and for dtypes that safetensors lacks is single bytes. ValueError for an unknown name.
    """

    codec_id = "bitpress_planes"
    _coder = codings.planes

    def __init__(self, dtype: str | None = None) -> None:
        self.dtype = _bytes.known_dtype(dtype)

    def encode(self, buf: Any) -> bytes:
        """A frame of the elements of ``buf``; ValueError where its bytes are not whole elements of ``dtype``."""
        array = ensure_contiguous_ndarray(buf)
        return codings.planes.encode(_flat(array), dtype=self.dtype or _bytes.plane_dtype(array.dtype))


class BitpressBitpack(Codec):
    """Bytes below 2**bits in ``bits`` bits each, 1 to 8; ValueError where one does not fit."""

    codec_id = "bitpress_bitpack"

    def __init__(self, bits: int = 4) -> None:
        if not 1 <= bits <= 8:
            raise ValueError(f"bits must be 1..8, not {bits}")
        self.bits = bits

    def encode(self, buf: Any) -> bytes:
        """One byte (the count modulo 8), then the packed bytes of ``buf``."""
        return _bytes.pack(_flat(buf), self.bits)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The bytes that were packed, in ``out`` where given."""
        if out is None:
            return _bytes.unpack(_flat(buf), self.bits)
        _bytes.unpack(_flat(buf), self.bits, _flat(out))
        return out


class BitpressBounded(Codec):
    """``bp.bounded``: float32 and float64 arrays, every element within one bound; give one of the three."""

    codec_id = "bitpress_bounded"

    def __init__(
        self, absolute: float | None = None, relative: float | None = None, value_range: float | None = None
    ) -> None:
        if sum(bound is not None for bound in (absolute, relative, value_range)) != 1:
            raise ValueError("give one of absolute, relative and value_range")
        self.absolute = absolute
        self.relative = relative
        self.value_range = value_range

    def encode(self, buf: Any) -> bytes:
        """A frame of an array; ValueError for other dtypes than float32 and float64."""
        bounds: dict[str, Any] = {"absolute": self.absolute, "relative": self.relative, "value_range": self.value_range}
        return bounded.encode(buf, **bounds)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array of a frame; in ``out`` where given, in row-major order."""
        decoded = bounded.decode(_flat(buf))
        if out is None:
            return decoded
        target = _flat(out)
        if target.size != decoded.nbytes:
            raise ValueError(f"out has {target.size} bytes, the result {decoded.nbytes}")
        target[...] = decoded.reshape(-1).view(np.uint8)
        return out


for _codec in (BitpressHuffman, BitpressRans, BitpressLzw, BitpressPlanes, BitpressBitpack, BitpressBounded):
    register_codec(_codec)
