"""A file that another tool re-saved, put back as its manifest says (docs/format.md, "What a reader checks")."""

from __future__ import annotations

import json
import math
import os
import struct

from .. import _core
from ..errors import CorruptError, FormatError
from ..scheme import Scheme, Structure
from .base import Base
from .layout import (
    DTYPE_NAMES,
    MANIFEST,
    MAX_JSON,
    METADATA,
    RAW,
    StreamRecord,
    TensorRecord,
    header_entries,
    header_text,
    roles_of,
)
from .manifest import METADATA_SECTION, NAMES, NUMBERS, SHARED, STREAMS, TENSORS, WIDE, seal
from .reader import Container, map_file, parse_json

__all__ = ["recover"]

OFFSET = (1 << 48) - 1
WIDE_NUMBERS = -1  # not a section: the struct letter of a number


def recover(path: str | os.PathLike[str], *, max_bytes: int | None = None, base: Base | None = None) -> Container:
    """Open a file of ours that another safetensors tool wrote again, in its own order.

    Every tensor is found by its name and checked; the file is rebuilt in memory, which takes its length once more.
    Lost is only the user's metadata where the tool dropped or changed it: the manifest's is given. Raises as
    ``Container`` does.
    """
    name = os.fspath(path)
    parts = _parts(map_file(path), name)
    if MANIFEST not in parts:
        raise FormatError(f"{name}: not a bitpress file")
    manifest = bytes(parts[MANIFEST])
    sections, length = _sections(manifest, name)
    try:
        tensors, start = _records(sections, length)
        metadata = json.loads(sections.get(METADATA_SECTION, b"{}"))
        entries = header_entries(tensors, len(manifest))
        text = header_text(entries, metadata)
    except (ValueError, LookupError, OverflowError, TypeError, AttributeError, RecursionError, struct.error):
        raise CorruptError(f"{name}: its manifest is damaged") from None
    head = start - len(manifest)
    size = head + max(entry.end for entry in entries.values())
    if head - 8 < len(text) or head - 8 > MAX_JSON or length != size:
        raise CorruptError(f"{name}: its manifest is damaged")
    for key, entry in entries.items():
        if key not in parts or parts[key].nbytes != entry.end - entry.begin:
            raise CorruptError(f"{name}: another tool rewrote the file, and {key!r} is not in it as it was")
    image = bytearray(size)
    image[:head] = (head - 8).to_bytes(8, "little") + text.ljust(head - 8)
    for key, entry in entries.items():
        image[head + entry.begin : head + entry.end] = parts[key]
    image[head:start] = seal(bytearray(manifest), bytes(image[:head]))
    return Container(memoryview(image).toreadonly(), name, max_bytes=max_bytes, base=base)


def _parts(data: memoryview, name: str) -> dict[str, memoryview]:
    """The bytes of each tensor that the JSON lists."""
    size = int.from_bytes(data[:8], "little")
    if data.nbytes < 10 or size > MAX_JSON or size > data.nbytes - 8:
        raise FormatError(f"{name}: not a bitpress file")
    table = parse_json(bytes(data[8 : 8 + size]), name)
    table.pop(METADATA, None)
    parts = {}
    for key, value in table.items():
        offsets = value.get("data_offsets") if type(value) is dict else None
        if type(offsets) is not list or len(offsets) != 2 or not all(type(number) is int for number in offsets):
            raise CorruptError(f"{name}: the JSON header's {key!r} has no place")
        begin, end = offsets
        if not 0 <= begin <= end <= data.nbytes - 8 - size:
            raise CorruptError(f"{name}: the JSON header's {key!r} is outside the file")
        parts[key] = data[8 + size + begin : 8 + size + end]
    return parts


def _sections(manifest: bytes, name: str) -> tuple[dict[int, bytes], int]:
    """The sections of a manifest whose checksum is right, by type, and the length of the file that it was in."""
    if len(manifest) < 40 or manifest[:8] != b"BITPRESS":
        raise CorruptError(f"{name}: its manifest is damaged")
    if _core.checksum(manifest[40:], _core.checksum(manifest[:32])) != int.from_bytes(manifest[32:40], "little"):
        raise CorruptError(f"{name}: checksum of the manifest")
    at = 40 + 8 * int.from_bytes(manifest[10:12], "little")
    sections = {}
    for entry in range(40, min(at, len(manifest) - 7), 8):
        kind, flags, size = struct.unpack_from("<HHI", manifest, entry)
        sections[kind] = manifest[at : at + size]
        if kind == NUMBERS:
            sections[WIDE_NUMBERS] = b"Q" if flags & WIDE else b"I"
        at += -(-size // 8) * 8
    return sections, int.from_bytes(manifest[16:24], "little")


def _records(sections: dict[int, bytes], length: int) -> tuple[list[TensorRecord], int]:
    """The tensors, as far as placing their streams needs them, and where the first stream began."""
    width = sections[WIDE_NUMBERS].decode()
    numbers = [number for (number,) in struct.iter_unpack(f"<{width}", sections[NUMBERS])]
    streams = list(struct.iter_unpack("<QQ", sections[STREAMS]))
    rows = list(struct.iter_unpack("<IIIIBBBB", sections[TENSORS]))
    ends = [row[0] for row in rows[1:]] + [len(sections[NAMES])]
    tensors = []
    for (name_at, number, first, _, dtype, rank, values, flags), name_end in zip(rows, ends, strict=True):
        rank, structure = rank & 15, rank >> 4
        shape = tuple(numbers[number : number + rank])
        number += rank
        granularity = flags >> 1 & 3
        group = numbers[number] if granularity == 2 else 0
        number += granularity == 2
        kind, bits = values & 15, values >> 4
        bits = 16 if kind == 3 and bits == 0 else bits
        vector = numbers[number] if kind == 4 else 0
        shares = bool(flags & SHARED)
        number += (kind == 4) + shares
        pattern = numbers[number] if structure in (Structure.NM, Structure.BLOCK) else 0
        number += pattern != 0
        kept, of = pattern & 0xFFFF, pattern >> 16
        survivors = math.prod(shape)
        if structure in (Structure.BITMAP, Structure.BLOCK):
            survivors = numbers[number]
            number += 1
        scheme = (structure, kind, bits, bool(flags & 1), granularity, flags >> 3 & 7, group, vector, kept, of)
        survivors = Scheme.from_numbers(scheme).most_stored(survivors)
        sizes = _core.stream_sizes(dtype, shape, scheme, survivors)
        name = sections[NAMES][name_at:name_end].decode("utf-8")
        tensor = TensorRecord(name, DTYPE_NAMES[dtype], shape, scheme, survivors)
        for role, (_, word) in zip(roles_of(Scheme.from_numbers(scheme), shares=shares), streams[first:], strict=False):
            coding, layout = word >> 48 & 255, word >> 56
            stored = sizes[role] if coding == RAW else numbers[number]
            number += coding != RAW
            tensor.streams.append(StreamRecord(role, coding, stored, sizes[role], layout=layout))
        tensors.append(tensor)
    return tensors, min((word & OFFSET for _, word in streams), default=length)
