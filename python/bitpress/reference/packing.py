"""Bit packing and bitmaps as docs/format.md section 4 states them, by whole arrays of bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["compress", "expand", "mask_of", "pack_bits", "unpack_bits"]

Bytes = npt.NDArray[np.uint8]


def pack_bits(codes: Bytes, bits: int) -> Bytes:
    """Codes [n], each under 2**bits, to ceil(n * bits / 8) bytes: the low ``bits`` bits of each, in order."""
    planes = (codes.reshape(-1, 1) >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(planes.reshape(-1), bitorder="little")


def unpack_bits(packed: Bytes, count: int, bits: int) -> Bytes:
    """The first ``count`` codes of packed bytes."""
    planes = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    codes = np.zeros(count, np.uint8)
    for place in range(bits):
        codes |= planes[:, place] << np.uint8(place)
    return codes


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
