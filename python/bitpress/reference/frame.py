"""The frame that Huffman and LZW share, in plain Python (docs/format.md section 5). Malformed input: ValueError."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = [
    "CODED",
    "CODED_SHARED",
    "FILL",
    "STORED",
    "BitReader",
    "BitWriter",
    "Chunk",
    "Frame",
    "decode_frame",
    "read_frame",
    "read_varint",
    "write_frame",
    "write_varint",
]

STORED, FILL, CODED, CODED_SHARED = range(4)


class BitReader:
    """Takes bits from bytes, least significant first; ValueError where they run out."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> int:
        """The number of ``count`` bits that comes next."""
        start, end = self.position, self.position + count
        if end > 8 * len(self.data):
            raise ValueError("the bits end too early")
        self.position = end
        return int.from_bytes(self.data[start // 8 : (end + 7) // 8], "little") >> start % 8 & ((1 << count) - 1)

    def finish(self) -> int:
        """Skips the zero bits up to the next whole byte and returns how many bytes were used."""
        if self.take(-self.position % 8):
            raise ValueError("the bits after the last one are not zero")
        return self.position // 8


class BitWriter:
    """Collects bits, least significant first."""

    def __init__(self) -> None:
        self.parts: list[str] = []  # of the characters 0 and 1, in the order in which the bits stand
        self.count = 0

    def put(self, value: int, count: int) -> None:
        """Appends a number of ``count`` bits."""
        self.put_bits(f"{value:0{count}b}"[::-1] if count else "")

    def put_bits(self, bits: str) -> None:
        """Appends bits as they stand."""
        self.parts.append(bits)
        self.count += len(bits)

    def bytes(self) -> bytes:
        """All bits, filled up with zeros to whole bytes."""
        return int("".join(self.parts)[::-1] or "0", 2).to_bytes((self.count + 7) // 8, "little")


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and the position after it."""
    value = 0
    for k in range(7):
        if at + k >= len(data):
            raise ValueError("a varint is cut off")
        byte = data[at + k]
        value |= (byte & 127) << 7 * k
        if byte < 128:
            if byte == 0 and k > 0:
                raise ValueError("a varint is longer than it need be")
            return value, at + k + 1
    raise ValueError("a varint is too long")


def write_varint(value: int) -> bytes:
    """Base 128, least significant group first."""
    out = bytearray()
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


@dataclass(frozen=True)
class Chunk:
    """One entry of the chunk table with its stored bytes."""

    kind: int
    streams_log: int
    stored: bytes
    decoded_bytes: int


@dataclass(frozen=True)
class Frame:
    """A frame taken apart; ``body`` is what follows the chunk table."""

    decoded_bytes: int
    has_table: bool
    has_pair: bool
    entries: list[tuple[int, int, int]]  # kind, streams_log, stored bytes
    chunk_bytes: int
    body: bytes
    may_split: bool

    def chunks(self, table_bytes: int) -> list[Chunk]:
        """The chunks, which begin ``table_bytes`` into the body."""
        at, out, left = table_bytes, [], self.decoded_bytes
        for kind, streams_log, size in self.entries:
            stored, decoded = self.body[at : at + size], min(left, self.chunk_bytes)
            if len(stored) < size:
                raise ValueError("the chunks are cut off")
            wrong = size != decoded if kind == STORED else size != 1 and not self.may_split
            if kind in (STORED, FILL) and (wrong or (streams_log and (kind == STORED or size == 1))):
                raise ValueError("a chunk that is not coded has a wrong entry")
            if (kind in (CODED, CODED_SHARED) or (kind == FILL and size > 1)) and size >= decoded:
                raise ValueError("a coded chunk is not shorter than its decoded bytes")
            if kind == CODED_SHARED and not self.has_table:
                raise ValueError("there is no shared table")
            out.append(Chunk(kind, streams_log, stored, decoded))
            at += size
            left -= decoded
        if at != len(self.body):
            raise ValueError("bytes follow the last chunk")
        return out


def read_frame(blob: bytes, may_split: bool = False, may_pair: bool = False) -> Frame:
    """Takes a frame's head and chunk table apart; ``may_split``: of Huffman or rANS, ``may_pair``: of rANS."""
    decoded, at = read_varint(blob, 0)
    if decoded >= 2**48:
        raise ValueError("the decoded length is too large")
    if decoded == 0:
        if at != len(blob):
            raise ValueError("bytes follow an empty frame")
        return Frame(0, False, False, [], 1, b"", may_split)
    if at >= len(blob):
        raise ValueError("the head is cut off")
    head, at = blob[at], at + 1
    chunk_log = 12 + head % 16
    if head >= (64 if may_pair else 32) or chunk_log > 20:
        raise ValueError("the head has bits that it must not have")
    count = -(-decoded // 2**chunk_log)
    if len(blob) - at < 4 * count:
        raise ValueError("the frame is too short for its chunks")
    entries = []
    for k in range(count):
        entry = int.from_bytes(blob[at + 3 * k : at + 3 * k + 3], "little")
        entries.append((entry % 4, entry // 4 % 4, entry // 16 + 1))
    return Frame(decoded, head // 16 % 2 == 1, head >= 32, entries, 2**chunk_log, blob[at + 3 * count :], may_split)


Table = TypeVar("Table")


def decode_frame(
    blob: bytes,
    read_table: Callable[[bytes], tuple[Table, int]],
    decode_chunk: Callable[[bytes, int, int, Table], bytes],
    decode_split: Callable[[Chunk, list[Table]], bytes] | None = None,
    may_pair: bool = False,
) -> bytes:
    """The bytes that a frame holds. ``read_table`` gives a table and its size, ``decode_chunk(stored, streams_log,
    decoded bytes, table)`` a coded chunk's bytes, ``decode_split(chunk, the shared pair of tables or nothing)`` those
    of a filled one of more than one stored byte; ``may_pair``: whether there may be one.
    """
    frame = read_frame(blob, decode_split is not None, may_pair)
    shared = read_table(frame.body) if frame.has_table else None
    at, pair = shared[1] if shared else 0, []
    for _ in range(2 if frame.has_pair else 0):
        table, used = read_table(frame.body[at:])
        pair.append(table)
        at += used
    out = []
    for chunk in frame.chunks(at):
        if chunk.kind == STORED:
            out.append(chunk.stored)
        elif decode_split and chunk.kind == FILL and len(chunk.stored) > 1:
            out.append(decode_split(chunk, pair))
        elif chunk.kind == FILL:
            out.append(chunk.stored * chunk.decoded_bytes)
        elif chunk.kind == CODED_SHARED and shared:
            out.append(decode_chunk(chunk.stored, chunk.streams_log, chunk.decoded_bytes, shared[0]))
        else:
            table, used = read_table(chunk.stored)
            out.append(decode_chunk(chunk.stored[used:], chunk.streams_log, chunk.decoded_bytes, table))
    return b"".join(out)


def write_frame(
    data: bytes,
    chunk_log: int,
    table: bytes,
    encode_chunk: Callable[[int, bytes, bool], tuple[int, int, bytes]],
    flag: int = 16,
) -> bytes:
    """A frame of ``data``; ``encode_chunk(start, chunk, may share the table)`` gives kind, streams_log and bytes.

    ``flag`` is added to the head where the frame has the table.

    Coded chunks that are not shorter than their data are stored, and the table is left out where it does not pay.
    """
    if not data:
        return write_varint(0)

    def code_all(may_share: bool) -> list[tuple[int, int, bytes, int]]:
        out = []
        for start in range(0, len(data), 2**chunk_log):
            chunk = data[start : start + 2**chunk_log]
            if len(chunk) > 1 and chunk == chunk[:1] * len(chunk):
                kind, streams_log, stored = FILL, 0, chunk[:1]
            else:
                kind, streams_log, stored = encode_chunk(start, chunk, may_share)
                if len(stored) >= len(chunk):
                    kind, streams_log, stored = STORED, 0, chunk
            out.append((kind, streams_log, stored, len(chunk)))
        return out

    chunks = code_all(bool(table))
    shared = [c for c in chunks if c[0] == CODED_SHARED or (c[0] == FILL and len(c[2]) > 1 and c[2][1] & 2)]
    saved = sum(size - len(stored) for _, _, stored, size in shared)
    if saved <= len(table):
        if saved:
            chunks = code_all(False)
        table = b""
    out = write_varint(len(data)) + bytes([chunk_log - 12 + (flag if table else 0)])
    for kind, streams_log, stored, _ in chunks:
        out += (kind + 4 * streams_log + 16 * (len(stored) - 1)).to_bytes(3, "little")
    return out + table + b"".join(stored for _, _, stored, _ in chunks)
