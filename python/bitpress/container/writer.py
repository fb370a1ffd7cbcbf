"""The writer: streaming, atomic, and the same bytes for the same input (docs/format.md, sections 1 and 2)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from .. import _core
from ..codings import CODING_NUMBERS, encode_codes, encode_stream
from ..dtypes import DTYPES
from ..errors import SchemeError, ShapeError, UnsupportedError
from ..panels import has_order, to_panels
from ..scheme import Bounded, Scheme, Structure
from ..tensor import PackedTensor, Role, TensorSpec
from . import manifest
from .atomic import replacing
from .base import Base, differ
from .layout import (
    BOUNDED_LAYOUT,
    LARGE,
    MANIFEST,
    MAX_JSON,
    RAW,
    SMALL,
    StreamRecord,
    TensorRecord,
    header_entries,
    header_text,
    padded,
    roles_of,
)

__all__ = ["write"]

HELD = 16 << 20  # a file whose streams take no more is laid out in memory, and then has no slack at all
MAX_FILE = 1 << 48
MAX_RANK = 8


def write(
    path: str | os.PathLike[str],
    specs: Sequence[TensorSpec],
    items: Iterable[PackedTensor],
    *,
    graph: bytes | None = None,
    metadata: Mapping[str, str] | None = None,
    base: Base | None = None,
) -> None:
    """Write a file: ``items`` gives the tensors that ``specs`` announces, in that order, one at a time.

    A tensor's scheme says which coding its streams get; one that does not make a stream shorter is left out. Codes
    stand in the spec's order. At most one large stream is in memory at a time. ``path`` is either as it was or the
    whole new file; an exception of the iterator passes through. ``graph``: the bytes of docs/format.md, section 6.
    ``metadata``: strings by name, not ``format``. ``base``: what dense, kept tensors under a coding are held against
    where that is smaller; the file then needs it to be read.

    Raises ValueError for names, metadata or items that cannot be stored (ShapeError, SchemeError where it is theirs),
    OSError where the disk refuses.
    """
    _check_specs(specs)
    user = _checked_metadata(metadata)
    records = [_blank(spec) for spec in specs]
    plan = _Plan(records, manifest.metadata_text(user), bytes(graph or b""), user, len(records) if base else 0)
    with replacing(path) as file:
        output = _Output(file, plan, base)
        books = _Books()
        for spec, record, item in _matched(specs, plan.tensors, items):
            _check_item(spec, item)
            record.survivors = item.survivors
            record.book = books.find(record, item, spec.scheme.coding)
            if record.book is not None:
                record.streams = [stream for stream in record.streams if stream.role != Role.CODEBOOK]
            for stream in record.streams:
                output.add(record, stream, item.streams[stream.role], spec.scheme.coding)
            del item  # before the next one is made
        output.finish()


def _check_text(text: object, what: str) -> None:
    if not isinstance(text, str):
        raise ValueError(f"{what} must be a string, not {text!r}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{what}: {text!r} is not valid Unicode") from None


def _check_specs(specs: Sequence[TensorSpec]) -> None:
    names: set[str] = set()
    for spec in specs:
        _check_text(spec.name, "a tensor's name")
        if not spec.name:
            raise ValueError("a tensor's name must not be empty")
        if spec.name in names:
            raise ValueError(f"tensor {spec.name!r}: the name is there twice")
        names.add(spec.name)
        if spec.dtype not in DTYPES:
            raise UnsupportedError(f"tensor {spec.name!r}: no element type {spec.dtype!r}")
        if len(spec.shape) > MAX_RANK:
            raise ShapeError(f"tensor {spec.name!r}: {len(spec.shape)} dimensions, at most {MAX_RANK} can be stored")
        if any(dim < 0 for dim in spec.shape):
            raise ShapeError(f"tensor {spec.name!r}: a negative dimension in {list(spec.shape)}")


def _checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """The user's metadata in the order of its keys."""
    for key, value in (metadata or {}).items():
        _check_text(key, "a metadata key")
        _check_text(value, f"metadata {key!r}")
        if key == "format":
            raise ValueError("metadata: the key 'format' is the file's own")
    return dict(sorted((metadata or {}).items()))


def _blank(spec: TensorSpec) -> TensorRecord:
    """A tensor's record with the most that its streams can take."""
    stored = spec.scheme.most_stored(spec.elements)
    scheme = spec.scheme.numbers
    bounded = isinstance(spec.scheme.values, Bounded)
    if bounded and spec.dtype not in ("F32", "F64"):
        raise SchemeError(f"tensor {spec.name!r}: bounded values stand for F32 and F64, not {spec.dtype}")
    try:
        decoded = Scheme().numbers if bounded else scheme
        sizes = _core.stream_sizes(DTYPES[spec.dtype].number, tuple(spec.shape), decoded, stored)
    except (ValueError, OverflowError) as error:
        raise SchemeError(f"tensor {spec.name!r}: {spec.dtype} {list(spec.shape)} as {spec.scheme}: {error}") from None
    if not has_order(spec.shape, spec.scheme, spec.order):
        raise SchemeError(f"tensor {spec.name!r}: {list(spec.shape)} as {spec.scheme} does not fill panels")
    streams = [StreamRecord(role, RAW, sizes[role], sizes[role]) for role in roles_of(spec.scheme)]
    return TensorRecord(spec.name, spec.dtype, tuple(spec.shape), scheme, stored, streams, order=spec.order)


def _matched(
    specs: Sequence[TensorSpec], records: Sequence[TensorRecord], items: Iterable[PackedTensor]
) -> Iterator[tuple[TensorSpec, TensorRecord, PackedTensor]]:
    iterator = iter(items)
    for spec, record in zip(specs, records, strict=True):
        try:
            item = next(iterator)
        except StopIteration:
            raise ValueError(f"tensor {spec.name!r} was announced but not given") from None
        yield spec, record, item
        del item
    if next(iterator, None) is not None:
        raise ValueError("more tensors were given than announced")


def _check_item(spec: TensorSpec, item: PackedTensor) -> None:
    if (item.dtype, tuple(item.shape)) != (spec.dtype, tuple(spec.shape)):
        announced, given = f"{spec.dtype} {list(spec.shape)}", f"{item.dtype} {list(item.shape)}"
        raise ShapeError(f"tensor {spec.name!r}: announced as {announced}, given as {given}")
    if item.scheme.numbers != spec.scheme.numbers:
        raise SchemeError(f"tensor {spec.name!r}: announced as {spec.scheme}, given as {item.scheme}")
    item.check(spec.name)


def _codes_a_row(tensor: TensorRecord) -> int:
    """How many codes an index of the first axis has; 0 where rows have no whole number, or are not told apart."""
    if tensor.scheme[0] != Structure.DENSE or len(tensor.shape) < 2:
        return 0
    codes, rest = divmod(math.prod(tensor.shape[1:]), max(tensor.scheme[7], 1))
    return 0 if rest else codes


class _Books:
    """The codebooks so far: equal ones are stored once."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int, str, bytes], int] = {}
        self.count = 0  # of tensors so far

    def find(self, record: TensorRecord, item: PackedTensor, coding: str) -> int | None:
        """Which tensor before has this one's codebook, under the same coding."""
        entries = bytes(item.streams.get(Role.CODEBOOK, b""))
        number, self.count = self.count, self.count + 1
        if not entries:
            return None
        owner = self.known.setdefault((record.scheme[2], record.scheme[7], coding, entries), number)
        return None if owner == number else owner


class _Plan:
    """What stands before the first stream: how much room it needs, and its bytes once all is known."""

    def __init__(
        self, tensors: list[TensorRecord], metadata: bytes, graph: bytes, user: Mapping[str, str], deltas: int
    ) -> None:
        self.tensors = tensors
        self.deltas = deltas  # at most so many
        self.metadata = metadata
        self.graph = graph
        self.user = user

    def most(self) -> int:
        """The most that all streams can take, padding included."""
        return sum(tensor.most(stream) + 64 for tensor in self.tensors for stream in tensor.streams)

    def bound(self) -> int:
        """Room for the length word, the JSON and the manifest that is enough whatever the codings do: a multiple of
        64."""
        digits = len(str(self.most() + (1 << 32)))
        entry = len('"":{"dtype":"F8_E5M2","shape":[],"data_offsets":[,]},') + 2 * digits
        text = len(header_text({}, self.user)) + 4 * entry + len(MANIFEST) + len(SMALL) + 4 * digits
        numbers = 0
        for tensor in self.tensors:
            name = len(json.dumps(tensor.name, ensure_ascii=False).encode("utf-8")) - 2
            dims = sum(len(str(dim)) + 1 for dim in tensor.shape)
            # Nothing is coded yet: what may stay plain stands under its own name with a pad, or, as all others, each
            # large stream under its role's.
            large = sum(tensor.most(stream) >= LARGE for stream in tensor.streams)
            if tensor.plain:
                text += name + dims + entry + large * (entry + len("bitpress.pad.") + digits)
            text += large * (name + entry + len("bitpress.codebook:") + digits)
            numbers += 8 * (len(tensor.streams) + len(tensor.shape) + 3)
        size = 8 + text + manifest.reserved(self.tensors, self.metadata, self.graph) + numbers + 8
        size += 16 * (self.deltas + 1) if self.deltas else 0
        return -(-size // 64) * 64

    def head(self, start: int | None) -> tuple[bytes, int]:
        """Everything before the streams, which begin at ``start`` (as early as they can where None); the file's
        length."""
        length = manifest.reserved(self.tensors, self.metadata, self.graph)
        text = header_text(header_entries(self.tensors, length), self.user)
        least = 8 + len(text) + length
        aligned = any(stream.large for tensor in self.tensors for stream in tensor.streams)
        if start is None:
            multiple = 64 if aligned else 8
            start = -(-least // multiple) * multiple
        spaces = start - least
        if spaces < 0:
            raise AssertionError("the bound on the header was too small")
        if len(text) + spaces > MAX_JSON:
            raise ValueError(f"the JSON header would take {len(text) + spaces} bytes, at most {MAX_JSON} are allowed")
        body, end = manifest.build(self.tensors, start, self.metadata, self.graph)
        if end > MAX_FILE:
            raise ValueError(f"the file would take {end} bytes, at most {MAX_FILE} are allowed")
        first = (len(text) + spaces).to_bytes(8, "little") + text + b" " * spaces
        return first + manifest.seal(body, first), end


class _Output:
    """Streams as they come: large ones go to the file at once, small ones wait for their place behind them."""

    def __init__(self, file: BinaryIO, plan: _Plan, base: Base | None) -> None:
        self.file = file
        self.plan = plan
        self.base = base
        self.held = plan.most() <= HELD
        self.start = 0 if self.held else plan.bound()
        self.large: list[bytes] = []
        self.small: list[list[bytes]] = [[] for _ in range(6)]
        if not self.held:
            file.seek(self.start)

    def add(self, tensor: TensorRecord, record: StreamRecord, data: Any, coding: str) -> None:
        if not tensor.bounded:
            record.decoded = memoryview(data).nbytes
        stored: Any = data
        if tensor.bounded:
            record.coding, record.layout = CODING_NUMBERS["rans"], BOUNDED_LAYOUT
        elif record.role == Role.CODES and tensor.order:
            record.layout = tensor.order
            record.coding, stored = encode_stream(to_panels(data, tensor.scheme[2], tensor.shape, tensor.order), coding)
        elif record.role == Role.CODES:
            bits = tensor.scheme[2]
            record.coding, record.layout, stored = encode_codes(data, coding, bits, tensor.codes, _codes_a_row(tensor))
        else:
            dtype = {Role.DATA: tensor.dtype, Role.SCALES: "F32", Role.CODEBOOK: "F32"}.get(record.role, "U8")
            record.coding, stored = encode_stream(data, coding, dtype)
            if self.base is not None and not any(tensor.scheme[:2]) and coding != "raw":
                record.coding, stored = self._against(self.base, tensor, data, coding, (record.coding, stored))
        stored = memoryview(stored).cast("B")
        record.stored = stored.nbytes
        kind = tensor.kind(record)
        padding = padded(kind, record.stored) - record.stored
        whole = bytes(stored) + bytes(padding) if padding or kind or self.held else stored
        record.checksum = _core.checksum(whole)
        if kind:
            self.small[kind].append(bytes(whole))
        elif self.held:
            self.large.append(bytes(whole))
        else:
            self.file.write(whole)

    def _against(
        self, base: Base, tensor: TensorRecord, data: Any, coding: str, best: tuple[int, Any]
    ) -> tuple[int, Any]:
        """The smallest of a kept tensor as it is (``best``) and against its base; the record learns which it is."""
        reference = base.bytes_of(tensor.name, tensor.dtype, tensor.shape)
        if reference is None:
            return best
        for how, dtype, held in differ(data, reference, tensor.dtype):
            number, stored = encode_stream(held, coding, dtype)
            if number != RAW and memoryview(stored).nbytes + manifest.DELTA_BYTES < memoryview(best[1]).nbytes:
                best = number, stored
                tensor.delta = how, _core.checksum(reference)
        return best

    def finish(self) -> None:
        if self.held:
            head, end = self.plan.head(None)
            self.file.write(head)
            self.file.writelines(self.large)
        else:
            head, end = self.plan.head(self.start)
        for kind in self.small:
            self.file.writelines(kind)
        if self.file.tell() != end:
            raise AssertionError(f"the streams end at {self.file.tell()}, not {end}")
        if not self.held:
            self.file.seek(0)
            self.file.write(head)
