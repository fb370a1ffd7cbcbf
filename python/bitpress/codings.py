"""Lossless codings: bytes or arrays in, bytes out; docs/format.md section 5 says every bit.

A frame is self-contained: the bytes that ``encode`` gives are the bytes of a coded stream in a file. Frames carry no
checksum of their own (the container has one): damage is either refused or gives other bytes of the right length.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _core
from .dtypes import DTYPES, array_bytes, bytes_array, dtype_of
from .errors import CorruptError, FormatError, SchemeError, ShapeError
from .scheme import split_coding
from .threads import check_threads

__all__ = [
    "CODING_NUMBERS",
    "Huffman",
    "Planes",
    "Rans",
    "decode_codes",
    "decode_stream",
    "encode_codes",
    "encode_stream",
    "huffman",
    "planes",
    "rans",
]

CODING_NUMBERS: dict[str, int] = dict(_core.CODINGS)
"""Every coding's number in the file, by name; ``raw`` is first."""

_NAMES = {number: name for name, number in CODING_NUMBERS.items()}


def _as_bytes(data: Any) -> Any:
    """A C-contiguous buffer of any bytes-like object or array (row-major, its own byte order); TypeError for others."""
    if isinstance(data, np.ndarray):
        if data.dtype.hasobject:
            raise TypeError("an array of objects has no bytes to encode")
        return np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    view = memoryview(data)
    return view if view.c_contiguous else view.tobytes()


def _check_max_size(max_size: int | None) -> None:
    if max_size is not None and max_size < 0:
        raise ValueError(f"max_size must not be negative, not {max_size}")


def _decode_frame(name: str, buffer: Any, max_size: int | None, out: Any, threads: int) -> Any:
    """``decode`` of every coding with frames."""
    _check_max_size(max_size)
    threads = check_threads(threads)
    if out is None:
        return _core.decode(name, buffer, max_size, threads)
    size = _core.decoded_size(name, buffer)
    if max_size is not None and size > max_size:
        raise FormatError(f"{name}: {size} decoded bytes, at most {max_size} allowed")
    target = memoryview(out)
    if target.readonly or not target.c_contiguous or target.nbytes != size:
        raise ValueError(f"{name}: out must be a writable, contiguous buffer of {size} bytes, not of {target.nbytes}")
    _core.decode_into(name, buffer, out, threads)
    return out


class _Framed:
    """A coding whose frames need no options but rows: ``_name`` is the core's."""

    _name: str

    def encode(self, data: Any, *, threads: int = 1, row: int = 0) -> bytes:
        """A frame of any bytes-like object or array (its bytes in row-major order).

        It is never longer than the data by more than 8 bytes and 3 a chunk. ``threads``: up to so many (0: one a core)
        code chunks side by side; the bytes are the same for any number. ``row``: how many bytes a row of the data has,
        where they have any. Rows of unlike statistics then get tables of their own (up to eight in a chunk, by k-means
        on code length) where that saves more than a part in 80 (a part in 20 where Huffman's codes take less than two
        bits a byte); finding them makes encoding up to four times slower.
        ValueError: ``row`` or ``threads`` is negative.
        """
        if row < 0:
            raise ValueError(f"row must not be negative, not {row}")
        return _core.encode(self._name, _as_bytes(data), check_threads(threads), row)

    def decode(self, blob: Any, *, max_size: int | None = None, out: Any = None, threads: int = 1) -> Any:
        """The bytes that a frame holds; or ``out``, a writable buffer or array of exactly that size, filled with them.

        CorruptError: truncated or malformed. FormatError: the frame claims more than ``max_size`` bytes (checked before
        anything is allocated). Without ``max_size`` a frame of n bytes can claim up to 2**18 * n. ValueError: ``out``
        is of another size or cannot be written. After an error the content of ``out`` is not defined. ``threads`` as
        for `encode`.
        """
        return _decode_frame(self._name, _as_bytes(blob), max_size, out, threads)


class Huffman(_Framed):
    """Huffman's code over bytes: canonical, at most 12 bits a code, optimal under that limit; chunks of 256 KiB.

    Sources: Huffman, "A method for the construction of minimum-redundancy codes" (1952); Larmore and Hirschberg, "A
    fast algorithm for optimal length-limited Huffman codes" (1990), here in its package-merge form.
    """

    _name = "huffman"


class Rans(_Framed):
    """rANS over bytes, in independent chunks of 1 MiB: a symbol may take less than a bit.

    It comes nearer to the entropy than Huffman's code, most of all where one symbol is frequent, and large chunks
    decode faster; below a few KiB its tables cost more. Sources: Duda, "Asymmetric numeral systems" (2009); Giesen,
    "Interleaved entropy coders" (2014); Vose, "A linear algorithm for generating random numbers with a given
    distribution" (1991).
    """

    _name = "rans"


_PLANE_KINDS = {"BF16": 4, "F32": 5, "F64": 6, "C64": 5}  # docs/format.md, section 5; others go by their size
_SIGNED = {"I16": 7, "I32": 8, "I64": 9}


def _plane_kind(data: Any, dtype: str) -> int:
    """How docs/format.md's Planes cuts elements of a dtype, given as little-endian bytes."""
    if dtype in _SIGNED and (bytes_array(data, dtype, (-1,)) < 0).any():
        return _SIGNED[dtype]
    return _PLANE_KINDS.get(dtype, {16: 1, 32: 2, 64: 3}.get(DTYPES[dtype].bits, 0))


class Planes:
    """Byte planes: elements of any dtype bit for bit, each byte of them (for floats: the exponent, then sign and
    mantissa) coded apart by Huffman or rANS where that pays; independent chunks of 256 KiB.

    NaN payloads, -0 and denormals come back as they were. Sources: Parquet's BYTE_STREAM_SPLIT, Blosc's shuffle;
    Hershcovitch et al., "ZipNN: lossless compression for AI models" (2024), for the exponents.
    """

    def encode(self, data: Any, *, dtype: str | None = None, threads: int = 1) -> bytes:
        """A frame of an array (row-major, stored little-endian) or of any bytes-like object.

        ``dtype``: safetensors' name of what bytes hold (``"BF16"``), by default single bytes; for an array its own.
        ``threads``: up to so many (0: one a core) code chunks side by side; the bytes are the same for any number.
        It is never longer than the data by more than 8 bytes and 3 a plane of a chunk. Raises UnsupportedError for
        a dtype that cannot be stored, ShapeError where bytes are not whole elements, ValueError for an unknown dtype.
        """
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
        if isinstance(data, np.ndarray):
            dtype = dtype or dtype_of(data)
            data = array_bytes(data)
        buffer = memoryview(_as_bytes(data)).cast("B")
        dtype = dtype or "U8"
        if DTYPES[dtype].bits >= 8 and buffer.nbytes % (DTYPES[dtype].bits // 8):
            raise ShapeError(f"{buffer.nbytes} bytes are not a whole number of {dtype} elements")
        return _core.encode_planes(_plane_kind(buffer, dtype), buffer, check_threads(threads))

    def decode(self, blob: Any, *, max_size: int | None = None, out: Any = None, threads: int = 1) -> Any:
        """The elements that a frame holds, as little-endian bytes; or ``out``, a writable buffer or array of exactly
        that many bytes, filled with them.

        CorruptError: truncated or malformed. FormatError: the frame claims more than ``max_size`` bytes (checked before
        anything is allocated). Without ``max_size`` a frame of n bytes can claim up to 2**16 * n. ValueError: ``out``
        is of another size or cannot be written. ``threads`` as for `encode`.
        """
        return _decode_frame("planes", _as_bytes(blob), max_size, out, threads)


huffman = Huffman()
rans = Rans()
planes = Planes()


# Nanoseconds to decode a byte: the first number, and the second times the stored bytes a decoded one. Fitted by
# bench/speeds.py on one core of an AMD EPYC (Zen 3, AVX2), within a third for each kind of data there; planes has
# Huffman's, the slowest of what it is made of. A constant, so that files are the same bytes everywhere.
_NANOSECONDS = {"huffman": (0.05, 0.82), "rans": (0.16, 0.49), "lzw": (0.17, 1.20), "planes": (0.05, 0.82)}


def nominal_speed(coding: str, decoded: int, stored: int) -> float:
    """About how many GB/s of decoded bytes a coding gives: infinite for ``raw``, for the others by a fixed table.

    It serves ``auto:SPEED``; another CPU is faster or slower, most of the time by one factor for all codings.
    """
    if coding == "raw" or not decoded:
        return math.inf
    each, per_stored = _NANOSECONDS[coding]
    return 1 / (each + per_stored * stored / decoded)


def _candidates(coding: str) -> tuple[list[str], float]:
    """The codings to try, and the speed that they must keep."""
    try:
        name, speed = split_coding(coding)
    except SchemeError as error:
        raise ValueError(str(error)) from None
    coded = [known for known in CODING_NUMBERS if known != "raw"]
    return coded if name == "auto" else [name] if name in coded else [], speed


def encode_stream(data: Any, coding: str, dtype: str = "U8", row: int = 0) -> tuple[int, Any]:
    """The number of the coding in the file, and a buffer of the stored bytes, for one stream.

    ``coding``: ``raw``, ``huffman``, ``rans``, ``lzw``, ``planes``, ``auto`` for whichever is smallest, or
    ``auto:SPEED`` for the smallest that decodes fast enough. ``dtype``: that of the stream's elements, which ``planes``
    looks at; ``row``: bytes of a row, at which ``huffman`` and ``rans`` look (0: there are none). A coding that does
    not make the stream shorter is replaced by ``raw``, whose stored bytes are ``data`` itself, not copied. ValueError
    for an unknown name.
    """
    raw = _as_bytes(data)
    size = memoryview(raw).nbytes
    names, speed = _candidates(coding)
    best: tuple[int, Any] = (CODING_NUMBERS["raw"], raw)
    for name in names:
        stored = planes.encode(raw, dtype=dtype) if name == "planes" else _core.encode(name, raw, 1, row)
        if len(stored) < memoryview(best[1]).nbytes and nominal_speed(name, size, len(stored)) >= speed:
            best = (CODING_NUMBERS[name], stored)
    return best


def encode_codes(packed: Any, coding: str, bits: int, count: int, row: int = 0) -> tuple[int, int, Any]:
    """The numbers of the coding and of the layout in the file, and the stored bytes, for ``count`` packed codes.

    Codes of 3, 5, 6 or 7 bits lie across bytes: they are coded as they are packed and, by Huffman or rANS, one a byte,
    and the smaller is taken. Codes of 9 to 16 bits are coded as wide codes. ``row``: codes of a row, 0 where there are
    none. ``coding`` and errors as for `encode_stream`.
    """
    layout = 2 if bits > 8 else 1
    whole = row * bits // math.gcd(row * bits, 8)  # bytes of as many rows as end with a byte
    number, stored = encode_stream(packed, "raw" if layout == 2 else coding, row=whole)
    best: tuple[int, int, Any] = (number, 0, stored)
    if bits in (1, 2, 4, 8):
        return best
    names, speed = _candidates(coding)
    for name in names if layout == 2 else [name for name in names if name in ("huffman", "rans")]:
        frame = _core.encode_packed(name, _as_bytes(packed), bits, count, row)
        if len(frame) < memoryview(best[2]).nbytes and nominal_speed(name, count, len(frame)) >= speed:
            best = (CODING_NUMBERS[name], layout, frame)
    return best


def decode_codes(blob: Any, coding_id: int, bits: int, count: int) -> bytes:
    """The packed codes of a stream of layout 1, or 2 above 8 bits, that holds ``count`` of them.

    Errors as for `decode_stream`.
    """
    name = _NAMES.get(coding_id)
    if name is None:
        raise FormatError(f"coding number {coding_id} is not known")
    return _core.decode_packed(name, _as_bytes(blob), bits, count)


def decode_stream(blob: Any, coding_id: int, decoded_bytes: int) -> bytes:
    """The decoded bytes of one stream, exactly ``decoded_bytes`` of them.

    CorruptError: truncated, malformed or of another decoded length. FormatError: no coding has this number.
    """
    name = _NAMES.get(coding_id)
    if name is None:
        raise FormatError(f"coding number {coding_id} is not known")
    buffer = _as_bytes(blob)
    size = _core.decoded_size(name, buffer)
    if size != decoded_bytes:
        raise CorruptError(f"{name}: the frame holds {size} bytes, not {decoded_bytes}")
    return _core.decode(name, buffer)
