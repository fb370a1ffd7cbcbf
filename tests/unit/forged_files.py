"""A file taken apart, to be changed and put together with right checksums: what checksums alone do not refuse."""

from __future__ import annotations

import json
import struct
from typing import Any

import xxhash

__all__ = ["GRAPH", "METADATA", "NAMES", "NUMBERS", "STREAMS", "TENSORS", "Forge", "xxh64"]

TENSORS, STREAMS, NUMBERS, NAMES, METADATA, GRAPH = 1, 2, 3, 4, 5, 6


def xxh64(data: bytes | bytearray, seed: int = 0) -> int:
    return xxhash.xxh64_intdigest(bytes(data), seed)


class Forge:
    """A file taken apart, to be changed and put together with right checksums."""

    def __init__(self, data: bytes) -> None:
        self.n = int.from_bytes(data[:8], "little")
        self.json = json.loads(data[8 : 8 + self.n])
        self.text: bytes | None = None  # instead of json
        manifest = data[8 + self.n :]
        self.version, count = struct.unpack_from("<HH", manifest, 8)
        self.m = int.from_bytes(manifest[12:16], "little")
        self.streams_data = manifest[self.m :]
        self.sections: list[list[Any]] = []  # type, flags, content
        at = 40 + 8 * count
        for kind, flags, size in struct.iter_unpack("<HHI", manifest[40:at]):
            self.sections.append([kind, flags, bytearray(manifest[at : at + size])])
            at += -(-size // 8) * 8
        self.length: int | None = None
        self.gap = b"\0"
        self.magic = b"BITPRESS"

    def section(self, kind: int) -> bytearray:
        content = next(section[2] for section in self.sections if section[0] == kind)
        assert isinstance(content, bytearray)
        return content

    def put(self, kind: int, at: int, fmt: str, *values: int) -> None:
        struct.pack_into("<" + fmt, self.section(kind), at, *values)

    def number(self, tensor: int, index: int, value: int, wide: bool = False) -> None:
        """Sets one of a tensor's numbers; with ``wide`` all numbers become u64 first."""
        if wide:
            section = next(section for section in self.sections if section[0] == NUMBERS)
            old = [number for (number,) in struct.iter_unpack("<I", section[2])]
            section[1:] = [3, bytearray(struct.pack(f"<{len(old)}Q", *old))]
        first = struct.unpack_from("<I", self.section(TENSORS), 20 * tensor + 4)[0] + index
        self.put(NUMBERS, first * (8 if wide else 4), "Q" if wide else "I", value)

    def build(self) -> bytes:
        table = b"".join(struct.pack("<HHI", kind, flags, len(content)) for kind, flags, content in self.sections)
        body = b"".join(bytes(content) + self.gap * (-len(content) % 8) for _, _, content in self.sections)
        m = 40 + len(table) + len(body)
        if self.m != m and self.text is None:
            self.shift_json(m - self.m)
        text = json.dumps(self.json, separators=(",", ":")).encode() if self.text is None else self.text
        size = 8 + self.n
        while 8 + len(text) > size or (size + m) % 64:
            size += 64 if (size + m) % 64 == 0 else 8
        moved = size + m - 8 - self.n - self.m
        streams = self.section(STREAMS)
        for at in range(8, len(streams) - len(streams) % 16, 16):
            struct.pack_into("<Q", streams, at, struct.unpack_from("<Q", streams, at)[0] + moved)
        body = b"".join(bytes(content) + self.gap * (-len(content) % 8) for _, _, content in self.sections)
        head = (size - 8).to_bytes(8, "little") + text.ljust(size - 8)
        total = size + m + len(self.streams_data) if self.length is None else self.length
        front = self.magic + struct.pack("<HHIQQ", self.version, len(self.sections), m, total, xxh64(head))
        rest = table + body
        return head + front + xxh64(rest, xxh64(front)).to_bytes(8, "little") + rest + self.streams_data

    def shift_json(self, by: int) -> None:
        for name, entry in self.json.items():
            if name == "bitpress.manifest":
                entry["shape"], entry["data_offsets"] = [self.m + by], [0, self.m + by]
            elif name != "__metadata__":
                entry["data_offsets"] = [offset + by for offset in entry["data_offsets"]]
