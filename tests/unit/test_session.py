"""bp.Session: shapes, names, memory, threads, aliases; on files whose graph is written from the format's page alone."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from graph_file import GraphFile, NodeSpec, plain

from bitpress import _core
from bitpress.errors import BitpressError, CorruptError, FormatError, ShapeError, UnsupportedError
from bitpress.graph import Graph, Node, Value
from bitpress.model import Model
from bitpress.session import Session

RNG = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


W1, B1, W2 = floats(17, 33), floats(17), floats(5, 17)


def mlp(**changes: object) -> GraphFile:
    fields: dict[str, object] = {
        "inputs": {"x": (-1, 33)},
        "outputs": ["y"],
        "nodes": [
            NodeSpec("Gemm", ["x", "w1", "b1"], ["h"], {"transB": 1, "clip_low": 0.0}, "first"),
            NodeSpec("Gemm", ["h", "w2", ""], ["y"], {"transB": 1}, "second"),
        ],
        "tensors": {"w1": plain(W1), "b1": plain(B1), "w2": plain(W2)},
    }
    return GraphFile(**{**fields, **changes})  # type: ignore[arg-type]


def mlp_numpy(x: np.ndarray) -> np.ndarray:
    return np.maximum(x.astype(np.float64) @ W1.T + B1, 0) @ W2.T.astype(np.float64)


def test_new_shapes_make_a_new_plan() -> None:
    session = Session(mlp().bytes())
    assert [(value.name, value.dtype, value.shape) for value in session.inputs] == [("x", "F32", (-1, 33))]
    assert [(value.name, value.dtype) for value in session.outputs] == [("y", "F32")]
    assert session.memory.arena == 0
    for batch in (1, 3, 4, 5, 40, 1):
        x = floats(batch, 33)
        np.testing.assert_allclose(session.run({"x": x})["y"], mlp_numpy(x), rtol=1e-5, atol=1e-4)
    assert session.memory.arena > 0


@pytest.mark.parametrize("check", ["full", "none"])
def test_path_bytes_and_any_alignment(tmp_path: Path, check: str) -> None:
    data = mlp().bytes()
    path = tmp_path / "mlp.bp"
    path.write_bytes(data)
    x = floats(2, 33)
    want = Session(path, check=check).run({"x": x})["y"]  # type: ignore[arg-type]
    assert np.array_equal(Session(str(path)).run({"x": x})["y"], want)
    for shift in range(1, 9):
        moved = memoryview(bytes(shift) + data)[shift:]
        np.testing.assert_allclose(Session(moved).run({"x": x})["y"], want, rtol=1e-6, atol=1e-6)


def test_a_model_that_was_never_saved() -> None:
    nodes = (Node("Gemm", "only", ("x", "w1", "b1"), ("y",), {"transB": 1}),)
    graph = Graph((Value("x", "F32", (-1, 33)),), (Value("y", "F32", (-1, 17)),), nodes)
    session = Session(Model({"w1": plain(W1), "b1": plain(B1)}, graph))
    x = floats(2, 33)
    np.testing.assert_allclose(session.run({"x": x})["y"], x @ W1.T + B1, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("isa", _core.isas())
def test_every_instruction_set(python, tmp_path: Path, isa: str) -> None:
    (tmp_path / "mlp.bp").write_bytes(mlp().bytes())
    x = floats(5, 33)
    np.save(tmp_path / "x.npy", x)
    code = f"""
import numpy as np
import bitpress
folder = {str(tmp_path)!r}
session = bitpress.Session(folder + "/mlp.bp")
np.save(folder + "/y.npy", session.run({{"x": np.load(folder + "/x.npy")}})["y"])
"""
    python(code, env={"BITPRESS_ISA": isa})
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), mlp_numpy(x), rtol=1e-5, atol=1e-4)


def test_half_floats_as_weights() -> None:
    w = W1.astype(np.float16)
    nodes = [NodeSpec("Gemm", ["x", "w"], ["y"], {"transB": 1})]
    session = Session(GraphFile({"x": (2, 33)}, ["y"], nodes, {"w": plain(w)}).bytes())
    x = floats(2, 33)
    np.testing.assert_allclose(session.run({"x": x})["y"], x @ w.astype(np.float32).T, rtol=1e-5, atol=1e-4)
    assert session.memory.weights == w.nbytes


def test_same_bytes_every_time() -> None:
    session, x = Session(mlp().bytes()), floats(3, 33)
    first = session.run({"x": x})["y"]
    assert (
        first.tobytes() == session.run({"x": x})["y"].tobytes() == Session(mlp().bytes()).run({"x": x})["y"].tobytes()
    )


def test_casts() -> None:
    session, x = Session(mlp().bytes()), floats(3, 33)
    want = session.run({"x": x})["y"]
    assert np.array_equal(session.run({"x": x.astype(np.float64)})["y"], want)
    assert np.array_equal(session.run({"x": x.astype(">f4")})["y"], want)
    assert np.array_equal(session.run({"x": np.asfortranarray(x)})["y"], want)
    half = session.run({"x": x.astype(np.float16)})["y"]
    np.testing.assert_allclose(half, want, rtol=0.05, atol=0.05)
    for wrong in (x.astype(np.int32), x.astype(np.complex64), x.astype(object), x > 0):
        with pytest.raises(TypeError, match="input 'x': dtype must be floating"):
            session.run({"x": wrong})


def test_refusals_name_the_input(tmp_path: Path) -> None:
    path = tmp_path / "mlp.bp"
    path.write_bytes(mlp().bytes())
    session = Session(path)
    with pytest.raises(ShapeError, match=r"mlp\.bp: input 'x': shape must be \?x33, not 2x32"):
        session.run({"x": floats(2, 32)})
    with pytest.raises(ShapeError, match=r"input 'x': shape must be \?x33, not 33"):
        session.run({"x": floats(33)})
    with pytest.raises(ShapeError, match="the shapes do not fit"):  # no elements
        session.run({"x": floats(0, 33)})
    with pytest.raises(ValueError, match="input 'x' is missing"):
        session.run({})
    with pytest.raises(ValueError, match="no input 'z'; inputs are 'x'"):
        session.run({"x": floats(2, 33), "z": floats(1)})
    assert session.run({"x": floats(2, 33)})["y"].shape == (2, 5)


def test_arguments() -> None:
    data = mlp().bytes()
    with pytest.raises(ValueError, match="check must be"):
        Session(data, check="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threads must not be negative"):
        Session(data, threads=-1)
    with pytest.raises(ValueError, match="memory_limit must not be negative"):
        Session(data, memory_limit=-1)


def test_files_that_are_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty.bp"
    empty.touch()
    with pytest.raises(CorruptError, match=r"empty\.bp: the file is empty"):
        Session(empty)
    with pytest.raises(FileNotFoundError):
        Session(tmp_path / "absent.bp")
    with pytest.raises((FormatError, UnsupportedError), match="not a bitpress file"):
        Session(b"not a bitpress file at all")
    with pytest.raises(UnsupportedError, match="no graph"):
        Session(mlp_without_graph())


def mlp_without_graph() -> bytes:
    from graph_file import pack_file

    return pack_file({"w": plain(W1)}, None)


def test_a_flipped_weight_is_seen_by_the_full_check() -> None:
    data = bytearray(mlp().bytes())
    at = data.index(W2.tobytes()) + 10
    data[at] ^= 1
    with pytest.raises(CorruptError):
        Session(data)
    assert Session(data, check="none").run({"x": floats(1, 33)})["y"].shape == (1, 5)


def test_planning_errors_name_the_node() -> None:
    nodes = [
        NodeSpec("Gemm", ["x", "w1", "b1"], ["h"], {"transB": 1}, "first"),
        NodeSpec("Gemm", ["h", "w2", ""], ["y"], {"transB": 0}, "second"),
    ]
    with pytest.raises(ShapeError, match=r"node 'second' \(Gemm\): the shapes do not fit"):
        Session(mlp(nodes=nodes).bytes()).run({"x": floats(1, 33)})


def test_two_threads_at_once_are_refused() -> None:
    k = 2048
    weights = {f"w{i}": plain(floats(k, k)) for i in range(2)}
    nodes = [
        NodeSpec("MatMul", ["x", "w0"], ["h"]),
        NodeSpec("MatMul", ["h", "w1"], ["y"]),
    ]
    session = Session(GraphFile({"x": (256, k)}, ["y"], nodes, weights).bytes(), check="none")
    x = floats(256, k)
    want = session.run({"x": x})["y"]
    outcomes: list[object] = []

    def work(start: threading.Barrier) -> None:
        start.wait()
        try:
            outcomes.append(session.run({"x": x})["y"])
        except BitpressError as error:
            outcomes.append(error)

    for _ in range(20):
        outcomes.clear()
        start = threading.Barrier(4)
        threads = [threading.Thread(target=work, args=(start,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        results = [outcome for outcome in outcomes if isinstance(outcome, np.ndarray)]
        errors = [outcome for outcome in outcomes if isinstance(outcome, BitpressError)]
        assert len(results) + len(errors) == 4
        assert all(np.array_equal(result, want) for result in results)
        if errors:
            assert "in use by another thread" in str(errors[0])
            break
    else:
        pytest.fail("four threads never met")
    assert np.array_equal(session.run({"x": x})["y"], want)


# -- memory ----------------------------------------------------------------------------------------------------------


# -- aliases: values that share memory must not be seen to -------------------------------------------------------------


def run_nodes(nodes: list[NodeSpec], outputs: list[str], x: np.ndarray) -> dict[str, np.ndarray]:
    tensors = {"one": plain(np.ones(1, np.float32)), "c": plain(np.arange(6, dtype=np.float32).reshape(2, 3))}
    used = {name: tensor for name, tensor in tensors.items() if any(name in (*n.inputs, *outputs) for n in nodes)}
    return Session(GraphFile({"x": x.shape}, outputs, nodes, used).bytes()).run({"x": x})


def test_reshape_of_a_value_that_lives_on() -> None:
    x = floats(2, 3)
    got = run_nodes(
        [
            NodeSpec("Add", ["x", "one"], ["a"]),
            NodeSpec("Reshape", ["a"], ["r"], {"shape": [3, 2]}),
            NodeSpec("Relu", ["r"], ["s"]),  # must not write into a, which is read below
            NodeSpec("Add", ["a", "one"], ["y"]),
            NodeSpec("Add", ["s", "one"], ["z"]),
        ],
        ["y", "z"],
        x,
    )
    assert np.array_equal(got["y"], x + 1 + 1)
    assert np.array_equal(got["z"], np.maximum((x + 1).reshape(3, 2), 0) + 1)


def test_in_place_never_touches_the_callers_input() -> None:
    x = floats(2, 3)
    copy = x.copy()
    got = run_nodes(
        [
            NodeSpec("Reshape", ["x"], ["r"], {"shape": [6]}),
            NodeSpec("Relu", ["r"], ["s"]),
            NodeSpec("Relu", ["s"], ["t"]),
            NodeSpec("Add", ["t", "one"], ["y"]),
        ],
        ["y"],
        x,
    )
    assert np.array_equal(x, copy)
    assert np.array_equal(got["y"], np.maximum(x, 0).reshape(6) + 1)


def test_outputs_that_are_inputs_constants_aliases_and_read_on() -> None:
    x = floats(2, 3)
    got = run_nodes(
        [
            NodeSpec("Add", ["x", "c"], ["a"]),
            NodeSpec("Reshape", ["a"], ["r"], {"shape": [6]}),
            NodeSpec("Identity", ["x"], ["i"]),
            NodeSpec("Relu", ["a"], ["y"]),
        ],
        ["y", "x", "c", "r", "a", "i"],
        x,
    )
    c = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(got["a"], x + c)
    assert np.array_equal(got["r"], (x + c).reshape(6))
    assert np.array_equal(got["y"], np.maximum(x + c, 0))
    assert np.array_equal(got["x"], x) and np.array_equal(got["c"], c) and np.array_equal(got["i"], x)


def test_the_same_value_twice() -> None:
    x = floats(2, 3)
    got = run_nodes([NodeSpec("Add", ["x", "x"], ["a"]), NodeSpec("Mul", ["a", "a"], ["y"])], ["y"], x)
    assert np.array_equal(got["y"], (x + x) * (x + x))


def test_a_value_that_nobody_reads() -> None:
    x = floats(2, 3)
    nodes = [NodeSpec("Exp", ["x"], ["unused"]), NodeSpec("Add", ["x", "one"], ["y"])]
    assert np.array_equal(run_nodes(nodes, ["y"], x)["y"], x + 1)


def test_random_graphs_equal_numpy() -> None:
    """Elementwise graphs with aliases, at random: every value is right whatever shares memory."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((2, 3)).astype(np.float32)
        values = {"x": x}
        nodes = []
        for i in range(12):
            names = list(values)
            a, b = rng.choice(names), rng.choice(names)
            out = f"v{i}"
            match rng.integers(4):
                case 0:
                    shape = [[6], [3, 2], [2, 3], [1, 6]][rng.integers(4)]
                    nodes.append(NodeSpec("Reshape", [a], [out], {"shape": shape}))
                    values[out] = values[a].reshape(shape)
                case 1:
                    nodes.append(NodeSpec("Relu", [a], [out]))
                    values[out] = np.maximum(values[a], 0)
                case 2:
                    nodes.append(NodeSpec("Transpose", [a], [out]))
                    values[out] = values[a].T
                case _ if values[a].shape == values[b].shape:
                    nodes.append(NodeSpec("Sub", [a, b], [out]))
                    values[out] = values[a] - values[b]
        computed = [name for name in values if name != "x"]
        outputs = [str(name) for name in rng.choice(computed, size=min(3, len(computed)), replace=False)]
        got = Session(GraphFile({"x": x.shape}, outputs, nodes).bytes()).run({"x": x})
        for name in outputs:
            assert np.array_equal(got[name], values[name]), (seed, name)
