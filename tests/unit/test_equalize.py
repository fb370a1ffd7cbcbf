"""Cross-layer equalization: the same function, channels that span alike, and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import model, node
from test_channels import convnet

import bitpress as bp
from bitpress.graph import Graph, Node, Value
from bitpress.model import Model
from bitpress.passes.equalize import equalize
from bitpress.passes.tensors import Tensors

Arrays = dict[str, np.ndarray]


def skewed(seed: int, *shape: int, spread: float = 1.2) -> np.ndarray:
    """Weights whose outputs differ in range by orders of magnitude."""
    random = np.random.default_rng(seed)
    scale = np.exp(spread * random.standard_normal(shape[0])).reshape(-1, *[1] * (len(shape) - 1))
    return (random.standard_normal(shape) * scale).astype(np.float32)


def run(graph: Graph, tensors: Arrays, **inputs: np.ndarray) -> np.ndarray:
    stored = {name: bp.pack(np.asarray(tensors[name]), bp.Scheme()) for name in graph.stored()}
    return next(iter(bp.Session(Model(stored, graph)).run(inputs).values()))


def equalized(graph: Graph, tensors: Arrays, **words: Any) -> tuple[Graph, Arrays]:
    made, lazy = equalize(graph, Tensors(tensors), **words)
    return made, {name: lazy[name] for name in made.stored()}


def assert_same(graph: Graph, tensors: Arrays, made: Graph, changed: Arrays, x: np.ndarray) -> None:
    want, found = run(graph, tensors, x=x), run(made, changed, x=x)
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-4 * np.abs(want).max())


def mobile(high: float, seed: int = 0) -> tuple[Graph, Arrays]:
    """Expand, depthwise, project, a residual, and a layer behind it: two blocks as MobileNet and its kin have them."""
    tensors = {"stem": skewed(seed, 6, 3, 3, 3), "stem.b": skewed(seed + 1, 6)}
    nodes = [Node("Conv", "stem", ("x", "stem", "stem.b"), ("h0",), {"pads": (1, 1, 1, 1)})]
    for block in range(2):
        name = f"{block}."
        tensors |= {f"{name}e": skewed(seed + 2 + block, 18, 6, 1, 1), f"{name}e.b": skewed(seed + 4, 18)}
        tensors |= {
            f"{name}d": skewed(seed + 5 + block, 18, 1, 3, 3),
            f"{name}p": skewed(seed + 7 + block, 6, 18, 1, 1),
        }
        clip = {"clip_low": 0.0, "clip_high": high}
        nodes += [
            Node("Conv", f"{name}e", (f"h{block}", f"{name}e", f"{name}e.b"), (f"{name}1",), clip),
            Node(
                "Conv", f"{name}d", (f"{name}1", f"{name}d"), (f"{name}2",), clip | {"group": 18, "pads": (1, 1, 1, 1)}
            ),
            Node("Conv", f"{name}p", (f"{name}2", f"{name}p"), (f"{name}3",), {}),
            Node("Add", f"{name}+", (f"h{block}", f"{name}3"), (f"h{block + 1}",)),
        ]
    tensors |= {"head": skewed(seed + 9, 10, 6, 1, 1)}
    nodes += [Node("Conv", "head", ("h2", "head"), ("y",))]
    shape = (2, 3, 8, 8)
    return Graph((Value("x", "F32", shape),), (Value("y", "F32", (2, 10, 8, 8)),), tuple(nodes)), tensors


@pytest.mark.parametrize("high", [np.inf, 6.0])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_function_stays_and_channels_span_alike(high: float, seed: int) -> None:
    graph, tensors = mobile(high, seed)
    made, changed = equalized(graph, tensors)
    x = np.random.default_rng(seed).standard_normal((2, 3, 8, 8)).astype(np.float32)
    assert_same(graph, tensors, made, changed, x)
    for name in ("0.", "1."):
        rows, middle, columns = (
            np.abs(changed[name + part]).max(axes)
            for part, axes in (("e", (1, 2, 3)), ("d", (1, 2, 3)), ("p", (0, 2, 3)))
        )
        assert np.ptp(np.log(np.stack([rows, middle, columns])), 0).max() < 0.3
    # of the residual: the mean of those who write it is the mean of those who read it
    writes = np.mean([np.log(np.abs(changed[name]).max((1, 2, 3))) for name in ("stem", "0.p", "1.p")], 0)
    reads = np.mean([np.log(np.abs(changed[name]).max((0, 2, 3))) for name in ("0.e", "1.e", "head")], 0)
    np.testing.assert_allclose(writes, reads, atol=0.1)
    bounds = [each for each in made.nodes if each.op == "Min"]
    assert len(bounds) == (0 if high == np.inf else 4)


def test_one_pair_is_the_papers_formula() -> None:
    """s = sqrt(r1 r2) / r2 divides the first layer's outputs (Nagel et al. 2019, equation 11)."""
    tensors = {"a": skewed(1, 12, 5), "a.b": skewed(2, 12), "b": skewed(3, 4, 12)}
    nodes = (
        Node("Gemm", "a", ("x", "a", "a.b"), ("h",), {"transB": 1, "clip_low": 0.0}),
        Node("Gemm", "b", ("h", "b"), ("y",), {"transB": 1}),
    )
    graph = Graph((Value("x", "F32", (3, 5)),), (Value("y", "F32", (3, 4)),), nodes)
    _, changed = equalized(graph, tensors)
    r1, r2 = np.abs(tensors["a"]).max(1).astype(np.float64), np.abs(tensors["b"]).max(0).astype(np.float64)
    s = np.sqrt(r1 * r2) / r2
    np.testing.assert_allclose(changed["a"], tensors["a"] / s[:, None], rtol=1e-6)
    np.testing.assert_allclose(changed["a.b"], tensors["a.b"] / s, rtol=1e-6)
    np.testing.assert_allclose(changed["b"], tensors["b"] * s, rtol=1e-6)
    again = equalized(graph, changed)[1]
    for name, array in changed.items():
        np.testing.assert_allclose(again[name], array, rtol=0.02)


def test_gates_pools_flattened_pixels_and_constants() -> None:
    """Where a sigmoid or a product of values stands, scales do not pass; through pools and flattening they do."""
    graph, tensors = convnet()
    made, changed = equalized(graph, tensors)
    assert_same(
        graph, tensors, made, changed, np.random.default_rng(3).standard_normal((2, 3, 6, 6)).astype(np.float32)
    )
    moved = {name for name, array in changed.items() if not np.array_equal(array, tensors[name])}
    assert {"f", "g", "s"} <= moved  # dense after dense, squeeze after excite
    assert not {"t", "scale"} & {name for name in moved if name == "scale"}


def test_batch_norms_between_are_moved_along() -> None:
    random = np.random.default_rng(5)
    tensors = {"a": skewed(1, 8, 3, 3, 3), "b": skewed(2, 4, 8, 3, 3)}
    tensors |= {"g": random.random(8) + 0.5, "o": random.standard_normal(8), "m": random.standard_normal(8)}
    tensors |= {"v": random.random(8) + 0.1}
    tensors = {name: array.astype(np.float32) for name, array in tensors.items()}
    nodes = (
        Node("Conv", "a", ("x", "a"), ("h",), {"clip_low": 0.0}),
        Node("BatchNormalization", "n", ("h", "g", "o", "m", "v"), ("k",)),
        Node("MaxPool", "p", ("k",), ("q",), {"kernel_shape": (2, 2), "strides": (1, 1)}),
        Node("Conv", "b", ("q", "b"), ("y",)),
    )
    graph = Graph((Value("x", "F32", (1, 3, 9, 9)),), (Value("y", "F32", (1, 4, 4, 4)),), nodes)
    made, changed = equalized(graph, tensors)
    assert_same(graph, tensors, made, changed, random.standard_normal((1, 3, 9, 9)).astype(np.float32))
    rows, columns = np.abs(changed["a"]).max((1, 2, 3)), np.abs(changed["b"]).max((0, 2, 3))
    np.testing.assert_allclose(rows, columns, rtol=0.02)
    np.testing.assert_array_equal(changed["g"], tensors["g"])


def unchanged(graph: Graph, tensors: Arrays, **words: Any) -> None:
    made, changed = equalized(graph, tensors, **words)
    assert made.nodes == graph.nodes
    for name, array in tensors.items():
        np.testing.assert_array_equal(changed[name], array)


def pair(between: str, **shapes: tuple[int, ...]) -> tuple[Graph, Arrays]:
    tensors = {"a": skewed(1, 6, 4), "b": skewed(2, 3, 6)}
    tensors |= {name: skewed(3, *shape) for name, shape in shapes.items()}
    nodes = [Node("Gemm", "a", ("x", "a"), ("h",), {"transB": 1})]
    nodes.append(Node(between, "f", ("h", *shapes), ("k",)))
    nodes.append(Node("Gemm", "b", ("k", "b"), ("y",), {"transB": 1}))
    return Graph((Value("x", "F32", (2, 4)),), (Value("y", "F32", (2, 3)),), tuple(nodes)), tensors


def test_what_scales_do_not_pass_through_stays() -> None:
    for between in ("Sigmoid", "Gelu", "HardSwish", "Exp", "Abs"):
        unchanged(*pair(between))
    unchanged(*pair("Add", c=(1,)))  # one number for all channels
    graph, tensors = pair("Relu")
    unchanged(graph, tensors, ignore=("b",))
    unchanged(graph, tensors, fixed={"a"})
    unchanged(graph, {name: array.astype(np.float16) for name, array in tensors.items()})
    read = Graph(graph.inputs, (*graph.outputs, Value("h", "F32", (2, 6))), graph.nodes)
    unchanged(read, tensors)  # an output of the network
    low = Graph(graph.inputs, graph.outputs, tuple(_clipped(each, -1.0) for each in graph.nodes))
    unchanged(low, tensors)
    tied = Graph(graph.inputs, graph.outputs, (*graph.nodes[:2], Node("Gemm", "b", ("k", "a"), ("y",))))
    unchanged(tied, {"a": tensors["a"]})  # a shared weight


def _clipped(each: Node, low: float) -> Node:
    return Node("Clip", each.name, each.inputs, each.outputs, {"clip_low": low}) if each.op == "Relu" else each


def test_dead_channels_stay_and_nan_is_refused() -> None:
    graph, tensors = pair("Relu")
    tensors["a"][2] = 0
    tensors["b"][:, 4] = 0
    made, changed = equalized(graph, tensors)
    for name, at in (("a", np.s_[[2, 4]]), ("b", np.s_[:, [2, 4]])):
        np.testing.assert_array_equal(changed[name][at], tensors[name][at])
    assert_same(graph, tensors, made, changed, np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32))
    tensors["a"][0, 0] = np.nan
    with pytest.raises(bp.SchemeError, match="a: NaN or infinity has no range"):
        equalized(graph, tensors)


def network() -> tuple[Any, Arrays]:
    tensors = {"a": skewed(1, 48, 3, 3, 3), "d": skewed(2, 48, 1, 3, 3), "c": skewed(3, 16, 48, 1, 1)}
    tensors["six"] = np.float32(6)
    tensors["zero"] = np.float32(0)
    nodes = [
        node("Conv", "x a", "h"),
        node("Clip", "h zero six", "r"),
        node("Conv", "r d", "k", group=48),
        node("Relu", "k", "q"),
        node("Conv", "q c", "y"),
    ]
    return model(nodes, {"x": ["n", 3, 9, 9]}, ["y"], tensors), tensors


def test_a_recipe_that_equalizes(tmp_path: Path) -> None:
    """One scale a tensor loses far less; the recipe is a file; the network still clips where it did."""
    net, _ = network()
    x = {"x": np.random.default_rng(1).standard_normal((8, 3, 9, 9)).astype(np.float32)}
    exact = bp.Session(bp.compress(net, bp.Recipe())).run(x)["y"]
    errors = {}
    for equal in (False, True):
        rules = [{"pattern": "*", "op": "Conv", "bits": 6, "per": "tensor"}]
        recipe = bp.Recipe.from_dict({"rules": rules, "equalize": equal})
        recipe.save(tmp_path / "recipe.json")
        assert bp.Recipe.from_file(tmp_path / "recipe.json") == recipe and recipe.equalize is equal
        made = bp.compress(net, recipe)
        made.save(tmp_path / "net.bp")
        errors[equal] = float(np.square(bp.Session(tmp_path / "net.bp").run(x)["y"] - exact).mean())
    assert {name for name in made.tensors if name.startswith("bound.")} == {"bound.a"}
    assert errors[True] < 0.3 * errors[False]
    assert not bp.Recipe(equalize=True).is_lossless
    same = bp.Session(bp.compress(net, bp.Recipe(equalize=True))).run(x)["y"]
    np.testing.assert_allclose(same, exact, rtol=0, atol=2e-5 * np.abs(exact).max())


def test_what_a_recipe_refuses() -> None:
    net, tensors = network()
    with pytest.raises(bp.SchemeError, match="equalize and low rank are for networks"):
        bp.compress(tensors, bp.Recipe(equalize=True))
    with pytest.raises(bp.SchemeError, match="may be optimized"):
        bp.compress(net, bp.Recipe(equalize=True), optimize=False)
    for wrong in (1, "yes"):
        with pytest.raises(bp.SchemeError, match="equalize must be true or false"):
            bp.Recipe.from_dict({"rules": [], "equalize": wrong})
    with pytest.raises(bp.SchemeError, match="channels must be a number"):
        bp.Recipe.from_dict({"rules": [], "channels": True})


def test_a_saved_recipe_keeps_what_is_done_to_the_graph(tmp_path: Path) -> None:
    recipe = bp.Recipe.from_dict({"rules": [], "channels": 0.25, "low_rank": 0.9, "equalize": True})
    recipe.save(tmp_path / "recipe.json")
    assert bp.Recipe.from_file(tmp_path / "recipe.json") == recipe


def test_the_command_line(bitpress: Any, tmp_path: Path) -> None:
    net, _ = network()
    (tmp_path / "net.onnx").write_bytes(net.SerializeToString())
    command = ["compress", tmp_path / "net.onnx", "-o", tmp_path / "net.bp", "--bits", "4", "--equalize"]
    done = bitpress(*command, "--per", "tensor", "--percentile", "99")
    assert done.returncode == 0 and not done.stderr, done.stderr
    words = {"pattern": "*", "op": "Conv", "min_elements": 1024, "bits": 4, "per": "tensor"}
    recipe = bp.Recipe.from_dict({"rules": [words | {"range": "percentile", "percentile": 99}], "equalize": True})
    bp.compress(net, recipe).save(tmp_path / "ours.bp")
    assert (tmp_path / "net.bp").read_bytes() == (tmp_path / "ours.bp").read_bytes()
    assert bitpress(*command, "--percentile", "99", "--range", "mse").returncode == 2
