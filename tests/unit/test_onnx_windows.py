"""Windows, products and codes that are lowered at import, against onnxruntime on small shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_models import node

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from bitpress import onnx_backend  # noqa: E402

RNG = np.random.default_rng(8)


def model(nodes: list[Any], inputs: dict[str, np.ndarray], outputs: dict[str, int], opset: int = 21) -> Any:
    values = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for k, a in inputs.items()
    ]
    results = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    graph = helper.make_graph(nodes, "g", values, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def same(nodes: list[Any], inputs: dict[str, np.ndarray], outputs: dict[str, int], opset: int = 21) -> None:
    """Ours within float32's rounding of onnxruntime's; integers equal."""
    proto = model(nodes, inputs, outputs, opset)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    theirs = runtime.InferenceSession(proto.SerializeToString(), options).run(None, inputs)
    ours = onnx_backend.run_model(proto, list(inputs.values()))
    for got, want in zip(ours, theirs, strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        if want.dtype.kind in "iu":
            assert np.array_equal(got, want)
        else:
            np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    "told",
    [
        {"kernel_shape": [2, 3, 2]},
        {"kernel_shape": [3, 2, 1], "strides": [2, 1, 2], "pads": [1, 0, 0, 2, 1, 0]},
        {"kernel_shape": [2, 2, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2, 2]},
        {"kernel_shape": [2, 2, 2], "auto_pad": "SAME_LOWER"},
        {"kernel_shape": [2, 2, 2], "strides": [2, 3, 2], "ceil_mode": 1},
        {"kernel_shape": [1, 1, 1]},
    ],
)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pools_of_three_axes(op: str, told: dict[str, Any]) -> None:
    same([node(op, "x", **told)], {"x": floats(2, 3, 5, 4, 6)}, {"y": TensorProto.FLOAT})
    if op == "AveragePool":
        same([node(op, "x", count_include_pad=1, **told)], {"x": floats(1, 1, 5, 4, 6)}, {"y": TensorProto.FLOAT})


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"strides": [2, 1, 2], "pads": [1, 0, 1, 0, 2, 1]},
        {"dilations": [2, 1, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2, 1]},
        {"group": 2},
    ],
)
def test_convolutions_of_three_axes(told: dict[str, Any]) -> None:
    weights = floats(4, 4 // told.get("group", 1), 2, 3, 1)
    inputs = {"x": floats(2, 4, 5, 4, 3), "w": weights, "b": floats(4)}
    same([node("Conv", "x w b", **told)], inputs, {"y": TensorProto.FLOAT})


@pytest.mark.parametrize("told", [{"p": 1}, {"p": 2, "pads": [1, 0, 1, 1]}, {"p": 3, "strides": [2, 1]}])
def test_lp_pools(told: dict[str, Any]) -> None:
    same([node("LpPool", "x", kernel_shape=[2, 3], **told)], {"x": floats(2, 3, 5, 4)}, {"y": TensorProto.FLOAT})


@pytest.mark.parametrize(
    "told",
    [
        {"kernel_shape": [2, 2]},
        {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]},
        {"kernel_shape": [2, 2], "dilations": [2, 2]},
        {"kernel_shape": [2, 2], "storage_order": 1},
        {"kernel_shape": [3], "pads": [1, 1]},
    ],
)
def test_places_of_maxima(told: dict[str, Any]) -> None:
    x = floats(2, 3, 5, 4) if len(told["kernel_shape"]) == 2 else floats(2, 3, 7)
    same([node("MaxPool", "x", "y i", **told)], {"x": x}, {"y": TensorProto.FLOAT, "i": TensorProto.INT64})


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(3, 4), (4, 2)]),
        ("bij,bjk", [(2, 3, 4), (2, 4, 1)]),
        ("...ii->...i", [(2, 3, 3)]),
        ("ij->", [(3, 4)]),
        ("i,j->ij", [(3,), (1,)]),
        ("bhid,bhjd->bhij", [(1, 2, 3, 4), (1, 2, 5, 4)]),
        ("...ij,jk->...ik", [(2, 2, 3, 4), (4, 5)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
        ("ji", [(2, 3)]),
        ("aa,ab->b", [(3, 3), (3, 2)]),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    inputs = {f"x{i}": floats(*shape) for i, shape in enumerate(shapes)}
    same([node("Einsum", " ".join(inputs), equation=equation)], inputs, {"y": TensorProto.FLOAT})


@pytest.mark.parametrize("code", [np.uint8, np.int8])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_codes_there_and_back(code: type, axis: int | None) -> None:
    x = floats(3, 4) * 9
    count = 1 if axis is None else x.shape[axis]
    scale = np.abs(floats(count)) + np.float32(0.01)
    zero = RNG.integers(0, 9, count).astype(code)
    if axis is None:
        scale, zero = np.array(scale[0]), np.array(zero[0])
    told = {} if axis is None else {"axis": axis}
    nodes = [node("QuantizeLinear", "x s z", "q", **told), node("DequantizeLinear", "q s z", "y", **told)]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(code))
    same(nodes, {"x": x, "s": scale, "z": zero}, {"q": kind, "y": TensorProto.FLOAT})


def test_products_of_codes() -> None:
    a, b = RNG.integers(0, 255, (2, 700)).astype(np.uint8), RNG.integers(-128, 127, (700, 3)).astype(np.int8)
    inputs = {"a": a, "b": b, "za": np.array(9, np.uint8), "zb": np.array(-3, np.int8)}
    proto = model([node("MatMulInteger", "a b za zb")], inputs, {"y": TensorProto.INT32})
    want = (a.astype(np.int32) - 9) @ (b.astype(np.int32) + 3)  # onnxruntime's saturate where a CPU has no VNNI
    assert np.array_equal(onnx_backend.run_model(proto, list(inputs.values()))[0], want)
    x, w = RNG.integers(0, 255, (1, 3, 5, 4)).astype(np.uint8), RNG.integers(0, 255, (2, 3, 2, 2)).astype(np.uint8)
    codes = {"x": x, "w": w, "zx": np.array(7, np.uint8)}
    same([node("ConvInteger", "x w zx", pads=[1, 0, 0, 1])], codes, {"y": TensorProto.INT32})
    same([node("DynamicQuantizeLinear", "x", "y s z")], {"x": floats(3, 4)},
         {"y": TensorProto.UINT8, "s": TensorProto.FLOAT, "z": TensorProto.UINT8})  # fmt: skip


@pytest.mark.parametrize("told", [{}, {"onesided": 1}, {"axis": 2}])
def test_fourier_transforms(told: dict[str, Any]) -> None:
    for length in (1, 2, 5, 8):
        x = floats(2, length, length, 1)
        same([node("DFT", "x", **told)], {"x": x}, {"y": TensorProto.FLOAT}, opset=19)
    if "onesided" not in told:
        same([node("DFT", "x", inverse=1, **told)], {"x": floats(1, 6, 5, 2)}, {"y": TensorProto.FLOAT}, opset=19)
