"""A graph as text: its nodes in order, those of bodies further in; and what the passes make of an imported one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..graph import Graph, Node

__all__ = ["Stage", "count_operators", "list_nodes", "stages_of"]


@dataclass(frozen=True)
class Stage:
    """A graph after some passes: what they are called, and how many nodes of each operator there are then."""

    name: str
    graph: Graph

    @property
    def operators(self) -> dict[str, int]:
        """By operator, most first."""
        return count_operators(self.graph)


def count_operators(graph: Graph) -> dict[str, int]:
    """How many nodes of each operator, those in bodies too, most first."""
    return dict(Counter(node.op for node in _all_nodes(graph.nodes)).most_common())


def stages_of(path: str) -> list[Stage]:
    """An ONNX file's graph as it is imported, and after the passes that `compress` runs."""
    from ..importers.onnx import load
    from ..passes import optimize

    source = load(path)
    assert source.graph is not None
    after, _ = optimize(source.graph, source.arrays(), fixed=source.quantized.keys())
    return [Stage("imported", source.graph), Stage("after the passes", after)]


def list_nodes(graph: Graph) -> Iterator[str]:
    """A line a node: operator, name, inputs, outputs with what is known of their shapes, attributes."""
    yield from _lines(graph.nodes, graph, "")


def _lines(nodes: Sequence[Node], graph: Graph, indent: str) -> Iterator[str]:
    for node in nodes:
        told = " ".join(f"{key}={value}" for key, value in node.attributes.items())
        outputs = ", ".join(_described(name, graph) for name in node.outputs)
        inputs = ", ".join(name or "-" for name in node.inputs)
        yield f"{indent}{node.op} {node.name!r}: {inputs} -> {outputs}{' ' if told else ''}{told}"
        for body in node.bodies:
            given = ", ".join(value.name for value in body.inputs)
            yield f"{indent}  body ({given})"
            yield from _lines(body.nodes, graph, indent + "    ")
            yield f"{indent}  gives {', '.join(body.outputs)}"


def _described(name: str, graph: Graph) -> str:
    value = graph.value(name)
    if value.shape is None:
        return name
    return f"{name} [{'x'.join('?' if size == -1 else str(size) for size in value.shape)}]"


def _all_nodes(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for body in node.bodies:
            yield from _all_nodes(body.nodes)
