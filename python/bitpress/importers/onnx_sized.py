"""Operators whose results have as many elements as their inputs' values say: the runtime plans for the most."""

from __future__ import annotations

from collections.abc import Iterable

from ..graph import Node
from .onnx_reader import Chain, Reader, Rule

__all__ = ["SIZED"]


def _compress(reader: Reader) -> Iterable[Node]:
    axis = reader.attributes.get("axis")
    return [reader.make(2, **({} if axis is None else {"axis": int(axis)}))]


def _unique(reader: Reader) -> Iterable[Node]:
    node, axis = reader.node, reader.attributes.get("axis")
    told = {} if axis is None else {"axis": int(axis)}
    if not reader.attributes.get("sorted", 1):
        told["sorted"] = 0
    outputs = tuple(name or f"{node.outputs[0]}.{place}" for place, name in enumerate(node.outputs))
    return [Node("Unique", node.name, node.inputs[:1], outputs, told)]


def _non_max_suppression(reader: Reader) -> Iterable[Node]:
    told = {"center_point_box": int(reader.attributes.get("center_point_box", 0))}
    most = reader.context.known.get(reader.input(2))
    if most is not None and most.dtype != object:
        told["bound"] = max(int(most.ravel()[0]), 1)
    return [reader.make(5, **told)]


def _range(reader: Reader) -> Iterable[Node]:
    return [reader.make(3, bound=reader.context.bound)]


def _shape(reader: Reader) -> Iterable[Node]:
    """The sizes of a value, some of them, or (Size) their product."""
    chain, attributes = Chain(reader), reader.attributes
    if reader.node.op == "Size":
        return chain.end("ReduceProd", chain.add("Shape", reader.input(0)), keepdims=0)
    if "start" not in attributes and "end" not in attributes:
        return [reader.make(1)]
    ends = int(attributes.get("start", 0)), int(attributes.get("end", 1 << 62))
    return chain.end("Slice", chain.add("Shape", reader.input(0)), starts=(ends[0],), ends=(ends[1],), axes=(0,))


SIZED: dict[str, Rule] = {
    "NonZero": lambda reader: [reader.make(1)],
    "Compress": _compress,
    "Unique": _unique,
    "NonMaxSuppression": _non_max_suppression,
    "Range": _range,
    "Shape": _shape,
    "Size": _shape,
}
