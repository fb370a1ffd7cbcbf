"""Graph: a network as a list of operators over named values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

__all__ = ["Attribute", "Body", "Graph", "Node", "Value"]

Attribute = int | float | tuple[int, ...]

MAX_RANK = 8


@dataclass(frozen=True)
class Value:
    """What flows between operators. ``shape`` has -1 where a size is not known; None where the rank is not."""

    name: str
    dtype: str = "F32"
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Body:
    """What a node owns and runs: nodes that read what stands before their owner too.

    ``inputs`` are written by the owner (a Loop: the turn's number, the condition, what is carried); ``outputs`` name
    values of the body or of what is around it. ``values``: what is known of the values inside.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def reads(self) -> tuple[str, ...]:
        """What it reads of the values around it, each once."""
        made = {value.name for value in self.inputs}
        made.update(output for node in self.nodes for output in node.outputs)
        read = [name for node in self.nodes for name in node.reads] + list(self.outputs)
        return tuple(dict.fromkeys(name for name in read if name not in made))

    def renamed(self, names: Mapping[str, str]) -> Body:
        """The same with other names for these values."""

        def named(value: Value) -> Value:
            return replace(value, name=names.get(value.name, value.name))

        return Body(
            tuple(named(value) for value in self.inputs),
            tuple(names.get(name, name) for name in self.outputs),
            tuple(node.renamed(names) for node in self.nodes),
            {names.get(name, name): named(value) for name, value in self.values.items()},
        )


@dataclass(frozen=True)
class Node:
    """One operator: ONNX's meaning, with constant inputs (axes, shapes, bounds) turned into attributes.

    An absent optional input is the empty string. An activation fused into Conv, Gemm, MatMul, Add ... is the attributes
    ``clip_low`` and ``clip_high`` (either may be infinite). If has two ``bodies`` (true, false), Loop one.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    bodies: tuple[Body, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """Everything it reads: its inputs that are there, and what its bodies read of the values around them."""
        return tuple(name for name in self.inputs if name) + tuple(name for body in self.bodies for name in body.reads)

    def renamed(self, names: Mapping[str, str]) -> Node:
        """The same with other names for these values."""
        inputs, outputs = (tuple(names.get(name, name) for name in ends) for ends in (self.inputs, self.outputs))
        bodies = tuple(body.renamed(names) for body in self.bodies)
        return replace(self, inputs=inputs, outputs=outputs, bodies=bodies)


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can be run. Stored tensors are the model's, by name."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value] = field(default_factory=dict)  # what is known of the values in between

    def stored(self) -> tuple[str, ...]:
        """Names of the stored tensors that the graph reads, each once, in the order of their first reader."""
        made = {value.name for value in self.inputs} | {output for node in self.nodes for output in node.outputs}
        read = [name for node in self.nodes for name in node.reads] + [value.name for value in self.outputs]
        return tuple(dict.fromkeys(name for name in read if name not in made))

    def value(self, name: str) -> Value:
        """What is known of a value: its dtype and shape where the graph says them, else F32 of unknown rank."""
        for value in (*self.inputs, *self.outputs):
            if value.name == name:
                return value
        return self.values.get(name, Value(name))

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each value, in order; a node that reads it twice stands there twice.

        Nodes in bodies stand there themselves; a body's owner does for the outputs of the body.
        """
        readers: dict[str, list[Node]] = {}
        for node, reads in _readings(self.nodes):
            for name in reads:
                readers.setdefault(name, []).append(node)
        return readers


def _readings(nodes: Sequence[Node]) -> Iterator[tuple[Node, list[str]]]:
    for node in nodes:
        yield node, [name for name in node.inputs if name]
        for body in node.bodies:
            yield from _readings(body.nodes)
            yield node, list(body.outputs)
