"""The reader: the native core checks the manifest, this checks the JSON against it and hands out the streams."""

from __future__ import annotations

import json
import mmap
import os
import stat
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NoReturn

from .. import _core
from ..codings import CODING_NUMBERS, decode_codes, decode_stream
from ..errors import BitpressError, CorruptError, FormatError, UnsupportedError
from ..graph import Graph, Value
from ..graph_bytes import decode
from ..panels import Order, from_panels
from ..scheme import Scheme
from ..tensor import PackedTensor, Role
from .base import Base, Delta
from .layout import (
    BOUNDED_LAYOUT,
    DTYPE_NAMES,
    MANIFEST,
    METADATA,
    RAW,
    Entry,
    StreamRecord,
    TensorRecord,
    header_entries,
    header_text,
)

__all__ = ["Container", "map_file", "verify"]

_CODINGS = {number: name for name, number in CODING_NUMBERS.items()}
MAX_RATIO = 1024  # decoded bytes a byte of the file, over which a file is refused
MAX_FREE = 1 << 28  # decoded bytes that any file may have


def map_file(path: str | os.PathLike[str]) -> memoryview:
    """The bytes of a regular file, read-only, mapped into memory; FormatError for other kinds of file."""
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{os.fspath(path)}: not a regular file")
        if status.st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _open_at_once(path: str, flags: int) -> int:
    """Opening a pipe must not wait for its writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class Container:
    """An opened file: records of its tensors, and their streams when asked for.

    ``full``: every checksum is checked now; otherwise those of head and manifest now, a stream's when it is first read.
    ``max_bytes``: the most decoded bytes that all streams may take together (by default 256 MiB, or 1024 times the
    file's length where that is more): a hostile file of a few kilobytes can claim much more than a machine has.
    ``base``: what its deltas were made against; without it such a tensor cannot be read (FormatError).

    Raises OSError where the file cannot be read; FormatError where it is none of ours, CorruptError where it
    contradicts itself or a checksum: one line that begins with ``name``. Nothing is allocated on the word of the file
    before it was checked. Another program must not change the file in place while it is open (replacing it is safe).
    """

    def __init__(
        self,
        data: memoryview,
        name: str,
        *,
        full: bool = True,
        max_bytes: int | None = None,
        base: Base | None = None,
    ) -> None:
        self.name = name
        self.data = data
        self._base = base
        self._native = _core.File(data, full, name)
        if not full and not self._native.check_head():
            raise CorruptError(f"{name}: checksum of the JSON header or the manifest")
        self._checked = full
        self._seen: set[int] = set()
        self.tensors: dict[str, TensorRecord] = {}
        self._first_stream: dict[str, int] = {}
        for index in range(self._native.tensor_count):
            self._add_record(index)
        names = list(self.tensors)
        self.deltas = {names[index]: Delta(how, checksum) for index, how, checksum in self._native.deltas}
        decoded = sum(tensor.claimed for tensor in self.tensors.values())
        if decoded > (max(MAX_FREE, MAX_RATIO * data.nbytes) if max_bytes is None else max_bytes):
            raise FormatError(f"{name}: its streams claim {decoded} bytes when decoded, more than allowed (max_bytes)")
        self.metadata = self._metadata()
        self._check_json()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        full: bool = True,
        max_bytes: int | None = None,
        base: Base | None = None,
    ) -> Container:
        """Open a file by its path, mapped into memory."""
        return cls(map_file(path), os.fspath(path), full=full, max_bytes=max_bytes, base=base)

    @property
    def graph(self) -> memoryview:
        """The bytes of the graph section (docs/format.md, section 6); empty where there is none."""
        offset, size = self._native.graph
        return self.data[offset : offset + size]

    def read_graph(self) -> Graph | None:
        """The network; None where the file holds none. Raises CorruptError, UnsupportedError as ``graph.decode``."""
        if not self.graph.nbytes:
            return None
        known = [Value(name, tensor.dtype, tensor.shape) for name, tensor in self.tensors.items()]
        try:
            return decode(self.graph, known)
        except (FormatError, UnsupportedError) as error:
            raise type(error)(f"{self.name}: {error}") from None

    @property
    def overhead(self) -> int:
        """Bytes of the file that are neither a stream nor the graph."""
        streams = sum(stream.stored for tensor in self.tensors.values() for stream in tensor.streams)
        return self.data.nbytes - streams - self.graph.nbytes

    def scheme(self, name: str) -> Scheme:
        """The scheme of a tensor; its coding is that of its coded streams, ``auto`` where they differ."""
        tensor = self.tensors[name]
        codings = {_CODINGS[stream.coding] for stream in tensor.streams if stream.coding != RAW}
        return Scheme.from_numbers(
            tensor.scheme, "raw" if not codings else codings.pop() if len(codings) == 1 else "auto"
        )

    def stored(self, name: str, role: Role) -> memoryview:
        """A stream as it is stored, coded; a view of the file. CorruptError where its checksum is wrong."""
        tensor = self.tensors[name]
        index, stream = next((i, s) for i, s in enumerate(tensor.streams) if s.role == role)
        number = self._first_stream[name] + index
        if not self._checked and number not in self._seen:
            if not self._native.check_stream(number):
                raise CorruptError(f"{self.name}: tensor {name!r}: checksum of its {role.name.lower()}")
            self._seen.add(number)
        return self.data[stream.offset : stream.offset + stream.stored]

    def packed(self, name: str) -> PackedTensor:
        """A tensor with its codings undone and its streams checked; raw streams are views of the file.

        KeyError for an unknown name, CorruptError where a stream is not what its tensor needs, FormatError for a delta
        without its base.
        """
        if name not in self.deltas:
            return self.held(name)
        tensor, delta = self.tensors[name], self.deltas[name]
        if self._base is None:
            raise FormatError(f"{self.name}: tensor {name!r} is held as a delta: its base is needed (base=, --base)")
        held = self.held(name).streams[Role.DATA]
        try:
            data = self._base.restored(name, tensor.dtype, tensor.shape, delta, held)
        except FormatError as error:
            raise type(error)(f"{self.name}: {error}") from None
        return PackedTensor(tensor.dtype, tensor.shape, self.scheme(name), {Role.DATA: data})

    def held(self, name: str) -> PackedTensor:
        """The same, but a delta as the file holds it: its elements are what it differs by from its base."""
        tensor = self.tensors[name]
        try:
            streams = {stream.role: self.decoded(name, stream) for stream in tensor.streams}
            if tensor.book is not None:
                owner = list(self.tensors)[tensor.book]
                streams[Role.CODEBOOK] = self.decoded(owner, self.tensors[owner].streams[-1])
            packed = PackedTensor(tensor.dtype, tensor.shape, self.scheme(name), streams)
            packed.check(name)
        except CorruptError as error:
            raise CorruptError(self._named(name, error)) from None
        except BitpressError as error:
            raise FormatError(self._named(name, error)) from None
        if packed.survivors != tensor.survivors:
            raise CorruptError(
                f"{self.name}: tensor {name!r}: its mask holds {packed.survivors} elements, not the number said"
            )
        return packed

    def close(self) -> None:
        """Let go of the file; views that were handed out stay valid."""
        self.tensors = {}
        del self._native
        self.data = memoryview(b"")

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _named(self, name: str, error: Exception) -> str:
        text = str(error)
        return text if text.startswith(self.name) else f"{self.name}: tensor {name!r}: {text.removeprefix(f'{name}: ')}"

    def decoded(self, name: str, stream: StreamRecord) -> memoryview:
        """One of a tensor's streams, coding and panels undone; a raw one or a bounded frame is a view of the file."""
        stored = self.stored(name, stream.role)
        tensor = self.tensors[name]
        if stream.role == Role.CODES and tensor.order:
            raw = stored if stream.coding == RAW else decode_stream(stored, stream.coding, stream.decoded)
            return from_panels(raw, tensor.scheme[2], tensor.shape, tensor.order)
        if stream.coding == RAW or stream.layout == BOUNDED_LAYOUT:
            return stored
        if stream.layout:
            return memoryview(decode_codes(stored, stream.coding, tensor.scheme[2], tensor.codes))
        return memoryview(decode_stream(stored, stream.coding, stream.decoded))

    def _add_record(self, index: int) -> None:
        name, dtype, shape, scheme, survivors, first, count, _, book = self._native.tensor(index)
        tensor = TensorRecord(name, DTYPE_NAMES[dtype], shape, scheme, survivors, book=book)
        for number in range(first, first + count):
            role, coding, offset, stored, decoded, _, _, checksum, layout = self._native.stream(number)
            tensor.streams.append(StreamRecord(Role(role), coding, stored, decoded, offset, checksum, layout))
            if layout in (Order.ROW_PANELS, Order.COLUMN_PANELS):
                tensor.order = Order(layout)
        self.tensors[name] = tensor
        self._first_stream[name] = first

    def _metadata(self) -> dict[str, str]:
        offset, size = self._native.metadata
        if not size:
            return {}
        table = parse_json(bytes(self.data[offset : offset + size]), self.name)
        if not table or "format" in table or not all(type(value) is str for value in table.values()):
            raise CorruptError(f"{self.name}: its metadata is not a table of strings")
        return table

    def _check_json(self) -> None:
        """The JSON header lists exactly the tensors that the manifest implies, and the same metadata."""
        size = int.from_bytes(self.data[:8], "little")
        text = bytes(self.data[8 : 8 + size])
        manifest_bytes = int.from_bytes(self.data[8 + size + 12 : 8 + size + 16], "little")
        expected = header_entries(self.tensors.values(), manifest_bytes)
        if text.rstrip(b" ") == header_text(expected, self.metadata):
            return
        table = parse_json(text, self.name)
        if table.pop(METADATA, None) != {"format": "bitpress", **self.metadata}:
            raise CorruptError(f"{self.name}: the JSON header's __metadata__ is not the manifest's")
        for name, value in table.items():
            if name not in expected or not _same(value, expected[name]):
                raise CorruptError(f"{self.name}: the JSON header and the manifest differ in {name!r}")
        for name in expected:
            if name not in table:
                raise CorruptError(f"{self.name}: the JSON header lacks {name!r}")


def _same(value: Any, entry: Entry) -> bool:
    """Whether a JSON value is this entry: no other key, no number that is not an integer."""
    if type(value) is not dict or value.keys() != {"dtype", "shape", "data_offsets"}:
        return False
    numbers = [value["shape"], value["data_offsets"]]
    if not all(type(part) is list and all(type(number) is int for number in part) for part in numbers):
        return False
    return bool(value["dtype"] == entry.dtype and numbers == [list(entry.shape), [entry.begin, entry.end]])


def parse_json(text: bytes, name: str) -> dict[str, Any]:
    """A JSON object without duplicate keys, fractions, NaN or depth; CorruptError for any other."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(items)
        if len(table) != len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise CorruptError(f"{name}: the JSON has the key {twice!r} twice")
        return table

    def refuse(constant: str) -> NoReturn:
        raise CorruptError(f"{name}: the JSON holds {constant[:20]}, which is no whole number")

    def whole(digits: str) -> int:
        if len(digits) > 20:
            raise CorruptError(f"{name}: the JSON holds a number of {len(digits)} digits")
        return int(digits)

    try:
        table = json.loads(
            text.decode("utf-8"), object_pairs_hook=pairs, parse_constant=refuse, parse_float=refuse, parse_int=whole
        )
    except RecursionError:
        raise CorruptError(f"{name}: the JSON is nested too deep") from None
    except UnicodeDecodeError:
        raise CorruptError(f"{name}: the JSON is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise CorruptError(f"{name}: the JSON is malformed at byte {error.pos}: {error.msg}") from None
    if type(table) is not dict:
        raise CorruptError(f"{name}: the JSON is not an object")
    return table


def verify(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> list[str]:
    """Check every checksum and decode every tensor: one line for each thing that is wrong, none where all is well.

    Raises OSError where the file cannot be read at all.
    """
    data = map_file(path)
    try:
        container = Container(data, os.fspath(path), full=False, max_bytes=max_bytes)
    except FormatError as error:
        return [str(error)]
    findings = list(_bad_tensors(container))
    try:
        container.read_graph()
    except FormatError as error:
        findings.append(str(error))
    if not findings:
        try:
            Container(data, os.fspath(path), full=True, max_bytes=max_bytes)
        except FormatError as error:
            findings.append(str(error))
    return findings


def _bad_tensors(container: Container) -> Iterator[str]:
    for name in container.tensors:
        try:
            held = container.held(name)
            if container.tensors[name].bounded:
                held.to_bytes()  # decodes each chunk
        except FormatError as error:
            yield str(error)


def is_plain_safetensors(data: memoryview) -> bool:
    """Whether bytes look like a safetensors file that is not one of ours."""
    size = int.from_bytes(data[:8], "little")
    if data.nbytes < 10 or not 2 <= size <= data.nbytes - 8 or data[8] != ord("{"):
        return False
    return f'"{MANIFEST}"'.encode() not in bytes(data[8 : 8 + size])
