"""Masks of section 4 of docs/format.md: bitmaps, N:M and blocks. A part of third_reader.py."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from third_bits import must

if TYPE_CHECKING:
    from third_reader import Tensor


def sets(n: int, m: int) -> list[int]:
    """The sets of n among m places as numbers of m bits, in rising order."""
    return sorted(sum(1 << place for place in places) for places in itertools.combinations(range(m), n))


def matrix(tensor: Tensor) -> tuple[int, int]:
    """Rows and columns: the first dimension x all others; a vector or a scalar is one row."""
    rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
    return (rows, tensor.elements // rows) if tensor.elements else (0, 0)


def mask_bits(tensor: Tensor) -> int:
    """Bits of the stream."""
    first, second = tensor.pattern
    if tensor.structure == 2:
        return tensor.elements // second * (len(sets(first, second)) - 1).bit_length()
    if tensor.structure == 3:
        rows, columns = matrix(tensor)
        return -(-rows // first) * -(-columns // second)
    return tensor.elements


def stored(tensor: Tensor) -> list[bool]:
    """Which elements are stored."""
    if not tensor.structure:
        return [True] * tensor.elements
    raw = tensor.decoded["mask"]
    bits = [bool(raw[i // 8] >> i % 8 & 1) for i in range(8 * len(raw))]
    used = mask_bits(tensor)
    must(not any(bits[used:]), "mask bits after the last")
    first, second = tensor.pattern
    if tensor.structure == 1:
        return bits[:used]
    if tensor.structure == 3:
        rows, columns = matrix(tensor)
        across = -(-columns // second)
        return [bits[r // first * across + c // second] for r in range(rows) for c in range(columns)]
    all_sets = sets(first, second)
    width = (len(all_sets) - 1).bit_length()
    out = []
    for group in range(tensor.elements // second):
        index = sum(bits[group * width + k] << k for k in range(width))
        must(index < len(all_sets), "a set that is none")
        out += [bool(all_sets[index] >> place & 1) for place in range(second)]
    return out
