"""Fold a BatchNormalization into the Conv or Gemm before it.

Inference only: y = (x - mean) / sqrt(variance + epsilon) * scale + bias is a factor and an offset a channel, so
it can be put into the weights and bias of a linear operator that nobody else reads (Jacob et al., 2018, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace

import numpy as np

from ..graph import Graph, Node, Value
from .tensors import Tensors

__all__ = ["bias_name", "fold_batch_norms", "unused"]


def fold_batch_norms(graph: Graph, tensors: Tensors, fixed: Set[str] = frozenset()) -> tuple[Graph, Tensors]:
    """The graph without the batch norms that follow a Conv or Gemm, and the tensors with them worked in.

    Factors are float64; the new weights and biases are rounded to float32 once. Weights of another dtype, shared
    weights, layers with a fused activation and weights of ``fixed`` are left alone.
    """
    readers = graph.consumers()
    outputs = {value.name for value in graph.outputs}
    names = {name for node in graph.nodes for name in (*node.inputs, *node.outputs)} | set(tensors)
    values = dict(graph.values)
    computed: dict[str, Callable[[], np.ndarray]] = {}
    nodes: list[Node] = []
    writer: dict[str, int] = {}
    for node in graph.nodes:
        at = writer.get(node.inputs[0]) if node.op == "BatchNormalization" else None
        if at is not None and node.inputs[0] not in outputs and len(readers[node.inputs[0]]) == 1:
            layer = nodes[at]
            fits = _foldable(layer, node, readers, values, tensors, outputs)
            if fits and layer.inputs[1] not in fixed:
                bias = unused(bias_name(layer), names)
                names.add(bias)
                weight = layer.inputs[1]
                axis = _channel_axis(layer)
                computed[weight] = _scaled(tensors, computed.get(weight), weight, node, axis)
                offset = _bias(tensors, layer, node)
                computed[bias] = lambda offset=offset: offset  # type: ignore[misc]
                values[bias] = Value(bias, "F32", offset.shape)
                attributes = {key: value for key, value in layer.attributes.items() if key != "beta"}
                nodes[at] = replace(
                    layer, inputs=(*layer.inputs[:2], bias), outputs=node.outputs, attributes=attributes
                )
                writer[node.outputs[0]] = at
                continue
        writer.update(dict.fromkeys(node.outputs, len(nodes)))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), values=values), tensors.with_computed(computed)


def _foldable(
    layer: Node,
    norm: Node,
    readers: dict[str, list[Node]],
    values: dict[str, Value],
    tensors: Tensors,
    outputs: set[str],
) -> bool:
    if layer.op not in ("Conv", "Gemm") or any(key in layer.attributes for key in ("clip_low", "clip_high")):
        return False
    weight = layer.inputs[1]
    bias = layer.inputs[2] if len(layer.inputs) > 2 else ""
    constants = [weight, *norm.inputs[1:5], *([bias] if bias else [])]
    if not all(name in tensors for name in constants) or len(readers[weight]) > 1 or weight in outputs:
        return False
    if any(tensors[name].dtype != np.float32 for name in constants[1:]):
        return False
    if (values[weight].dtype if weight in values else tensors[weight].dtype.name) not in ("F32", "float32"):
        return False
    channels = tensors[norm.inputs[1]].size
    return not bias or tensors[bias].size in (1, channels)


def _channel_axis(layer: Node) -> int:
    """Which axis of the weight runs over the output channels."""
    return 0 if layer.op == "Conv" or layer.attributes.get("transB", 0) else 1


def _factor(tensors: Tensors, norm: Node) -> np.ndarray:
    epsilon = float(norm.attributes.get("epsilon", 1e-5))  # type: ignore[arg-type]
    scale, variance = (tensors[norm.inputs[i]].astype(np.float64) for i in (1, 4))
    return np.asarray(scale / np.sqrt(variance + epsilon))


def _scaled(
    tensors: Tensors, earlier: Callable[[], np.ndarray] | None, weight: str, norm: Node, axis: int
) -> Callable[[], np.ndarray]:
    factor = _factor(tensors, norm)

    def compute() -> np.ndarray:
        array = earlier() if earlier is not None else tensors[weight]
        shape = [-1 if i == axis else 1 for i in range(array.ndim)]
        return np.asarray(array * factor.reshape(shape), dtype=np.float32)

    return compute


def _bias(tensors: Tensors, layer: Node, norm: Node) -> np.ndarray:
    factor = _factor(tensors, norm)
    offset, mean = (tensors[norm.inputs[i]].astype(np.float64) for i in (2, 3))
    bias = np.zeros_like(mean)
    if len(layer.inputs) > 2 and layer.inputs[2]:
        beta = float(layer.attributes.get("beta", 1.0)) if layer.op == "Gemm" else 1.0  # type: ignore[arg-type]
        bias = bias + beta * tensors[layer.inputs[2]].astype(np.float64).reshape(-1)
    return np.asarray((bias - mean) * factor + offset, dtype=np.float32)


def bias_name(layer: Node) -> str:
    """What the bias of a layer is called that has another one, or none."""
    if len(layer.inputs) > 2 and layer.inputs[2]:
        return layer.inputs[2] + ".folded"
    weight = layer.inputs[1]
    return (weight.removesuffix("weight") if weight.endswith(".weight") else weight + ".") + "bias"


def unused(name: str, names: set[str]) -> str:
    """The name, or the first longer one that nothing has."""
    while name in names:
        name += "_"
    return name
