"""Values of section 4 of docs/format.md. A part of third_reader.py."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from third_bits import Bits, must
from third_mask import stored

if TYPE_CHECKING:
    from third_reader import Tensor


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


def product(numbers: list[int]) -> int:
    out = 1
    for number in numbers:
        out *= number
    return out


def elements_of(tensor: Tensor) -> bytes:
    """The tensor's elements in its own type, row-major."""
    mask = stored(tensor)
    must(sum(mask) == tensor.survivors, "population of the mask")
    if not tensor.code_bits:
        data = tensor.decoded["data"]
        if not tensor.structure:
            unused = -tensor.survivors * tensor.bits % 8
            must(unused == 0 or data[-1] >> 8 - unused == 0, "bits after the last element")
            return data
        size = tensor.bits // 8
        pieces = (data[i : i + size] for i in range(0, len(data), size))
        return b"".join(next(pieces) if held else bytes(size) for held in mask)
    out = bytearray()
    survivors = iter(coded_values(tensor))
    for i, held in enumerate(mask):
        value = next(survivors)(scale_index(tensor, i)) if held else 0.0
        out += element(tensor.dtype, value)
    return bytes(out)


def coded_values(tensor: Tensor) -> Iterator[Callable[[int], float]]:
    """For each survivor, its value as a function of which scale it has."""
    bits = Bits(tensor.decoded["codes"])
    codes = [bits.number(tensor.code_bits) for _ in range(tensor.survivors // (tensor.vector or 1))]
    bits.rest_of_byte()
    book = [entry for (entry,) in struct.iter_unpack("<f", tensor.decoded.get("codebook", b""))]
    must(all(abs(entry) < float("inf") for entry in book), "an entry of a codebook")
    scales = [scale for (scale,) in struct.iter_unpack("<f", tensor.decoded.get("scales", b""))]
    most = max(map(abs, book), default=0.0) if tensor.vector else 2.0**tensor.code_bits
    for scale in scales:
        must(0 < scale < float("inf"), "a scale")
        must(scale * most < 2.0**128 - 2.0**103, "a scale whose values are not finite")
    if tensor.vector:
        for code in codes:
            for entry in book[code * tensor.vector : (code + 1) * tensor.vector]:
                yield lambda k, entry=entry: float32(scales[k] * entry) if scales else entry
        return
    middle = 0.5 if tensor.code_bits == 1 else 2.0 ** (tensor.code_bits - 1)
    kind = "<H" if tensor.code_bits > 8 else "<B"
    stored_zeros = [float(zero) for (zero,) in struct.iter_unpack(kind, tensor.decoded.get("zeros", b""))]
    zeros = stored_zeros if tensor.affine else [middle] * len(scales)
    must(all(zero < 2**tensor.code_bits for zero in zeros), "a zero that is no code")
    for code in codes:
        yield lambda k, code=code: float32(scales[k] * float32(code - zeros[k]))


def scale_index(tensor: Tensor, i: int) -> int:
    if tensor.granularity == 1:
        return i // product(tensor.shape[tensor.axis + 1 :]) % tensor.shape[tensor.axis]
    if tensor.granularity == 2:
        rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
        columns = tensor.elements // rows
        return i // columns * -(-columns // tensor.group) + i % columns // tensor.group
    return 0


def scale_count(tensor: Tensor) -> int:
    if tensor.elements == 0:
        return 0
    if tensor.granularity == 1:
        return tensor.shape[tensor.axis]
    if tensor.granularity == 2:
        rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
        return rows * -(-(tensor.elements // rows) // tensor.group)
    return 1
