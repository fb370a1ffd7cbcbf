"""Fused activations: the same numbers from fewer nodes."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitpress.graph import Graph, Node, Value
from bitpress.operators import TAKES_CLIP
from bitpress.passes.activations import fuse_activations
from bitpress.reference import interpreter

X = np.linspace(-8, 8, 33, dtype=np.float32)
TENSORS = {"zero": np.zeros(33, np.float32)}


def chain(*clips: tuple[float, float] | None, outputs: str = "y") -> Graph:
    """Add, then one Relu (None) or Clip after the other, the last writing y."""
    nodes = [Node("Add", "add", ("x", "zero"), ("v0" if clips else "y",))]
    for i, clip in enumerate(clips):
        target = "y" if i == len(clips) - 1 else f"v{i + 1}"
        attributes = {} if clip is None else {"clip_low": clip[0], "clip_high": clip[1]}
        nodes.append(Node("Relu" if clip is None else "Clip", f"c{i}", (f"v{i}",), (target,), attributes))
    return Graph((Value("x"),), tuple(Value(name) for name in outputs.split()), tuple(nodes))


def check(graph: Graph, ops: list[str]) -> Graph:
    fused = fuse_activations(graph)
    assert [node.op for node in fused.nodes] == ops
    ours, theirs = interpreter.run(fused, TENSORS, {"x": X}), interpreter.run(graph, TENSORS, {"x": X})
    for name in theirs:
        assert np.array_equal(ours[name], theirs[name])
    return fused


def test_relu_and_relu6() -> None:
    assert check(chain(None), ["Add"]).nodes[0].attributes == {"clip_low": 0.0, "clip_high": math.inf}
    assert check(chain((0.0, 6.0)), ["Add"]).nodes[0].attributes == {"clip_low": 0.0, "clip_high": 6.0}


bounds = st.none() | st.tuples(st.floats(-9, 9, width=32), st.floats(-9, 9, width=32))


@given(st.lists(bounds, min_size=1, max_size=4))
def test_any_chain_of_clips_is_one(clips: list[tuple[float, float] | None]) -> None:
    """Crossed bounds too: ONNX lets the high one win."""
    check(chain(*clips), ["Add"])


def test_a_value_that_others_read_is_kept() -> None:
    check(chain(None, outputs="v0 y"), ["Add", "Relu"])
    graph = chain(None)
    more = (*graph.nodes, Node("Exp", "exp", ("v0",), ("z",)))
    check(Graph(graph.inputs, (Value("y"), Value("z")), more), ["Add", "Relu", "Exp"])


def test_operators_without_a_fused_activation_keep_theirs() -> None:
    assert "Sigmoid" not in TAKES_CLIP
    nodes = (Node("Sigmoid", "s", ("x",), ("a",)), Node("Relu", "r", ("a",), ("y",)))
    check(Graph((Value("x"),), (Value("y"),), nodes), ["Sigmoid", "Relu"])


def test_a_clip_of_an_input_stays() -> None:
    nodes = (Node("Relu", "r", ("x",), ("a",)), Node("Relu", "q", ("a",), ("y",)))
    check(Graph((Value("x"),), (Value("y"),), nodes), ["Relu", "Relu"])
