"""Masks of N:M and blocks as docs/format.md section 4 states them: by all sets, and element by element."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from .packing import pack_bits

__all__ = ["block_mask", "nm_mask", "sets"]

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def sets(n: int, m: int) -> list[int]:
    """The sets of n among m places as numbers of m bits, in rising order."""
    return sorted(sum(1 << place for place in places) for places in itertools.combinations(range(m), n))


def nm_mask(wanted: Flags, n: int, m: int) -> tuple[Bytes, Flags]:
    """The stream of a mask that stores ``wanted``, at most n of each m elements, and which elements it stores.

    A group that wants fewer stores the first others beside them.
    """
    stored = wanted.copy().reshape(-1, m)
    for group in stored:
        for place in range(m):
            if group.sum() < n:
                group[place] = True
    names = [sum(int(held) << place for place, held in enumerate(group)) for group in stored]
    known = sets(n, m)
    codes = np.array([known.index(name) for name in names], np.uint16)
    return pack_bits(codes, (len(known) - 1).bit_length()), stored.reshape(wanted.shape)


def block_mask(wanted: Flags, height: int, width: int) -> tuple[Bytes, Flags]:
    """The stream of a mask that stores each block with a wanted element, and which elements it stores."""
    rows = wanted.shape[0] if wanted.ndim > 1 else 1
    matrix = wanted.reshape(rows, -1) if wanted.size else wanted.reshape(0, 0)
    stored = np.zeros_like(matrix)
    bits = []
    for top in range(0, matrix.shape[0], height):
        for left in range(0, matrix.shape[1], width):
            held = bool(matrix[top : top + height, left : left + width].any())
            stored[top : top + height, left : left + width] = held
            bits.append(held)
    return np.packbits(np.array(bits, np.bool_), bitorder="little"), stored.reshape(wanted.shape)
