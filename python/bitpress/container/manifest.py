"""The manifest's bytes (docs/format.md, section 2), from tensor records; the native core reads them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from .. import _core
from ..dtypes import DTYPES
from ..scheme import Structure
from .layout import RAW, TensorRecord, place

__all__ = ["build", "metadata_text", "reserved", "seal"]

MAGIC = b"BITPRESS"
VERSION = 0
_HEAD = struct.Struct("<8sHHIQQQ")
_ENTRY = struct.Struct("<HHI")
_TENSOR = struct.Struct("<IIIIBBBB")
_STREAM = struct.Struct("<QQ")
_DELTA = struct.Struct("<IB3xQ")
TENSORS, STREAMS, NUMBERS, NAMES, METADATA_SECTION, GRAPH, BASE = 1, 2, 3, 4, 5, 6, 19
REQUIRED, WIDE = 1, 2
SHARED = 64  # of a record's last byte
DELTA_BYTES = _DELTA.size


def _up8(size: int) -> int:
    return -(-size // 8) * 8


def metadata_text(metadata: Mapping[str, str]) -> bytes:
    """The user's metadata as the manifest holds it; empty where there is none."""
    import json

    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode("utf-8") if metadata else b""


def _numbers(tensor: TensorRecord) -> list[int]:
    structure, _, _, _, granularity, _, group_size, vector, first, second = tensor.scheme
    numbers = list(tensor.shape)
    if granularity == 2:
        numbers.append(group_size)
    if vector:
        numbers.append(vector)
    if tensor.book is not None:
        numbers.append(tensor.book)
    if structure in (Structure.NM, Structure.BLOCK):
        numbers.append(first | second << 16)
    if structure in (Structure.BITMAP, Structure.BLOCK):
        numbers.append(tensor.survivors)
    numbers += [stream.stored for stream in tensor.streams if stream.coding != RAW]
    return numbers


def _sections(tensors: Sequence[TensorRecord], metadata: bytes, graph: bytes) -> list[tuple[int, int, bytes]]:
    """(type, flags, content) of each section."""
    names = [tensor.name.encode("utf-8") for tensor in tensors]
    order = sorted(range(len(names)), key=names.__getitem__)
    numbers: list[int] = []
    records = bytearray()
    streams = bytearray()
    name_at = stream_at = 0
    for tensor, name, kth in zip(tensors, names, order, strict=True):
        structure, values, bits, affine, granularity, axis = tensor.scheme[:6]
        records += _TENSOR.pack(
            name_at, len(numbers), stream_at, kth, DTYPES[tensor.dtype].number, len(tensor.shape) | structure << 4,
            values | bits % 16 << 4, affine | granularity << 1 | axis << 3 | (SHARED if tensor.book is not None else 0),
        )  # fmt: skip
        for stream in tensor.streams:
            streams += _STREAM.pack(stream.checksum, stream.offset | stream.coding << 48 | stream.layout << 56)
        numbers += _numbers(tensor)
        name_at += len(name)
        stream_at += len(tensor.streams)
    wide = max(numbers, default=0) >= 2**32
    packed = struct.pack(f"<{len(numbers)}{'Q' if wide else 'I'}", *numbers)
    sections = [
        (TENSORS, REQUIRED, bytes(records)),
        (STREAMS, REQUIRED, bytes(streams)),
        (NUMBERS, REQUIRED | (WIDE if wide else 0), packed),
        (NAMES, REQUIRED, b"".join(names)),
    ]
    sections += [(kind, 0, content) for kind, content in ((METADATA_SECTION, metadata), (GRAPH, graph)) if content]
    base = b"".join(_DELTA.pack(i, *tensor.delta) for i, tensor in enumerate(tensors) if tensor.delta is not None)
    return sections + ([(BASE, REQUIRED, base)] if base else [])


def reserved(tensors: Sequence[TensorRecord], metadata: bytes, graph: bytes) -> int:
    """Length of the manifest: it depends on the records' number, names and codings, not on what offsets hold."""
    sections = _sections(tensors, metadata, graph)
    return _HEAD.size + _ENTRY.size * len(sections) + sum(_up8(len(content)) for _, _, content in sections)


def build(tensors: Sequence[TensorRecord], start: int, metadata: bytes, graph: bytes) -> tuple[bytearray, int]:
    """The manifest without its checksums, and the file's length; the first stream begins at ``start``. Sets offsets."""
    end = start
    for _, _, stream, offset, end in place(tensors, start):  # noqa: B007
        stream.offset = offset
    sections = _sections(tensors, metadata, graph)
    table = b"".join(_ENTRY.pack(kind, flags, len(content)) for kind, flags, content in sections)
    body = b"".join(content + bytes(-len(content) % 8) for _, _, content in sections)
    length = _HEAD.size + len(table) + len(body)
    return bytearray(_HEAD.pack(MAGIC, VERSION, len(sections), length, end, 0, 0) + table + body), end


def seal(manifest: bytearray, head: bytes) -> bytes:
    """The manifest with the checksum of the file's first bytes and its own."""
    manifest[24:32] = _core.checksum(head).to_bytes(8, "little")
    manifest[32:40] = _core.checksum(bytes(manifest[40:]), _core.checksum(bytes(manifest[:32]))).to_bytes(8, "little")
    return bytes(manifest)
