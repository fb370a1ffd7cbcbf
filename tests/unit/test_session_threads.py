"""bp.Session with several threads: the same bits as with one, whatever is shared; memory; forks; counts."""

from __future__ import annotations

import multiprocessing
import threading
from typing import Any

import numpy as np
import pytest
from graph_file import I64, GraphFile, NodeSpec, plain

from bitpress import Session, session
from bitpress.errors import MemoryLimitError
from bitpress.scheme import Scheme
from bitpress.tensor import PackedTensor, pack

RNG = np.random.default_rng(11)
COUNTS = (2, 3, 7)


@pytest.fixture(autouse=True)
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with more CPUs than this one may have."""
    monkeypatch.setattr(session, "_cpus", lambda: 64)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


def sparse(*shape: int) -> np.ndarray:
    array = floats(*shape)
    return np.where(np.abs(array) > 0.8, array, np.float32(0))


Shapes = list[tuple[int, ...]]
CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "by pixels": ((1, 8, 64, 61), (24, 8, 3, 3), {"pads": [1, 1, 1, 1], "clip_low": 0.0}),
    "by rows": ((1, 300, 11, 13), (50, 300, 1, 1), {}),
    "by rows, windows, images": ((3, 70, 9, 7), (20, 70, 3, 3), {"strides": [2, 1], "pads": [0, 1, 2, 1]}),
    "groups": ((2, 12, 30, 30), (24, 4, 3, 3), {"group": 3}),
    "depthwise": ((2, 40, 30, 30), (40, 1, 3, 3), {"group": 40, "pads": [1, 1, 1, 1]}),
    "depthwise, two a group": ((1, 40, 31, 30), (80, 1, 5, 5), {"group": 40, "strides": [2, 2]}),
    "one-dimensional": ((2, 16, 1000), (32, 16, 9), {}),
}
SCHEMES = {
    "plain": Scheme(),
    "int8": Scheme.int(8, axis=0),
    "int3 affine": Scheme.int(3, symmetric=False),
    "bitmap": Scheme.int(8, sparse=True),
}


def same_for_any_count(data: bytes, inputs: dict[str, np.ndarray], **options: Any) -> None:
    """Every output bit for bit, in every run; and the plan says what the workers take."""
    alone = Session(data, **options)
    want = alone.run(inputs)
    for count in COUNTS:
        shared = Session(data, threads=count, **options)
        for _ in range(3):
            got = shared.run(inputs)
            for name, array in want.items():
                assert array.tobytes() == got[name].tobytes(), f"{name} with {count} threads"


@pytest.mark.parametrize("activations", ["float32", "int16"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolutions(kind: str, scheme: str, activations: str) -> None:
    x, w, attributes = CONVOLUTIONS[kind]
    weights = pack(sparse(*w), SCHEMES[scheme])
    tensors = {"w": weights, "b": plain(floats(w[0]))}
    data = GraphFile({"x": x}, ["y"], [NodeSpec("Conv", ["x", "w", "b"], ["y"], attributes)], tensors).bytes()
    same_for_any_count(data, {"x": floats(*x)}, activations=activations)


MATRICES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "MatMul": ("MatMul", (130, 200), (200, 150), {}),
    "MatMul, a batch": ("MatMul", (4, 33, 64), (64, 260), {"clip_high": 1.0}),
    "Gemm": ("Gemm", (90, 700), (700, 40), {"alpha": 0.5, "beta": 2.0}),
    "Gemm, transB": ("Gemm", (90, 256), (300, 256), {"transB": 1}),
    "Gemm, transA": ("Gemm", (700, 90), (700, 40), {"transA": 1}),
    "one row": ("Gemm", (1, 512), (1000, 512), {"transB": 1, "clip_low": -1.0}),
    "three rows": ("Gemm", (3, 512), (1000, 512), {"transB": 1}),
}


@pytest.mark.parametrize("activations", ["float32", "int16", "int8"])
@pytest.mark.parametrize("scheme", [*SCHEMES, "int4", "int4 groups", "int2"])
@pytest.mark.parametrize("kind", MATRICES)
def test_matrices(kind: str, scheme: str, activations: str) -> None:
    op, a, b, attributes = MATRICES[kind]
    axis = 0 if "transB" in attributes else 1
    own = {"int4": Scheme.int(4, axis=axis), "int4 groups": Scheme.int(4, group_size=128), "int2": Scheme.int(2)}
    weights = pack(sparse(*b), {**SCHEMES, **own}[scheme])
    tensors = {"w": weights} | ({"b": plain(floats(b[axis]))} if op == "Gemm" else {})
    names = ["x", "w", "b"] if op == "Gemm" else ["x", "w"]
    data = GraphFile({"x": a}, ["y"], [NodeSpec(op, names, ["y"], attributes)], tensors).bytes()
    same_for_any_count(data, {"x": floats(*a)}, activations=activations)


def test_matrices_of_computed_values() -> None:
    nodes = [NodeSpec("MatMul", ["a", "b"], ["y"])]
    data = GraphFile({"a": (2, 6, 65, 32), "b": (6, 32, 70)}, ["y"], nodes).bytes()
    same_for_any_count(data, {"a": floats(2, 6, 65, 32), "b": floats(6, 32, 70)})


OPERATORS: dict[str, tuple[Shapes, dict[str, Any]]] = {
    "Add": ([(3, 50, 400), (50, 1)], {}),
    "Mul": ([(70001,), (70001,)], {"clip_low": 0.0}),
    "Relu": ([(3, 30001)], {}),
    "LeakyRelu": ([(3, 30001)], {"alpha": 0.2}),
    "Gelu": ([(3, 30001)], {}),
    "Sigmoid": ([(90011,)], {}),
    "Tanh": ([(3, 30001)], {}),
    "Sin": ([(9, 30, 101)], {}),
    "Pow": ([(9, 30, 101), (9, 1, 101)], {}),
    "Softmax": ([(40, 900)], {}),
    "Softmax, inside": ([(40, 90, 11)], {"axis": 1}),
    "MaxPool": ([(2, 20, 41, 40)], {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "AveragePool": ([(1, 64, 30, 30)], {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}),
    "GlobalAveragePool": ([(300, 128, 4, 4)], {}),
    "ReduceMean": ([(300, 128, 9)], {"axes": [2], "keepdims": 0}),
    "Transpose": ([(30, 40, 50)], {"perm": [2, 0, 1]}),
    "Slice": ([(300, 401)], {"starts": [-1, 5], "ends": [-400, 300], "axes": [0, 1], "steps": [-2, 3]}),
}


@pytest.mark.parametrize("kind", OPERATORS)
def test_operators(kind: str) -> None:
    shapes, attributes = OPERATORS[kind]
    names = [f"x{i}" for i in range(len(shapes))]
    inputs: dict[str, tuple[int, ...] | None] = dict(zip(names, shapes, strict=True))
    data = GraphFile(inputs, ["y"], [NodeSpec(kind.split(",")[0], names, ["y"], attributes)]).bytes()
    same_for_any_count(data, {name: np.abs(floats(*shape)) + 0.5 for name, shape in zip(names, shapes, strict=True)})


def test_rows_with_factors() -> None:
    tensors = {"s": plain(floats(300)), "b": plain(floats(300)), "c": plain(floats(40)), "v": plain(np.abs(floats(40)))}
    nodes = [
        NodeSpec("LayerNormalization", ["x", "s", "b"], ["h"]),
        NodeSpec("BatchNormalization", ["h", "c", "c", "c", "v"], ["y"]),
    ]
    data = GraphFile({"x": (10, 40, 300)}, ["y"], nodes, tensors).bytes()
    same_for_any_count(data, {"x": floats(10, 40, 300)})


def test_a_division_by_zero_is_reported_by_whoever_meets_it() -> None:
    nodes = [NodeSpec("Div", ["a", "b"], ["y"])]
    data = GraphFile({"a": (200, 300), "b": (200, 300)}, ["y"], nodes, dtypes={"a": I64, "b": I64, "y": I64}).bytes()
    inputs = {name: np.ones((200, 300), np.int64) for name in ("a", "b")}
    inputs["b"][150, 7] = 0
    with pytest.raises(ValueError):
        Session(data, threads=3).run(inputs)
    inputs["b"][150, 7] = 1
    assert np.all(Session(data, threads=3).run(inputs)["y"] == 1)


# -- counts, memory ----------------------------------------------------------------------------------------------------


def network() -> bytes:
    tensors: dict[str, PackedTensor] = {f"w{i}": pack(floats(300, 300), Scheme.int(8, axis=1)) for i in range(2)}
    nodes = [NodeSpec("MatMul", ["x", "w0"], ["h"]), NodeSpec("MatMul", ["h", "w1"], ["y"])]
    return GraphFile({"x": (-1, 300)}, ["y"], nodes, tensors).bytes()


def test_scratch_of_every_worker_is_counted_and_limited() -> None:
    data = network()
    x = {"x": floats(64, 300)}
    alone, shared = Session(data), Session(data, threads=4)
    alone.run(x)
    shared.run(x)
    assert shared.memory.tile > alone.memory.tile
    assert shared.memory.arena > alone.memory.arena
    needed = shared.memory.total + 64 * 300 * 4
    assert np.array_equal(
        Session(data, threads=4, memory_limit=needed).run(x)["y"], Session(data, memory_limit=needed).run(x)["y"]
    )
    with pytest.raises(MemoryLimitError):
        Session(data, threads=4, memory_limit=needed - 1).run(x)
    Session(data, memory_limit=needed - 1).run(x)


def test_no_more_threads_than_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    data = network()
    x = {"x": floats(64, 300)}
    monkeypatch.setattr(session, "_cpus", lambda: 1)
    before = threading.active_count()
    capped, alone = Session(data, threads=8), Session(data)
    capped.run(x)
    alone.run(x)
    assert capped.memory == alone.memory
    assert threading.active_count() == before
    assert Session(data, threads=0).run(x)["y"].shape == (64, 300)
    with pytest.raises(ValueError, match="threads must not be negative"):
        Session(data, threads=-1)


def _run_in_a_child(shared: Session, x: np.ndarray, want: np.ndarray) -> None:
    assert all(np.array_equal(shared.run({"x": x})["y"], want) for _ in range(3))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_starts_threads_of_its_own() -> None:
    shared = Session(network(), threads=3)
    x = floats(64, 300)
    want = shared.run({"x": x})["y"]
    child = multiprocessing.get_context("fork").Process(target=_run_in_a_child, args=(shared, x, want))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert np.array_equal(shared.run({"x": x})["y"], want)


def test_sessions_of_many_threads_side_by_side() -> None:
    """Each with its own: runs overlap and end."""
    data, x = network(), floats(64, 300)
    want = Session(data).run({"x": x})["y"]
    wrong: list[int] = []

    def work() -> None:
        shared = Session(data, threads=3)
        wrong.extend(i for i in range(20) if not np.array_equal(shared.run({"x": x})["y"], want))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
