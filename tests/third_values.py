"""Values of section 4 of docs/format.md. A part of third_reader.py."""

from __future__ import annotations

import struct


def float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def element(dtype: str, value: float) -> bytes:
    """A float32 value in F32, F64, F16 or BF16: to nearest even; over the largest finite value, that value."""
    if dtype == "F32":
        return struct.pack("<f", value)
    if dtype == "F64":
        return struct.pack("<d", value)
    if dtype == "F16":
        return struct.pack("<e", max(-65504.0, min(65504.0, value)))
    word = struct.unpack("<I", struct.pack("<f", value))[0]
    high, low = word >> 16, word & 0xFFFF
    high += low > 0x8000 or (low == 0x8000 and high & 1)
    if high & 0x7FFF >= 0x7F80:
        high = high & 0x8000 | 0x7F7F
    return struct.pack("<H", high)
