"""If, Loop, Scan, sequences and optionals whose course is known at import; transposed convolutions, Pad's modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_models import node

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from bitpress import onnx_backend  # noqa: E402
from bitpress.errors import UnsupportedError  # noqa: E402
from bitpress.importers.onnx import load  # noqa: E402

RNG = np.random.default_rng(3)
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name: str, kind: int = FLOAT, shape: Any = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: list[Any], inputs: dict[str, np.ndarray], outputs: list[Any], stored: dict[str, Any], opset: int
) -> Any:
    values = [value(k, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for k, a in inputs.items()]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", values, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def same(
    nodes: list[Any],
    inputs: dict[str, np.ndarray],
    outputs: list[Any] | None = None,
    stored: dict[str, Any] | None = None,
    opset: int = 18,
) -> None:
    proto = model(nodes, inputs, outputs or [value("y")], stored or {}, opset)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    theirs = runtime.InferenceSession(proto.SerializeToString(), options).run(None, inputs)
    ours = onnx_backend.run_model(proto, list(inputs.values()))
    for got, want in zip(ours, theirs, strict=True):
        pairs = list(zip(got, want, strict=True)) if isinstance(want, list) else [(got, want)]
        for a, b in pairs:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def branch(name: str, op: str, *inputs: str) -> Any:
    return helper.make_graph([helper.make_node(op, list(inputs), [f"{name}_y"])], name, [], [value(f"{name}_y")])


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_that_is_known(condition: bool) -> None:
    taken = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("a", "Exp", "x"), else_branch=branch("b", "Neg", "x")
    )
    same([taken], {"x": floats(2, 3)}, stored={"c": np.array(condition)})
    same([taken], {"c": np.array(condition), "x": floats(2, 3)})


def test_a_branch_that_is_not_known_is_named() -> None:
    taken = helper.make_node("If", ["c"], ["y"], name="choice", then_branch=branch("a", "Exp", "x"),
                             else_branch=branch("b", "Neg", "x"))  # fmt: skip
    proto = model([taken], {"c": np.array(True), "x": floats(2)}, [value("y")], {}, 18)
    with pytest.raises(UnsupportedError, match=r'operator If \(node "choice"\) is not supported where its course'):
        load(proto)


def loop_body(condition: list[Any]) -> Any:
    nodes = [
        helper.make_node("Add", ["s", "x"], ["s_out"]),
        helper.make_node("Mul", ["s_out", "s_out"], ["seen"]),
        *condition,
    ]
    inputs = [value("i", INT64, []), value("c", BOOL, []), value("s", FLOAT, [2])]
    return helper.make_graph(nodes, "body", inputs, [value("c_out", BOOL, []), value("s_out"), value("seen")])


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_a_loop_that_is_counted(turns: int) -> None:
    body = loop_body([helper.make_node("Identity", ["c"], ["c_out"])])
    run = helper.make_node("Loop", ["n", "", "x"], ["end", "y"], body=body)
    outputs = [value("end"), value("y")]
    same([run], {"x": floats(2)}, outputs, {"n": np.array(turns)})
    same([run], {"n": np.array(turns), "x": floats(2)}, outputs)


def test_a_loop_whose_end_is_computed_turn_by_turn() -> None:
    condition = [helper.make_node("Less", ["i", "three"], ["c_out"])]
    run = helper.make_node("Loop", ["", "go", "x"], ["end", "y"], body=loop_body(condition))
    same([run], {"x": floats(2)}, [value("end"), value("y")], {"go": np.array(True), "three": np.array(3)})


@pytest.mark.parametrize("turns", [2**40, 2**62])
def test_endless_loops_are_refused(turns: int) -> None:
    counted = loop_body([helper.make_node("Identity", ["c"], ["c_out"])])
    run = helper.make_node("Loop", ["n", "", "x"], ["end", "y"], name="long", body=counted)
    proto = model([run], {"x": floats(2)}, [value("end"), value("y")], {"n": np.array(turns)}, 18)
    with pytest.raises(UnsupportedError, match=r'Loop \(node "long"\)'):
        load(proto)


@pytest.mark.parametrize("told", [{}, {"scan_input_directions": [1]}, {"scan_output_directions": [1]},
                                  {"scan_input_axes": [1], "scan_output_axes": [1]}])  # fmt: skip
def test_scans(told: dict[str, Any]) -> None:
    nodes = [helper.make_node("Add", ["s", "part"], ["s_out"]), helper.make_node("Exp", ["s_out"], ["seen"])]
    body = helper.make_graph(
        nodes, "body", [value("s", FLOAT, [3]), value("part", FLOAT, [3])], [value("s_out"), value("seen")]
    )
    run = helper.make_node("Scan", ["s0", "x"], ["end", "y"], body=body, num_scan_inputs=1, **told)
    x = floats(3, 4) if "scan_input_axes" in told else floats(4, 3)
    same([run], {"s0": floats(3), "x": x}, [value("end"), value("y")])


def sequence(name: str) -> Any:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    return helper.make_value_info(name, kind)


def test_sequences() -> None:
    x, stored = floats(5, 3), {"one": np.array(1), "sizes": np.array([2, 2, 1]), "last": np.array(-1)}
    parts = node("SplitToSequence", "x sizes", "s", axis=0)
    same([parts, node("SequenceAt", "s last")], {"x": x}, stored=stored)
    same([parts, node("ConcatFromSequence", "s", axis=0)], {"x": x}, stored=stored)
    rows = node("SplitToSequence", "x", "s", axis=1, keepdims=0)
    same([rows, node("ConcatFromSequence", "s", axis=0, new_axis=1)], {"x": x})
    changed = [rows, node("SequenceErase", "s one", "t"), node("SequenceInsert", "t z", "y")]
    same(changed, {"x": x, "z": floats(5)}, [sequence("y")], stored)
    same([rows, node("SequenceLength", "s")], {"x": x}, [value("y", INT64)])


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"strides": [2, 3], "pads": [1, 0, 0, 2]},
        {"strides": [3, 2], "output_padding": [1, 1]},
        {"dilations": [2, 2], "group": 2},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"output_shape": [8, 5], "strides": [2, 2]},
        {"pads": [2, 2, 2, 2], "strides": [2, 2]},
    ],
)
def test_transposed_convolutions(told: dict[str, Any]) -> None:
    weight = floats(4, 3, 3, 2)
    inputs = {"x": floats(2, 4, 4, 3), "w": weight, "b": floats(3 * told.get("group", 1))}
    same([node("ConvTranspose", "x w b", **told)], inputs)
    if not told:
        same([node("ConvTranspose", "x w", strides=[2])], {"x": floats(1, 2, 1), "w": floats(2, 1, 3)})


def test_col2im() -> None:
    stored = {"image": np.array([5, 4]), "block": np.array([2, 3])}
    for told, columns in (({}, 8), ({"pads": [1, 0, 0, 1], "strides": [1, 2]}, 10)):
        same([node("Col2Im", "x image block", **told)], {"x": floats(2, 12, columns)}, stored=stored)


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_pads_that_repeat_elements(mode: str) -> None:
    for pads in ([0, 1, 2, 0], [1, 2, 0, 1], [-1, 0, 1, 0]):
        same([node("Pad", "x p", mode=mode)], {"x": floats(3, 4)}, stored={"p": np.array(pads)}, opset=19)
