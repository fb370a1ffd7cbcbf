"""Two thin products instead of one: weights by their truncated singular value decomposition, where that is smaller."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from ..dtypes import FLOATS, dtype_of
from ..errors import SchemeError
from ..graph import Graph, Node
from .tensors import Tensors

__all__ = ["split_products", "truncated"]

Matrix = npt.NDArray[np.floating]


def split_products(
    graph: Graph, tensors: Tensors, energy: float, *, ignore: Iterable[str] = (), fixed: Set[str] = frozenset()
) -> tuple[Graph, Tensors]:
    """The graph with each Gemm and MatMul whose weight, of rank r, takes fewer weights as two: r (m + n) < m n.

    r is the least rank that keeps the share ``energy`` of the weight's sum of squares (Eckart and Young 1936; for
    networks Denil et al. 2013, arXiv:1306.0543, Denton et al. 2014, arXiv:1404.0736). The two weights are called
    ``left.NAME`` and ``right.NAME``. Left alone are weights that ``ignore`` matches or ``fixed`` names, that more than
    one node reads, or that are no floating matrix. SchemeError for an energy outside 0..1, NaN and infinity.
    """
    if not 0 < energy <= 1:
        raise SchemeError(f"low_rank must be above 0 and at most 1, not {energy}")
    patterns, readers = tuple(ignore), graph.consumers()
    stored, taken = set(graph.stored()), {name for node in graph.nodes for name in (*node.inputs, *node.outputs)}
    nodes: list[Node] = []
    made: dict[str, _Held] = {}
    for node in graph.nodes:
        weight = node.inputs[1] if node.op in ("Gemm", "MatMul") else ""
        free = weight in stored and weight not in fixed and len(readers[weight]) == 1
        if not free or any(fnmatchcase(weight, pattern) for pattern in patterns):
            nodes.append(node)
            continue
        array = tensors[weight]
        factors = truncated(array, energy, weight) if array.ndim == 2 and dtype_of(array) in FLOATS else None
        names = [f"{side}.{each}" for side, each in (("left", weight), ("right", weight), ("left", node.outputs[0]))]
        if factors is None or taken & set(names):
            nodes.append(node)
            continue
        # of [outputs, inputs] the second factor is read first
        turned = node.op == "Gemm" and bool(node.attributes.get("transB", 0))
        order = names[1::-1] if turned else names[:2]
        made |= {name: _Held(factor) for name, factor in zip(names, factors, strict=False)}
        nodes += _two(node, order, names[2])
    if not made:
        return graph, tensors
    smaller = replace(graph, nodes=tuple(nodes))
    return smaller, tensors.with_computed(made).only(smaller.stored())


def _two(node: Node, weights: list[str], between: str) -> list[Node]:
    first = {key: node.attributes[key] for key in ("transA", "transB") if key in node.attributes}
    second = {key: value for key, value in node.attributes.items() if key != "transA"}
    return [
        Node(node.op, f"left.{node.name}", (node.inputs[0], weights[0]), (between,), first),
        replace(node, inputs=(between, weights[1], *node.inputs[2:]), attributes=second),
    ]


def truncated(array: npt.NDArray[np.generic], energy: float, name: str) -> tuple[Matrix, Matrix] | None:
    """Factors [m, r] and [r, n] in the array's dtype, of like norms; None where they are not smaller."""
    exact = array.astype(np.float64)
    if not np.isfinite(exact).all():
        raise SchemeError(f"{name}: NaN or infinity has no singular values")
    if not exact.size:
        return None
    left, values, right = np.linalg.svd(exact, full_matrices=False)
    kept = np.cumsum(values**2)
    rank = min(int(np.searchsorted(kept, energy * kept[-1] * (1 - 1e-12))) + 1, len(values))
    if rank * sum(array.shape) >= array.size:
        return None
    root = np.sqrt(values[:rank])
    return (left[:, :rank] * root).astype(array.dtype), (root[:, None] * right[:rank]).astype(array.dtype)


class _Held:
    """A factor that is kept: it is smaller than what it came from."""

    def __init__(self, factor: Matrix) -> None:
        self.factor = np.ascontiguousarray(factor)

    def __call__(self) -> Matrix:
        return self.factor
