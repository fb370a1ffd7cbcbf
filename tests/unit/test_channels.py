"""Channels, neurons and heads cut out of a graph: it equals the graph in which nothing reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx_models import model, node

import bitpress as bp
from bitpress.graph import Body, Graph, Node, Value
from bitpress.passes.channel_groups import groups_of
from bitpress.passes.channels import cut_channels, scores
from bitpress.passes.tensors import Tensors

rng = np.random.default_rng(9)


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def gemm(name: str, x: str, y: str, **attributes: Any) -> Node:
    return Node("Gemm", name, (x, name, f"{name}.b"), (y,), {"transB": 1, **attributes})


def convnet() -> tuple[Graph, dict[str, np.ndarray]]:
    """A residual block, a depthwise one, squeeze and excite, and dense layers on flattened pixels."""
    tensors = weights(
        **{"a": (8, 3, 3, 3), "a.b": (8,), "b": (8, 8, 3, 3), "d": (12, 1, 3, 3), "d.b": (12,), "e": (12, 8, 1, 1)},
        **{"s": (4, 12, 1, 1), "s.b": (4,), "t": (12, 4, 1, 1), "t.b": (12,), "f": (16, 12 * 4), "f.b": (16,)},
        **{"g": (5, 16), "g.b": (5,), "scale": (1, 12, 1, 1)},
    )
    pads = {"pads": (1, 1, 1, 1)}
    nodes = (
        Node("Conv", "a", ("x", "a", "a.b"), ("a0",), pads | {"clip_low": 0.0}),
        Node("Conv", "b", ("a0", "b"), ("b0",), pads),
        Node("Add", "res", ("a0", "b0"), ("r",)),
        Node("Relu", "relu", ("r",), ("r1",)),
        Node("Conv", "e", ("r1", "e"), ("e0",)),
        Node("HardSwish", "hs", ("e0",), ("e1",)),
        Node("Conv", "d", ("e1", "d", "d.b"), ("d0",), pads | {"group": 12}),
        Node("GlobalAveragePool", "gap", ("d0",), ("p",)),
        Node("Conv", "s", ("p", "s", "s.b"), ("s0",), {"clip_low": 0.0}),
        Node("Conv", "t", ("s0", "t", "t.b"), ("t0",)),
        Node("Sigmoid", "gate", ("t0",), ("t1",)),
        Node("Mul", "se", ("t1", "d0"), ("m",)),
        Node("Mul", "times", ("m", "scale"), ("m1",)),
        Node("AveragePool", "pool", ("m1",), ("m2",), {"kernel_shape": (3, 3), "strides": (3, 3)}),
        Node("Flatten", "flat", ("m2",), ("v",)),
        gemm("f", "v", "f0", clip_low=0.0),
        gemm("g", "f0", "y"),
    )
    graph = Graph((Value("x", "F32", (2, 3, 6, 6)),), (Value("y", "F32", (2, 5)),), nodes)
    return graph, tensors


def attention() -> tuple[Graph, dict[str, np.ndarray]]:
    """One layer of a transformer: four heads of six features, a residual, and a feed-forward part."""
    shapes = dict.fromkeys("qkv", (10, 24)) | {f"{name}.b": (24,) for name in "qkv"}
    shapes |= {"o": (24, 10), "o.b": (10,), "u": (10, 30), "u.b": (30,), "w": (30, 10), "half": (1,)}
    tensors = weights(**shapes)
    nodes: list[Node] = []
    for name in "qkv":
        perm = (0, 2, 3, 1) if name == "k" else (0, 2, 1, 3)
        nodes += [
            Node("MatMul", name, ("x", name), (f"{name}0",)),
            Node("Add", f"{name}+", (f"{name}.b", f"{name}0"), (f"{name}1",)),
            Node("Reshape", f"{name}r", (f"{name}1",), (f"{name}2",), {"shape": (0, 0, 4, 6)}),
            Node("Transpose", f"{name}t", (f"{name}2",), (f"{name}3",), {"perm": perm}),
        ]
    nodes += [
        Node("MatMul", "qk", ("q3", "k3"), ("s0",)),
        Node("Mul", "scaled", ("s0", "half"), ("s1",)),
        Node("Add", "masked", ("s1", "mask"), ("s2",)),
        Node("Softmax", "soft", ("s2",), ("s3",), {"axis": -1}),
        Node("MatMul", "sv", ("s3", "v3"), ("h0",)),
        Node("Transpose", "back", ("h0",), ("h1",), {"perm": (0, 2, 1, 3)}),
        Node("Reshape", "flat", ("h1",), ("h2",), {"shape": (0, 0, 24)}),
        Node("MatMul", "o", ("h2", "o"), ("o0",)),
        Node("Add", "o+", ("o0", "o.b"), ("o1",)),
        Node("Add", "residual", ("o1", "x"), ("z",)),
        Node("MatMul", "u", ("z", "u"), ("u0",)),
        Node("Add", "u+", ("u0", "u.b"), ("u1",)),
        Node("Gelu", "gelu", ("u1",), ("u2",)),
        Node("MatMul", "w", ("u2", "w"), ("w0",)),
        Node("Add", "out", ("w0", "z"), ("y",)),
    ]
    inputs = (Value("x", "F32", (2, 5, 10)), Value("mask", "F32", (2, 1, 1, 5)))
    return Graph(inputs, (Value("y", "F32", (2, 5, 10)),), tuple(nodes)), tensors


def run(graph: Graph, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    made = {name: bp.pack(tensors[name], bp.Scheme()) for name in graph.stored()}
    draw = np.random.default_rng(1)
    inputs = {value.name: draw.normal(size=value.shape).astype(np.float32) for value in graph.inputs}
    return next(iter(bp.Session(bp.Model(made, graph, {})).run(inputs).values()))


def masked(graph: Graph, tensors: Mapping[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """The same weights with zeros where a layer reads a unit that goes."""
    zeroed = {name: array.copy() for name, array in tensors.items()}
    for group in groups_of(graph, {name: array.shape for name, array in tensors.items()}):
        order = np.argsort(scores(group, tensors), kind="stable")
        for part in group.parts:
            if part.reads:
                units = np.moveaxis(zeroed[part.name], part.axis, 0)
                for unit in order[: min(round(share * group.count), group.count - 1)]:
                    units[unit * part.span : (unit + 1) * part.span] = 0
    return zeroed


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("network", [convnet, attention])
def test_the_cut_graph_equals_the_masked_one(network: Any, share: float) -> None:
    graph, tensors = network()
    small, cut = cut_channels(graph, Tensors(tensors), share)
    np.testing.assert_allclose(run(small, cut), run(graph, masked(graph, tensors, share)), rtol=2e-4, atol=2e-4)
    if share:
        assert sum(array.size for array in cut.values()) < sum(array.size for array in tensors.values())
    else:
        assert small == graph


def test_what_goes_with_what() -> None:
    graph, tensors = convnet()
    found = {
        tuple(sorted({part.name for part in group.parts if part.name})): group.count
        for group in groups_of(graph, {name: array.shape for name, array in tensors.items()})
    }
    assert found == {
        ("a", "a.b", "b", "e"): 8,
        ("d", "d.b", "e", "f", "s", "scale", "t", "t.b"): 12,
        ("s", "s.b", "t"): 4,
        ("f", "f.b", "g"): 16,
    }
    graph, tensors = attention()
    groups = groups_of(graph, {name: array.shape for name, array in tensors.items()})
    assert sorted((group.count, len([part for part in group.parts if part.name])) for group in groups) == [
        (4, 7),
        (30, 3),
    ]


def test_shapes_and_counts_are_mended() -> None:
    graph, tensors = attention()
    small, cut = cut_channels(graph, Tensors(tensors), 0.5)
    nodes = {each.name: each for each in small.nodes}
    assert nodes["qr"].attributes["shape"] == (0, 0, 2, 6)
    assert nodes["flat"].attributes["shape"] == (0, 0, 12)
    assert (cut["q"].shape, cut["o"].shape, cut["u"].shape) == ((10, 12), (12, 10), (10, 15))
    graph, tensors = convnet()
    small, cut = cut_channels(graph, Tensors(tensors), 0.25)
    assert {each.name: each for each in small.nodes}["d"].attributes["group"] == 9 == len(cut["d"])


def test_what_is_not_understood_stays_whole() -> None:
    """Concatenation, shared weights, outputs, and what is ignored or fixed."""
    graph, tensors = convnet()
    joined = (*graph.nodes[:4], Node("Concat", "cat", ("r1", "r1"), ("c",), {"axis": 1}))
    outputs = (Value("c", "F32", None),)
    assert not groups_of(Graph(graph.inputs, outputs, joined), {name: array.shape for name, array in tensors.items()})
    twice = (*graph.nodes, Node("Conv", "again", ("x", "a"), ("other",)))
    groups = groups_of(Graph(graph.inputs, graph.outputs, twice), {name: a.shape for name, a in tensors.items()})
    assert all(part.name != "a" for group in groups for part in group.parts)
    _, cut = cut_channels(graph, Tensors(tensors), 0.5, ignore=("e",), fixed={"g"})
    assert [name for name in tensors if cut[name].shape != tensors[name].shape] == ["s", "s.b", "t"]


def test_networks_are_cut_by_recipe() -> None:
    tensors = weights(w=(40, 20), b=(40,), v=(7, 40))
    nodes = [node("Gemm", "x w b", "h", transB=1), node("Relu", "h", "r"), node("Gemm", "r v", "y", transB=1)]
    net = model(nodes, {"x": ["n", 20]}, ["y"], tensors)
    recipe = bp.Recipe.from_dict({"rules": [], "channels": 0.75})
    assert bp.Recipe.from_dict(recipe.to_dict()) == recipe
    assert not recipe.is_lossless
    pressed = bp.compress(net, recipe)
    assert sorted(tensor.shape for tensor in pressed.tensors.values()) == [(7, 10), (10,), (10, 20)]
    x = rng.normal(size=(3, 20)).astype(np.float32)
    power = (tensors["w"] ** 2).sum(1) + tensors["b"] ** 2 + (tensors["v"] ** 2).sum(0)
    stays = np.sort(np.argsort(power)[30:])
    wanted = np.maximum(x @ tensors["w"][stays].T + tensors["b"][stays], 0) @ tensors["v"][:, stays].T
    np.testing.assert_allclose(bp.Session(pressed).run({"x": x})["y"], wanted, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_cut_is_said() -> None:
    graph, tensors = convnet()
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(bp.SchemeError, match="at least 0 and below 1"):
            cut_channels(graph, Tensors(tensors), share)
        with pytest.raises(bp.SchemeError, match="at least 0 and below 1"):
            bp.Recipe(channels=share)
    tensors["a"][0, 0, 0, 0] = np.nan
    with pytest.raises(bp.SchemeError, match="a: NaN or infinity"):
        cut_channels(graph, Tensors(tensors), 0.5)
    with pytest.raises(bp.SchemeError, match="for networks"):
        bp.compress({"w": np.zeros((3, 3), np.float32)}, bp.Recipe(channels=0.5))
    with pytest.raises(bp.SchemeError, match="must be a number"):
        bp.Recipe.from_dict({"rules": [], "channels": "0.5"})


def test_what_a_body_reads_stays() -> None:
    tensors = weights(f=(8, 4), g=(3, 8), **{"f.b": (8,), "g.b": (3,)})
    then = Body((), ("n",), (Node("Neg", "neg", ("h",), ("n",)),))
    nodes = (
        gemm("f", "x", "h"),
        Node("If", "if", ("c",), ("k",), {}, (then, Body((), ("h",), ()))),
        gemm("g", "h", "y"),
    )
    inputs = (Value("x", "F32", (1, 4)), Value("c", "BOOL", ()))
    shapes = {name: array.shape for name, array in tensors.items()}
    assert groups_of(Graph(inputs, (Value("y"), Value("k")), nodes), shapes) == []
    assert len(groups_of(Graph(inputs, (Value("y"),), (nodes[0], nodes[2])), shapes)) == 1


def test_channels_that_a_convolution_reads_as_pixels_stay() -> None:
    """Heads on the axis of rows, before a convolution whose channels are as many positions."""
    tensors = weights(w=(6, 32), c=(5, 8, 1, 1))
    nodes = (
        Node("MatMul", "w", ("x", "w"), ("h",)),
        Node("Reshape", "r", ("h",), ("k",), {"shape": (0, 0, 8, 4)}),
        Node("Conv", "c", ("k", "c"), ("y",)),
    )
    graph = Graph((Value("x", "F32", (2, 8, 6)),), (Value("y", "F32", (2, 5, 8, 4)),), nodes)
    assert groups_of(graph, {name: array.shape for name, array in tensors.items()}) == []
