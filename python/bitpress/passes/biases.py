"""Find, or make, the biases that can take what the mean output of a layer has moved by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..graph import Graph, Node, Value
from .batch_norm import bias_name, unused

__all__ = ["Bias", "with_biases"]

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Bias:
    """A stored tensor [outputs] that is added to a layer's output, ``factor`` times what its weights make of an input.

    ``is_new``: the graph had none, and reads one of this name now, float32 zeros so far.
    """

    name: str
    outputs: int
    factor: float = 1.0
    is_new: bool = False


def with_biases(graph: Graph, layers: Iterable[tuple[str, int]], shapes: Shapes) -> tuple[Graph, dict[str, Bias]]:
    """The graph in which these layers have a bias of their own, and the biases, by the layer's first output.

    ``layers``: first output and number of outputs of Conv, Gemm and MatMul nodes. A Conv or Gemm without a bias gets
    one; of a MatMul, that of the Add that alone reads it. One that others read too, or of another shape, is left out.
    """
    readers = graph.consumers()
    nodes = {node.outputs[0]: node for node in graph.nodes}
    names = {name for node in graph.nodes for name in (*node.inputs, *node.outputs)} | set(shapes)
    values = dict(graph.values)
    changed: dict[str, Node] = {}
    found: dict[str, Bias] = {}
    for output, outputs in layers:
        node = nodes[output]
        factor = _number(node, "alpha") / (_number(node, "beta") or 1.0)
        name = _bias_of(graph, node, readers)
        if name:
            fits = shapes.get(name) in ((outputs,), (1, outputs)) and len(readers[name]) == 1 and _number(node, "beta")
            if fits:
                found[output] = Bias(name, outputs, factor)
        elif node.op in ("Conv", "Gemm"):
            name = unused(bias_name(node), names)
            names.add(name)
            attributes = {key: value for key, value in node.attributes.items() if key != "beta"}
            changed[output] = replace(node, inputs=(*node.inputs[:2], name), attributes=attributes)
            values[name] = Value(name, "F32", (outputs,))
            found[output] = Bias(name, outputs, _number(node, "alpha"), is_new=True)
    kept = tuple(changed.get(node.outputs[0], node) for node in graph.nodes)
    return replace(graph, nodes=kept, values=values), found


def _bias_of(graph: Graph, node: Node, readers: Mapping[str, list[Node]]) -> str:
    """What is added to a node's products; empty where nothing is."""
    if node.op != "MatMul":
        return node.inputs[2] if len(node.inputs) > 2 else ""
    output = node.outputs[0]
    after = readers.get(output, [])
    read_elsewhere = any(value.name == output for value in graph.outputs)
    clipped = "clip_low" in node.attributes or "clip_high" in node.attributes
    if len(after) != 1 or after[0].op != "Add" or read_elsewhere or clipped:
        return ""
    return next((name for name in after[0].inputs if name != output), "")


def _number(node: Node, key: str) -> float:
    value = node.attributes.get(key, 1.0)
    return float(value) if node.op == "Gemm" and isinstance(value, int | float) else 1.0
