"""Runs a Graph over numpy, one operator after the other: the oracle of the C++ session."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .operators import OPERATORS, clip

if TYPE_CHECKING:
    from ..graph import Graph

__all__ = ["run"]


def run(graph: Graph, tensors: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The graph's outputs by name. ``tensors`` holds what the graph calls stored; ``inputs`` has every graph input."""
    last_reader = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    outputs = {value.name for value in graph.outputs}
    values = {value.name: np.asarray(inputs[value.name]) for value in graph.inputs}
    for i, node in enumerate(graph.nodes):
        attributes = dict(node.attributes)
        bounds = {}
        if node.op != "Clip":  # a fused activation
            bounds = {key: attributes.pop(key) for key in ("clip_low", "clip_high") if key in attributes}
        arguments = [(values[name] if name in values else tensors[name]) if name else None for name in node.inputs]
        result: Any = OPERATORS[node.op](*arguments, **attributes)
        if any(not math.isinf(bound) for bound in bounds.values()):  # type: ignore[arg-type]
            result = clip(result, **bounds)  # type: ignore[arg-type]
        results = result if isinstance(result, tuple) else (result,)
        values.update(zip(node.outputs, results, strict=False))
        for name in set(node.inputs):
            if last_reader[name] == i and name not in outputs:
                values.pop(name, None)
    return {name: values[name] if name in values else tensors[name] for name in (v.name for v in graph.outputs)}
