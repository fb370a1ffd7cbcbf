"""Quantized ONNX: constant weights become packed tensors of the same codes, scales and zero points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

import onnx_models  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_models import node  # noqa: E402

import bitpress as bp  # noqa: E402
from bitpress.recipe import Recipe  # noqa: E402
from bitpress.scheme import Granularity, Integer  # noqa: E402
from bitpress.session import Session  # noqa: E402

RAW = Recipe.lossless(coding="raw")
KINDS = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16,
         "int4": TensorProto.INT4, "uint4": TensorProto.UINT4}  # fmt: skip
RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "int4": (-8, 7), "uint4": (0, 15)}


def onnxruntime_outputs(proto: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    return onnx_models.onnxruntime_outputs(proto, inputs, optimize=False)


def build(nodes: list[Any], x: tuple[int, ...], tensors: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", kind, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        tensors,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def codes(name: str, kind: str, array: np.ndarray) -> Any:
    return helper.make_tensor(name, KINDS[kind], array.shape, array.ravel().tolist())


def floats(name: str, array: Any) -> Any:
    return numpy_helper.from_array(np.asarray(array, np.float32), name)


def session(model: bp.Model) -> Session:
    return Session(model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["tensor", "axis0", "axis1", "block0", "block1"])
@pytest.mark.parametrize("zeros", [False, True])
def test_dequantized_constants(kind: str, how: str, zeros: bool) -> None:
    rng = np.random.default_rng(5)
    shape = (36, 20)
    low, high = RANGES[kind]
    scales_of = {"tensor": (), "axis0": (36,), "axis1": (20,), "block0": (3, 20), "block1": (36, 2)}
    w = rng.integers(low, high + 1, shape)
    told: dict[str, int] = {}
    if how != "tensor":
        told["axis"] = int(how[-1])
    if how.startswith("block"):
        told["block_size"] = {0: 16, 1: 16}[told["axis"]]
    scales = rng.uniform(0.01, 0.02, scales_of[how]).astype(np.float32)
    tensors = [codes("w", kind, w), floats("s", scales)]
    if zeros:
        tensors.append(codes("z", kind, rng.integers(low, high + 1, scales.shape)))
    proto = build(
        [node("DequantizeLinear", "w s z" if zeros else "w s", "d", **told), node("MatMul", "x d")], (3, 36), tensors
    )
    model = bp.compress(proto, RAW)
    (tensor,) = model.tensors.values()
    values = tensor.scheme.values
    assert isinstance(values, Integer)
    assert values.bits == {"int4": 4, "uint4": 4, "int16": 16}.get(kind, 8)
    held = tensor.codes().astype(np.int64) + (low if low < 0 else 0)
    assert np.array_equal(held.T if how == "block0" else held, w)
    granularity = {"tensor": Granularity.TENSOR, "axis0": Granularity.AXIS, "axis1": Granularity.AXIS}
    assert values.granularity is granularity.get(how, Granularity.GROUP)
    assert np.array_equal(np.sort(tensor.scales()), np.sort(scales.ravel()))
    x = np.eye(3, 36, dtype=np.float32)
    expected = onnxruntime_outputs(proto, {"x": x})[0]
    assert np.array_equal(session(model).run({"x": x})["y"], expected)  # rows of the weights, to the bit


def test_a_transposed_weight_is_read_by_products_alone() -> None:
    """Blocks along the first axis: an Add reads the tensor too, so it stays an operator's work."""
    rng = np.random.default_rng(6)
    tensors = [codes("w", "int4", rng.integers(-8, 8, (32, 5))), floats("s", rng.uniform(0.1, 0.2, (2, 5)))]
    nodes = [
        node("DequantizeLinear", "w s", "d", axis=0, block_size=16),
        node("MatMul", "x d", "m"),
        node("ReduceSum", "d", "r", keepdims=0),
        node("Add", "m r"),
    ]
    proto = build(nodes, (2, 32), tensors)
    x = rng.standard_normal((2, 32)).astype(np.float32)
    found = session(bp.compress(proto, RAW)).run({"x": x})["y"]
    np.testing.assert_allclose(found, onnxruntime_outputs(proto, {"x": x})[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [0.0, -0.5])
def test_scales_that_no_scheme_has_stay_an_operator(scale: float) -> None:
    proto = build(
        [node("DequantizeLinear", "w s", "d"), node("Add", "x d")],
        (1,),
        [codes("w", "int8", np.arange(-40, 60)), floats("s", scale)],
    )
    x = np.ones(1, np.float32)
    found = session(bp.compress(proto, RAW)).run({"x": x})["y"]
    assert np.array_equal(found, onnxruntime_outputs(proto, {"x": x})[0])


def test_a_gemm_with_a_quantized_bias_and_codes_under_huffman() -> None:
    rng = np.random.default_rng(7)
    w = np.rint(rng.standard_normal((64, 48)) * 9).clip(-127, 127).astype(np.int64)
    tensors = [codes("w", "int8", w), floats("s", 0.01), codes("z", "int8", np.array(0)),
               numpy_helper.from_array(rng.integers(-999, 999, 64).astype(np.int32), "b"),
               floats("t", 0.001)]  # fmt: skip
    nodes = [node("DequantizeLinear", "w s z", "d"), node("DequantizeLinear", "b t", "c"),
             node("Gemm", "x d c", transB=1)]  # fmt: skip
    proto = build(nodes, (4, 48), tensors)
    model = bp.compress(proto)
    assert str(model.tensors["d"].scheme) == "int8 + huffman"
    x = rng.standard_normal((4, 48)).astype(np.float32)
    np.testing.assert_allclose(
        session(model).run({"x": x})["y"], onnxruntime_outputs(proto, {"x": x})[0], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", [False, True])
def test_matmul_n_bits(bits: int, zeros: bool) -> None:
    rng = np.random.default_rng(8)
    n, k, block = 24, 80, 32
    blocks = 3
    rows = rng.integers(0, 1 << bits, (n, blocks * block)).astype(np.uint8)
    each = 8 // bits
    shifts = (np.arange(each) * bits).astype(np.uint8)

    def in_bytes(codes: np.ndarray) -> np.ndarray:
        filled = np.zeros((len(codes), -(-codes.shape[1] // each) * each), np.uint8)
        filled[:, : codes.shape[1]] = codes
        return np.bitwise_or.reduce(filled.reshape(len(codes), -1, each) << shifts, axis=2).astype(np.uint8)

    tensors = [numpy_helper.from_array(in_bytes(rows).reshape(n, blocks, -1), "w"),
               floats("s", rng.uniform(0.01, 0.02, (n, blocks)))]  # fmt: skip
    if zeros:
        tensors.append(numpy_helper.from_array(in_bytes(rng.integers(0, 1 << bits, (n, blocks)).astype(np.uint8)), "z"))
    matmul = helper.make_node("MatMulNBits", ["x", "w", "s", *(["z"] if zeros else [])], ["y"], domain="com.microsoft",
                              K=k, N=n, bits=bits, block_size=block)  # fmt: skip
    proto = build([matmul], (2, 3, k), tensors)
    model = bp.compress(proto, RAW)
    (tensor,) = model.tensors.values()
    assert np.array_equal(tensor.codes(), rows[:, :k])
    assert tensor.nbytes <= n * k * bits // 8 + n * blocks * (5 if zeros else 4)
    x = rng.standard_normal((2, 3, k)).astype(np.float32)
    np.testing.assert_allclose(
        session(model).run({"x": x})["y"], onnxruntime_outputs(proto, {"x": x})[0], rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("kind", ["uint8", "int4", "uint4"])
@pytest.mark.parametrize("zeros", [False, True])
def test_gather_block_quantized(kind: str, zeros: bool) -> None:
    rng = np.random.default_rng(9)
    rows, columns, block = 10, 64, 16
    low, high = RANGES[kind]
    table = rng.integers(low, high + 1, (rows, columns))
    points = rng.integers(low, high + 1, (rows, 4))
    told: dict[str, int] = {"gather_axis": 0, "quantize_axis": 1, "block_size": block}
    if kind == "uint8":  # two codes a byte
        tensors = [numpy_helper.from_array(table.astype(np.uint8), "w")]
        zero = numpy_helper.from_array((rng.integers(0, 256, (rows, 4))).astype(np.uint8), "z")
        told["bits"] = 8
    else:
        tensors, zero = [codes("w", kind, table)], codes("z", kind, points)
    tensors.append(floats("s", rng.uniform(0.01, 0.02, (rows, 4))))
    names = ["w", "x", "s"]
    if zeros:
        names, tensors = [*names, "z"], [*tensors, zero]
    gather = helper.make_node("GatherBlockQuantized", names, ["y"], domain="com.microsoft", **told)
    proto = build([gather], (2, 3), tensors, TensorProto.INT64)
    x = rng.integers(0, rows, (2, 3))
    found = session(bp.compress(proto, RAW)).run({"x": x})["y"]
    np.testing.assert_allclose(found, onnxruntime_outputs(proto, {"x": x})[0], rtol=1e-6)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("channels", [8, 300])
def test_qlinear_conv_and_integer_products(per_channel: bool, channels: int) -> None:
    """More products an output than float32 adds exactly are added in parts; the weights are codes all the same."""
    rng = np.random.default_rng(10)
    w = rng.integers(-127, 128, (6, channels, 2, 2))
    scales = rng.uniform(0.001, 0.002, 6) if per_channel else 0.0015
    zeros = np.zeros(6, np.int64) if per_channel else np.array(3 if channels == 8 else 0)
    tensors = [codes("w", "int8", w), floats("ws", scales), codes("wz", "int8", zeros),
               floats("xs", 0.02), codes("xz", "uint8", np.array(120)), floats("ys", 0.1),
               codes("yz", "uint8", np.array(100)),
               numpy_helper.from_array(np.arange(6, dtype=np.int32), "b")]  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x xs xz", "q"),
        node("QLinearConv", "q xs xz w ws wz ys yz b", "c", pads=[1, 0, 0, 1], strides=[1, 2]),
        node("DequantizeLinear", "c ys yz"),
    ]
    proto = build(nodes, (1, channels, 5, 6), tensors)
    model = bp.compress(proto, RAW)
    packed = [tensor for tensor in model.tensors.values() if isinstance(tensor.scheme.values, Integer)]
    assert sum(tensor.elements for tensor in packed) == w.size
    x = rng.standard_normal((1, channels, 5, 6)).astype(np.float32)
    assert np.array_equal(session(model).run({"x": x})["y"], onnxruntime_outputs(proto, {"x": x})[0])


@pytest.mark.parametrize("inner", [40, 700])
def test_matmul_integer_with_constant_weights(inner: int) -> None:
    rng = np.random.default_rng(11)
    w = rng.integers(0, 256, (inner, 9)).astype(np.uint8)
    tensors = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(rng.integers(0, 256, 9).astype(np.uint8), "wz")]
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w z wz", "m"),
        node("Cast", "m", "f", to=TensorProto.FLOAT),
        node("Mul", "f s"),
    ]
    proto = build(nodes, (3, inner), tensors)
    model = bp.compress(proto, RAW)
    packed = [tensor for tensor in model.tensors.values() if isinstance(tensor.scheme.values, Integer)]
    assert np.array_equal(np.concatenate([tensor.codes() for tensor in packed]), w)
    x = rng.standard_normal((3, inner)).astype(np.float32)
    assert np.array_equal(session(model).run({"x": x})["y"], onnxruntime_outputs(proto, {"x": x})[0])


def test_operators_between_codes() -> None:
    """onnxruntime's QLinearAdd, QLinearGlobalAveragePool and QLinearConcat."""
    rng = np.random.default_rng(12)
    tensors = [
        floats("s", 0.05),
        codes("z", "uint8", np.array(128)),
        floats("t", 0.07),
        codes("u", "uint8", np.array(110)),
    ]
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        helper.make_node("QLinearAdd", ["q", "s", "z", "q", "s", "z", "t", "u"], ["a"], domain="com.microsoft"),
        helper.make_node(
            "QLinearConcat", ["t", "u", "a", "t", "u", "q", "s", "z"], ["c"], domain="com.microsoft", axis=1
        ),
        helper.make_node("QLinearGlobalAveragePool", ["c", "t", "u", "t", "u"], ["g"], domain="com.microsoft"),
        node("DequantizeLinear", "g t u"),
    ]
    proto = build(nodes, (1, 3, 4, 4), tensors)
    x = rng.standard_normal((1, 3, 4, 4)).astype(np.float32)
    found = session(bp.compress(proto, RAW)).run({"x": x})["y"]
    np.testing.assert_allclose(found, onnxruntime_outputs(proto, {"x": x})[0], atol=0.0701)  # a code: sums round apart


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"bits": 3}, "3 bits"),
        ({"K": 0}, "malformed|blocks"),
        ({"N": 23}, "scales|bytes"),
        ({"block_size": 8}, "blocks of 8"),
    ],
)
def test_a_malformed_matmul_n_bits_is_named(told: dict[str, int], reason: str) -> None:
    attributes = {"K": 64, "N": 24, "bits": 4, "block_size": 32, **told}
    tensors = [numpy_helper.from_array(np.zeros((24, 2, 16), np.uint8), "w"), floats("s", np.ones((24, 2)))]
    matmul = helper.make_node(
        "MatMulNBits", ["x", "w", "s"], ["y"], name="product", domain="com.microsoft", **attributes
    )
    with pytest.raises(bp.BitpressError, match=reason):
        bp.compress(build([matmul], (2, 64), tensors))
