"""Sequences and optionals whose lengths are known when a model is imported: their tensors take their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FormatError, UnsupportedError
from .onnx_control import make_constant, make_node

if TYPE_CHECKING:
    import onnx

__all__ = ["SEQUENCES", "Sequences"]

_MOST = 1 << 12  # items of a sequence
Known = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int | str, ...]]


class Sequences:
    """What the sequences and optionals of a graph hold, as far as it is known."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.items: dict[str, list[str]] = {}  # sequences
        self.optional: dict[str, str] = {}  # optionals: the value inside, "" for none

    def replace(self, graph: onnx.GraphProto, known: Known, shapes: Shapes) -> bool:
        """Whether there was something to replace; the graph is changed then."""
        result: list[onnx.NodeProto] = []
        changed = False
        for node in graph.node:
            rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            found = None
            if rule is not None:
                try:
                    found = rule(self, node, known, shapes)
                except (IndexError, KeyError, ValueError) as error:
                    raise FormatError(f'operator {node.op_type} (node "{node.name}") is malformed: {error}') from None
            changed = changed or found is not None
            result.extend([node] if found is None else found)
        changed = self._outputs(graph, result) or changed
        if changed:
            kept = [type(node).FromString(node.SerializeToString()) for node in result]
            del graph.node[:]
            graph.node.extend(kept)
        return changed

    def _outputs(self, graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> bool:
        """A graph's output that is a sequence becomes its items, called name[0], name[1], ..."""
        import onnx

        outputs = []
        for value in graph.output:
            name = value.name
            inside = self.optional.get(name)
            items = self.items.get(inside or name)
            if items is not None:
                kind = value.type.optional_type.elem_type if value.type.HasField("optional_type") else value.type
                element = kind.sequence_type.elem_type.tensor_type.elem_type
                for i, item in enumerate(items):
                    nodes.append(make_node("Identity", [item], [f"{name}[{i}]"]))
                    outputs.append(onnx.helper.make_tensor_value_info(f"{name}[{i}]", element, None))
            elif inside and value.type.HasField("optional_type"):
                element = value.type.optional_type.elem_type.tensor_type.elem_type
                nodes.append(make_node("Identity", [inside], [name]))
                outputs.append(onnx.helper.make_tensor_value_info(name, element, None))
            else:
                outputs.append(value)
        if len(outputs) == len(graph.output) and all(a is b for a, b in zip(outputs, graph.output, strict=True)):
            return False
        copies = [type(value).FromString(value.SerializeToString()) for value in outputs]
        del graph.output[:]
        graph.output.extend(copies)
        return True

    def _of(self, name: str) -> list[str] | None:
        return self.items.get(self.optional.get(name, name))


def _integer(node: onnx.NodeProto, index: int, known: Known) -> int | None:
    """A constant input of one number; None where it is not known."""
    array = known.get(node.input[index])
    return None if array is None or array.dtype == object or array.size != 1 else int(array.ravel()[0])


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def _construct(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    self.items[node.output[0]] = list(node.input)
    return []


def _changed(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    """SequenceInsert and SequenceErase."""
    items = self._of(node.input[0])
    insert = node.op_type == "SequenceInsert"
    place = 2 if insert else 1
    given = len(node.input) > place and node.input[place] != ""
    at = _integer(node, place, known) if given else None
    if items is None or (given and at is None):
        return None
    size = len(items)
    if at is None:
        at = size if insert else size - 1
    at += size if at < 0 else 0
    if not 0 <= at < size + insert or size >= _MOST:
        raise ValueError(f"place {at} of a sequence of {size}")
    self.items[node.output[0]] = items[:at] + ([node.input[1]] if insert else []) + items[at + (not insert) :]
    return []


def _at(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    items, at = self._of(node.input[0]), _integer(node, 1, known)
    if items is None or at is None:
        return None
    if not -len(items) <= at < len(items):
        raise ValueError(f"place {at} of a sequence of {len(items)}")
    return [make_node("Identity", [items[at]], [node.output[0]])]


def _length(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    items = self._of(node.input[0])
    return None if items is None else [make_constant(node.output[0], np.array(len(items), np.int64))]


def _concat(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    items = self._of(node.input[0])
    if items is None:
        return None
    if not items or len(items) > 250:
        raise UnsupportedError(
            f'operator {node.op_type} (node "{node.name}") is not supported for a sequence of {len(items)}'
        )
    axis, out = _attribute(node, "axis", 0), node.output[0]
    nodes: list[onnx.NodeProto] = []
    if _attribute(node, "new_axis", 0):
        rows = [f"{out}.row{i}" for i in range(len(items))]
        if self.opset >= 13:
            nodes.append(make_constant(f"{out}.axis", np.array([axis], np.int64)))
        for item, row in zip(items, rows, strict=True):
            if self.opset >= 13:
                nodes.append(make_node("Unsqueeze", [item, f"{out}.axis"], [row]))
            else:
                nodes.append(make_node("Unsqueeze", [item], [row], axes=[axis]))
        items = rows
    return [*nodes, make_node("Concat", items, [out], axis=axis)]


def _split(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    shape = shapes.get(node.input[0])
    given = len(node.input) > 1 and node.input[1] != ""
    sizes = known.get(node.input[1]) if given else None
    if shape is None or (given and sizes is None):
        return None
    axis = _attribute(node, "axis", 0) % max(len(shape), 1)
    total = shape[axis]
    if not isinstance(total, int):
        return None
    if sizes is None:
        parts = [1] * total
    elif sizes.ndim == 0:
        each = int(sizes)
        if each < 1:
            raise ValueError(f"parts of {each}")
        parts = [min(each, total - start) for start in range(0, total, each)]
    else:
        parts = [int(size) for size in sizes]
    if sum(parts) != total or len(parts) > _MOST or min(parts, default=0) < 0:
        raise ValueError(f"parts {parts[:9]} of {total}")
    nodes, names, start, out = [], [], 0, node.output[0]
    dropped = not given and not _attribute(node, "keepdims", 1)
    for i, size in enumerate(parts):
        names.append(f"{out}.part{i}")
        if dropped:
            nodes.append(make_constant(f"{out}.index{i}", np.array(start, np.int64)))
            nodes.append(make_node("Gather", [node.input[0], f"{out}.index{i}"], [names[-1]], axis=axis))
        else:
            cut = [f"{out}.{what}{i}" for what in ("start", "end", "axis")]
            nodes += [
                make_constant(n, np.array([v], np.int64)) for n, v in zip(cut, (start, start + size, axis), strict=True)
            ]
            nodes.append(make_node("Slice", [node.input[0], *cut], [names[-1]]))
        start += size
    self.items[out] = names
    return nodes


def _identity(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    name = node.input[0]
    if name in self.optional:
        self.optional[node.output[0]] = self.optional[name]
        return []
    if name in self.items:
        self.items[node.output[0]] = self.items[name]
        return []
    return None


def _optional(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    self.optional[node.output[0]] = node.input[0] if node.input else ""
    return []


def _has_element(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    name = node.input[0] if node.input else ""
    if name and name not in self.optional and name not in self.items and name not in shapes:
        return None
    return [make_constant(node.output[0], np.array(bool(self.optional.get(name, name))))]


def _get_element(self: Sequences, node: onnx.NodeProto, known: Known, shapes: Shapes) -> list[onnx.NodeProto] | None:
    name = node.input[0]
    inside = self.optional.get(name, name)
    if not inside:
        raise ValueError("its optional holds nothing")
    if inside in self.items:
        self.items[node.output[0]] = self.items[inside]
        return []
    if name in self.optional or inside in shapes:
        return [make_node("Identity", [inside], [node.output[0]])]
    return None


_RULES: dict[str, Callable[[Sequences, onnx.NodeProto, Known, Shapes], list[onnx.NodeProto] | None]] = {
    "SequenceConstruct": _construct,
    "SequenceEmpty": _construct,
    "SequenceInsert": _changed,
    "SequenceErase": _changed,
    "SequenceAt": _at,
    "SequenceLength": _length,
    "ConcatFromSequence": _concat,
    "SplitToSequence": _split,
    "Identity": _identity,
    "Optional": _optional,
    "OptionalHasElement": _has_element,
    "OptionalGetElement": _get_element,
}
SEQUENCES = frozenset(_RULES)
