"""Remove what does nothing: Identity and Dropout nodes, and nodes whose results nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..graph import Body, Graph, Node

__all__ = ["remove_dead_code"]

_TRANSPARENT = frozenset({"Identity", "Dropout"})


def remove_dead_code(graph: Graph) -> Graph:
    """The graph without nodes that pass a value through, and without nodes and values that no output depends on."""
    return _drop_unread(_bypass(graph))


def _bypass(graph: Graph) -> Graph:
    outputs = {value.name for value in graph.outputs}
    written = {name for node in graph.nodes for name in node.outputs}
    renamed: dict[str, str] = {}

    def source(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    kept: list[Node] = []
    for node in graph.nodes:
        if node.op in _TRANSPARENT and node.outputs[0] not in outputs:
            renamed[node.outputs[0]] = node.inputs[0]
        else:
            kept.append(node)
    kept = [_reading(node, source) for node in kept]

    # An Identity that writes a graph output: let the node before it write that name, unless its own name is needed too.
    swapped: dict[str, str] = {}
    for node in kept:
        if node.op in _TRANSPARENT:
            before, after = node.inputs[0], node.outputs[0]
            if before in written and before not in outputs and before not in swapped:
                swapped[before] = after
    if swapped:
        kept = [
            node.renamed(swapped)
            for node in kept
            if not (node.op in _TRANSPARENT and swapped.get(node.inputs[0]) == node.outputs[0])
        ]
    return replace(graph, nodes=tuple(kept))


def _reading(node: Node, source: Callable[[str], str]) -> Node:
    """The node, where everything that it and its bodies read is what stands for it now."""
    inputs = tuple(source(name) for name in node.inputs)
    return replace(node, inputs=inputs, bodies=tuple(_body_reading(body, source) for body in node.bodies))


def _body_reading(body: Body, source: Callable[[str], str]) -> Body:
    return replace(
        body,
        nodes=tuple(_reading(node, source) for node in body.nodes),
        outputs=tuple(source(name) for name in body.outputs),
    )


def _drop_unread(graph: Graph) -> Graph:
    read = {value.name for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(name in read for name in node.outputs):
            kept.append(node)
            read.update(node.reads)
    kept.reverse()
    used = read | {name for node in kept for name in node.outputs}
    values = {name: value for name, value in graph.values.items() if name in used}
    return replace(graph, nodes=tuple(kept), values=values)
