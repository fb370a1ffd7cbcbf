"""The third reader's deltas, from docs/format.md, section 2, "Base", alone."""

from __future__ import annotations

import struct
from typing import Protocol

from third_bits import must
from third_hash import xxh64


class Stream(Protocol):
    coding: int
    array: object


class Tensor(Protocol):
    """What the rules of a delta ask of a tensor."""

    name: str
    dtype: str
    bits: int  # an element
    structure: int
    code_bits: int
    data: bytes
    streams: list[Stream]


def read_base(sections: dict[int, tuple[int, bytes]], tensors: list[Tensor]) -> dict[str, tuple[int, int]]:
    """How each delta is held, and the hash of its base."""
    if 19 not in sections:
        return {}
    content = sections[19][1]
    must(content and len(content) % 16 == 0, "records of the base")
    deltas: dict[str, tuple[int, int]] = {}
    last = -1
    for index, how, zeros, base_sum in struct.iter_unpack("<IB3sQ", content):
        must(last < index < len(tensors) and how in (1, 2) and zeros == b"\0\0\0", "a record of the base")
        tensor = tensors[index]
        kept = not tensor.structure and not tensor.code_bits and tensor.streams[0].array is None
        must(kept and tensor.streams[0].coding != 0, "a delta that cannot be one")
        deltas[tensor.name] = how, base_sum
        last = index
    return deltas


def undo_delta(tensor: Tensor, base: bytes, how: int, base_sum: int) -> bytes:
    """The elements of a delta, from its data and its base's elements."""
    must(xxh64(base) == base_sum and len(base) == len(tensor.data), "another base")
    unit = 4 if tensor.dtype == "C64" else max(tensor.bits // 8, 1)
    out = b""
    for at in range(0, len(base), unit):
        a, b = (int.from_bytes(part[at : at + unit], "little") for part in (tensor.data, base))
        out += ((a ^ b) if how == 1 else (a + b) % 2 ** (8 * unit)).to_bytes(unit, "little")
    return out
