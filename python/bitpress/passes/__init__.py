"""Graph passes: each takes a graph (and its tensors) and gives back an equal, simpler one. One file a pass."""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np

from ..graph import Graph
from .activations import fuse_activations
from .batch_norm import fold_batch_norms
from .dead_code import remove_dead_code
from .tensors import Tensors

__all__ = ["optimize"]


def optimize(
    graph: Graph, tensors: Mapping[str, np.ndarray], *, fold: bool = True, fixed: Set[str] = frozenset()
) -> tuple[Graph, Tensors]:
    """The graph to be run, and its tensors: no dead code, fused activations and, where ``fold``, folded batch norms.

    ``fold`` changes weights (computed in float64, rounded to float32): leave it off where tensors must stay as they
    are; tensors of ``fixed`` stay so anyway. Weights are read when the result is asked for them, so a large model is
    never in memory at once. Tensors that the result's graph does not read are dropped.
    """
    graph = remove_dead_code(graph)
    lazy = Tensors(tensors)
    if fold:
        graph, lazy = fold_batch_norms(graph, lazy, fixed)
    graph = fuse_activations(graph)
    return graph, lazy.only(graph.stored())
