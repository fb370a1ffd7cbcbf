"""Batch norms worked into the weights before them: exact to float32 rounding, only where it is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitpress.graph import Attribute, Graph, Node, Value
from bitpress.passes import optimize
from bitpress.passes.batch_norm import fold_batch_norms
from bitpress.passes.tensors import Tensors
from bitpress.reference import interpreter

RANDOM = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def norm(channels: int) -> dict[str, np.ndarray]:
    variance = np.abs(floats(channels)) + 0.01
    return {"s": floats(channels), "o": floats(channels), "m": floats(channels), "v": variance.astype(np.float32)}


def network(op: str, bias: bool, **attributes: Attribute) -> tuple[Graph, dict[str, np.ndarray], np.ndarray]:
    channels = 6
    weight = floats(channels, 3, 3, 3) if op == "Conv" else floats(channels, 5)
    if op == "Gemm" and not attributes.get("transB", 0):
        weight = weight.T.copy()
    x = floats(2, 3, 7, 7) if op == "Conv" else floats(4, 5)
    tensors = {"layer.weight": weight, **norm(channels), **({"b": floats(channels)} if bias else {})}
    inputs = ("x", "layer.weight", "b") if bias else ("x", "layer.weight")
    nodes = (
        Node(op, "layer", inputs, ("a",), attributes),
        Node("BatchNormalization", "norm", ("a", "s", "o", "m", "v"), ("y",), {"epsilon": 1e-3}),
    )
    values = {name: Value(name, "F32", array.shape) for name, array in tensors.items()}
    return Graph((Value("x"),), (Value("y"),), nodes, values), tensors, x


LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("Conv", {}),
    ("Conv", {"strides": (2, 1), "pads": (1, 0, 2, 1)}),
    ("Gemm", {"transB": 1}),
    ("Gemm", {"transB": 0, "alpha": 0.5, "beta": 3.0}),
]


@pytest.mark.parametrize(("op", "attributes"), LAYERS)
@pytest.mark.parametrize("bias", [False, True])
def test_folded_is_equal(op: str, attributes: dict[str, Any], bias: bool) -> None:
    graph, tensors, x = network(op, bias, **attributes)
    folded, changed = fold_batch_norms(graph, Tensors(tensors))
    assert [node.op for node in folded.nodes] == [op]
    assert changed["layer.weight"].dtype == np.float32
    assert folded.nodes[0].inputs == ("x", "layer.weight", "b.folded" if bias else "layer.bias")
    ours = interpreter.run(folded, changed, {"x": x})["y"]
    theirs = interpreter.run(graph, tensors, {"x": x})["y"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_weights_are_computed_when_asked_for_and_unread_tensors_are_dropped() -> None:
    graph, tensors, _ = network("Conv", True)
    _, changed = optimize(graph, tensors)
    assert list(changed) == ["layer.weight", "b.folded"] and changed.computed == {"layer.weight", "b.folded"}
    assert not np.array_equal(changed["layer.weight"], tensors["layer.weight"])
    _, kept = optimize(graph, tensors, fold=False)
    assert set(kept) == set(tensors) and kept.computed == frozenset()


def unchanged(graph: Graph, tensors: dict[str, np.ndarray]) -> None:
    folded, changed = fold_batch_norms(graph, Tensors(tensors))
    assert folded.nodes == graph.nodes and changed.computed == frozenset()


def test_what_is_left_alone() -> None:
    graph, tensors, _ = network("Conv", False)
    layer, after = graph.nodes
    # a fused activation in between
    clipped = Node(layer.op, layer.name, layer.inputs, layer.outputs, {"clip_low": 0.0})
    unchanged(Graph(graph.inputs, graph.outputs, (clipped, after), graph.values), tensors)
    # a value that somebody else reads, or that is an output
    more = Node("Exp", "exp", ("a",), ("z",))
    unchanged(Graph(graph.inputs, (*graph.outputs, Value("z")), (layer, after, more), graph.values), tensors)
    unchanged(Graph(graph.inputs, (*graph.outputs, Value("a")), (layer, after), graph.values), tensors)
    # a weight that two layers share
    twin = Node("Conv", "twin", layer.inputs, ("z",))
    unchanged(Graph(graph.inputs, (*graph.outputs, Value("z")), (layer, after, twin), graph.values), tensors)
    # statistics that are computed
    first = Node("Exp", "exp", ("x",), ("s",))
    rest = {name: array for name, array in tensors.items() if name != "s"}
    unchanged(Graph(graph.inputs, graph.outputs, (first, layer, after), graph.values), rest)


def test_a_norm_after_an_activation_is_left_alone() -> None:
    graph, tensors, _ = network("Conv", False)
    layer, after = graph.nodes
    relu = Node("Relu", "relu", ("a",), ("r",))
    moved = Node(after.op, after.name, ("r", *after.inputs[1:]), after.outputs, after.attributes)
    unchanged(Graph(graph.inputs, graph.outputs, (layer, relu, moved), graph.values), tensors)
