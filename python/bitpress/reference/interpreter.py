"""Runs a Graph over numpy, one operator after the other: the oracle of the C++ session."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from .operators import OPERATORS, clip

if TYPE_CHECKING:
    from ..graph import Body, Graph, Node

__all__ = ["run"]


def run(graph: Graph, tensors: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The graph's outputs by name. ``tensors`` holds what the graph calls stored; ``inputs`` has every graph input."""
    values = {value.name: np.asarray(inputs[value.name]) for value in graph.inputs}
    _run(graph.nodes, values, tensors, {value.name for value in graph.outputs})
    return {name: values[name] if name in values else tensors[name] for name in (v.name for v in graph.outputs)}


Values = dict[str, np.ndarray]


def _run(nodes: Sequence[Node], values: Values, tensors: Mapping[str, np.ndarray], kept: Set[str]) -> None:
    """Adds what the nodes write to ``values``, and takes away what none of them reads any more."""
    last_reader = {name: i for i, node in enumerate(nodes) for name in node.reads}
    for i, node in enumerate(nodes):
        results: Sequence[np.ndarray]
        arguments = [(values[name] if name in values else tensors[name]) if name else None for name in node.inputs]
        if node.op == "If":
            results = _body(node.bodies[0 if arguments[0].item() else 1], (), values, tensors)  # type: ignore[union-attr]
        elif node.op == "Loop":
            results = _loop(node, arguments, values, tensors)
        else:
            results = _operator(node, arguments)
        values.update(zip(node.outputs, results, strict=False))
        for name in set(node.reads):
            if last_reader[name] == i and name not in kept:
                values.pop(name, None)


def _operator(node: Node, arguments: list[Any]) -> Sequence[np.ndarray]:
    attributes = dict(node.attributes)
    bounds = {}
    if node.op != "Clip":  # a fused activation
        bounds = {key: attributes.pop(key) for key in ("clip_low", "clip_high") if key in attributes}
    result: Any = OPERATORS[node.op](*arguments, **attributes)
    if any(not math.isinf(bound) for bound in bounds.values()):  # type: ignore[arg-type]
        result = clip(result, **bounds)  # type: ignore[arg-type]
    return result if isinstance(result, tuple) else (result,)


def _body(body: Body, given: Sequence[Any], around: Values, tensors: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    values = dict(around)
    values.update(zip((value.name for value in body.inputs), given, strict=True))
    _run(body.nodes, values, tensors, {*around, *body.outputs})
    return [values[name] if name in values else tensors[name] for name in body.outputs]


def _loop(node: Node, arguments: list[Any], around: Values, tensors: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    body, carried = node.bodies[0], arguments[2:]
    turns = math.inf if arguments[0] is None else arguments[0].item()
    goes_on = arguments[1] is None or bool(arguments[1].item())
    seen: list[list[np.ndarray]] = [[] for _ in node.outputs[len(carried) :]]
    turn = 0
    while turn < turns and goes_on:
        if turn == node.attributes["bound"]:
            raise OverflowError("more turns than the bound")
        results = _body(body, (np.array(turn), np.array(True), *carried), around, tensors)
        goes_on, carried = bool(results[0].item()), results[1 : 1 + len(carried)]
        for column, result in zip(seen, results[1 + len(carried) :], strict=True):
            column.append(result)
        turn += 1
    return [*carried, *(np.stack(column) for column in seen)]
