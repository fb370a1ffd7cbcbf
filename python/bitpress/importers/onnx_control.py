"""If, Loop and Scan whose course is known when a model is imported: their bodies take their place, once a turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnsupportedError

if TYPE_CHECKING:
    import onnx

__all__ = ["CONTROL", "Unroller", "make_constant", "make_node"]

CONTROL = frozenset({"If", "Loop", "Scan"})
_MOST_NODES = 1 << 14  # that unrolling makes
_MOST_TURNS = 256  # of a loop whose end is computed: each is imported before the next
_MOST_PARTS = 250  # of one Concat


class Unroller:
    """Replaces what it can of a graph, again and again: what becomes known meanwhile lets it go on."""

    def __init__(self, opset: int, left: Set[str] = frozenset()) -> None:
        self.opset = opset
        self.left = left  # first outputs of loops that stay
        self.too_long: set[str] = set()  # of those whose turns have no end in sight
        self.made = 0
        self.turns: dict[
            str, tuple[int, list[list[str]]]
        ] = {}  # of a loop that goes turn by turn: how far, what it saw
        self.names = itertools.count()

    def replace(
        self, graph: onnx.GraphProto, known: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | str, ...]]
    ) -> bool:
        """Whether there was something to replace; the graph is changed then."""
        result: list[onnx.NodeProto] = []
        for node in graph.node:
            found = None
            if node.op_type in CONTROL and node.domain in ("", "ai.onnx"):
                found = self._rule(node, known, shapes)
            if found is not None:
                self.made += len(found)
                if self.made > _MOST_NODES:
                    raise UnsupportedError(
                        f'operator {node.op_type} (node "{node.name}") is not supported with more than {_MOST_NODES} '
                        "nodes when it is unrolled"
                    )
            result.extend([node] if found is None else found)
        if len(result) == len(graph.node) and all(a is b for a, b in zip(result, graph.node, strict=True)):
            return False
        copies = [_copy(node) for node in result]
        del graph.node[:]
        graph.node.extend(copies)
        return True

    def _rule(
        self, node: onnx.NodeProto, known: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | str, ...]]
    ) -> list[onnx.NodeProto] | None:
        if node.output[0] in self.left:
            return None
        if node.op_type == "If":
            return self._branch(node, known)
        if node.op_type == "Loop":
            return self._loop(node, known)
        return self._scan(node, shapes)

    def _body(self, graph: onnx.GraphProto, given: Mapping[str, str]) -> tuple[list[onnx.NodeProto], list[str]]:
        """A copy of a body's nodes under names of their own, and what its outputs are called there."""
        prefix = f"{graph.name or 'body'}.{next(self.names)}/"
        table = dict(given)
        made = [tensor.name for tensor in graph.initializer]
        made += [name for node in graph.node for name in node.output if name]
        table.update({name: prefix + name for name in made})
        nodes = [_constant(table[tensor.name], tensor) for tensor in graph.initializer]
        for node in graph.node:
            copy = _copy(node)
            _rename(copy, table)
            copy.output[:] = [table.get(name, name) for name in node.output]
            copy.name = prefix + (node.name or "/".join(node.output))
            nodes.append(copy)
        return nodes, [table.get(value.name, value.name) for value in graph.output]

    def _branch(self, node: onnx.NodeProto, known: Mapping[str, np.ndarray]) -> list[onnx.NodeProto] | None:
        condition = known.get(node.input[0])
        if condition is None or condition.dtype == object or condition.size != 1:
            return None
        nodes, outputs = self._body(_graph(node, "then_branch" if condition.ravel()[0] else "else_branch"), {})
        return nodes + [
            make_node("Identity", [name], [to]) for name, to in zip(outputs, node.output, strict=True) if to
        ]

    def _loop(self, node: onnx.NodeProto, known: Mapping[str, np.ndarray]) -> list[onnx.NodeProto] | None:
        body = _graph(node, "body")
        names = [*node.input, ""][:2]
        trips, going = (known.get(name) if name else None for name in names)
        if (names[0] and trips is None) or (names[1] and going is None):
            return None
        limit = int(trips.ravel()[0]) if trips is not None else 1 << 62
        runs = bool(going.ravel()[0]) if going is not None else True
        states = list(node.input[2:])
        at, seen = self.turns.get(node.output[0], (0, [[] for _ in range(len(node.output) - len(states))]))
        counted = _keeps_going(body)
        ahead = limit * max(len(body.node), 1) if counted and runs else 0
        if ahead > _MOST_NODES or at > _MOST_TURNS:
            self.too_long.add(node.output[0])
            return None
        nodes: list[onnx.NodeProto] = []
        condition = names[1]
        while runs and at < limit:
            turn, flag = f"{node.output[0]}.turn{at}", condition or f"{node.output[0]}.going{at}"
            nodes.append(make_constant(turn, np.array(at, np.int64)))
            if not condition:
                nodes.append(make_constant(flag, np.array(True)))
            given = dict(zip([value.name for value in body.input], [turn, flag, *states], strict=True))
            copies, outputs = self._body(body, given)
            nodes += copies
            condition, states = outputs[0], outputs[1 : 1 + len(states)]
            for column, name in zip(seen, outputs[1 + len(states) :], strict=True):
                column.append(name)
            at += 1
            if not counted:  # the next turn depends on what this one computes
                self.turns[node.output[0]] = (at, seen)
                rest = _copy(node)
                rest.input[:] = [node.input[0], condition, *states]
                return [*nodes, rest]
        nodes += [make_node("Identity", [name], [to]) for name, to in zip(states, node.output, strict=False) if to]
        for column, to in zip(seen, node.output[len(states) :], strict=True):
            if to:
                nodes += self._stacked(node, column, 0, to)
        return nodes

    def _scan(self, node: onnx.NodeProto, shapes: Mapping[str, tuple[int | str, ...]]) -> list[onnx.NodeProto] | None:
        if self.opset < 9:
            return None
        body, told = _graph(node, "body"), {item.name: item for item in node.attribute}
        count = int(told["num_scan_inputs"].i)
        states, scanned = list(node.input[: len(node.input) - count]), list(node.input[len(node.input) - count :])
        outputs = len(node.output) - len(states)

        def listed(key: str, size: int) -> list[int]:
            return list(told[key].ints) if key in told else [0] * size

        axes, backwards = listed("scan_input_axes", count), listed("scan_input_directions", count)
        out_axes, out_backwards = listed("scan_output_axes", outputs), listed("scan_output_directions", outputs)
        if any(name not in shapes for name in scanned):
            return None
        length = shapes[scanned[0]][axes[0]]
        if not isinstance(length, int) or length < 1:
            return None
        nodes: list[onnx.NodeProto] = []
        seen: list[list[str]] = [[] for _ in range(outputs)]
        for turn in range(length):
            parts = []
            for i, name in enumerate(scanned):
                index, part = f"{node.output[0]}.index{i}.{turn}", f"{node.output[0]}.part{i}.{turn}"
                nodes.append(make_constant(index, np.array(length - 1 - turn if backwards[i] else turn, np.int64)))
                nodes.append(make_node("Gather", [name, index], [part], axis=axes[i]))
                parts.append(part)
            given = dict(zip([value.name for value in body.input], [*states, *parts], strict=True))
            copies, found = self._body(body, given)
            nodes += copies
            states = found[: len(states)]
            for column, name in zip(seen, found[len(states) :], strict=True):
                column.append(name)
            if len(nodes) > _MOST_NODES:
                break
        nodes += [make_node("Identity", [name], [to]) for name, to in zip(states, node.output, strict=False) if to]
        for i, to in enumerate(node.output[len(states) :]):
            if to:
                nodes += self._stacked(node, seen[i][::-1] if out_backwards[i] else seen[i], out_axes[i], to)
        return nodes

    def _stacked(self, node: onnx.NodeProto, parts: list[str], axis: int, to: str) -> Iterable[onnx.NodeProto]:
        """The parts along a new axis."""
        if not parts:
            raise UnsupportedError(
                f'operator {node.op_type} (node "{node.name}") is not supported with an output of no turns'
            )
        rows = []
        for i, part in enumerate(parts):
            name = f"{to}.row{i}"
            if self.opset < 13:
                yield make_node("Unsqueeze", [part], [name], axes=[axis])
            else:
                yield make_constant(f"{name}.axis", np.array([axis], np.int64))
                yield make_node("Unsqueeze", [part, f"{name}.axis"], [name])
            rows.append(name)
        level = 0
        while len(rows) > _MOST_PARTS:
            wider = []
            for i in range(0, len(rows), _MOST_PARTS):
                wider.append(f"{to}.rows{level}.{i}")
                yield make_node("Concat", rows[i : i + _MOST_PARTS], [wider[-1]], axis=axis)
            rows, level = wider, level + 1
        yield make_node("Concat", rows, [to], axis=axis)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def make_node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    """A node that is called as its first output."""
    import onnx

    made: onnx.NodeProto = onnx.helper.make_node(op, inputs, outputs, name=outputs[0], **attributes)
    return made


def make_constant(name: str, value: np.ndarray) -> onnx.NodeProto:
    """A Constant node."""
    import onnx

    return _constant(name, onnx.numpy_helper.from_array(value, name))


def _constant(name: str, tensor: onnx.TensorProto) -> onnx.NodeProto:
    return make_node("Constant", [], [name], value=tensor)


def _graph(node: onnx.NodeProto, name: str) -> onnx.GraphProto:
    found: onnx.GraphProto = next(attribute.g for attribute in node.attribute if attribute.name == name)
    return found


def _rename(node: onnx.NodeProto, table: Mapping[str, str]) -> None:
    """Other names for what a node reads, its bodies too."""
    node.input[:] = [table.get(name, name) for name in node.input]
    for attribute in node.attribute:
        for graph in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
            for inner in graph.node:
                _rename(inner, table)
            for value in graph.output:
                value.name = table.get(value.name, value.name)


def _keeps_going(body: onnx.GraphProto) -> bool:
    """Whether a loop's body leaves its condition as it is, or says that it goes on."""
    makers = {name: node for node in body.node for name in node.output}
    name = body.output[0].name
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    if name == body.input[1].name:
        return True
    for tensor in body.initializer:
        if tensor.name == name:
            return bool(_true(tensor))
    node = makers.get(name)
    return (
        node is not None and node.op_type == "Constant" and any(_true(a.t) for a in node.attribute if a.name == "value")
    )


def _true(tensor: onnx.TensorProto) -> bool:
    import onnx

    return bool(np.all(onnx.numpy_helper.to_array(tensor)))
