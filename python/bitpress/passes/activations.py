"""Fuse Relu and Clip into the operator before them, as its clip_low and clip_high."""

from __future__ import annotations

import math
from dataclasses import replace

from ..graph import Attribute, Graph, Node
from ..operators import TAKES_CLIP

__all__ = ["fuse_activations"]


def fuse_activations(graph: Graph) -> Graph:
    """The graph where a Relu or Clip whose input nobody else reads is done by the node that writes that input.

    Bounds of bounds are composed: clip(clip(x, a, b), c, d) = clip(x, clip(a, c, d), clip(b, c, d)).
    """
    readers = graph.consumers()
    outputs = {value.name for value in graph.outputs}
    nodes: list[Node | None] = []
    writer: dict[str, int] = {}
    for node in graph.nodes:
        bounds = _bounds(node)
        if bounds is not None:
            at = writer.get(node.inputs[0])
            before = nodes[at] if at is not None else None
            alone = len(readers[node.inputs[0]]) == 1 and node.inputs[0] not in outputs
            alone = alone and graph.value(node.inputs[0]).dtype == "F32"  # others have no fused form
            if at is not None and before is not None and before.op in TAKES_CLIP and alone:
                nodes[at] = replace(before, outputs=node.outputs, attributes=_compose(before.attributes, bounds))
                writer[node.outputs[0]] = at
                continue
        writer.update(dict.fromkeys(node.outputs, len(nodes)))
        nodes.append(node)
    kept = tuple(node for node in nodes if node is not None)
    written = {name for node in kept for name in node.outputs}
    gone = {name for node in graph.nodes for name in node.outputs} - written
    return replace(graph, nodes=kept, values={k: v for k, v in graph.values.items() if k not in gone})


def _bounds(node: Node) -> tuple[float, float] | None:
    if node.op == "Relu":
        return 0.0, math.inf
    if node.op == "Clip":
        return _float(node.attributes.get("clip_low"), -math.inf), _float(node.attributes.get("clip_high"), math.inf)
    return None


def _float(value: Attribute | None, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default


def _compose(attributes: object, bounds: tuple[float, float]) -> dict[str, Attribute]:
    assert isinstance(attributes, dict)
    low, high = bounds
    clipped: dict[str, Attribute] = dict(attributes)
    for key, default in (("clip_low", -math.inf), ("clip_high", math.inf)):
        # ONNX: min(max(x, low), high), so high wins where low > high.
        clipped[key] = min(max(_float(attributes.get(key), default), low), high)
    return clipped
