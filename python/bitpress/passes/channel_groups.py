"""Which channels of a graph can only go together: those of one layer, of a residual, the features of one head.

A *unit* is a channel, a neuron or an attention head. The walk follows the axis on which a layer's outputs lie through
the operators that keep them apart, and notes in one group all tensors that must be cut along with it (dependency
graphs: Fang et al. 2023, arXiv:2301.12900). What it does not understand freezes the group: nothing is cut there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..graph import Graph, Node

__all__ = ["Group", "Label", "Part", "Walk", "groups_of"]

Shape = tuple[int, ...]
SAME = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid"})
SAME |= {"Tanh", "HardSwish", "Swish", "Gelu", "Erf", "Exp", "Sqrt", "Abs", "Neg", "Softplus", "Softsign", "Mish"}
SAME |= {"Elu", "Selu", "Celu"}
BINARY = frozenset({"Add", "Sub", "Mul", "Div"})


@dataclass
class Part:
    """Where a group's units lie: on ``axis`` (from the end) of a stored tensor, ``span`` indices each; of a value where
    ``name`` is empty, whose span may not be known (0). ``reads``: a layer reads the units by it.
    """

    name: str
    axis: int
    span: int
    reads: bool = False


@dataclass
class Group:
    """Units that are cut alike. ``shapes``: (node, place in its attribute shape, part); ``depthwise``: nodes whose
    attribute group counts the units.
    """

    count: int
    parts: list[Part] = field(default_factory=list)
    shapes: list[tuple[int, int, Part]] = field(default_factory=list)
    depthwise: list[int] = field(default_factory=list)
    frozen: bool = False
    into: Group | None = None  # where it was merged

    @property
    def found(self) -> Group:
        """The group that this one is a part of by now."""
        return self if self.into is None else self.into.found

    def add(self, part: Part) -> Part:
        """Note where the units lie too."""
        self.parts.append(part)
        return part

    def split(self, count: int) -> None:
        """Units of several of the old ones each, side by side."""
        for part in self.parts:
            part.span *= self.count // count
        self.count = count

    def merge(self, other: Group) -> None:
        """From now on both are one; frozen where they have not the same number of units."""
        if other is self:
            return
        self.frozen |= other.frozen or self.count != other.count
        self.parts += other.parts
        self.shapes += other.shapes
        self.depthwise += other.depthwise
        other.into = self


@dataclass(frozen=True)
class Label:
    """The units of a value: ``rank`` is the value's, or 0 where it is not known."""

    _group: Group
    part: Part
    rank: int

    @property
    def group(self) -> Group:
        """Whose units they are by now."""
        return self._group.found

    def at(self, axis: int, rank: int, span: int | None = None) -> Label:
        """The same units on another value's axis."""
        return Label(self.group, self.group.add(Part("", axis, self.part.span if span is None else span)), rank)


def groups_of(graph: Graph, shapes: Mapping[str, Shape]) -> list[Group]:
    """The groups of two units or more that can be cut; ``shapes``: of the stored tensors."""
    return [group for group in Walk(graph, shapes).found() if group.count > 1]


class Walk:
    """The walk over a graph that finds the groups: a method an operator gives the label of its output, or None."""

    def __init__(self, graph: Graph, shapes: Mapping[str, Shape]) -> None:
        self.graph, self.shapes = graph, shapes
        self.readers = {name: len(nodes) for name, nodes in graph.consumers().items()}
        self.labels: dict[str, Label] = {}
        self.groups: list[Group] = []

    def found(self) -> list[Group]:
        """The groups that are understood whole."""
        for index, node in enumerate(self.graph.nodes):
            self.visit(index, node)
        for value in self.graph.outputs:
            self.freeze(value.name)
        found = {id(group.found): group.found for group in self.groups}
        return [group for group in found.values() if not group.frozen]

    def visit(self, index: int, node: Node) -> None:
        """Label the output of a node, or freeze what it reads."""
        made = self.label(index, node)
        if made is None:
            for name in node.reads:
                self.freeze(name)
        else:
            self.labels[node.outputs[0]] = made

    def label(self, index: int, node: Node) -> Label | None:
        """What is known of a node's output."""
        rule = _RULES.get(node.op)
        return None if rule is None else rule(self, index, node)

    def freeze(self, name: str) -> None:
        """Let the units of a value stay as they are."""
        if name in self.labels:
            self.labels[name].group.frozen = True

    def fresh(self, count: int, axis: int, rank: int) -> Label:
        """The label of a new group of so many units on an axis."""
        group = Group(count)
        self.groups.append(group)
        return Label(group, group.add(Part("", axis, 1)), rank)

    def cut(self, label: Label, name: str, axis: int, *, reads: bool = False) -> None:
        """The stored tensor is cut along with the units; frozen where its axis does not hold them."""
        group, shape = label.group, self.shapes.get(name, ())
        span = label.part.span
        if span == 0 and reads and len(shape) >= -axis:
            span = shape[axis] // group.count
        if self.readers.get(name) != 1 or len(shape) < -axis or shape[axis] != group.count * span or span == 0:
            group.frozen = True
        else:
            group.add(Part(name, axis, span, reads))

    def bias(self, label: Label, node: Node, place: int) -> None:
        """The bias of a layer, where it has one."""
        if len(node.inputs) > place and node.inputs[place]:
            self.constant(label, node.inputs[place])

    def constant(self, label: Label, name: str) -> None:
        """A stored tensor that is broadcast against the value."""
        shape = self.shapes.get(name)
        if shape is None:
            label.group.frozen = True
        elif len(shape) >= -label.part.axis and shape[label.part.axis] != 1:
            self.cut(label, name, label.part.axis)

    # -- operators: the label of the output, or None where the units are not followed (which freezes the inputs)

    def same(self, index: int, node: Node) -> Label | None:
        """Element by element: the units of the first input."""
        return self.labels.get(node.inputs[0])

    def softmax(self, index: int, node: Node) -> Label | None:
        """Over another axis than the units'."""
        label = self.labels.get(node.inputs[0])
        axis = int(node.attributes.get("axis", -1))  # type: ignore[arg-type]
        if label is None or not label.rank:
            return None
        return None if (axis if axis < 0 else axis - label.rank) == label.part.axis else label

    def conv(self, index: int, node: Node) -> Label | None:
        """Channels in, channels out; those of a depthwise one stay who they are."""
        label, shape = self.labels.get(node.inputs[0]), self.shapes.get(node.inputs[1])
        if shape is None or (label is not None and label.part.axis != 1 - len(shape)):
            return None
        rank, groups = len(shape), node.attributes.get("group", 1)
        weight = node.inputs[1]
        if groups == 1:
            if label is not None:
                self.cut(label, weight, 1 - rank, reads=True)
            made = self.fresh(shape[0], 1 - rank, rank)
            self.cut(made, weight, -rank)
        elif groups == shape[0] and shape[1] == 1 and label is not None and label.group.count == groups:
            made = label
            self.cut(label, weight, -rank)
            label.group.depthwise.append(index)
        else:
            return None
        if len(node.inputs) > 2 and node.inputs[2]:
            self.cut(made, node.inputs[2], -1)
        return made

    def gemm(self, index: int, node: Node) -> Label | None:
        """A product with a stored matrix, either way round."""
        label, shape = self.labels.get(node.inputs[0]), self.shapes.get(node.inputs[1])
        if shape is None or len(shape) != 2 or node.attributes.get("transA", 0):
            return None
        outputs, inputs = (-2, -1) if node.attributes.get("transB", 0) else (-1, -2)
        return self.product(label, node, outputs, inputs, 2)

    def matmul(self, index: int, node: Node) -> Label | None:
        """A product with a stored matrix; or of values, whose units are the matrices' number."""
        label, other = (self.labels.get(name) for name in node.inputs[:2])
        shape = self.shapes.get(node.inputs[1])
        if shape is not None and len(shape) == 2:
            return self.product(label, node, -1, -2, 0 if label is None else label.rank)
        if label is None or other is None or label.rank != other.rank or label.part.axis != other.part.axis:
            return None  # of computed values, the units must be the matrices' number
        if not label.rank or label.part.axis > -3:
            return None
        label.group.merge(other.group)
        return label

    def product(self, label: Label | None, node: Node, outputs: int, inputs: int, rank: int) -> Label:
        """The units of a stored matrix' outputs; ``outputs`` and ``inputs`` are its axes."""
        weight = node.inputs[1]
        if label is not None:
            if label.part.axis == -1:
                self.cut(label, weight, inputs, reads=True)
            else:
                label.group.frozen = True
        made = self.fresh(self.shapes[weight][outputs], -1, rank)
        self.cut(made, weight, outputs)
        self.bias(made, node, 2)
        return made

    def binary(self, index: int, node: Node) -> Label | None:
        """Units of two values that are added or multiplied are one."""
        labels = [self.labels.get(name) for name in node.inputs[:2]]
        first, second = labels
        if first is not None and second is not None:
            if (first.part.axis, first.part.span) != (second.part.axis, second.part.span) or not first.part.span:
                return None
            first.group.merge(second.group)
            return first if first.rank >= second.rank else second
        label, other = (first, node.inputs[1]) if first is not None else (second, node.inputs[0])
        if label is None:
            return None
        if other in self.shapes:
            self.constant(label, other)
            return label
        known = self.graph.value(other).shape  # of a computed value: one for all units, or the walk ends here
        return label if known is not None and (len(known) < -label.part.axis or known[label.part.axis] == 1) else None

    def batch_norm(self, index: int, node: Node) -> Label | None:
        """Four numbers a channel."""
        label = self.labels.get(node.inputs[0])
        if label is None or label.part.axis != 1 - label.rank:
            return None
        for name in node.inputs[1:5]:
            self.cut(label, name, -1)
        return label

    def flatten(self, index: int, node: Node) -> Label | None:
        """Channels to features, some of each."""
        label = self.labels.get(node.inputs[0])
        if label is None or label.part.axis != 1 - label.rank or node.attributes.get("axis", 1) != 1:
            return None
        return label if label.rank == 2 else label.at(-1, 2, 0)

    def reshape(self, index: int, node: Node) -> Label | None:
        """Features to heads and back, and what flattens."""
        label, shape = self.labels.get(node.inputs[0]), node.attributes.get("shape")
        if label is None or not isinstance(shape, tuple | list):
            return None
        group, part, rank = label.group, label.part, len(shape)
        if rank == 2 and part.axis == 1 - label.rank and shape[1] == -1:  # [n, everything else]
            return label if label.rank == 2 else label.at(-1, 2, 0)
        if part.axis == -1 and rank >= 3 and shape[-1] > 0 and part.span:  # features to heads
            heads, rest = divmod(group.count * part.span, shape[-1])
            if rest or shape[-2] not in (heads, -1) or group.count % heads:
                return None
            group.split(heads)
            made = label.at(-2, rank, 1)
            if shape[-2] > 0:
                group.shapes.append((index, rank - 2, made.part))
            return made
        if part.axis == -2 and part.span == 1 and rank >= 2:  # heads to features
            if shape[-1] == -1:
                return label.at(-1, rank, 0)
            if shape[-1] % group.count == 0:
                made = label.at(-1, rank, shape[-1] // group.count)
                group.shapes.append((index, rank - 1, made.part))
                return made
        return None

    def transpose(self, index: int, node: Node) -> Label | None:
        """The axis moves."""
        label, perm = self.labels.get(node.inputs[0]), node.attributes.get("perm")
        if label is None or not isinstance(perm, tuple | list) or label.rank not in (0, len(perm)):
            return None
        rank = len(perm)
        return label.at(list(perm).index(rank + label.part.axis) - rank, rank)

    def mean(self, index: int, node: Node) -> Label | None:
        """Over other axes than the units'."""
        label, axes = self.labels.get(node.inputs[0]), node.attributes.get("axes")
        if label is None or not isinstance(axes, tuple | list) or not label.rank:
            return None
        places = {axis if axis < 0 else axis - label.rank for axis in axes}
        if label.part.axis in places:
            return None
        if node.attributes.get("keepdims", 1):
            return label
        return label.at(label.part.axis + sum(place > label.part.axis for place in places), label.rank - len(places))


_RULES: dict[str, Callable[[Walk, int, Node], Label | None]] = {
    **dict.fromkeys(SAME, Walk.same),
    **dict.fromkeys(BINARY, Walk.binary),
    "Softmax": Walk.softmax,
    "Conv": Walk.conv,
    "Gemm": Walk.gemm,
    "MatMul": Walk.matmul,
    "BatchNormalization": Walk.batch_norm,
    "Flatten": Walk.flatten,
    "Reshape": Walk.reshape,
    "Transpose": Walk.transpose,
    "ReduceMean": Walk.mean,
}
