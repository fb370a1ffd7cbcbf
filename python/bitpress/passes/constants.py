"""Fold constants: evaluate the arithmetic on shapes and indices that exporters leave in a graph.

Sizes that are not known (a batch dimension) flow through as symbols, strings in an array of objects, so that
Reshape(x, Concat(Gather(Shape(x), 0), 1280)) is still seen to be a reshape to (the batch, 1280).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..graph import Node

__all__ = ["FOLDABLE", "MAX_ELEMENTS", "fold_constants"]

MAX_ELEMENTS = 1 << 16  # nothing larger is evaluated: weights stay stored tensors


def fold_constants(
    nodes: Iterable[Node],
    known: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int | str, ...]],
) -> tuple[list[Node], dict[str, np.ndarray]]:
    """The nodes that are left, and ``known`` with every value that could be evaluated.

    ``known``: small constant arrays by name. ``shapes``: what is known of shapes, a string for a size that is not. Node
    attributes are ONNX's own (constant inputs not yet turned into attributes).
    """
    found = dict(known)
    left: list[Node] = []
    for node in nodes:
        result = _evaluate(node, found, shapes)
        if result is None:
            left.append(node)
        else:
            found[node.outputs[0]] = result
    return left, found


def _evaluate(
    node: Node, known: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | str, ...]]
) -> np.ndarray | None:
    if len(node.outputs) != 1:
        return None
    if node.op in ("Shape", "Size"):
        return _shape(node, known, shapes)
    rule = _RULES.get(node.op)
    if rule is None or not all(name == "" or name in known for name in node.inputs):
        return None
    inputs = [known[name] if name else None for name in node.inputs]
    if node.op not in _MOVERS and any(array is not None and array.dtype == object for array in inputs):
        return None
    try:
        result = np.asarray(rule(dict(node.attributes), *inputs))
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, FloatingPointError, MemoryError):
        return None  # whoever lowers the node will name it
    return result if result.size <= MAX_ELEMENTS else None


def _shape(
    node: Node, known: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | str, ...]]
) -> np.ndarray | None:
    name = node.inputs[0]
    shape: tuple[int | str, ...] | None = known[name].shape if name in known else shapes.get(name)
    if shape is None:
        return None
    if node.op == "Size":
        numbers = [size for size in shape if isinstance(size, int)]
        return np.asarray(np.prod(numbers, dtype=np.int64)) if len(numbers) == len(shape) else None
    attributes: Mapping[str, Any] = node.attributes
    part = list(shape)[attributes.get("start", 0) : attributes.get("end", len(shape))]
    return _sizes(part)


def _sizes(sizes: list[int | str]) -> np.ndarray:
    if all(isinstance(size, int) for size in sizes):
        return np.array(sizes, np.int64)
    array = np.empty(len(sizes), object)
    array[:] = sizes
    return array


def _settle(array: np.ndarray) -> np.ndarray:
    """An array of objects without a symbol left is one of integers."""
    if array.dtype == object and not any(isinstance(item, str) for item in array.ravel()):
        return array.astype(np.int64)
    return array


def _cast(attributes: dict[str, Any], x: np.ndarray) -> np.ndarray:
    if x.dtype == object:
        if attributes["to"] not in (6, 7):  # INT32, INT64
            raise TypeError("a symbol is an integer")
        return x
    if attributes["to"] == 10:  # halves are held in float32
        return x.astype(np.float16).astype(np.float32)
    if attributes["to"] == 16:
        bits = x.astype(np.float32).view(np.uint32)
        even = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
        return np.where(np.isfinite(x), even, bits).astype(np.uint32).view(np.float32)
    types = {1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}
    return x.astype(types[attributes["to"]])


def _gather(attributes: dict[str, Any], data: np.ndarray, indices: np.ndarray) -> np.ndarray:
    axis = attributes.get("axis", 0)
    result = np.take(data, indices.astype(np.int64), axis=axis, mode="raise")
    return _settle(np.asarray(result, dtype=data.dtype))


def _slice(
    attributes: dict[str, Any],
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    axes: np.ndarray | None = None,
    steps: np.ndarray | None = None,
) -> np.ndarray:
    cut: list[slice] = [slice(None)] * data.ndim
    for i, start in enumerate(starts):
        step = int(steps[i]) if steps is not None else 1
        axis = int(axes[i]) if axes is not None else i
        size = data.shape[axis]
        low, high = (int(start), int(ends[i]))
        if step < 0:
            high = None if high < -size else high  # type: ignore[assignment]
        cut[axis] = slice(low, high, step)
    return _settle(data[tuple(cut)])


def _axes(attributes: dict[str, Any], axes: np.ndarray | None) -> tuple[int, ...] | None:
    if axes is not None:
        return tuple(int(axis) for axis in axes.ravel())
    return tuple(attributes["axes"]) if "axes" in attributes else None


def _unsqueeze(attributes: dict[str, Any], x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    return np.expand_dims(x, _axes(attributes, axes) or ())


def _squeeze(attributes: dict[str, Any], x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    return np.squeeze(x, _axes(attributes, axes))


def _reshape(attributes: dict[str, Any], x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    sizes = [
        x.shape[i] if size == 0 and not attributes.get("allowzero", 0) else int(size) for i, size in enumerate(shape)
    ]
    return x.reshape(sizes)


def _concat(attributes: dict[str, Any], *parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts, axis=attributes["axis"])


def _divide(attributes: dict[str, Any], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if not np.issubdtype(a.dtype, np.integer):
        return np.asarray(np.divide(a, b))
    if not np.all(b):
        raise ValueError("division by zero")
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), dtype=a.dtype)  # as C does: towards zero


def _mod(attributes: dict[str, Any], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if np.issubdtype(a.dtype, np.integer) and not np.all(b):
        raise ValueError("division by zero")
    return np.asarray((np.fmod if attributes.get("fmod", 0) else np.mod)(a, b))


def _constant_of_shape(attributes: dict[str, Any], shape: np.ndarray) -> np.ndarray:
    sizes = [int(size) for size in shape]
    if any(size < 0 for size in sizes) or np.prod([float(size) for size in sizes]) > MAX_ELEMENTS:
        raise ValueError("too large to fold")
    value = np.asarray(attributes.get("value", np.zeros(1, np.float32)))
    return np.full(sizes, value.ravel()[0], value.dtype)


def _range(attributes: dict[str, Any], start: np.ndarray, limit: np.ndarray, step: np.ndarray) -> np.ndarray:
    if step == 0 or abs((float(limit) - float(start)) / float(step)) > MAX_ELEMENTS:
        raise ValueError("too large to fold")
    return np.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


def _expand(attributes: dict[str, Any], x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    if np.prod([float(size) for size in shape]) > MAX_ELEMENTS:
        raise ValueError("too large to fold")
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(int(size) for size in shape)))


def _reduce(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    def rule(attributes: dict[str, Any], x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
        chosen = _axes(attributes, axes)
        if not chosen and attributes.get("noop_with_empty_axes", 0):
            return x
        result = function(x, axis=chosen or None, keepdims=bool(attributes.get("keepdims", 1)))
        return np.asarray(result, dtype=x.dtype)

    return rule


def _plain(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    return lambda attributes, *inputs: np.asarray(function(*inputs))


_MOVERS = frozenset({"Cast", "Concat", "Gather", "Identity", "Slice", "Squeeze", "Unsqueeze"})  # also move symbols
_RULES: dict[str, Callable[..., np.ndarray]] = {
    "Abs": _plain(np.abs),
    "Add": _plain(np.add),
    "And": _plain(np.logical_and),
    "Cast": _cast,
    "Ceil": _plain(np.ceil),
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Equal": _plain(np.equal),
    "Expand": _expand,
    "Floor": _plain(np.floor),
    "Gather": _gather,
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "Identity": _plain(lambda x: x),
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Max": _plain(lambda *inputs: functools.reduce(np.maximum, inputs)),
    "Min": _plain(lambda *inputs: functools.reduce(np.minimum, inputs)),
    "Mod": _mod,
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "Not": _plain(np.logical_not),
    "Or": _plain(np.logical_or),
    "Range": _range,
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _reshape,
    "Slice": _slice,
    "Sqrt": _plain(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(np.subtract),
    "Transpose": lambda attributes, x: np.transpose(x, attributes.get("perm")),
    "Unsqueeze": _unsqueeze,
    "Where": _plain(np.where),
    "Xor": _plain(np.logical_xor),
}
FOLDABLE = frozenset(_RULES) | {"Shape", "Size"}
