"""Graph: a network as a list of operators over named values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Attribute", "Graph", "Node", "Value"]

Attribute = int | float | tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True)
class Value:
    """What flows between operators. ``shape`` has -1 where a size is not known; None where the rank is not."""

    name: str
    dtype: str = "F32"
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Node:
    """One operator: ONNX's meaning, with constant inputs (axes, shapes, bounds) turned into attributes.

    An absent optional input is the empty string. An activation fused into Conv, Gemm, MatMul, Add ... is the attributes
    ``clip_low`` and ``clip_high`` (either may be infinite).
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can be run. Stored tensors are the model's, by name."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value] = field(default_factory=dict)  # what is known of the values in between
