"""Every operator of the runtime against reference/, on files whose graph is written from the format's page alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from graph_file import OPERATORS, GraphFile, NodeSpec, plain
from test_session_bodies import SIZED
from test_session_types import TYPED

from bitpress.reference.operators import OPERATORS as REFERENCE
from bitpress.scheme import Scheme
from bitpress.session import Session
from bitpress.tensor import pack

INF = float("inf")
FUSED = {"Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "BatchNormalization"}
Case = tuple[str, list[tuple[int, ...]], dict[str, Any]]


def floats(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed + len(shape) * 100 + sum(shape)).standard_normal(shape, np.float32)


def expected(op: str, arrays: list[np.ndarray | None], attributes: Mapping[str, Any]) -> np.ndarray:
    own = {key: value for key, value in attributes.items() if (op, key) != ("Conv", "kernel_shape")}
    low, high = own.pop("clip_low", -INF), own.pop("clip_high", INF)
    if op == "Clip":
        return np.clip(arrays[0], np.float32(low), np.float32(high))
    return np.minimum(np.maximum(REFERENCE[op](*arrays, **own), np.float32(low)), np.float32(high))


# Shapes of the computed inputs, then of the others (None: absent), and attributes.
CASES: list[Case] = [
    ("Conv", [(1, 3, 9, 11), (4, 3, 3, 3), (4,)], {"pads": [1, 1, 1, 1]}),
    ("Conv", [(2, 3, 9, 11), (7, 3, 3, 2), (7,)], {"pads": [0, 1, 2, 0], "strides": [2, 3], "clip_low": 0.0}),
    ("Conv", [(2, 5, 8, 8), (17, 5, 1, 1)], {"clip_low": 0.0, "clip_high": 6.0}),
    ("Conv", [(1, 5, 7, 9), (3, 5, 1, 1), (3,)], {"strides": [2, 2]}),
    ("Conv", [(1, 2, 12, 13), (4, 2, 3, 3)], {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    ("Conv", [(2, 6, 8, 9), (9, 2, 3, 3), (9,)], {"group": 3, "pads": [1, 1, 1, 1]}),
    (
        "Conv",
        [(1, 6, 8, 9), (6, 1, 3, 3), (6,)],
        {"group": 6, "pads": [1, 1, 1, 1], "clip_high": 0.5, "clip_low": -0.5},
    ),
    ("Conv", [(2, 6, 15, 14), (6, 1, 5, 5), (6,)], {"group": 6, "strides": [2, 2], "pads": [1, 2, 2, 1]}),
    ("Conv", [(1, 3, 9, 40), (6, 1, 3, 3)], {"group": 3, "dilations": [2, 2]}),
    ("Conv", [(1, 3, 9, 9), (3, 1, 2, 3)], {"group": 3, "strides": [3, 3]}),
    ("Conv", [(1, 3, 10, 10), (4, 3, 3, 3)], {"auto_pad": 1, "strides": [2, 2]}),
    ("Conv", [(1, 3, 10, 10), (4, 3, 4, 4)], {"auto_pad": 2, "kernel_shape": [4, 4]}),
    ("Conv", [(2, 3, 50), (4, 3, 7), (4,)], {"strides": [2], "pads": [3, 2]}),
    ("Conv", [(2, 4, 33), (4, 1, 5)], {"group": 4}),
    ("Conv", [(2, 3, 60, 1), (5, 3, 9, 1)], {"strides": [4, 1], "pads": [3, 0, 5, 0]}),
    ("Conv", [(1, 300, 5, 5), (70, 300, 3, 3), (70,)], {"pads": [1, 1, 1, 1]}),
    ("Gemm", [(3, 5), (5, 7), (7,)], {}),
    ("Gemm", [(1, 700), (130, 700), (130,)], {"transB": 1, "clip_low": 0.0}),
    ("Gemm", [(9, 700), (130, 700), (1, 130)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", [(4, 5), (7, 5), (4, 1)], {"transB": 1, "alpha": 0.25}),
    ("Gemm", [(5, 3), (5, 150)], {"transA": 1}),
    ("Gemm", [(5, 6), (17, 5), (6, 17)], {"transA": 1, "transB": 1}),
    ("Gemm", [(5, 2), (17, 5)], {"transA": 1, "transB": 1}),
    ("MatMul", [(4, 600), (600, 200)], {"clip_high": 1.0}),
    ("MatMul", [(2, 3, 4, 5), (5, 6)], {}),
    ("MatMul", [(2, 1, 4, 5), (3, 5, 6)], {}),
    ("MatMul", [(3, 4, 5), (2, 3, 5, 6)], {}),
    ("MatMul", [(5,), (5, 6)], {}),
    ("MatMul", [(4, 5), (5,)], {}),
    ("MatMul", [(5,), (5,)], {}),
    ("Add", [(2, 3, 4), (2, 3, 4)], {}),
    ("Add", [(2, 3, 4), (3, 1)], {"clip_low": 0.0}),
    ("Add", [(4,), (2, 3, 1)], {}),
    ("Sub", [(2, 1, 5), (1, 3, 1)], {}),
    ("Sub", [(), (3, 4)], {}),
    ("Mul", [(2, 3, 17, 5), (1, 3, 1, 1)], {"clip_high": 0.5}),
    ("Div", [(3, 33), (33,)], {}),
    ("Relu", [(3, 7)], {}),
    ("Clip", [(3, 7)], {"clip_low": -0.5, "clip_high": 0.25}),
    ("Clip", [(3, 7)], {"clip_low": 0.5, "clip_high": 0.25}),
    ("Sigmoid", [(3, 7)], {}),
    ("Tanh", [(3, 7)], {}),
    ("Softmax", [(3, 7)], {}),
    ("Softmax", [(2, 3, 5)], {"axis": 1}),
    ("BatchNormalization", [(2, 3, 4, 5), (3,), (3,), (3,), (3,)], {"epsilon": 1e-3, "clip_low": 0.0}),
    ("MaxPool", [(2, 3, 9, 8)], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("MaxPool", [(2, 3, 9, 8)], {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 0, 2, 1]}),
    ("MaxPool", [(1, 2, 10, 10)], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", [(1, 2, 10, 11)], {"kernel_shape": [2, 2], "dilations": [3, 2], "auto_pad": 1}),
    ("MaxPool", [(1, 2, 20, 1)], {"kernel_shape": [2, 1], "strides": [2, 1]}),
    ("MaxPool", [(1, 2, 20)], {"kernel_shape": [3]}),
    ("AveragePool", [(2, 3, 9, 8)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [(2, 3, 9, 8)], {"kernel_shape": [3, 3], "pads": [1, 0, 2, 1], "count_include_pad": 1}),
    (
        "AveragePool",
        [(1, 2, 8, 8)],
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1},
    ),
    ("GlobalAveragePool", [(2, 3, 9, 8)], {}),
    ("ReduceMean", [(2, 3, 4, 5)], {"axes": [2, 3], "keepdims": 0}),
    ("ReduceMean", [(2, 3, 4, 5)], {"axes": [-4, 2]}),
    ("ReduceMean", [(2, 3, 4)], {}),
    ("Reshape", [(2, 3, 4)], {"shape": [0, -1]}),
    ("Reshape", [(2, 3, 4)], {"shape": [24]}),
    ("Flatten", [(2, 3, 4)], {"axis": 2}),
    ("Flatten", [(2, 3, 4)], {"axis": 0}),
    ("Transpose", [(2, 3, 4, 5)], {"perm": [0, 2, 3, 1]}),
    ("Transpose", [(2, 3, 4)], {}),
    ("Transpose", [(2, 3, 4, 5)], {"perm": [1, 0, 2, 3]}),
    ("Unsqueeze", [(2, 3)], {"axes": [0, -1]}),
    ("Squeeze", [(1, 2, 1, 3)], {"axes": [0]}),
    ("Squeeze", [(1, 2, 1, 3)], {}),
    ("Concat", [(2, 3, 4), (2, 1, 4), (2, 5, 4)], {"axis": 1}),
    ("Concat", [(2, 3), (2, 1)], {"axis": -1}),
    ("Pad", [(2, 3, 4)], {"pads": [1, 0, 2, 0, 1, 3], "value": -1.5}),
    ("Pad", [(2, 3, 4)], {"pads": [0, 0, 0, 0, 0, 0]}),
    ("Identity", [(2, 3)], {}),
    ("HardSwish", [(3, 7)], {}),
    ("HardSigmoid", [(3, 7)], {"alpha": 0.3}),
    ("LeakyRelu", [(3, 7)], {"alpha": 0.2}),
    ("Erf", [(3, 7)], {}),
    ("Gelu", [(3, 7)], {}),
    ("Gelu", [(3, 7)], {"approximate": 1}),
    ("Exp", [(3, 7)], {}),
    ("Sqrt", [(3, 7)], {}),
    ("ArgMax", [(3, 7)], {"axis": 1}),
    ("ArgMax", [(3, 7, 2)], {"axis": -2, "keepdims": 0, "select_last_index": 1}),
]


def positive(op: str, index: int) -> bool:
    return op == "Sqrt" or (op == "BatchNormalization" and index == 4) or (op == "Div" and index == 1)


def arrays_of(case: Case) -> list[np.ndarray]:
    op, shapes, _ = case
    arrays = [floats(*shape, seed=i) for i, shape in enumerate(shapes)]
    return [np.abs(array) + np.float32(0.5) if positive(op, i) else array for i, array in enumerate(arrays)]


def check(got: np.ndarray, want: np.ndarray) -> None:
    assert got.shape == want.shape
    if want.dtype == np.int64:
        assert np.array_equal(got, want)
        return
    # All sums here have under 3,000 terms of size about 1.
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5 * max(1.0, float(np.max(np.abs(want)))))


def ids(cases: list[Case]) -> Iterator[str]:
    return (f"{op}-{'-'.join('x'.join(map(str, shape)) for shape in shapes)}" for op, shapes, _ in cases)


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
@pytest.mark.parametrize("stored", [False, True], ids=["computed", "stored"])
def test_equals_reference(case: Case, stored: bool) -> None:
    op, _, attributes = case
    arrays = arrays_of(case)
    names = [f"i{k}" for k in range(len(arrays))]
    fed = 1 if stored else len(arrays)
    file = GraphFile(
        inputs={name: array.shape for name, array in zip(names[:fed], arrays[:fed], strict=True)},
        outputs=["y"],
        nodes=[NodeSpec(op, names, ["y"], attributes)],
        tensors={name: plain(array) for name, array in zip(names[fed:], arrays[fed:], strict=True)},
        dtypes={"y": 12} if op == "ArgMax" else {},
    )
    result = Session(file.bytes()).run(dict(zip(names[:fed], arrays[:fed], strict=True)))["y"]
    check(result, expected(op, list(arrays), attributes))


def test_python_and_the_core_number_alike() -> None:
    from bitpress import _core, operators

    assert dict(operators.OPERATORS) == _core.OPERATORS
    assert {name: tuple(entry) for name, entry in operators.ATTRIBUTES.items()} == _core.ATTRIBUTES


def test_every_operator_has_a_case() -> None:
    assert {op for op, _, _ in CASES} | TYPED | SIZED == set(OPERATORS)


def test_every_fused_operator_has_a_clipped_case() -> None:
    assert {op for op, _, attributes in CASES if "clip_low" in attributes or "clip_high" in attributes} - {"Clip"} >= (
        FUSED - {"Sub", "Div"}
    )


SCHEMES = {
    "int8 axis": Scheme.int(8, axis=0),
    "int8 last axis": Scheme.int(8, axis=1),
    "int3 group": Scheme.int(3, group_size=7),
    "int4 affine": Scheme.int(4, symmetric=False),
    "int1": Scheme.int(1),
    "sparse int5": Scheme.int(5, sparse=True, axis=0),
    "sparse keep": Scheme.lossless(sparse=True, coding="raw"),
    "huffman int8": Scheme.int(8, axis=0, coding="huffman"),
    "lzw int4": Scheme.int(4, coding="lzw"),
    "huffman keep": Scheme.lossless(coding="huffman"),
    "sparse huffman": Scheme.int(4, sparse=True, group_size=16, coding="huffman"),
}
WEIGHTED: list[Case] = [case for case in CASES if case[0] in ("Conv", "Gemm", "MatMul") and len(case[1][1]) > 1]
WEIGHTED += [("Add", [(2, 3, 4), (3, 4)], {}), ("MatMul", [(2, 2, 3, 5), (2, 2, 5, 40)], {})]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
@pytest.mark.parametrize("case", WEIGHTED, ids=ids(WEIGHTED))
def test_packed_weights_equal_their_unpacked_selves(case: Case, scheme: Scheme) -> None:
    op, _, attributes = case
    arrays = arrays_of(case)
    rng = np.random.default_rng(5)
    arrays[1] = np.where(rng.random(arrays[1].shape) < 0.6, 0, arrays[1]).astype(np.float32)
    packed = pack(arrays[1], scheme)
    file = GraphFile(
        inputs={"x": arrays[0].shape},
        outputs=["y"],
        nodes=[NodeSpec(op, ["x", "w", "b"][: len(arrays)], ["y"], attributes)],
        tensors={"w": packed} | ({"b": plain(arrays[2])} if len(arrays) > 2 else {}),
    )
    result = Session(file.bytes()).run({"x": arrays[0]})["y"]
    check(result, expected(op, [arrays[0], packed.unpack(), *arrays[2:]], attributes))
