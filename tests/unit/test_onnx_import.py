"""The ONNX importer and the numpy oracles against onnxruntime, operator by operator, over old and new opsets."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from onnx import TensorProto  # noqa: E402
from onnx_models import model, node, onnxruntime_outputs  # noqa: E402

from bitpress.importers.onnx import load  # noqa: E402
from bitpress.passes import optimize  # noqa: E402
from bitpress.reference import interpreter  # noqa: E402

RANDOM = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def ints(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


def check(proto: onnx.ModelProto, inputs: dict[str, np.ndarray], tolerance: float = 1e-5) -> None:
    expected = onnxruntime_outputs(proto, inputs)
    source = load(proto)
    for fold in (False, True):
        graph, tensors = optimize(source.graph, source.arrays(), fold=fold)
        found = interpreter.run(graph, tensors, inputs)
        for value, theirs in zip(graph.outputs, expected, strict=True):
            ours = found[value.name]
            assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
            np.testing.assert_allclose(
                ours, theirs, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(theirs).max()))
            )


X = (2, 6, 9, 8)
CONV = {"w": floats(4, 6, 3, 2), "b": floats(4)}
CASES = {
    "conv": ([node("Conv", "x w b")], CONV),
    "conv pads strides dilations": (
        [node("Conv", "x w", pads=[1, 2, 0, 1], strides=[2, 1], dilations=[2, 3], kernel_shape=[3, 2])],
        CONV,
    ),
    "conv same upper": ([node("Conv", "x w b", auto_pad="SAME_UPPER", strides=[2, 2])], CONV),
    "conv same lower": ([node("Conv", "x w b", auto_pad="SAME_LOWER", strides=[2, 3])], CONV),
    "conv valid": ([node("Conv", "x w b", auto_pad="VALID", strides=[2, 3])], CONV),
    "conv groups": ([node("Conv", "x w b", group=2)], {"w": floats(4, 3, 3, 2), "b": floats(4)}),
    "conv depthwise": ([node("Conv", "x w", group=6, pads=[1, 1, 1, 1])], {"w": floats(12, 1, 3, 3)}),
    "max pool": ([node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])], {}),
    "max pool ceil": ([node("MaxPool", "x", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)], {}),
    "max pool dilated": ([node("MaxPool", "x", kernel_shape=[2, 3], dilations=[2, 3])], {}),
    "max pool same": ([node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER")], {}),
    "average pool": ([node("AveragePool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])], {}),
    "average pool counted": (
        [node("AveragePool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], count_include_pad=1)],
        {},
    ),
    "average pool ceil": ([node("AveragePool", "x", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)], {}),
    "global average pool": ([node("GlobalAveragePool", "x")], {}),
    "global max pool": ([node("GlobalMaxPool", "x")], {}),
    "relu": ([node("Relu", "x")], {}),
    "clip": ([node("Clip", "x low high")], {"low": np.float32(-0.5), "high": np.float32(0.75)}),
    "clip one side": ([node("Clip", "x . high")], {"high": np.float32(0.75)}),
    "sigmoid tanh": ([node("Sigmoid", "x", "s"), node("Tanh", "s")], {}),
    "softmax": ([node("Softmax", "x", axis=1)], {}),
    "flatten": ([node("Flatten", "x", axis=2)], {}),
    "flatten negative": ([node("Flatten", "x", axis=-1)], {}),
    "reshape": ([node("Reshape", "x shape")], {"shape": ints(0, -1, 4)}),
    "reshape constant node": (
        [onnx.helper.make_node("Constant", [], ["shape"], value_ints=[2, -1]), node("Reshape", "x shape")],
        {},
    ),
    "transpose": ([node("Transpose", "x", perm=[0, 2, 3, 1])], {}),
    "transpose reversed": ([node("Transpose", "x")], {}),
    "concat": ([node("Concat", "x x c", axis=1)], {"c": floats(2, 3, 9, 8)}),
    "pad": ([node("Pad", "x pads value")], {"pads": ints(0, 0, 1, 2, 0, 1, 0, 3), "value": np.float32(0.5)}),
    "arithmetic": (
        [node("Add", "x a", "s"), node("Mul", "s b", "p"), node("Sub", "p x", "d"), node("Div", "d c")],
        {"a": floats(6, 1, 1), "b": floats(2, 1, 1, 8), "c": np.float32(3)},
    ),
    "sum of three": ([node("Sum", "x a x")], {"a": floats(6, 1, 1)}),
    "batch norm": (
        [node("BatchNormalization", "x s b m v", epsilon=1e-3)],
        {"s": floats(6), "b": floats(6), "m": floats(6), "v": np.abs(floats(6))},
    ),
    "leaky relu": ([node("LeakyRelu", "x", alpha=0.2)], {}),
    "hard sigmoid": ([node("HardSigmoid", "x", alpha=0.3, beta=0.4)], {}),
    "erf exp sqrt": ([node("Erf", "x", "e"), node("Exp", "e", "p"), node("Sqrt", "p")], {}),
    "matmul": ([node("MatMul", "x w")], {"w": floats(8, 5)}),
    "matmul batched": ([node("MatMul", "x w")], {"w": floats(6, 8, 5)}),
    "dropout identity": ([node("Dropout", "x", "d"), node("Identity", "d")], {}),
    "squeeze unsqueeze": (
        [node("Unsqueeze", "x axes", "u"), node("Squeeze", "u axes", "s"), node("Unsqueeze", "s more")],
        {"axes": ints(1, -1), "more": ints(0)},
    ),
    "mean": ([node("ReduceMean", "x axes", keepdims=0)], {"axes": ints(-1, 1)}),
    "mean of all": ([node("ReduceMean", "x")], {}),
    "mean of none": ([node("ReduceMean", "x", noop_with_empty_axes=1)], {}),
}
AXES_AS_INPUTS = {"squeeze unsqueeze", "mean", "mean of none"}  # since opset 18: test_axes_as_attributes


@pytest.mark.parametrize(
    ("case", "opset"),
    [(case, opset) for case in CASES for opset in (11, 13, 17, 20) if opset >= 18 or case not in AXES_AS_INPUTS],
)
def test_operator(case: str, opset: int) -> None:
    nodes, tensors = CASES[case]
    check(model(nodes, {"x": X}, ["y"], tensors, opset), {"x": floats(*X)})


def test_axes_as_attributes() -> None:
    nodes = [
        node("Unsqueeze", "x", "u", axes=[1]),
        node("Squeeze", "u", "s", axes=[1]),
        node("ReduceMean", "s", axes=[2]),
    ]
    check(model(nodes, {"x": X}, ["y"], opset=11), {"x": floats(*X)})


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_softmax_before_opset_13_takes_a_matrix(axis: int) -> None:
    check(model([node("Softmax", "x", axis=axis)], {"x": X}, ["y"], opset=11), {"x": floats(*X)})


@pytest.mark.parametrize(("approximate", "op"), [("none", "Gelu"), ("tanh", "Gelu"), (None, "HardSwish")])
def test_newer_operators(approximate: str | None, op: str) -> None:
    attributes = {"approximate": approximate} if approximate else {}
    check(model([node(op, "x", **attributes)], {"x": X}, ["y"]), {"x": floats(*X)})


def test_arg_max() -> None:
    proto = model([node("ArgMax", "x", axis=1, keepdims=0)], {"x": X}, {"y": TensorProto.INT64})
    check(proto, {"x": floats(*X)})


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias", ["b", ""])
def test_gemm(trans_a: int, trans_b: int, bias: str) -> None:
    tensors = {"w": floats(5, 7) if trans_b else floats(7, 5), "b": floats(5)}
    proto = model(
        [node("Gemm", f"x w {bias}", transA=trans_a, transB=trans_b, alpha=0.5, beta=2.0)],
        {"x": (7, 3) if trans_a else (3, 7)},
        ["y"],
        tensors,
    )
    check(proto, {"x": floats(7, 3) if trans_a else floats(3, 7)})


@pytest.mark.parametrize("batch", [1, 3])
def test_shape_arithmetic_over_an_open_batch(batch: int) -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "n", axis=0),
        node("Unsqueeze", "n axis", "row"),
        node("Concat", "row rest", "target", axis=0),
        node("Reshape", "x target"),
    ]
    proto = model(nodes, {"x": ("batch", 6, 4)}, ["y"], {"zero": np.int64(0), "axis": ints(0), "rest": ints(3, 8)})
    source = load(proto)
    assert [item.op for item in source.graph.nodes] == ["Reshape"]
    assert source.graph.nodes[0].attributes["shape"] == (0, 3, 8)
    assert source.graph.inputs[0].shape == (-1, 6, 4) and dict(source.tensors) == {}
    check(proto, {"x": floats(batch, 6, 4)})


def test_a_small_network_of_each_kind(tmp_path) -> None:
    """A multilayer perceptron and a convolutional network, from files."""
    nodes = [
        node("Conv", "x w1", "a", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a s b m v", "n"),
        node("Relu", "n", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "p", "f"),
        node("Gemm", "f w2 b2", "h", transB=1),
        node("Clip", "h low high", "c"),
        node("MatMul", "c w3", "z"),
        node("Add", "z b3"),
    ]
    tensors = {"w1": floats(8, 3, 3, 3), "s": floats(8), "b": floats(8), "m": floats(8), "v": np.abs(floats(8))}
    tensors |= {"w2": floats(16, 8 * 16), "b2": floats(16), "low": np.float32(0), "high": np.float32(6)}
    tensors |= {"w3": floats(16, 10), "b3": floats(10), "unused": floats(3)}
    proto = model(nodes, {"x": ("batch", 3, 8, 8)}, ["y"], tensors)
    x = floats(5, 3, 8, 8)
    check(proto, {"x": x})
    path = tmp_path / "network.onnx"
    onnx.save(proto, path)
    source = load(path)
    assert list(source.tensors) == ["w1", "s", "b", "m", "v", "w2", "b2", "w3", "b3"]
    assert source.tensors["w2"].shape == (16, 128) and source.tensors["w2"].dtype == "F32"
    graph, folded = optimize(source.graph, source.arrays())
    assert [item.op for item in graph.nodes] == ["Conv", "MaxPool", "Flatten", "Gemm", "MatMul", "Add"]
    assert graph.nodes[3].attributes["clip_high"] == 6.0 and set(folded) == set(graph.stored())
    graph, kept = optimize(source.graph, source.arrays(), fold=False)
    assert all(np.array_equal(kept[name], tensors[name]) for name in kept) and "BatchNormalization" in {
        item.op for item in graph.nodes
    }
