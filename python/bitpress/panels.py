"""Codes of a matrix in panels (docs/format.md, "Panels"): as products of bytes read them, so that none are laid out."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from .scheme import Integer, Scheme

__all__ = ["Order", "from_panels", "has_order", "to_panels"]

OUTPUTS = 16  # of a panel
_QUAD = 4  # inputs that stand side by side


class Order(enum.IntEnum):
    """How the codes of a tensor stand in a file; the number is the layout of their stream."""

    ELEMENTS = 0
    ROW_PANELS = 4  # outputs are the rows of the matrix
    COLUMN_PANELS = 5


def has_order(shape: tuple[int, ...], scheme: Scheme, order: Order) -> bool:
    """Whether a tensor can stand so: panels are of dense matrices of 2-, 4- or 8-bit integers that fill them."""
    if order is Order.ELEMENTS:
        return True
    values = scheme.values
    if len(shape) != 2 or scheme.is_sparse or not isinstance(values, Integer) or values.bits not in (2, 4, 8):
        return False
    outputs, inputs = shape if order is Order.ROW_PANELS else shape[::-1]
    return outputs % OUTPUTS == 0 and inputs % (32 // values.bits) == 0


def to_panels(packed: Any, bits: int, shape: tuple[int, ...], order: Order) -> memoryview:
    """Packed codes of a matrix that has this order, in it: the same number of bytes."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = np.frombuffer(packed, np.uint8)[:, None] >> shifts & ((1 << bits) - 1)
    matrix = codes.reshape(shape)
    outputs, inputs = matrix.shape if order is Order.ROW_PANELS else matrix.shape[::-1]
    by_output = matrix if order is Order.ROW_PANELS else matrix.T
    quads = by_output.reshape(outputs // OUTPUTS, OUTPUTS, inputs * bits // 32, 8 // bits, _QUAD)
    groups = quads.transpose(0, 2, 1, 4, 3) << shifts
    return memoryview(np.bitwise_or.reduce(groups, axis=-1).reshape(-1)).toreadonly()


def from_panels(stored: Any, bits: int, shape: tuple[int, ...], order: Order) -> memoryview:
    """The inverse of `to_panels`."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    outputs, inputs = shape if order is Order.ROW_PANELS else shape[::-1]
    groups = np.frombuffer(stored, np.uint8).reshape(outputs // OUTPUTS, inputs * bits // 32, OUTPUTS, _QUAD)
    quads = groups[..., None] >> shifts & ((1 << bits) - 1)
    by_output = quads.transpose(0, 2, 1, 4, 3).reshape(outputs, inputs)
    matrix = by_output if order is Order.ROW_PANELS else by_output.T
    codes = matrix.reshape(-1, 8 // bits) << shifts
    return memoryview(np.bitwise_or.reduce(codes, axis=-1).reshape(-1)).toreadonly()
