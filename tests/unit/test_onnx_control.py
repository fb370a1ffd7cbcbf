"""If, Loop, Scan, sequences and optionals, at import and at run time; transposed convolutions, Pad's modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_models import node

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from bitpress import onnx_backend  # noqa: E402
from bitpress.compression import compress  # noqa: E402
from bitpress.errors import BitpressError, UnsupportedError  # noqa: E402
from bitpress.importers.onnx import load  # noqa: E402
from bitpress.recipe import Recipe  # noqa: E402
from bitpress.session import Session  # noqa: E402

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


def at_run_time(proto: Any, *runs: dict[str, np.ndarray], bound: int = 1024) -> None:
    """One session answers as onnxruntime does, with each of the inputs."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    theirs = runtime.InferenceSession(proto.SerializeToString(), options)
    session = Session(compress(load(proto, bound=bound), Recipe.lossless(coding="raw")))
    for inputs in runs:
        found = session.run(inputs)
        for output, want in zip(proto.graph.output, theirs.run(None, inputs), strict=True):
            got = found[output.name]
            assert (got.shape, got.dtype) == (want.shape, want.dtype), output.name
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_branch_that_a_run_picks() -> None:
    """Bodies have weights of their own, read values around them, and call their values alike."""
    weight = numpy_helper.from_array(floats(32, 64), "w")
    then = helper.make_graph([node("MatMul", "x w", "z")], "then", [], [value("z")], [weight])
    other = helper.make_graph([node("MatMul", "x outer", "z0"), node("Relu", "z0", "z")], "else", [], [value("z")])
    taken = helper.make_node("If", ["c"], ["r"], name="choice", then_branch=then, else_branch=other)
    nodes = [taken, node("Neg", "r")]
    fed = {"c": np.array(True), "x": floats(2, 32)}
    proto = model(nodes, fed, [value("y")], {"outer": floats(32, 64)}, 18)
    at_run_time(proto, fed, {**fed, "c": np.array(False)})
    packed = compress(proto, Recipe.int(8))
    assert sum(str(tensor.scheme).startswith("int8") for tensor in packed.tensors.values()) == 2


def test_a_branch_in_a_branch_and_one_that_is_known() -> None:
    def choice(condition: str, output: str, then: Any, other: Any) -> Any:
        return helper.make_node("If", [condition], [output], then_branch=then, else_branch=other)

    inner = choice("d", "i", branch("a", "Exp", "x"), branch("b", "Neg", "x"))
    known = choice("t", "k", branch("c", "Abs", "i"), branch("e", "Neg", "i"))
    truth = numpy_helper.from_array(np.array(True), "t")
    then = helper.make_graph([inner, known], "then", [], [value("k")], [truth])
    taken = choice("c", "y", then, branch("f", "Sqrt", "x"))
    runs = [{"c": np.array(c), "d": np.array(d), "x": np.abs(floats(5))} for c in (True, False) for d in (True, False)]
    at_run_time(model([taken], runs[0], [value("y")], {}, 18), *runs)


@pytest.mark.parametrize("counted", [True, False])
def test_a_loop_whose_turns_a_run_says(counted: bool) -> None:
    goes_on = [node("Identity", "c", "c_out")]
    if not counted:
        goes_on = [node("ReduceMax", "s_out", "top", keepdims=0), node("Less", "top limit", "c_out")]
    run = helper.make_node("Loop", ["n", "" if counted else "on", "x"], ["end", "y"], body=loop_body(goes_on))
    x = np.abs(floats(2)) + 0.5
    runs = [
        {"n": np.array(n), "limit": np.array(limit, np.float32), "x": x} for n, limit in ((3, 2.0), (9, 5.0), (1, 0.0))
    ]
    stored = {} if counted else {"on": np.array(True)}
    proto = model([run], runs[0], [value("end"), value("y")], stored, 18)
    at_run_time(proto, *(runs if not counted else [{**r, "limit": np.array(0, np.float32)} for r in runs]), bound=16)


def test_a_loop_too_long_to_be_unrolled() -> None:
    run = helper.make_node("Loop", ["n", "", "x"], ["end", "y"], body=loop_body([node("Identity", "c", "c_out")]))
    fed = {"x": floats(2) * 1e-3}
    at_run_time(model([run], fed, [value("end"), value("y")], {"n": np.array(9000)}, 18), fed)


def test_boxes_rows_and_numbers_that_data_choose() -> None:
    """Detection's end: the best boxes gathered; rows by a condition; Range up to a number that a run says."""
    kinds = {"kept": INT64, "numbers": FLOAT, "size": INT64}
    nodes = [
        node("NonMaxSuppression", "boxes scores most overlap", "kept"),
        node("Slice", "kept two three one", "last"),
        node("Squeeze", "last one", "rows"),
        node("Gather", "flat rows", "best", axis=0),
        node("Shape", "best", "size"),
        node("Greater", "flat half", "high"),
        node("ReduceMax", "highf", "any", axes=[1], keepdims=0),
        node("Cast", "any", "condition", to=BOOL),
        node("Compress", "flat condition", "picked", axis=0),
        node("Range", "zero limit step", "numbers"),
    ]
    nodes.insert(6, node("Cast", "high", "highf", to=FLOAT))
    stored = {
        "most": np.array([4]),
        "overlap": np.array([0.3], np.float32),
        "two": np.array([2]),
        "three": np.array([3]),
        "one": np.array([1]),
        "half": np.float32(0.9),
        "zero": np.float32(0),
        "step": np.float32(1),
    }
    names = ["kept", "best", "size", "picked", "numbers"]
    runs = []
    for limit in (3, 7):
        boxes = RNG.uniform(0, 1, (1, 20, 4)).astype(np.float32)
        runs.append(
            {
                "boxes": boxes,
                "flat": boxes[0],
                "scores": RNG.uniform(0, 1, (1, 1, 20)).astype(np.float32),
                "limit": np.array(limit, np.float32),
            }
        )
    at_run_time(model(nodes, runs[0], [value(n, kinds.get(n, FLOAT)) for n in names], stored, 17), *runs)


@pytest.mark.parametrize("axis", [None, 1])
def test_unique_and_non_zero(axis: int | None) -> None:
    told = {} if axis is None else {"axis": axis}
    nodes = [
        node("Unique", "x", "u first which count", **told),
        node("Unique", "x", "v . w", sorted=0, **told),
        node("NonZero", "x", "places"),
    ]
    nodes[1].output[1] = ""
    outputs = [
        value(n, INT64 if n in ("first", "which", "count", "w", "places") else FLOAT)
        for n in ("u", "first", "which", "count", "v", "w", "places")
    ]
    runs = [{"x": RNG.integers(0, 3, (3, 6)).astype(np.float32)} for _ in range(3)]
    at_run_time(model(nodes, runs[0], outputs, {}, 17), *runs)


def test_what_cannot_run_is_named() -> None:
    fed = {"n": np.array(3), "x": floats(2)}
    run = helper.make_node(
        "Loop", ["n", "", "x"], ["end", "y"], name="turns", body=loop_body([node("Identity", "c", "c_out")])
    )
    proto = model([run], fed, [value("end"), value("y")], {}, 18)
    for bound in (0, 2**20 + 1):
        with pytest.raises(ValueError, match="bound"):
            load(proto, bound=bound)
    with pytest.raises(BitpressError, match="turns"):
        Session(compress(load(proto, bound=2), Recipe.lossless())).run(fed)
    scan = helper.make_node(
        "Scan",
        ["x"],
        ["y"],
        name="along",
        num_scan_inputs=1,
        body=helper.make_graph([node("Neg", "a", "b")], "body", [value("a", FLOAT, [])], [value("b")]),
    )
    graph = helper.make_graph([scan], "g", [value("x", FLOAT, ["n"])], [value("y")])
    with pytest.raises(UnsupportedError, match=r'Scan \(node "along"\)'):
        load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))


@pytest.mark.parametrize("time", [0, 1])
@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 3)])
def test_sequences_turned_round(time: int, shape: tuple[int, ...]) -> None:
    fed = {"x": floats(*shape), "lengths": np.array([1, 5, 2, 3, 4])}
    turned = node("ReverseSequence", "x lengths", time_axis=time, batch_axis=1 - time)
    at_run_time(model([turned], fed, [value("y")], {}, 17), fed, {**fed, "lengths": np.array([5, 1, 1, 4, 2])})


def test_a_diagonal_like_a_matrix() -> None:
    fed = {"x": floats(3, 5)}
    for told, kind in (({}, FLOAT), ({"k": 1}, FLOAT), ({"k": -1, "dtype": INT64}, INT64)):
        same([node("EyeLike", "x", **told)], fed, [value("y", kind)])
