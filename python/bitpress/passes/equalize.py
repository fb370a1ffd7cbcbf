"""Cross-layer equalization: scales move between layers, so that the channels of each span alike; the function stays.

What is linear but for a ReLU commutes with a positive factor a channel: y = V max(W x, 0) = (V / t) max(t W x, 0). The
factors t make the ranges of a channel's weights equal in the layer that writes it and in those that read it (Nagel et
al. 2019, arXiv:1906.04721, section 4.1), over chains, depthwise layers and residuals too. A clip from above, as in
ReLU6, becomes a bound a channel, t times what it was; biases, batch norms' means and offsets and other constants that
are added to the channel are multiplied by t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dtypes import dtype_of
from ..errors import SchemeError
from ..graph import Graph, Node, Value
from .batch_norm import unused
from .channel_groups import Group, Label, Part, Shape, Walk
from .tensors import Tensors

__all__ = ["equalize"]

Doubles = npt.NDArray[np.float64]
SWEEPS = 30  # over all groups, at most
STILL = 0.01  # a change of a factor's logarithm that is none
MOST = math.log(2.0**10)  # of a factor's logarithm
SAME = frozenset({"Relu", "LeakyRelu", "Clip", "Identity"})
POOLS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool"})
LAYERS = frozenset({"Conv", "Gemm", "MatMul"})


def equalize(
    graph: Graph, tensors: Tensors, *, ignore: Iterable[str] = (), fixed: Set[str] = frozenset()
) -> tuple[Graph, Tensors]:
    """A graph of the same function, but for rounding, and its tensors, with factors between layers.

    Groups of channels with a tensor that ``ignore`` matches or ``fixed`` names, or that is neither float32 nor float64,
    stay as they are; so do channels whose weights are all 0 in a layer. A finite upper clip becomes an operator Min
    with a stored bound a channel, ``bound.WEIGHT``. Held in memory: one magnitude a pair of channels of each layer.
    SchemeError for weights that are NaN or infinite.
    """
    patterns = tuple(ignore)
    walk = _Factors(graph, {name: tensors[name].shape for name in graph.stored()})
    groups = []
    for group in walk.found():
        names = {part.name for part in group.parts if part.name}
        usable = all(dtype_of(tensors[name]) in ("F32", "F64") for name in names) and not names & fixed
        kept = any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
        if usable and not kept and {part.reads for part in walk.weights(group)} == {True, False}:
            groups.append(group)
    logarithms = _balance(groups, walk, tensors)
    places: dict[str, list[tuple[Part, Doubles]]] = {}
    for group, logarithm in zip(groups, logarithms, strict=True):
        for part in group.parts:
            if part.name:
                factor = np.repeat(np.exp(-logarithm if part.reads else logarithm), part.span)
                places.setdefault(part.name, []).append((part, factor))
    computed: dict[str, Callable[[], np.ndarray]] = {
        name: _Scaled(tensors, name, factors) for name, factors in places.items()
    }
    graph, bounds = _with_bounds(graph, walk, list(zip(groups, logarithms, strict=True)))
    return graph, tensors.with_computed({**computed, **bounds}).only(graph.stored())


class _Factors(Walk):
    """Groups of values that one factor a channel goes through: a depthwise layer ends one and begins another."""

    def __init__(self, graph: Graph, shapes: Mapping[str, Shape]) -> None:
        super().__init__(graph, shapes)
        self.layers = {node.inputs[1] for node in graph.nodes if node.op in LAYERS}
        self.clipped: list[tuple[int, Label]] = []  # nodes with a finite upper bound

    def weights(self, group: Group) -> list[Part]:
        """Those parts that are weights of layers."""
        return [part for part in group.parts if part.name in self.layers]

    def label(self, index: int, node: Node) -> Label | None:
        rules: dict[str, Callable[[int, Node], Label | None]] = {
            **dict.fromkeys(SAME, self.same),
            **dict.fromkeys(POOLS, self.pool),
            **dict.fromkeys(("Add", "Sub"), self.added),
            **dict.fromkeys(("Mul", "Div"), self.multiplied),
            "Conv": self.conv,
            "Gemm": self.gemm,
            "MatMul": self.matmul,
            "BatchNormalization": self.batch_norm,
            "Flatten": self.flatten,
            "Reshape": self.reshape,
            "Transpose": self.transpose,
            "ReduceMean": self.mean,
        }
        made = rules[node.op](index, node) if node.op in rules else None
        low, high = (_number(node, key, end) for key, end in (("clip_low", -math.inf), ("clip_high", math.inf)))
        if made is None or low not in (0.0, -math.inf) or (high < math.inf and made.part.span != 1):
            return None
        if high < math.inf:
            self.clipped.append((index, made))
        return made

    def constant(self, label: Label, name: str) -> None:
        """What is added must have a number a channel, to be multiplied by the channel's factor."""
        shape = self.shapes.get(name, ())
        if len(shape) < -label.part.axis:
            label.group.frozen = True
        else:
            self.cut(label, name, label.part.axis)

    def pool(self, index: int, node: Node) -> Label | None:
        label = self.labels.get(node.inputs[0])
        return label if label is not None and label.part.axis == 1 - label.rank else None

    def conv(self, index: int, node: Node) -> Label | None:
        label, shape = self.labels.get(node.inputs[0]), self.shapes.get(node.inputs[1])
        if shape is None or len(shape) < 3:
            return None
        rank, groups, weight = len(shape), node.attributes.get("group", 1), node.inputs[1]
        if (
            label is not None
            and label.part.axis == 1 - rank
            and (groups == 1 or groups == shape[0] == label.group.count)
        ):
            self.cut(label, weight, 1 - rank if groups == 1 else -rank, reads=True)
        else:
            self.freeze(node.inputs[0])
        made = self.fresh(shape[0], 1 - rank, rank)
        self.cut(made, weight, -rank)
        if len(node.inputs) > 2 and node.inputs[2]:
            self.cut(made, node.inputs[2], -1)
        return made

    def matmul(self, index: int, node: Node) -> Label | None:
        return super().matmul(index, node) if node.inputs[1] in self.shapes else None

    def added(self, index: int, node: Node) -> Label | None:
        first, second = (self.labels.get(name) for name in node.inputs[:2])
        label, other = (first, node.inputs[1]) if first is not None else (second, node.inputs[0])
        if label is None:
            return None
        if other in self.shapes:
            self.constant(label, other)
            return label
        return self.binary(index, node) if first is not None and second is not None else None

    def multiplied(self, index: int, node: Node) -> Label | None:
        """By a constant that gives no channels to a value that has none."""
        at = 1 if node.op == "Mul" and node.inputs[0] in self.shapes else 0
        label, shape = self.labels.get(node.inputs[at]), self.shapes.get(node.inputs[1 - at])
        if label is None or shape is None:
            return None
        axis = label.part.axis
        return label if len(shape) < -axis or shape[axis] == 1 or label.group.count > 1 else None

    def batch_norm(self, index: int, node: Node) -> Label | None:
        label = self.labels.get(node.inputs[0])
        if label is None or label.part.axis != 1 - label.rank:
            return None
        for name in node.inputs[2:4]:  # offset and mean
            self.cut(label, name, -1)
        return label


def _number(node: Node, key: str, default: float) -> float:
    value = node.attributes.get(key, default)
    return float(value) if isinstance(value, int | float) else default


def _balance(groups: list[Group], walk: _Factors, tensors: Tensors) -> list[Doubles]:
    """The logarithm of each group's factors, [units]: group after group until nothing moves."""
    held = {part.name: _Ranges() for group in groups for part in walk.weights(group)}
    for group in groups:
        for part in walk.weights(group):
            held[part.name].axes.add(part.axis)
    for name, ranges in held.items():
        ranges.take(tensors[name], name)
    found = [np.zeros(group.count) for group in groups]
    for _ in range(SWEEPS):
        moved = 0.0
        for group, logarithm in zip(groups, found, strict=True):
            parts = walk.weights(group)
            spans: dict[bool, list[Doubles]] = {True: [], False: []}
            for part in parts:
                spans[part.reads].append(held[part.name].along(part))
            alive = np.all(np.stack([*spans[True], *spans[False]]) > 0, 0)
            reads, writes = (
                np.mean([np.log(np.where(alive, each, 1)) for each in spans[kind]], 0) for kind in (True, False)
            )
            step = np.clip(logarithm + (reads - writes) / 2, -MOST, MOST) - logarithm
            logarithm += step
            for part in parts:
                held[part.name].scale(part, np.exp(-step if part.reads else step))
            moved = max(moved, float(np.abs(step).max()))
        if moved < STILL:
            break
    return found


class _Ranges:
    """The greatest magnitudes of a weight along the axes that groups lie on."""

    def __init__(self) -> None:
        self.axes: set[int] = set()

    def take(self, array: np.ndarray, name: str) -> None:
        others = tuple(axis for axis in range(array.ndim) if axis - array.ndim not in self.axes)
        self.most = np.abs(array).max(others, initial=0, keepdims=True).astype(np.float64)
        if not np.isfinite(self.most).all():
            raise SchemeError(f"{name}: NaN or infinity has no range")

    def along(self, part: Part) -> Doubles:
        """Of each unit."""
        return np.asarray(np.moveaxis(self.most, part.axis, 0).reshape(-1, part.span * self._rest(part)).max(1))

    def scale(self, part: Part, factor: Doubles) -> None:
        self.most *= _across(factor.repeat(part.span), part.axis)

    def _rest(self, part: Part) -> int:
        return int(self.most.size) // int(self.most.shape[part.axis])


def _across(factor: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """To be multiplied along an axis that is counted from the end."""
    return factor.reshape(-1, *[1] * (-axis - 1))


class _Scaled:
    """A tensor read and multiplied when it is asked for: in float64, rounded once."""

    def __init__(self, tensors: Tensors, name: str, factors: list[tuple[Part, Doubles]]) -> None:
        self.tensors, self.name, self.factors = tensors, name, factors

    def __call__(self) -> np.ndarray:
        array = self.tensors[self.name]
        found = array.astype(np.float64)
        for part, factor in self.factors:
            found = found * _across(factor, part.axis)
        return found.astype(array.dtype)


def _with_bounds(
    graph: Graph, walk: _Factors, factors: list[tuple[Group, Doubles]]
) -> tuple[Graph, dict[str, Callable[[], np.ndarray]]]:
    """Upper clips of equalized channels as a Min with a bound a channel."""
    by_group = {id(group): logarithm for group, logarithm in factors}
    names = {name for node in graph.nodes for name in (*node.inputs, *node.outputs)}
    values = dict(graph.values)
    after: dict[int, Node] = {}
    nodes = list(graph.nodes)
    made: dict[str, Callable[[], np.ndarray]] = {}
    for index, label in walk.clipped:
        logarithm = by_group.get(id(label.group))
        if logarithm is None or not logarithm.any():
            continue
        node = nodes[index]
        bound = (np.exp(logarithm) * _number(node, "clip_high", math.inf)).astype(np.float32)
        weight = node.inputs[1] if node.op in LAYERS else node.outputs[0]
        name, between = unused(f"bound.{weight}", names), unused(f"{node.outputs[0]}.unbounded", names)
        names |= {name, between}
        stored = _across(bound, label.part.axis)
        made[name] = lambda stored=stored: stored  # type: ignore[misc]
        values[name] = Value(name, "F32", (bound.size, *[1] * (-label.part.axis - 1)))
        values[between] = replace(graph.value(node.outputs[0]), name=between)
        attributes = {**node.attributes, "clip_high": math.inf}
        nodes[index] = replace(node, outputs=(between, *node.outputs[1:]), attributes=attributes)
        after[index] = Node("Min", f"{node.name}.bound", (between, name), node.outputs[:1])
    kept = [each for index, node in enumerate(nodes) for each in (node, after.get(index)) if each is not None]
    return replace(graph, nodes=tuple(kept), values=values), made
