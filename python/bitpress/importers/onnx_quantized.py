"""ONNX's integer arithmetic as ours: QuantizeLinear, DequantizeLinear and the operators that multiply codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ..dtypes import DTYPES
from ..graph import Node
from .onnx_codes import QuantizedTensor, quantized
from .onnx_narrow import cast
from .onnx_pools import window
from .onnx_reader import Chain, Reader, Rule
from .onnx_tensors import OnnxTensor

__all__ = ["QUANTIZED"]

# ONNX's integer types: the least and the largest code.
_RANGES = {
    2: (0, 255),
    3: (-128, 127),
    4: (0, 65535),
    5: (-32768, 32767),
    21: (0, 15),
    22: (-8, 7),
    25: (0, 3),
    26: (-2, 1),
}
_U8 = 2
_EXACT = 1 << 10  # products of two bytes that float32 adds without rounding


def _to(chain: Chain, name: str, dtype: str) -> str:
    return chain.add("Cast", name, to=DTYPES[dtype].number)


def _spread(chain: Chain, reader: Reader, index: int, name: str, of: int = 0) -> str:
    """A scale or a zero point in a shape that broadcasts against input ``of``: one an axis, or one a block of it."""
    shape, target = reader.sizes(index), reader.sizes(of)
    axis, block = int(reader.attributes.get("axis", 1)), int(reader.attributes.get("block_size", 0))
    if block == 0:
        if len(shape) == 1 and len(target) > 1 and shape != (1,):
            after = len(target) - 1 - axis % len(target)
            return chain.add("Unsqueeze", name, axes=tuple(range(1, after + 1))) if after else name
        return name
    axis %= len(target)
    blocks, size = reader.size(axis, index), reader.size(axis, of)
    places = np.arange(size) // block
    if blocks != -(-size // block):
        raise ValueError(f"{blocks} scales for {size} elements in blocks of {block}")
    return chain.add("Gather", name, chain.constant(places, "I64"), axis=axis)


def _codes(chain: Chain, scaled: str, zero: str, element: int) -> str:
    """Scaled numbers (F32) as codes of an integer type: rounded to even, shifted, held inside its range."""
    low, high = _RANGES[element]
    x = chain.add("Round", scaled)
    if zero:
        x = chain.add("Add", x, _to(chain, zero, "F32"))
    x = chain.add("Clip", x, clip_low=float(low), clip_high=float(high))
    return cast(chain, x, "F32", element)


def _quantize(reader: Reader) -> Iterable[Node]:
    chain = Chain(reader)
    element = reader.result()
    scale = _spread(chain, reader, 1, reader.input(1))
    x = reader.input(0)
    if reader.dtype() != "F32":
        x = _to(chain, x, "F32")
    if reader.dtype(1) != "F32":
        scale = _to(chain, scale, "F32")
    scaled = chain.add("Div", x, scale)
    zero = _spread(chain, reader, 2, reader.input(2)) if reader.input(2) else ""
    if element in _RANGES:
        return chain.end("Identity", _codes(chain, scaled, zero, element))
    if zero:
        scaled = chain.add("Add", scaled, zero)
    return chain.end("Identity", cast(chain, scaled, "F32", element, bool(reader.attributes.get("saturate", 1))))


def _dequantize(reader: Reader) -> Iterable[Node]:
    chain = Chain(reader)
    scale = _spread(chain, reader, 1, reader.input(1))
    wide = reader.dtype(1)
    x = reader.input(0)
    if reader.input(2):
        zero = _spread(chain, reader, 2, reader.input(2))
        if reader.element() == 6:
            x = chain.add("Sub", x, zero)
        else:
            x = chain.add("Sub", _to(chain, x, wide), _to(chain, zero, wide))
    return chain.end("Mul", _to(chain, x, wide), scale)


def _dynamic(reader: Reader) -> Iterable[Node]:
    """DynamicQuantizeLinear: U8 codes between the least and the largest number, which span 0."""
    chain, x = Chain(reader), reader.input(0)
    zero = chain.constant(0.0)
    low = chain.add("Min", chain.add("ReduceMin", x, keepdims=0), zero)
    high = chain.add("Max", chain.add("ReduceMax", x, keepdims=0), zero)
    scale = chain.add("Div", chain.add("Sub", high, low), chain.constant(255.0))
    offset = chain.add("Div", chain.add("Sub", zero, low), scale)
    point = chain.add("Clip", chain.add("Round", offset), clip_low=0.0, clip_high=255.0)
    codes = _codes(chain, chain.add("Div", x, scale), point, _U8)
    if reader.output(1):
        chain.end("Identity", scale, output=1)
    if reader.output(2):
        chain.end("Cast", point, output=2, to=DTYPES["U8"].number)
    return chain.end("Identity", codes)


def _codes_of(reader: Reader, index: int, zero: int, axis: int) -> QuantizedTensor | None:
    """Constant codes less their zero point as a tensor of ours, of scale 1; ``axis``: that of several zero points."""
    held = reader.context.stored.get(reader.input(index))
    if not isinstance(held, OnnxTensor):
        return None
    points = None
    if reader.input(zero):
        if reader.input(zero) not in reader.context.stored:
            return None
        points = reader.context.stored[reader.input(zero)].read()
        points = points.reshape(1) if points.size == 1 else points
    scales: np.ndarray = np.ones(1 if points is None else points.shape, np.float32)
    name = f"{reader.node.outputs[0]}.{reader.input(index)}"
    return quantized(name, held.shape, held.element, held.read, scales, points, axis=axis)


def _part(whole: QuantizedTensor, axis: int, start: int, end: int) -> QuantizedTensor:
    """Indices ``start`` to ``end`` of an axis whose scales do not run along it."""
    if end - start == whole.shape[axis]:
        return whole
    cut = tuple(slice(start, end) if i == axis else slice(None) for i in range(len(whole.shape)))
    shape = tuple(end - start if i == axis else size for i, size in enumerate(whole.shape))
    codes = whole.integers
    return replace(whole, name=f"{whole.name}.{start}", shape=shape, integers=lambda: codes()[cut])


def _cut(chain: Chain, name: str, axis: int, start: int, end: int, size: int) -> str:
    """The same of a computed value."""
    return name if end - start == size else chain.add("Slice", name, starts=(start,), ends=(end,), axes=(axis,))


def _second(chain: Chain, whole: QuantizedTensor | str, axis: int, start: int, end: int, size: int) -> str:
    if isinstance(whole, str):
        return _cut(chain, whole, axis, start, end, size)
    part = _part(whole, axis, start, end)
    chain.reader.context.quantized[part.name] = part
    return part.name


def _centred(chain: Chain, reader: Reader, index: int, zero: int, columns: bool, spatial: int = 0) -> str:
    """Codes less their zero point, as F32 (whole numbers of at most 9 bits and a sign: exact)."""
    x = _to(chain, reader.input(index), "F32")
    if not reader.input(zero):
        return x
    point = _to(chain, reader.input(zero), "F32")
    shape = reader.sizes(zero)
    if spatial and len(shape) == 1:
        point = chain.add("Unsqueeze", point, axes=tuple(range(1, spatial + 1)))
    elif not columns and len(shape) == 1 and shape != (1,):
        point = chain.add("Unsqueeze", point, axes=(1,))
    return chain.add("Sub", x, point)


def _product(chain: Chain, reader: Reader, first: tuple[int, int], second: tuple[int, int]) -> str:
    """a @ b of whole numbers, as I32: in parts that float32 adds exactly. Pairs: a matrix and its zero point."""
    a = _centred(chain, reader, *first, False)
    ranks = len(reader.sizes(first[0])), len(reader.sizes(second[0]))
    b = _codes_of(reader, *second, ranks[1] - 1) or _centred(chain, reader, *second, True)
    inner, total = reader.size(-1, first[0]), ""
    for start in range(0, inner, _EXACT // 4):
        end = min(start + _EXACT // 4, inner)
        left = _cut(chain, a, ranks[0] - 1, start, end, inner)
        right = _second(chain, b, max(ranks[1] - 2, 0), start, end, inner)
        part = _to(chain, chain.add("MatMul", left, right), "I32")
        total = chain.add("Add", total, part) if total else part
    return total


def _matmul_integer(reader: Reader) -> Iterable[Node]:
    chain = Chain(reader)
    return chain.end("Identity", _product(chain, reader, (0, 2), (1, 3)))


def _conv_integer(reader: Reader) -> Iterable[Node]:
    chain = Chain(reader)
    spatial = len(reader.sizes(1)) - 2
    total = _conv_sum(chain, reader, (0, 2), (1, 3), spatial)
    return chain.end("Identity", total)


def _conv_sum(chain: Chain, reader: Reader, x: tuple[int, int], w: tuple[int, int], spatial: int) -> str:
    """A convolution of whole numbers, as I32: channels in parts that float32 adds exactly."""
    taps = int(np.prod([reader.size(axis, w[0]) for axis in range(2, spatial + 2)]))
    channels, group = reader.size(1, w[0]), int(reader.attributes.get("group", 1))
    most = min(_EXACT // 4 // max(taps, 1), channels)
    if most < 1 or (group > 1 and most < channels):
        raise reader.refuse(f"{taps * channels} products an output, more than float32 adds exactly")
    told: dict[str, Any] = {**window(reader, spatial), "group": group}
    codes = _centred(chain, reader, *x, True)
    weights = _codes_of(reader, *w, 0) or _centred(chain, reader, *w, False, spatial + 1)
    total = ""
    for start in range(0, channels, most):
        end = min(start + most, channels)
        size = channels if group == 1 else end - start
        left = _cut(chain, codes, 1, start, end, size)
        part = _to(chain, chain.add("Conv", left, _second(chain, weights, 1, start, end, channels), **told), "I32")
        total = chain.add("Add", total, part) if total else part
    return total


def _rescaled(
    chain: Chain, reader: Reader, total: str, scales: tuple[int, int, int], spatial: int = 0
) -> Iterable[Node]:
    """The sums of a product of codes as codes of its result."""
    a, b, y = (reader.input(i) for i in scales)
    if reader.dtype(scales[0]) != "F32":
        a, b, y = (_to(chain, name, "F32") for name in (a, b, y))
    if spatial and len(reader.sizes(scales[1])) == 1 and reader.sizes(scales[1]) != (1,):
        b = chain.add("Unsqueeze", b, axes=tuple(range(1, spatial + 1)))
    factor = chain.add("Div", chain.add("Mul", a, b), y)
    scaled = chain.add("Mul", _to(chain, total, "F32"), factor)
    return chain.end("Identity", _codes(chain, scaled, reader.input(scales[2] + 1), reader.result()))


def _q_matmul(reader: Reader) -> Iterable[Node]:
    chain = Chain(reader)
    return _rescaled(chain, reader, _product(chain, reader, (0, 2), (3, 5)), (1, 4, 6))


def _q_conv(reader: Reader) -> Iterable[Node]:
    chain = Chain(reader)
    spatial = len(reader.sizes(3)) - 2
    total = _conv_sum(chain, reader, (0, 2), (3, 5), spatial)
    if reader.input(8):
        total = chain.add("Add", total, chain.add("Unsqueeze", reader.input(8), axes=tuple(range(1, spatial + 1))))
    return _rescaled(chain, reader, total, (1, 4, 6), spatial)


QUANTIZED: dict[str, Rule] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic,
    "MatMulInteger": _matmul_integer,
    "ConvInteger": _conv_integer,
    "QLinearMatMul": _q_matmul,
    "QLinearConv": _q_conv,
}
