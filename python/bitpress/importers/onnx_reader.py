"""One ONNX node while it is lowered: what it may ask, and how the nodes that stand for it are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..dtypes import dtype_of, numpy_dtype
from ..errors import UnsupportedError
from ..graph import Node
from ..operators import is_default
from .onnx_codes import QuantizedTensor
from .onnx_tensors import OnnxTensor

__all__ = ["Chain", "Context", "Reader", "Rule", "plain"]


@dataclass(frozen=True)
class Context:
    """What lowering may ask: the opset, constants that have been evaluated, shapes (a string: a size not known),
    element types. Lowering adds the constants that it makes to ``known``."""

    opset: int
    known: dict[str, np.ndarray]
    shapes: dict[str, tuple[int | str, ...]]
    dtypes: dict[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()  # the graph's
    elements: dict[str, int] = field(default_factory=dict)  # ONNX's own element types
    stored: Mapping[str, OnnxTensor | QuantizedTensor] = field(default_factory=dict)
    bound: int = 1024  # most numbers of what no constant bounds
    quantized: dict[str, QuantizedTensor] = field(default_factory=dict)  # what lowering made of codes


class Reader:
    """One node while it is lowered."""

    def __init__(self, node: Node, context: Context) -> None:
        self.node = node
        self.opset = context.opset
        self.context = context
        self.attributes: dict[str, Any] = dict(node.attributes)

    def refuse(self, what: str) -> UnsupportedError:
        """The error to raise: this node, with that, is not supported."""
        return UnsupportedError(f'operator {self.node.op} (node "{self.node.name}") is not supported with {what}')

    def input(self, index: int) -> str:
        """The name of an input; "" where it is absent."""
        return self.node.inputs[index] if index < len(self.node.inputs) else ""

    def output(self, index: int) -> str:
        """The name of an output; "" where it is absent."""
        return self.node.outputs[index] if index < len(self.node.outputs) else ""

    def constant(self, index: int, what: str) -> np.ndarray | None:
        """A constant input; None where it is absent. A value that is computed at run time is refused."""
        name = self.input(index)
        if not name:
            return None
        if name not in self.context.known:
            raise self.refuse(f"{what} that is not constant ({name!r})")
        return self.context.known[name]

    def integers(self, index: int, what: str, since: int | None = None, attribute: str = "axes") -> list[int] | None:
        """Integers that are an attribute before opset ``since`` and an input from it on."""
        if since is not None and self.opset < since:
            value = self.attributes.get(attribute)
            return None if value is None else [int(item) for item in value]
        array = self.constant(index, what)
        if array is None:
            return None
        if array.dtype == object:
            raise self.refuse(f"{what} that depends on a size not known")
        return [int(item) for item in array.ravel()]

    def number(self, index: int, what: str, default: float) -> float:
        """A constant input of one number."""
        array = self.constant(index, what)
        return default if array is None or array.size == 0 else float(array.reshape(()) if array.ndim < 2 else array)

    def rank(self, index: int = 0) -> int | None:
        """How many axes an input has; None where that is not known."""
        name = self.input(index)
        if name in self.context.known:
            return self.context.known[name].ndim
        shape = self.context.shapes.get(name)
        return None if shape is None else len(shape)

    def make(self, inputs: int | None = None, op: str | None = None, /, **attributes: Any) -> Node:
        """The lowered node: the first ``inputs`` of its inputs (without trailing absent ones), its first output.

        An attribute that has its default is left out.
        """
        op = op or self.node.op
        names = list(self.node.inputs[:inputs])
        while names and not names[-1]:
            names.pop()
        told = {key: value for key, value in attributes.items() if not is_default(op, key, value)}
        return Node(op, self.node.name, tuple(names), self.node.outputs[:1], told)

    def sizes(self, index: int = 0) -> tuple[int | str, ...]:
        """The shape of an input; refused where its rank is not known."""
        name = self.input(index)
        shape = self.context.known[name].shape if name in self.context.known else self.context.shapes.get(name)
        if shape is None:
            raise self.refuse("an input of unknown rank")
        return shape

    def size(self, axis: int, index: int = 0) -> int:
        """The size of one axis of an input; refused where it is not known."""
        size = self.sizes(index)[axis]
        if isinstance(size, str):
            raise self.refuse(f"a size of axis {axis} that is not known")
        return size

    def dtype(self, index: int = 0) -> str:
        """The element type of an input."""
        name = self.input(index)
        dtype = dtype_of(self.context.known[name]) if name in self.context.known else self.context.dtypes[name]
        return "F32" if dtype in ("F16", "BF16") else dtype

    def element(self, index: int = 0) -> int:
        """ONNX's element type of an input."""
        return self.context.elements[self.input(index)]

    def result(self, index: int = 0) -> int:
        """ONNX's element type of an output."""
        return self.context.elements[self.node.outputs[index]]


class Chain:
    """Several of our nodes for one: their names and those of the values in between follow from the node's."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.nodes: list[Node] = []
        self._first = next((name for name in reader.node.outputs if name), reader.node.name)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node in between; its output."""
        return self._node(op, inputs, f"{self._first}.{op}{len(self.nodes)}", attributes)

    def end(self, op: str, *inputs: str, output: int = 0, **attributes: Any) -> list[Node]:
        """The node that writes the output; all nodes."""
        self._node(op, inputs, self.reader.node.outputs[output], attributes)
        return self.nodes

    def _node(self, op: str, inputs: tuple[str, ...], output: str, attributes: dict[str, Any]) -> str:
        told = {key: value for key, value in attributes.items() if not is_default(op, key, value)}
        name = self.reader.node.name
        self.nodes.append(Node(op, f"{name}.{len(self.nodes)}" if self.nodes else name, inputs, (output,), told))
        return output

    def constant(self, values: Any, dtype: str | None = None) -> str:
        """A stored tensor of these numbers, by default of the type of the first input."""
        array = np.array(values, numpy_dtype(dtype or self.reader.dtype()), order="C")
        known = self.reader.context.known
        name = f"{self._first}.constant{len(known)}"
        known[name] = array
        return name


def plain(**defaults: float) -> Callable[[Reader], Iterable[Node]]:
    """An operator whose attributes stay as they are; ``defaults`` names them."""

    def rule(reader: Reader) -> Iterable[Node]:
        values = {key: type(default)(reader.attributes.get(key, default)) for key, default in defaults.items()}
        return [reader.make(**values)]

    return rule


Rule = Callable[[Reader], Iterable[Node]]
