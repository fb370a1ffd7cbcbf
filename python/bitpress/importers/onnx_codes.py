"""Float tensors that an ONNX model holds as integer codes, scales and zero points: taken over as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..scheme import Granularity, Integer, Scheme
from ..tensor import Codes, PackedTensor

__all__ = ["INTEGERS", "QuantizedTensor", "integer_scheme", "quantized"]

INTEGERS = {2: (8, 0), 3: (8, 128), 4: (16, 0), 5: (16, 1 << 15), 21: (4, 0), 22: (4, 8), 25: (2, 0), 26: (2, 2)}
"""ONNX's integer types that codes can have: bits, and what makes a stored number a code, which is not negative."""


@dataclass(frozen=True)
class QuantizedTensor:
    """``scale * (code - zero)``, as ONNX dequantizes: the same float32 numbers.

    ``shape`` is what the graph sees; where ``transposed`` (matrices alone), the tensor is held as [columns, rows], and
    only products read it, as their second matrix. ``integers``: the codes in the held shape, less their offset.
    """

    name: str
    shape: tuple[int, ...]
    scheme: Scheme
    integers: Callable[[], np.ndarray]
    offset: int
    scales: np.ndarray  # [scales]
    zeros: np.ndarray  # [scales], of the codes
    transposed: bool = False

    dtype = "F32"
    element = 1  # ONNX's FLOAT
    mapped = False

    @property
    def held(self) -> tuple[int, ...]:
        """The shape in which it is stored."""
        return self.shape[::-1] if self.transposed else self.shape

    def packed(self) -> PackedTensor:
        """The tensor: its codes, scales and zero points are the model's own."""
        values = self.scheme.values
        assert isinstance(values, Integer)
        kind: Any = values.code_dtype
        codes: Codes = (self.integers().astype(np.int32) + self.offset).astype(kind).reshape(self.held)
        zeros: Codes | None = None if values.symmetric else self.zeros.astype(kind)
        return PackedTensor.from_codes(codes, self.scales, self.scheme, zeros=zeros)

    def read(self) -> np.ndarray:
        """The numbers, float32 in the held shape."""
        return self.packed().unpack()


def integer_scheme(bits: int, zeros: np.ndarray, granularity: Granularity, axis: int = 0, group: int = 0) -> Scheme:
    """The scheme of codes whose zero points are these; symmetric where all of them are the middle code."""
    symmetric = bool((zeros == 1 << bits - 1).all())
    return Scheme(values=Integer(bits, symmetric, granularity, axis, group))


def quantized(
    name: str,
    shape: tuple[int, ...],
    element: int,
    integers: Callable[[], np.ndarray],
    scales: np.ndarray,
    points: np.ndarray | None,
    *,
    axis: int = 1,
    block: int = 0,
) -> QuantizedTensor | None:
    """What DequantizeLinear makes of constants; None where our schemes do not hold it.

    ``integers``: of ONNX's type ``element``, in ``shape``. ``scales`` and ``points``: one, one an index of ``axis``, or
    (``block`` > 0) one a block of so many along it, of a matrix. Blocks along its first axis make it transposed.
    """
    if element not in INTEGERS or 0 in shape or not np.isfinite(scales).all() or not (scales > 0).all():
        return None
    bits, offset = INTEGERS[element]
    with np.errstate(over="ignore"):
        if not np.isfinite(scales.astype(np.float32) * np.float32(1 << bits)).all():
            return None
    zeros = np.full(scales.shape, offset) if points is None else points.astype(np.int64) + offset
    if zeros.shape != scales.shape or len(shape) > 8 or scales.size == 0:
        return None
    axis = axis % len(shape) if shape else 0
    tensor = QuantizedTensor(name, shape, Scheme(), integers, offset, scales.reshape(-1), zeros.reshape(-1))
    if block == 0 and scales.size == 1:
        return replace(tensor, scheme=integer_scheme(bits, zeros, Granularity.TENSOR))
    if block == 0:
        if not shape or scales.shape != (shape[axis],):
            return None
        return replace(tensor, scheme=integer_scheme(bits, zeros, Granularity.AXIS, axis))
    blocks = tuple(-(-size // block) if i == axis else size for i, size in enumerate(shape))
    if len(shape) != 2 or scales.shape != blocks:
        return None
    scheme = integer_scheme(bits, zeros, Granularity.GROUP, group=block)
    if axis == 1:
        return replace(tensor, scheme=scheme)
    return replace(
        tensor,
        scheme=scheme,
        integers=lambda: integers().reshape(shape).T,
        scales=scales.T.reshape(-1),
        zeros=zeros.T.reshape(-1),
        transposed=True,
    )
