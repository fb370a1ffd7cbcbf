"""Where everything stands in a file (docs/format.md, sections 1 and 2): what the writer and the reader share."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..dtypes import DTYPES
from ..panels import Order
from ..scheme import Codebook, Coded, Integer, Numbers, Scheme, Structure
from ..tensor import Role

__all__ = ["Entry", "StreamRecord", "TensorRecord", "header_entries", "header_text", "place", "roles_of"]

DTYPE_NAMES = {dtype.number: name for name, dtype in DTYPES.items()}

MANIFEST = "bitpress.manifest"
SMALL = "bitpress.small"
METADATA = "__metadata__"
LARGE = 4096  # stored bytes from which a stream is a tensor of its own
MAX_JSON = 100_000_000  # safetensors' own limit
KINDS = 6  # large, small pressed, small plain of 8, 4, 2 and 1 bytes an element
RAW = 0
BOUNDED = 5  # of a record's values
BOUNDED_LAYOUT = 3
_PLAIN_KIND = {name: {64: 2, 32: 3, 16: 4}.get(dtype.bits, 5) for name, dtype in DTYPES.items()}
_MULTIPLE = (64, 8, 1, 1, 1, 1)  # of what, by kind, a stream with its padding is a multiple


@dataclass
class StreamRecord:
    """One stream as it stands in the file."""

    role: Role
    coding: int
    stored: int  # bytes, without padding
    decoded: int  # bytes when its coding is undone
    offset: int = 0
    checksum: int = 0
    layout: int = 0  # 1, 2: it holds codes, packed when the coding is undone; 3: a bounded frame; 4, 5: panels

    @property
    def large(self) -> bool:
        """Whether it is a tensor of its own, on a multiple of 64."""
        return self.stored >= LARGE


@dataclass
class TensorRecord:
    """One tensor as it stands in the file; ``scheme`` is docs/format.md's ten numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scheme: Numbers
    survivors: int
    streams: list[StreamRecord] = field(default_factory=list)
    delta: tuple[int, int] | None = None  # how it is held against its base, and the base's checksum
    order: Order = Order.ELEMENTS  # of its codes
    book: int | None = None  # which tensor before it has its codebook, where it has none of its own

    @property
    def bounded(self) -> bool:
        """Whether its elements are within a bound of what they were: its stream is a bounded frame."""
        return self.scheme[1] == BOUNDED

    def most(self, stream: StreamRecord) -> int:
        """The most that a stream takes stored: one that its coding does not make shorter is stored as it is, but for
        a bounded frame, which then has its heads on top.
        """
        return stream.decoded + (stream.decoded // 4096 + 128 if self.bounded else 0)

    @property
    def claimed(self) -> int:
        """Bytes that it takes when codings are undone; of blocks, whose mask may say little of much, elements too."""
        streams = sum(stream.decoded for stream in self.streams)
        if self.scheme[0] != Structure.BLOCK:
            return streams
        return streams + DTYPES[self.dtype].bits * math.prod(self.shape) // 8

    @property
    def codes(self) -> int:
        """How many codes it has, where it has any: one a survivor, or a vector of a codebook."""
        return self.survivors // max(self.scheme[7], 1)

    @property
    def plain(self) -> bool:
        """Whether it stands under its own name, dtype and shape."""
        structure, values = self.scheme[:2]
        if structure or values or self.streams[0].coding != RAW:
            return False
        return self.name != METADATA and not self.name.startswith("bitpress.")

    def kind(self, stream: StreamRecord) -> int:
        """The place of a stream: 0 large, 1 small pressed, 2..5 small plain by falling element size."""
        if stream.stored >= LARGE:
            return 0
        return _PLAIN_KIND[self.dtype] if self.plain else 1

    def padded(self, stream: StreamRecord) -> int:
        """The stored length with the zeros that follow."""
        return padded(self.kind(stream), stream.stored)


def padded(kind: int, stored: int) -> int:
    """A stored length with the zeros that follow a stream of this kind."""
    multiple = _MULTIPLE[kind]
    return -(-stored // multiple) * multiple


@dataclass(frozen=True)
class Entry:
    """One tensor of the JSON header; ``begin`` and ``end`` count from the data's beginning."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def roles_of(scheme: Scheme, *, shares: bool = False) -> list[Role]:
    """The streams of a scheme, in the order of the file; ``shares``: its codebook is another tensor's."""
    values = scheme.values
    roles = [Role.CODES if isinstance(values, Coded) else Role.DATA]
    if scheme.is_sparse:
        roles.append(Role.MASK)
    if isinstance(values, Integer):
        roles += [Role.SCALES] if values.symmetric else [Role.SCALES, Role.ZEROS]
    if isinstance(values, Codebook):
        roles += [Role.SCALES] if values.has_scales else []
        roles += [] if shares else [Role.CODEBOOK]
    return roles


def place(tensors: Iterable[TensorRecord], start: int) -> Iterator[tuple[int, TensorRecord, StreamRecord, int, int]]:
    """Every stream in the order of the file: kind, tensor, record, and where it begins and ends from ``start`` on."""
    kinds: list[list[tuple[TensorRecord, StreamRecord]]] = [[] for _ in range(KINDS)]
    for tensor in tensors:
        for stream in tensor.streams:
            kinds[tensor.kind(stream)].append((tensor, stream))
    for kind, members in enumerate(kinds):
        for tensor, stream in members:
            end = start + padded(kind, stream.stored)
            yield kind, tensor, stream, start, end
            start = end


def header_entries(tensors: Iterable[TensorRecord], manifest_bytes: int) -> dict[str, Entry]:
    """What the JSON header must hold, in the order of the file."""
    entries = {MANIFEST: Entry("U8", (manifest_bytes,), 0, manifest_bytes)}
    pads = 0
    for kind, tensor, stream, begin, end in place(tensors, manifest_bytes):
        if kind == 1:
            if end > begin:
                first = entries[SMALL].begin if SMALL in entries else begin
                entries[SMALL] = Entry("U8", (end - first,), first, end)
            continue
        if not tensor.plain:
            entries[f"bitpress.{stream.role.name.lower()}:{tensor.name}"] = Entry("U8", (end - begin,), begin, end)
        else:
            middle = begin + stream.stored
            entries[tensor.name] = Entry(tensor.dtype, tensor.shape, begin, middle)
            if end != middle:
                entries[f"bitpress.pad.{pads}"] = Entry("U8", (end - middle,), middle, end)
                pads += 1
    return entries


def header_text(entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    """The JSON header, without padding."""
    table: dict[str, object] = {METADATA: {"format": "bitpress", **metadata}}
    for name, entry in entries.items():
        table[name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": (entry.begin, entry.end)}
    return json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
