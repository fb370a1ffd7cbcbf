"""Sparse weights of MatMul held transposed: the same numbers, the same survivors, rows that are outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress.graph import Body, Graph, Node, Value
from bitpress.passes.sparse import hold_transposed
from bitpress.passes.tensors import Tensors
from bitpress.recipe import Recipe, Rule
from bitpress.reference import interpreter
from bitpress.scheme import Scheme

RNG = np.random.default_rng(3)
W = RNG.standard_normal((6, 4), np.float32)
X = RNG.standard_normal((5, 6), np.float32)


def graph_of(*nodes: Node, outputs: str = "y") -> Graph:
    return Graph((Value("x", "F32", (5, 6)),), tuple(Value(name) for name in outputs.split()), nodes)


def test_products_are_the_same() -> None:
    graph = graph_of(Node("MatMul", "p", ("x", "w"), ("y",), {"clip_low": 0.0}))
    turned, tensors, held = hold_transposed(graph, Tensors({"w": W}), {"w"})
    assert held == {"w"} and np.array_equal(tensors["w"], W.T)
    assert turned.nodes[0].attributes == {"clip_low": 0.0, "transB": 1}
    got = interpreter.run(turned, tensors, {"x": X})["y"]
    assert np.array_equal(got, interpreter.run(graph, {"w": W}, {"x": X})["y"])


PRODUCT = Node("MatMul", "p", ("x", "w"), ("y",))
BODY = Body((), ("z",), (Node("MatMul", "q", ("x", "w"), ("z",)),))
LEFT_ALONE = {
    "read by another operator": graph_of(PRODUCT, Node("Identity", "i", ("w",), ("z",)), outputs="y z"),
    "read as the first matrix": graph_of(PRODUCT, Node("MatMul", "q", ("w", "x"), ("z",)), outputs="y z"),
    "by both": graph_of(Node("MatMul", "p", ("w", "w"), ("y",))),
    "already": graph_of(Node("MatMul", "p", ("x", "w"), ("y",), {"transB": 1})),
    "given out": graph_of(PRODUCT, outputs="y w"),
    "in a body": graph_of(PRODUCT, Node("If", "f", ("c",), ("z",), {}, (BODY, BODY)), outputs="y z"),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_others_read_is_left_alone(name: str) -> None:
    tensors = Tensors({"w": W})
    assert hold_transposed(LEFT_ALONE[name], tensors, {"w"}) == (LEFT_ALONE[name], tensors, frozenset())


def recipes() -> dict[str, Recipe]:
    sparse = Rule("*", Scheme.int(8, axis=0, sparse=True), sparsity=0.75, channel=True)
    return {"sparse": Recipe((sparse,)), "dense": Recipe((Rule("*", Scheme.int(8, axis=0), channel=True),))}


@pytest.mark.parametrize("kind", recipes())
def test_a_network_is_pressed_so(kind: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    from onnx_models import model, node

    w = RNG.standard_normal((64, 48), np.float32)
    onnx.save(model([node("MatMul", "x w", "y")], {"x": (3, 64)}, ["y"], {"w": w}), tmp_path / "net.onnx")
    pressed = bp.compress(tmp_path / "net.onnx", recipes()[kind])
    tensor = pressed.tensors["w"]
    as_it_was = bp.compress(tmp_path / "net.onnx", recipes()[kind], optimize=False)
    values = as_it_was.tensors["w"].unpack()
    assert tensor.shape == ((48, 64) if kind == "sparse" else (64, 48))
    assert np.array_equal(tensor.unpack().T if kind == "sparse" else tensor.unpack(), values)
    x = RNG.standard_normal((3, 64), np.float32)
    got = bp.Session(pressed).run({"x": x})["y"]
    assert np.abs(got - x.astype(np.float64) @ values).max() < 1e-4
