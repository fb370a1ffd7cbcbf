"""The operators that run in more types than F32 against reference/: every element type, indices, hostile numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_file import OPERATORS, GraphFile, NodeSpec, plain

from bitpress import operators
from bitpress.dtypes import DTYPES, dtype_of
from bitpress.errors import BitpressError, UnsupportedError
from bitpress.reference.operators import OPERATORS as REFERENCE
from bitpress.scheme import Scheme
from bitpress.session import Session
from bitpress.tensor import pack

RNG = np.random.default_rng(11)
SPECIALS = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, -0.5, 0.5, 1.5, 2.5, -1.0], np.float32)
REALS = ("F32", "F64")
INTEGERS = ("I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64")


def numbers(dtype: str, *shape: int) -> np.ndarray:
    if dtype == "BOOL":
        return RNG.random(shape) < 0.5
    if dtype in REALS:
        return RNG.standard_normal(shape).astype(DTYPES[dtype].numpy)
    low = 1 if dtype[0] == "U" else -9
    return RNG.integers(low, 10, shape).astype(DTYPES[dtype].numpy)


def run(op: str, arrays: list[np.ndarray], attributes: dict[str, Any], stored: bool = False) -> np.ndarray:
    names = [f"i{k}" for k in range(len(arrays))]
    fed = 1 if stored else len(arrays)
    dtypes = [dtype_of(array) for array in arrays]
    result = operators.result_type(op, dtypes, attributes)
    file = GraphFile(
        inputs={name: array.shape for name, array in zip(names[:fed], arrays[:fed], strict=True)},
        outputs=["y"],
        nodes=[NodeSpec(op, names, ["y"], attributes, "the node")],
        tensors={name: plain(array) for name, array in zip(names[fed:], arrays[fed:], strict=True)},
        dtypes={"y": DTYPES[result].number} | {n: DTYPES[d].number for n, d in zip(names[:fed], dtypes, strict=False)},
    )
    return Session(file.bytes()).run(dict(zip(names[:fed], arrays[:fed], strict=True)))["y"]


def check(op: str, arrays: list[np.ndarray], attributes: dict[str, Any], stored: bool = False) -> None:
    got = run(op, arrays, attributes, stored)
    with np.errstate(all="ignore"):
        want = REFERENCE[op](*arrays, **attributes)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if want.dtype.kind != "f":
        assert np.array_equal(got, want)
        return
    bound = 1e-6 if want.dtype == np.float32 else 1e-13  # one rounding of a result in double
    np.testing.assert_allclose(got, want, rtol=bound, atol=bound)


BINARY = {"Pow", "Mod", "Max", "Min", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor",
          "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift", "PRelu"}  # fmt: skip
ARITHMETIC = {"Add", "Sub", "Mul", "Div"}
UNARY = {"Abs", "Neg", "Sign", "Reciprocal", "Log", "Ceil", "Floor", "Round", "Sin", "Cos", "Tan", "Asin", "Acos",
         "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Elu", "Selu", "Celu", "Softplus",
         "Softsign", "Mish", "Swish",
         "ThresholdedRelu", "Shrink", "IsNaN", "IsInf", "Not", "BitwiseNot"}  # fmt: skip
REDUCTIONS = {"ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
              "ReduceLogSum", "ReduceLogSumExp"}  # fmt: skip
INDEXED = {"Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"}
OTHERS = {"Where", "Cast", "LayerNormalization", "ArgMin"}
ELSEWHERE = {"RoundTo", "BitCast", "CumSum", "CumProd", "TopK"}  # test_session_selection.py
TYPED = BINARY | UNARY | REDUCTIONS | INDEXED | OTHERS | ELSEWHERE | {"Slice", "Expand"}


def takes(op: str, dtype: str, inputs: int) -> bool:
    return operators.accepts(op, [dtype] * inputs)


@pytest.mark.parametrize("op", sorted(UNARY))
def test_functions_of_one(op: str) -> None:
    for dtype in (*REALS, *INTEGERS, "BOOL"):
        if takes(op, dtype, 1):
            check(op, [numbers(dtype, 3, 150)], {})
    if takes(op, "F32", 1):
        check(op, [SPECIALS], {})


@pytest.mark.parametrize("op", sorted(BINARY | ARITHMETIC))
def test_functions_of_two_broadcast(op: str) -> None:
    for dtype in (*REALS, *INTEGERS, "BOOL"):
        if not takes(op, dtype, 2) or (op in ARITHMETIC and dtype == "F32"):
            continue
        a, b = numbers(dtype, 4, 1, 150), numbers(dtype, 3, 1)
        if op in ("Pow", "BitShift", "Mod", "Div") and dtype not in REALS:
            b = np.abs(b) % 7 + 1
            b = b.astype(a.dtype)
        if op == "Pow" and dtype in REALS:
            a = np.abs(a)
        attributes = {"fmod": 1} if op == "Mod" and dtype in REALS else {}
        check(op, [a, b], attributes)
        check(op, [a, b], attributes, stored=True)


def test_attributes_of_functions() -> None:
    x = numbers("F32", 5, 9)
    for op in ("Elu", "Celu", "Swish", "ThresholdedRelu", "Shrink", "Selu"):
        check(op, [x], {"alpha": 0.25})
    check("Shrink", [x], {"alpha": 0.25, "beta": 0.125})
    check("IsInf", [SPECIALS], {"alpha": 0.0})
    check("IsInf", [SPECIALS], {"beta": 0.0})
    check("BitShift", [numbers("U16", 5), np.ones(5, np.uint16)], {"direction": 1})
    check("Mod", [numbers("I32", 9), np.full(9, -4, np.int32)], {})
    check("Mod", [numbers("I32", 9), np.full(9, -4, np.int32)], {"fmod": 1})
    check("Pow", [np.abs(numbers("F32", 9)), numbers("I64", 9)], {})


@pytest.mark.parametrize("op", sorted(REDUCTIONS))
def test_reductions(op: str) -> None:
    for dtype in (*REALS, *INTEGERS, "BOOL"):
        if takes(op, dtype, 1):
            x = numbers(dtype, 3, 4, 130)
            x = np.abs(x) if dtype in REALS else x
            for attributes in ({}, {"axes": [1], "keepdims": 0}, {"axes": [-1, 0]}, {"axes": [1, 2], "keepdims": 0}):
                if op == "ReduceProd" and dtype in REALS:
                    x = x[:2, :2, :9]
                check(op, [x], attributes)
    if op == "ReduceLogSumExp":
        check(op, [np.array([[1e4, 1e4 + 1], [-np.inf, -np.inf]], np.float32)], {"axes": [1]})


@pytest.mark.parametrize("dtype", ["F32", "F64", "I64", "U8", "BOOL"])
def test_indices_and_moves(dtype: str) -> None:
    x = numbers(dtype, 4, 5, 6)
    index = np.array([[0, -1, 3], [2, 2, -4]])
    for kind in (np.int64, np.int32):
        check("Gather", [x, index.astype(kind)], {})
        check("Gather", [x, index.astype(kind)], {"axis": 1})
        check("Gather", [x, np.array(-6, kind)], {"axis": -1})
        check("GatherElements", [x, RNG.integers(-5, 5, (4, 2, 6)).astype(kind)], {"axis": 1})
        check("GatherND", [x, RNG.integers(-4, 4, (3, 2)).astype(kind)], {})
        check("GatherND", [x, RNG.integers(-5, 5, (4, 1)).astype(kind)], {"batch_dims": 1})
        check("ScatterElements", [x, np.array([[[1], [-2]]], kind), numbers(dtype, 1, 2, 1)], {"axis": 2})
        check("ScatterND", [x, np.array([[1], [-1]], kind), numbers(dtype, 2, 5, 6)], {})
    if dtype != "BOOL":
        for reduction in range(5):
            check("ScatterND", [x, np.array([[1], [1]]), numbers(dtype, 2, 5, 6)], {"reduction": reduction})
            check(
                "ScatterElements", [x, np.zeros((2, 5, 6), np.int64), numbers(dtype, 2, 5, 6)], {"reduction": reduction}
            )
    check("Slice", [x], {"starts": [1, -1], "ends": [3, -100], "axes": [0, 2], "steps": [1, -2]})
    check("Slice", [x], {"starts": [-100], "ends": [2**62], "axes": [-1], "steps": [4]})
    check("Expand", [x[:, :1]], {"shape": [2, 1, 5, 6]})
    check("Transpose", [x], {"perm": [2, 0, 1]})
    check("Concat", [x, x], {"axis": 1})
    check("Pad", [x], {"pads": [1, 0, 0, 0, 2, 1], "value": 1.0})
    check("Reshape", [x], {"shape": [0, -1]})
    check("Where", [numbers("BOOL", 5, 1), x, numbers(dtype, 1, 6)], {})
    check("Where", [numbers("BOOL", 5, 1), x, numbers(dtype, 1, 6)], {}, stored=True)


def test_cast() -> None:
    for source in (*REALS, *INTEGERS, "BOOL"):
        x = np.abs(numbers(source, 300)) if source in REALS else numbers(source, 300)
        for target in (*REALS, *INTEGERS, "BOOL"):
            check("Cast", [x], {"to": DTYPES[target].number})
    extremes = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, -1.5], np.float32)
    assert run("Cast", [extremes], {"to": DTYPES["I64"].number}).tolist() == [
        0, 2**63 - 1, -(2**63), 2**63 - 1, -(2**63), -1,
    ]  # fmt: skip


def test_layer_normalization_and_arg_min() -> None:
    x = numbers("F32", 3, 4, 5)
    check("LayerNormalization", [x, numbers("F32", 5), numbers("F32", 5)], {"epsilon": 1e-3})
    check("LayerNormalization", [x, numbers("F32", 4, 5)], {"axis": 1})
    for dtype in ("F32", "F64", "I8", "U32"):
        check("ArgMin", [numbers(dtype, 3, 150)], {"axis": 1})
        check("ArgMin", [numbers(dtype, 3, 5)], {"axis": 0, "keepdims": 0, "select_last_index": 1})
        check("ArgMax", [numbers(dtype, 3, 150)], {"axis": 1})


SCHEMES = {
    "int8": Scheme.int(8, axis=0),
    "int4 groups": Scheme.int(4, group_size=8),
    "int3 sparse": Scheme.int(3, sparse=True),
    "huffman": Scheme.int(4, coding="huffman"),
    "keep sparse": Scheme.lossless(sparse=True, coding="raw"),
}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
def test_a_packed_embedding_is_read_row_by_row(scheme: Scheme) -> None:
    table = np.where(RNG.random((300, 21)) < 0.5, 0, numbers("F32", 300, 21)).astype(np.float32)
    packed = pack(table, scheme)
    file = GraphFile(
        inputs={"x": (2, 7)},
        outputs=["y"],
        nodes=[NodeSpec("Gather", ["w", "x"], ["y"])],
        tensors={"w": packed},
        dtypes={"x": 12},
    )
    session = Session(file.bytes())
    index = RNG.integers(-300, 300, (2, 7))
    assert np.array_equal(session.run({"x": index})["y"], packed.unpack()[index])
    assert session.memory.arena < 300 * 21 * 4


@pytest.mark.parametrize("index", [5, -6, 2**31, -(2**62)])
def test_an_index_outside_is_reported_when_it_is_met(index: int) -> None:
    table, one = numbers("F32", 5, 2), np.array([index])
    for op, arrays in (
        ("Gather", [table, one]),
        ("GatherElements", [table, one[:, None]]),
        ("GatherND", [table, one[:, None]]),
        ("ScatterElements", [table, one[:, None], numbers("F32", 1, 1)]),
        ("ScatterND", [table, one[:, None], numbers("F32", 1, 2)]),
    ):
        with pytest.raises((BitpressError, IndexError), match="outside"):
            run(op, arrays, {})


@pytest.mark.parametrize("op", ["Div", "Mod"])
@pytest.mark.parametrize("dtype", ["I8", "I64", "U64"])
def test_division_by_zero(op: str, dtype: str) -> None:
    x = numbers(dtype, 6)
    with pytest.raises(Exception) as caught:
        run(op, [x, np.zeros_like(x)], {})
    assert "\n" not in str(caught.value)
    least = np.full(3, np.iinfo(np.int64).min)
    assert run(op, [least, np.full(3, -1)], {}).tolist() == ([least[0]] * 3 if op == "Div" else [0] * 3)


BAD: list[tuple[str, list[str], dict[str, Any]]] = [
    ("Slice", ["F32"], {"starts": [0], "ends": [1], "axes": [9]}),
    ("Slice", ["F32"], {"starts": [0], "ends": [1], "axes": [0], "steps": [0]}),
    ("Slice", ["F32"], {"starts": [0], "ends": [1], "axes": [0], "steps": [-(2**63)]}),
    ("Slice", ["F32"], {"starts": [0, 0], "ends": [1], "axes": [0]}),
    ("Slice", ["F32"], {"starts": [0, 0], "ends": [1, 1], "axes": [0, 0]}),
    ("Expand", ["F32"], {"shape": [-1, 1]}),
    ("Expand", ["F32"], {"shape": [2**40, 2**40, 3, 4]}),
    ("Expand", ["F32"], {"shape": [5, 4]}),
    ("Cast", ["F32"], {"to": 40}),
    ("Cast", ["F32"], {"to": -1}),
    ("Cast", ["F32"], {"to": 3}),
    ("Cast", ["F32"], {}),
    ("ReduceSum", ["F32"], {"axes": [7]}),
    ("ReduceL2", ["I64"], {}),
    ("Gather", ["F32", "F32"], {}),
    ("Gather", ["F32", "I64"], {"axis": 2}),
    ("GatherElements", ["F32", "I32"], {"axis": -3}),
    ("GatherND", ["F32", "I64"], {"batch_dims": -1}),
    ("GatherND", ["F32", "I64"], {"batch_dims": 2**40}),
    ("ScatterND", ["F32", "I64", "F32"], {}),
    ("ScatterElements", ["F32", "I64", "F32"], {"reduction": 5}),
    ("ScatterElements", ["F32", "I64", "F64"], {}),
    ("Where", ["F32", "F32", "F32"], {}),
    ("Where", ["BOOL", "F32", "I64"], {}),
    ("Add", ["F32", "I64"], {}),
    ("Add", ["I64", "I64"], {"clip_low": 0.0}),
    ("Not", ["F32"], {}),
    ("MatMul", ["I64", "I64"], {}),
    ("Concat", ["F32", "F64"], {"axis": 0}),
    ("LayerNormalization", ["F32", "F32"], {"axis": 5}),
]


@pytest.mark.parametrize(("op", "dtypes", "attributes"), BAD, ids=lambda value: str(value)[:40])
def test_bad_plans_name_the_node(op: str, dtypes: list[str], attributes: dict[str, Any]) -> None:
    inputs = {f"i{k}": (3, 4) for k in range(len(dtypes))}
    for result in (11, 12):
        numbered = {"y": result} | {f"i{k}": DTYPES[dtype].number for k, dtype in enumerate(dtypes)}
        file = GraphFile(inputs, ["y"], [NodeSpec(op, list(inputs), ["y"], attributes, "the node")], {}, numbered)
        with pytest.raises(BitpressError, match=rf"node 'the node' \({op}\)"):
            Session(file.bytes(), memory_limit=1 << 24).run(
                {name: numbers(dtype, 3, 4) for name, dtype in zip(inputs, dtypes, strict=True)}
            )


def test_python_and_the_core_take_the_same_types() -> None:
    """What the importer lets through, the planner plans, and the other way round."""
    shapes = {"Where": 3, "ScatterElements": 3, "LayerNormalization": 2, "GatherElements": 2}
    plain_ones = (BINARY | UNARY | ARITHMETIC | {"Where"} | REDUCTIONS) & set(OPERATORS)
    for op in sorted(plain_ones):
        inputs = shapes.get(op, 2 if op in BINARY | ARITHMETIC else 1)
        for dtype in (*REALS, *INTEGERS, "BOOL"):
            types = ["BOOL", dtype, dtype] if op == "Where" else [dtype] * inputs
            arrays = [np.ones((2, 2), DTYPES[name].numpy) for name in types]
            try:
                run(op, arrays, {})
            except UnsupportedError:
                assert not operators.accepts(op, types), f"{op} {types}"
            else:
                assert operators.accepts(op, types), f"{op} {types}"


def test_the_page_of_operators_is_current() -> None:
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parents[2] / "tools" / "operators.py"
    spec = importlib.util.spec_from_file_location("operators_page", path)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "python tools/operators.py --write"
