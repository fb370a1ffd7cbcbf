"""Codes in panels, one by one (docs/format.md, "Panels")."""

from __future__ import annotations

import numpy as np

__all__ = ["place", "stand_in_panels"]


def place(output: int, input_: int, inputs: int, bits: int) -> tuple[int, int]:
    """Byte and lowest bit of a code of ``bits`` bits."""
    group = 32 // bits
    panel = output // 16 * (16 * inputs * bits // 8)
    within = input_ // group * 64 + output % 16 * 4 + input_ % 4
    return panel + within, input_ % group // 4 * bits


def stand_in_panels(codes: np.ndarray, bits: int) -> bytes:
    """A matrix of codes, outputs by inputs, as bytes."""
    outputs, inputs = codes.shape
    stored = bytearray(outputs * inputs * bits // 8)
    for i in range(outputs):
        for j in range(inputs):
            byte, bit = place(i, j, inputs, bits)
            stored[byte] |= int(codes[i, j]) << bit
    return bytes(stored)
