"""RoundTo, BitCast, CumSum, CumProd, TopK, MatMul of every type, and inputs without elements, against reference/."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from graph_file import GraphFile, NodeSpec

from bitpress.dtypes import DTYPES, dtype_of
from bitpress.errors import BitpressError
from bitpress.operators import accepts, result_type
from bitpress.reference.operators import OPERATORS as REFERENCE
from bitpress.session import Session

RNG = np.random.default_rng(5)
NUMBERS = ("F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64")


def run(op: str, arrays: list[np.ndarray], attributes: dict[str, Any], outputs: int = 1) -> list[np.ndarray]:
    names, results = [f"i{k}" for k in range(len(arrays))], [f"y{k}" for k in range(outputs)]
    types = [dtype_of(array) for array in arrays]
    told = {name: DTYPES[result_type(op, types, attributes, k)].number for k, name in enumerate(results)}
    told |= {name: DTYPES[dtype].number for name, dtype in zip(names, types, strict=True)}
    inputs: dict[str, tuple[int, ...] | None] = {n: a.shape for n, a in zip(names, arrays, strict=True)}
    file = GraphFile(inputs, results, [NodeSpec(op, names, results, attributes, "the node")], {}, told)
    found = Session(file.bytes()).run(dict(zip(names, arrays, strict=True)))
    return [found[name] for name in results]


def check(op: str, arrays: list[np.ndarray], attributes: dict[str, Any], outputs: int = 1) -> None:
    with np.errstate(all="ignore"):
        want = REFERENCE[op](*arrays, **attributes)
    for got, expected in zip(run(op, arrays, attributes, outputs), want if outputs > 1 else (want,), strict=True):
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        if expected.dtype.kind == "f":
            bound = 1e-6 if expected.dtype == np.float32 else 1e-13
            np.testing.assert_allclose(got, expected, rtol=bound, atol=bound)
        else:
            assert np.array_equal(got, expected)


def numbers(dtype: str, *shape: int) -> np.ndarray:
    if dtype in ("F32", "F64"):
        return RNG.standard_normal(shape).astype(DTYPES[dtype].numpy)
    return RNG.integers(0 if dtype[0] == "U" else -9, 10, shape).astype(DTYPES[dtype].numpy)


FORMATS: dict[str, tuple[tuple[int, int, int, int], float]] = {
    "float16": ((10, -14, 1, 0), 65504.0),
    "bfloat16": ((7, -126, 1, 0), (2 - 2.0**-7) * 2.0**127),
    "float8_e4m3fn": ((3, -6, 2, 0), 448.0),
    "float8_e5m2": ((2, -14, 1, 0), 57344.0),
    "float8_e4m3fnuz": ((3, -7, 2, 1), 240.0),
    "float8_e5m2fnuz": ((2, -15, 2, 1), 57344.0),
}


@pytest.mark.parametrize("name", FORMATS)
def test_rounding_is_that_of_the_type(name: str) -> None:
    """Every code of 16 bits as the upper half of a float32, and some beside them."""
    x = (np.arange(65536, dtype=np.uint32) << 16).view(np.float32)
    with np.errstate(all="ignore"):
        x = np.concatenate([x, x[::7] * np.float32(1.0009766), RNG.standard_normal(999).astype(np.float32)])
    dtype = np.dtype(name) if name == "float16" else np.dtype(getattr(ml_dtypes, name))
    with np.errstate(all="ignore"):
        want = x.astype(dtype).astype(np.float32)
    told, most = FORMATS[name]
    (got,) = run("RoundTo", [x], {"format": list(told), "alpha": most})
    assert np.array_equal(got, want, equal_nan=True)
    sign = np.isnan(want) | (np.signbit(got) == np.signbit(want))
    assert sign.all()
    some = x[::97]
    check("RoundTo", [some], {"format": list(told), "alpha": most})
    with np.errstate(all="ignore"):
        wide = some.astype(np.float64) * 1.00001
    check("RoundTo", [wide], {"format": list(told), "alpha": most})
    check("RoundTo", [some], {"format": [told[0], told[1], 0, told[3]], "alpha": most})


def test_rounding_to_powers_of_two() -> None:
    x = np.array([0.0, 1e-45, 0.1, 0.125, 1.1, 2.0, 3e38, np.inf, np.nan, -1.0], np.float32)
    attributes = {"format": [0, -127, 2, 2], "alpha": 2.0**127}
    assert run("RoundTo", [x], attributes)[0][2:6].tolist() == [0.125, 0.125, 2.0, 2.0]
    check("RoundTo", [x], attributes)


@pytest.mark.parametrize("op", ["CumSum", "CumProd"])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_running_results(op: str, dtype: str) -> None:
    for attributes in ({}, {"axis": -1, "reverse": 1}, {"axis": 1, "exclusive": 1}, {"reverse": 1, "exclusive": 1}):
        check(op, [numbers(dtype, 3, 5, 1)], attributes)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_top_k(dtype: str) -> None:
    x = numbers(dtype, 4, 23, 3)
    for largest in (0, 1):
        for k in (1, 2, 22, 23):
            check("TopK", [x], {"axis": 1, "k": k, "largest": largest}, outputs=2)
    check("TopK", [np.array([1.0, np.nan, 0.0, -0.0, np.inf])], {"k": 5}, outputs=2)


@pytest.mark.parametrize("attributes", [{"k": 0}, {"k": 4}, {"k": 2**40}, {"k": -1}, {"axis": 3}])
def test_top_k_of_too_many(attributes: dict[str, Any]) -> None:
    with pytest.raises((BitpressError, ValueError, IndexError)):
        run("TopK", [numbers("F32", 3)], attributes, outputs=2)


def test_bit_cast() -> None:
    check("BitCast", [numbers("F32", 2, 3)], {"to": DTYPES["I32"].number})
    check("BitCast", [numbers("I64", 7)], {"to": DTYPES["F64"].number})
    for to in ("I64", "BOOL", "F16"):
        with pytest.raises(BitpressError):
            run("BitCast", [numbers("I32" if to != "BOOL" else "U8", 2)], {"to": DTYPES[to].number})


@pytest.mark.parametrize("dtype", ["F64", "I32", "I64", "U32", "U64"])
def test_products_of_other_types(dtype: str) -> None:
    for a, b in (((3, 4), (4, 5)), ((4,), (4, 2)), ((2, 1, 3, 200), (3, 200, 1)), ((4,), (4,))):
        check("MatMul", [numbers(dtype, *a), numbers(dtype, *b)], {})
    with pytest.raises(BitpressError):
        run("MatMul", [numbers(dtype, 3, 4), numbers(dtype, 3, 4)], {})


EMPTY: list[tuple[str, list[tuple[int, ...]], dict[str, Any]]] = [
    ("Add", [(2, 0, 3), (1, 3)], {}),
    ("Relu", [(0,)], {}),
    ("Greater", [(0, 4), (1, 1)], {}),
    ("Concat", [(2, 0), (2, 3), (2, 0)], {"axis": 1}),
    ("Concat", [(0, 2), (0, 3)], {"axis": 1}),
    ("Reshape", [(0, 3)], {"shape": [3, 0], "allowzero": 1}),
    ("Transpose", [(2, 0, 3)], {"perm": [2, 0, 1]}),
    ("Slice", [(3, 4)], {"starts": [2], "ends": [2], "axes": [1]}),
    ("Slice", [(3, 4)], {"starts": [9], "ends": [-9], "axes": [0]}),
    ("Expand", [(1, 3)], {"shape": [0, 3]}),
    ("Pad", [(0, 2)], {"pads": [1, 0, 1, 1], "value": 2.0}),
    ("Cast", [(0, 2)], {"to": 14}),
    *((op, [(2, 0, 4)], {"axes": [1]}) for op in ("ReduceSum", "ReduceProd", "ReduceL1", "ReduceL2")),
    *((op, [(2, 0, 4)], {"axes": [2], "keepdims": 0}) for op in ("ReduceSum", "ReduceMax", "ReduceLogSumExp")),
]


@pytest.mark.parametrize(("op", "shapes", "attributes"), EMPTY, ids=lambda value: str(value)[:30])
def test_no_elements(op: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any]) -> None:
    arrays = [numbers("F32", *shape) for shape in shapes]
    if op in ("ReduceMax", "ReduceLogSumExp"):
        assert run(op, arrays, attributes)[0].shape == (2, 0)
    elif op in ("Reshape", "Pad"):
        assert run(op, arrays, attributes)[0].shape == ((3, 0) if op == "Reshape" else (2, 3))
    else:
        check(op, arrays, attributes)


@pytest.mark.parametrize("dtype", ["F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "BOOL"])
def test_the_largest_of_none(dtype: str) -> None:
    x = np.zeros((2, 0), DTYPES[dtype].numpy)
    for op in ("ReduceMax", "ReduceMin"):
        (got,) = run(op, [x], {"axes": [1], "keepdims": 0})
        least = op == "ReduceMax"
        if dtype == "BOOL":
            assert got.tolist() == [not least] * 2
        elif dtype[0] == "F":
            assert got.tolist() == [-np.inf if least else np.inf] * 2
        else:
            limits = np.iinfo(x.dtype)
            assert got.tolist() == [limits.min if least else limits.max] * 2


@pytest.mark.parametrize("op", ["Softmax", "ReduceMean", "ArgMax", "LayerNormalization", "MatMul", "TopK", "CumSum"])
def test_others_refuse_no_elements(op: str) -> None:
    inputs = {"LayerNormalization": 2, "MatMul": 2}.get(op, 1)
    assert accepts(op, ["F32"] * inputs)
    with pytest.raises(BitpressError):
        run(op, [np.zeros((0, 0), np.float32)] * inputs, {}, 2 if op == "TopK" else 1)
