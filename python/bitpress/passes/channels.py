"""Cut whole channels, neurons and attention heads out of a graph: smaller tensors, the same operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from ..dtypes import FLOATS, dtype_of
from ..errors import SchemeError
from ..graph import Graph, Node
from .channel_groups import Group, Part, groups_of
from .tensors import Tensors

__all__ = ["cut_channels", "scores"]

Kept = npt.NDArray[np.intp]


def cut_channels(
    graph: Graph, tensors: Tensors, share: float, *, ignore: Iterable[str] = (), fixed: Set[str] = frozenset()
) -> tuple[Graph, Tensors]:
    """The graph without ``round(share * n)`` of each group's n units, at least one of which stays.

    Those of the least sum of squares of all weights that go with them go, of equal ones the first. Groups with a tensor
    that ``ignore`` matches or ``fixed`` names, or that is not floating, stay whole. SchemeError for a share outside
    0..1 and for weights that are NaN or infinite.
    """
    if not 0 <= share < 1:
        raise SchemeError(f"channels must be at least 0 and below 1, not {share}")
    patterns = tuple(ignore)
    cuts: dict[str, list[tuple[int, Kept]]] = {}
    nodes = list(graph.nodes)
    for group in groups_of(graph, {name: tensors[name].shape for name in graph.stored()}):
        held = [part for part in group.parts if part.name]
        names = {part.name for part in held}
        left_alone = any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
        gone = min(round(share * group.count), group.count - 1)
        if not gone or left_alone or names & fixed or any(dtype_of(tensors[name]) not in FLOATS for name in names):
            continue
        order = np.argsort(scores(group, tensors), kind="stable")
        stays = np.sort(order[gone:])
        for part in held:
            cuts.setdefault(part.name, []).append((part.axis, _indices(part, stays)))
        _mend(nodes, group, len(stays))
    values = {name: replace(value, shape=None) for name, value in graph.values.items()} if cuts else graph.values
    computed = {name: _Cut(tensors, name, places) for name, places in cuts.items()}
    return replace(graph, nodes=tuple(nodes), values=values), tensors.with_computed(computed)


def scores(group: Group, tensors: Mapping[str, np.ndarray]) -> npt.NDArray[np.float64]:
    """The sum of squares of all weights that go with each unit, [units]. SchemeError for NaN and infinity."""
    total = np.zeros(group.count)
    for part in group.parts:
        if part.name:
            units = np.moveaxis(np.asarray(tensors[part.name], np.float64), part.axis, 0).reshape(group.count, -1)
            total += np.square(units).sum(1)
            if not np.isfinite(total).all():
                raise SchemeError(f"{part.name}: NaN or infinity cannot be ranked")
    return total


def _indices(part: Part, stays: Kept) -> Kept:
    return np.asarray((stays[:, None] * part.span + np.arange(part.span)).reshape(-1))


def _mend(nodes: list[Node], group: Group, count: int) -> None:
    """Attributes that count units."""
    for index in group.depthwise:
        nodes[index] = _with(nodes[index], {"group": count})
    for index, place, part in group.shapes:
        shape = nodes[index].attributes["shape"]
        assert isinstance(shape, tuple | list)
        changed = list(shape)
        changed[place] = count * part.span
        nodes[index] = _with(nodes[index], {"shape": tuple(changed)})


def _with(node: Node, attributes: Mapping[str, int | tuple[int, ...]]) -> Node:
    return replace(node, attributes={**node.attributes, **attributes})


class _Cut:
    """A tensor read and cut when it is asked for."""

    def __init__(self, tensors: Tensors, name: str, places: list[tuple[int, Kept]]) -> None:
        self.tensors, self.name, self.places = tensors, name, places

    def __call__(self) -> np.ndarray:
        array = self.tensors[self.name]
        for axis, kept in self.places:
            array = np.take(array, kept, axis)
        return np.ascontiguousarray(array)
