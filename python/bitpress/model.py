"""Model: a graph and/or a set of packed tensors, and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .graph import Graph
from .tensor import PackedTensor

__all__ = ["Model"]


@dataclass(frozen=True)
class Model:
    """What a file holds. ``tensors`` may be lazy: each is made when asked for."""

    tensors: Mapping[str, PackedTensor]
    graph: Graph | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
