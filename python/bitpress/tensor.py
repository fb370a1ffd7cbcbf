"""PackedTensor: shape + dtype + Scheme + named byte streams."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core, bounded
from .dtypes import (
    DTYPES,
    FLOATS,
    Buffer,
    array_bytes,
    bytes_array,
    dtype_of,
    from_float32,
    numpy_dtype,
    stored_bytes,
    to_float32,
)
from .errors import CorruptError, FormatError, SchemeError, ShapeError, UnsupportedError
from .masks import check_groups, pack_mask, stored_mask, unpack_mask
from .panels import Order
from .scheme import Bounded, Codebook, Coded, Granularity, Integer, Keep, Numbers, Scheme, Structure
from .tensor_report import Report

__all__ = ["PackedTensor", "Report", "Role", "TensorSpec", "pack", "pack_bytes"]

MAX_RANK = 8
Codes = npt.NDArray[np.uint8 | np.uint16]


class Role(enum.IntEnum):
    """What a stream holds."""

    DATA = 0
    CODES = 1
    MASK = 2
    SCALES = 3
    ZEROS = 4
    CODEBOOK = 5


_Arguments = tuple[int, tuple[int, ...], Numbers, dict[Role, memoryview], str]


@dataclass(frozen=True)
class TensorSpec:
    """What is known of a tensor before any of its elements is read: enough to plan a file."""

    name: str
    dtype: str  # safetensors' name
    shape: tuple[int, ...]
    scheme: Scheme = field(default_factory=Scheme)
    order: Order = Order.ELEMENTS  # of its codes in the file

    @property
    def elements(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def source_bytes(self) -> int:
        """Bytes of the tensor as it came."""
        return stored_bytes(self.dtype, self.shape)


@dataclass(frozen=True)
class PackedTensor:
    """One tensor held by a scheme. ``streams`` have no coding applied: the container codes them when it writes.

    ``dtype`` is safetensors' name of the element type that ``unpack`` gives back. Streams are checked whenever they are
    used (CorruptError where they contradict dtype, shape and scheme), so one may come from an untrusted file.
    """

    dtype: str
    shape: tuple[int, ...]
    scheme: Scheme
    streams: Mapping[Role, memoryview] = field(repr=False)

    @classmethod
    def from_codes(
        cls,
        codes: Codes,
        scales: npt.NDArray[np.float32],
        scheme: Scheme,
        *,
        zeros: Codes | None = None,
        mask: npt.NDArray[np.bool_] | None = None,
        book: npt.NDArray[np.float32] | None = None,
        shape: tuple[int, ...] | None = None,
        dtype: str = "F32",
    ) -> PackedTensor:
        """A tensor from codes that a method picked, in the tensor's shape; ``mask``: what a sparse one must store.

        ``scales`` and ``zeros`` (affine schemes) are [scales], in the order of docs/format.md; ``book`` (codebooks) is
        [2**bits, vector]. Where a code stands for a vector, ``shape`` is the tensor's. Raises SchemeError where
        the scheme has no codes or a code does not fit its bits, FormatError where sizes do not fit each other.
        """
        values = scheme.values
        if not isinstance(values, Coded):
            raise SchemeError(f"a tensor held as {scheme} has no codes")
        bits, kind = values.bits, values.code_dtype
        stored = codes.astype(kind, copy=False).reshape(-1)
        streams = {}
        if isinstance(values, Integer) or values.has_scales:
            streams[Role.SCALES] = array_bytes(np.asarray(scales, np.float32))
        if isinstance(values, Codebook):
            entries = np.zeros(0, np.float32) if book is None or not codes.size else np.asarray(book, np.float32)
            streams[Role.CODEBOOK] = array_bytes(entries)
        if scheme.is_sparse:
            kept = np.ones(codes.shape, np.bool_) if mask is None else mask
            kept = kept.reshape(codes.shape if shape is None else shape)
            streams[Role.MASK] = pack_mask(kept, scheme)
            stored = stored[unpack_mask(streams[Role.MASK], kept.shape, scheme).reshape(-1)]
        if isinstance(values, Integer) and not values.symmetric:
            streams[Role.ZEROS] = array_bytes(np.zeros(0, kind) if zeros is None else np.asarray(zeros, kind))
        if stored.size and int(codes.max()) >> bits:
            raise SchemeError(f"{int(codes.max())} is not among the codes of {bits} bits")
        streams[Role.CODES] = memoryview(_core.pack_codes(stored, bits))
        tensor = cls(dtype, tuple(codes.shape) if shape is None else shape, scheme, streams)
        tensor.check()
        return tensor

    @property
    def elements(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all streams, before any coding."""
        return sum(stream.nbytes for stream in self.streams.values())

    def check(self, name: str = "tensor") -> None:
        """Raise CorruptError (or FormatError) unless the streams are exactly what dtype, shape and scheme imply.

        Of bounded values the frame's head is checked; its chunks are when they are decoded.
        """
        if isinstance(self.scheme.values, Bounded):
            what = bounded.info(self.streams.get(Role.DATA, b""))
            if (dtype_of(np.empty(0, what.dtype)), what.shape) != (self.dtype, tuple(self.shape)):
                raise CorruptError(f"{name}: its bounded frame holds {what.dtype} {list(what.shape)}")
            return
        _core.validate_tensor(*self._arguments(name))

    def unpack(self, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """The elements in the source's dtype and shape, into ``out`` where given (same shape and dtype).

        Values kept come back bit for bit; integer values are ``scale * (code - zero)`` in float32, those of a codebook
        its entries (times scales), then rounded.
        UnsupportedError for a dtype that neither numpy nor ml_dtypes has: use ``to_bytes``.
        """
        dtype = numpy_dtype(self.dtype)
        array = bytes_array(self.to_bytes(), self.dtype, self.shape).astype(dtype.newbyteorder("="), copy=False)
        if out is None:
            return array
        if out.shape != self.shape or out.dtype != array.dtype:
            raise ShapeError(f"out is {out.dtype} {out.shape}, the tensor {array.dtype} {self.shape}")
        out[...] = array
        return out

    def to_bytes(self) -> memoryview:
        """The elements in the source's dtype as bytes, little-endian and row-major; needs no dtype of numpy's."""
        if isinstance(self.scheme.values, Bounded):
            return self._kept().to_bytes()
        if isinstance(self.scheme.values, Coded):
            return array_bytes(from_float32(self.floats(), self.dtype))
        if not self.scheme.is_sparse:
            self.check()
            return self.streams[Role.DATA]
        self.check()  # before room is taken for what the shape says
        out = bytearray(stored_bytes(self.dtype, self.shape))
        _core.unpack_bytes(*self._arguments("tensor"), out)
        return memoryview(out)

    def floats(self, first: int = 0, count: int | None = None) -> npt.NDArray[np.float32]:
        """Elements ``first .. first + count - 1`` (row-major; all by default) as float32, shape [count].

        For integer values, codebooks, and F16, BF16 and F32 kept; what the runtime computes with.
        """
        if not 0 <= first <= self.elements or (count is not None and not 0 <= count <= self.elements - first):
            raise ShapeError(f"elements {first}..{first}+{count} of a tensor of {self.elements}")
        if isinstance(self.scheme.values, Bounded):
            return self._kept().floats(first, count)
        self.check()
        values = np.empty(self.elements - first if count is None else count, np.float32)
        _core.unpack_values(*self._arguments("tensor"), first, values)
        return values

    def codes(self) -> Codes:
        """The codes in the tensor's shape, uint8 or (above 8 bits) uint16; 0 where a bitmap holds no element.

        [elements / vector] of a codebook of vectors. SchemeError where values are kept.
        """
        values = self.scheme.values
        if not isinstance(values, Coded):
            raise SchemeError(f"a tensor held as {self.scheme} has no codes")
        self.check()
        vectors = isinstance(values, Codebook) and values.vector > 1
        codes: Codes = np.empty(self.code_count if vectors else self.elements, values.code_dtype)
        _core.unpack_bytes(*self._arguments("tensor"), codes)
        return codes if vectors else codes.reshape(self.shape)

    def book(self) -> npt.NDArray[np.float32]:
        """The entries of a codebook, [2**bits, vector]; empty for any other values, and where there are no elements."""
        vector = self.scheme.values.vector if isinstance(self.scheme.values, Codebook) else 1
        stored = np.frombuffer(self.streams.get(Role.CODEBOOK, b""), "<f4")
        return stored.astype(np.float32, copy=False).reshape(-1, vector)

    def mask(self) -> npt.NDArray[np.bool_]:
        """Which elements are stored, in the tensor's shape: all of them where dense."""
        self.check()
        if not self.scheme.is_sparse:
            return np.ones(self.shape, np.bool_)
        return unpack_mask(self.streams[Role.MASK], self.shape, self.scheme)

    def scales(self) -> npt.NDArray[np.float32]:
        """The scales in the order of the stream, [scales]; empty where values are kept."""
        return np.frombuffer(self.streams.get(Role.SCALES, b""), "<f4").astype(np.float32, copy=False)

    def zeros(self) -> Codes:
        """The zero points of an affine scheme, [scales], of the codes' dtype; empty for any other."""
        kind = self.scheme.values.code_dtype if isinstance(self.scheme.values, Integer) else np.uint8
        stored = np.frombuffer(self.streams.get(Role.ZEROS, b""), np.dtype(kind).newbyteorder("<"))
        zeros: Codes = stored.astype(kind, copy=False)
        return zeros

    @property
    def survivors(self) -> int:
        """How many elements are stored."""
        if self.scheme.structure is Structure.BITMAP:
            return _core.count_bits(self.streams[Role.MASK])
        blocks = self.scheme.structure is Structure.BLOCK
        return int(np.count_nonzero(self.mask())) if blocks else self.scheme.most_stored(self.elements)

    @property
    def code_count(self) -> int:
        """How many codes are stored: one a survivor, or a vector of a codebook; 0 where values are kept."""
        match self.scheme.values:
            case Codebook(_, vector):
                return self.survivors // vector
            case Integer():
                return self.survivors
        return 0

    def report(self, original: npt.ArrayLike | None = None) -> Report:
        """Every byte counted, by stream; with ``original``, also the largest and the rms error against it."""
        max_error = rms_error = None
        if original is not None:
            exact = np.asarray(original).astype(np.float64)
            if exact.shape != self.shape:
                raise ShapeError(f"original has shape {exact.shape}, the tensor {self.shape}")
            error = np.abs(self.unpack().astype(np.float64) - exact)
            max_error = float(error.max(initial=0.0))
            rms_error = float(np.sqrt(np.mean(error**2))) if error.size else 0.0
        return Report(
            self.dtype,
            self.shape,
            self.scheme,
            self.elements,
            self.survivors,
            {role.name.lower(): stream.nbytes for role, stream in sorted(self.streams.items())},
            stored_bytes(self.dtype, self.shape),
            max_error,
            rms_error,
        )

    def _kept(self) -> PackedTensor:
        """Bounded values, decoded: a tensor that is kept as it is."""
        self.check()
        values = bounded.decode(self.streams[Role.DATA])
        return PackedTensor(self.dtype, self.shape, Scheme(), {Role.DATA: array_bytes(values)})

    def _arguments(self, name: str) -> _Arguments:
        return DTYPES[self.dtype].number, self.shape, self.scheme.numbers, dict(self.streams), name


def pack(array: npt.ArrayLike, scheme: Scheme | None = None, *, name: str | None = None) -> PackedTensor:
    """Hold an array by a scheme (as it is, by default).

    ``array``: any shape of at most 8 dimensions, any strides and byte order. ``Keep`` takes every dtype of
    docs/format.md; codes stand for float16, bfloat16 (ml_dtypes), float32 and float64. ``name`` is what errors call
    it. The result owns its bytes; only a read-only array that is kept as it is is referred to, not copied.

    Raises SchemeError where the scheme does not fit: NaN, infinity or magnitudes over about 1e38 under integer values,
    an axis that the array lacks; UnsupportedError for a dtype that cannot be stored.
    """
    label = name or "array"
    source = np.asarray(array)
    try:
        dtype = dtype_of(source)
    except UnsupportedError as error:
        raise UnsupportedError(f"{label}: {error}") from None
    data = array_bytes(source)
    kept = scheme is None or (isinstance(scheme.values, Keep) and not scheme.is_sparse)
    if kept and source.flags.writeable and np.shares_memory(source, np.asarray(data)):
        data = memoryview(bytes(data))
    return pack_bytes(data, dtype, source.shape, scheme or Scheme(), name=label)


def pack_bytes(
    data: Buffer, dtype: str, shape: tuple[int, ...], scheme: Scheme, *, name: str = "tensor"
) -> PackedTensor:
    """``pack`` for elements given as little-endian, row-major bytes: needs no dtype of numpy's. Refers to ``data``."""
    view = memoryview(data).toreadonly().cast("B")
    if len(shape) > MAX_RANK:
        raise ShapeError(f"{name}: {len(shape)} dimensions, at most {MAX_RANK} can be stored")
    if view.nbytes != stored_bytes(dtype, shape):
        raise ShapeError(f"{name}: {view.nbytes} bytes for {dtype} {shape}, which takes {stored_bytes(dtype, shape)}")
    match scheme.values:
        case Keep() as kept:
            try:
                kept.check(dtype)
            except SchemeError as error:
                raise SchemeError(f"{name}: {error}") from None
            streams = _pack_kept(view, dtype, shape, scheme, name)
        case Bounded() as values:
            streams = _pack_bounded(view, dtype, shape, values, name)
        case Integer() as values:
            streams = _pack_integer(view, dtype, shape, scheme, values, name)
        case Codebook() as values:
            return _pack_codebook(view, dtype, shape, scheme, values, name)
    return PackedTensor(
        dtype, tuple(shape), scheme, {Role(role): memoryview(stream) for role, stream in streams.items()}
    )


def _pack_kept(view: memoryview, dtype: str, shape: tuple[int, ...], scheme: Scheme, name: str) -> Mapping[int, Buffer]:
    if not scheme.is_sparse:
        return {Role.DATA: view}
    bits = DTYPES[dtype].bits
    if bits % 8:
        raise SchemeError(f"{name}: {dtype} elements are not whole bytes, so they must be dense")
    if scheme.structure is Structure.BITMAP:
        return _core.pack_kept(view, bits // 8)
    elements = np.frombuffer(view, np.uint8).reshape(-1, bits // 8)
    mask = pack_mask(elements.any(axis=1).reshape(shape), scheme, name)
    return {Role.DATA: array_bytes(elements[unpack_mask(mask, shape, scheme).reshape(-1)]), Role.MASK: mask}


def _pack_bounded(
    view: memoryview, dtype: str, shape: tuple[int, ...], values: Bounded, name: str
) -> Mapping[int, Buffer]:
    if dtype not in ("F32", "F64"):
        raise SchemeError(f"{name}: bounded values stand for F32 and F64, not {dtype}")
    if values.error is None:
        raise SchemeError(f"{name}: bounded values need an error")
    bound: dict[str, Any] = {"value_range" if values.kind == "range" else values.kind: values.error}
    try:
        return {Role.DATA: bounded.encode(bytes_array(view, dtype, shape), **bound)}
    except ValueError as error:
        raise SchemeError(f"{name}: {error}") from None


def _check_coded(dtype: str, shape: tuple[int, ...], values: Coded, name: str) -> None:
    if dtype not in FLOATS:
        raise SchemeError(f"{name}: codes stand for {', '.join(FLOATS)}, not {dtype}")
    if values.granularity is Granularity.AXIS and values.axis >= len(shape):
        raise SchemeError(f"{name}: no axis {values.axis} in a tensor of {len(shape)} dimensions")


def _pack_codebook(
    view: memoryview, dtype: str, shape: tuple[int, ...], scheme: Scheme, values: Codebook, name: str
) -> PackedTensor:
    from .codebooks import cluster

    _check_coded(dtype, shape, values, name)
    x = to_float32(view, dtype).reshape(shape)
    mask = stored_mask(x, scheme, name)
    found = cluster(x, values, mask=mask, name=name)
    return PackedTensor.from_codes(
        found.codes, found.scales, scheme, mask=mask, book=found.book, shape=tuple(shape), dtype=dtype
    )


def _pack_integer(
    view: memoryview, dtype: str, shape: tuple[int, ...], scheme: Scheme, values: Integer, name: str
) -> Mapping[int, Buffer]:
    _check_coded(dtype, shape, values, name)
    floats = to_float32(view, dtype)
    check_groups(floats != 0, scheme, name)
    try:
        return _core.pack_values(floats, shape, scheme.numbers, name)
    except SchemeError:
        if dtype == "F64" and np.isfinite(np.frombuffer(view, "<f8")).all():
            raise SchemeError(
                f"{name}: a magnitude is over float32's range, which integer values are held in"
            ) from None
        raise
    except FormatError:
        message = f"{name}: a magnitude is too large for int{values.bits}: scale * 2**bits must be a float32"
        raise SchemeError(message) from None
