"""Bit packing and bitmaps as docs/format.md section 4 states them, by whole arrays of bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["compress", "expand", "mask_of", "pack_bits", "pack_lanes", "unpack_bits", "unpack_lanes"]

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[Any]  # uint8, or uint16 where they have more than 8 bits


def pack_bits(codes: Codes, bits: int) -> Bytes:
    """Codes [n], each under 2**bits, to ceil(n * bits / 8) bytes: the low ``bits`` bits of each, in order."""
    planes = (codes.astype(np.uint16).reshape(-1, 1) >> np.arange(bits, dtype=np.uint16)) & 1
    return np.packbits(planes.astype(np.uint8).reshape(-1), bitorder="little")


def unpack_bits(packed: Bytes, count: int, bits: int) -> Codes:
    """The first ``count`` codes of packed bytes: uint8, or uint16 above 8 bits."""
    planes = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    codes = np.zeros(count, np.uint16)
    for place in range(bits):
        codes |= planes[:, place].astype(np.uint16) << np.uint16(place)
    return codes.astype(np.uint8) if bits <= 8 else codes


def pack_lanes(codes: Bytes, bits: int) -> Bytes:
    """Codes [n] in lanes: blocks of 1024, code k of a block in lane k % 128; each lane packed as by ``pack_bits``."""
    filled = np.zeros(-(-codes.size // 1024) * 1024, np.uint8)
    filled[: codes.size] = codes
    lanes = filled.reshape(-1, 8, 128).transpose(0, 2, 1)  # block, lane, number in the lane
    packed = pack_bits(lanes.reshape(-1), bits).reshape(-1, 128, bits)
    return packed.transpose(0, 2, 1).reshape(-1)


def unpack_lanes(packed: Bytes, count: int, bits: int) -> Bytes:
    """The first ``count`` codes of packed lanes."""
    lanes = packed.reshape(-1, bits, 128).transpose(0, 2, 1).reshape(-1)
    codes = unpack_bits(lanes, lanes.size * 8 // bits, bits).reshape(-1, 128, 8)
    return codes.transpose(0, 2, 1).reshape(-1)[:count]


def mask_of(stored: npt.NDArray[np.bool_]) -> Bytes:
    """The mask stream of [n] booleans."""
    return np.packbits(stored.reshape(-1), bitorder="little")


def compress(elements: Bytes, mask: Bytes) -> Bytes:
    """The elements [n] whose bit is set, in order."""
    return elements[np.unpackbits(mask, count=elements.size, bitorder="little").astype(np.bool_)]


def expand(survivors: Bytes, mask: Bytes, count: int) -> Bytes:
    """[count] elements: the survivors where the mask's bits are set, 0 elsewhere."""
    stored = np.unpackbits(mask, count=count, bitorder="little").astype(np.bool_)
    elements = np.zeros(count, np.uint8)
    elements[stored] = survivors[: int(stored.sum())]
    return elements
