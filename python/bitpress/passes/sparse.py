"""Sparse weights of MatMul are held transposed: a row of them is then an output, as sparse products are fastest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import replace

import numpy as np

from ..graph import Graph, Node
from .tensors import Tensors

__all__ = ["hold_transposed"]


def hold_transposed(graph: Graph, tensors: Tensors, names: Set[str]) -> tuple[Graph, Tensors, frozenset[str]]:
    """The graph in which MatMul reads these matrices [inputs, outputs] as [outputs, inputs], by transB.

    Left alone are those that anything else reads. Third: the names that are held so. Products are the same; a tensor
    keeps its name.
    """
    readers = graph.consumers()
    top = {id(node) for node in graph.nodes}
    free = {value.name for value in graph.outputs}
    held = frozenset(
        name for name in names if name not in free and all(id(n) in top and _turns(n, name) for n in readers[name])
    )
    if not held:
        return graph, tensors, held
    nodes = tuple(
        replace(node, attributes={**node.attributes, "transB": 1}) if held & set(node.inputs) else node
        for node in graph.nodes
    )
    turned: Mapping[str, Callable[[], np.ndarray]] = {name: _Transposed(tensors, name) for name in sorted(held)}
    order = list(tensors)
    return replace(graph, nodes=nodes), tensors.with_computed(turned).only(order), held


def _turns(node: Node, name: str) -> bool:
    """Whether a node can read the transposed matrix instead."""
    at = [index for index, each in enumerate(node.inputs) if each == name]
    return node.op == "MatMul" and at == [1] and not node.attributes.get("transB", 0)


class _Transposed:
    """A matrix, transposed when it is asked for."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        self._tensors = tensors
        self._name = name

    def __call__(self) -> np.ndarray:
        return np.ascontiguousarray(self._tensors[self._name].T)
