"""`run` and `bench`: a small network made by hand, its outputs, and what is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason="needs typer: pip install 'bitpress[cli]'")

from typer.testing import CliRunner

import bitpress as bp
from bitpress.cli.app import app
from bitpress.graph import Graph, Node, Value
from bitpress.model import Model

Bitpress = Callable[..., subprocess.CompletedProcess[str]]


def call(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, done.stderr


def _model(inputs: tuple[str, ...], outputs: tuple[str, ...], weight: np.ndarray) -> Model:
    """A network that multiplies each input by one weight."""
    nodes = tuple(Node("MatMul", f"n{i}", (x, "w"), (y,)) for i, (x, y) in enumerate(zip(inputs, outputs, strict=True)))
    ends = [tuple(Value(name, "F32", (-1, size)) for name in names) for names, size in ((inputs, 4), (outputs, 3))]
    return Model({"w": bp.pack(weight, bp.Scheme.int(8, coding="huffman"))}, Graph(ends[0], ends[1], nodes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    weight = np.arange(12, dtype=np.float32).reshape(4, 3) - 6
    _model(("x",), ("y",), weight).save(path / "one.bp")
    _model(("a", "b"), ("p/1", "q"), weight).save(path / "two.bp")
    bp.save_file({"w": weight}, path / "tensors.bp")
    rng = np.random.default_rng(0)
    np.save(path / "x.npy", rng.standard_normal((2, 4)).astype(np.float32))
    np.save(path / "double.npy", rng.standard_normal((2, 4)))
    np.save(path / "narrow.npy", np.zeros((2, 5), np.float32))
    np.save(path / "whole.npy", np.zeros((2, 4), np.int64))
    np.save(path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez(path / "both.npz", a=np.ones((1, 4), np.float32), b=np.zeros((1, 4), np.float32))
    (path / "text.npy").write_text("1 2 3")
    return path


def expected(folder: Path, x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) @ bp.load(folder / "one.bp").tensors["w"].unpack()


@pytest.mark.parametrize("given", ["x={}/x.npy", "{}/x.npy", "{}/double.npy"])
def test_run_writes_what_the_network_gives(folder: Path, tmp_path: Path, given: str) -> None:
    given = given.format(folder)
    status, out, err = call("run", folder / "one.bp", "--input", given, "--output", tmp_path / "y.npy", "--json")
    assert (status, err) == (0, "")
    y = np.load(tmp_path / "y.npy")
    wanted = expected(folder, np.load(given.split("=")[-1]))
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)
    [report] = json.loads(out)["outputs"]
    assert (report["name"], report["shape"], report["dtype"]) == ("y", [2, 3], "float32")
    best = report["top"][0]
    assert best["value"] == y.max() and tuple(best["index"]) == np.unravel_index(y.argmax(), y.shape)
    values = [entry["value"] for entry in report["top"]]
    assert values == sorted(values, reverse=True) and len(values) == 5


def test_run_with_integers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    weight = bp.pack(rng.standard_normal((5, 40, 3, 3)).astype(np.float32), bp.Scheme.int(8, axis=0))
    ends = (Value("x", "F32", (1, 40, 9, 9)),), (Value("y", "F32", (1, 5, 7, 7)),)
    Model({"w": weight}, Graph(*ends, (Node("Conv", "c", ("x", "w"), ("y",)),))).save(tmp_path / "conv.bp")
    x = rng.standard_normal((1, 40, 9, 9)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    for activations in ("int16", "float32"):
        arguments = ["run", tmp_path / "conv.bp", "-i", tmp_path / "x.npy", "-o", tmp_path / "y.npy"]
        assert call(*arguments, "--activations", activations)[0] == 0
        wanted = bp.Session(tmp_path / "conv.bp", activations=activations).run({"x": x})["y"]
        assert np.array_equal(np.load(tmp_path / "y.npy"), wanted)


def test_run_prints_shapes_and_the_largest(folder: Path, bitpress: Bitpress) -> None:
    done = bitpress("run", folder / "one.bp", "--input", folder / "x.npy", "--top", 1)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("y  float32  2x3") and "time" in done.stdout
    largest = expected(folder, np.load(folder / "x.npy")).max()
    assert f"{largest:.6g}"[:5] in done.stdout


def test_run_with_several_inputs_and_outputs(folder: Path, tmp_path: Path) -> None:
    status, out, err = call(
        "run", folder / "two.bp", "--input", folder / "both.npz", "--output-dir", tmp_path / "o", "--json"
    )
    assert (status, err) == (0, "")
    assert json.loads(out)["written"] == [str(tmp_path / "o" / "p_1.npy"), str(tmp_path / "o" / "q.npy")]
    assert np.abs(np.load(tmp_path / "o" / "p_1.npy")).sum() > 0 and not np.load(tmp_path / "o" / "q.npy").any()
    inputs = ["--input", f"a={folder / 'x.npy'}", "--input", f"b={folder / 'x.npy'}"]
    assert call("run", folder / "two.bp", *inputs, "--output", tmp_path / "all.npz")[0] == 0
    with np.load(tmp_path / "all.npz") as data:
        assert set(data) == {"p/1", "q"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one.bp"], "'x' is missing"),
        (["one.bp", "-i", "z=x.npy"], "no input 'z'"),
        (["one.bp", "-i", "x=none.npy"], "none.npy: No such file"),
        (["one.bp", "-i", "x=text.npy"], "text.npy: is no .npy file"),
        (["one.bp", "-i", "x=objects.npy"], "objects.npy: is no .npy file"),
        (["one.bp", "-i", "x=both.npz"], "both.npz: is an .npz archive"),
        (["one.bp", "-i", "both.npz"], "no input 'a'"),
        (["one.bp", "-i", "narrow.npy"], "shape must be"),
        (["one.bp", "-i", "whole.npy"], "dtype must be"),
        (["two.bp", "-i", "x.npy"], "x.npy: which input?"),
        (["two.bp", "-i", "both.npz", "-o", "y.npy"], "2 outputs"),
        (["tensors.bp", "-i", "x.npy"], "tensors.bp"),
        (["one.bp", "-i", "x.npy", "-o", "one.bp"], "is the input itself"),
        (["one.bp", "-i", "x.npy", "-o", "none/y.npy"], "no such folder"),
        (["one.bp", "-i", "x.npy", "--output-dir", "x.npy"], "is not a directory"),
    ],
)
def test_bad_input_of_run(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str) -> None:
    monkeypatch.chdir(folder)
    before = {path.name for path in folder.iterdir()}
    status, out, err = call("run", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("bitpress: error: ") and err.count("\n") == 1 and said in err, err
    assert "internal error" not in err and {path.name for path in folder.iterdir()} == before


def test_bench_measures_opening_decoding_and_running(folder: Path) -> None:
    status, out, err = call("bench", folder / "one.bp", "--shape", "x=5,4", "--seconds", 0.01, "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["open_seconds"] > 0 and report["bytes"] == (folder / "one.bp").stat().st_size
    run = report["run"]
    assert run["inputs"] == {"x": [5, 4]} and run["runs"] >= 3
    assert 0 < run["fastest_seconds"] <= run["median_seconds"]
    assert run["memory"]["file"] == report["bytes"] and run["memory"]["arena"] > 0
    out = call("bench", folder / "one.bp", "--seconds", 0.01)[1]
    assert "median of" in out and "arena" in out


def test_bench_measures_each_coding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        name: bp.pack(rng.integers(0, 9, 20_000, np.uint8), bp.Scheme.lossless(coding=name))
        for name in ("huffman", "lzw")
    }
    Model(tensors).save(tmp_path / "c.bp")
    report = json.loads(call("bench", tmp_path / "c.bp", "--seconds", 0.01, "--json")[1])
    assert report["run"] is None and set(report["decode"]) == {"huffman", "lzw"}
    for found in report["decode"].values():
        assert found["decoded_bytes"] == 20_000 > found["bytes"] > 0 and found["bytes_per_second"] > 0


@pytest.mark.parametrize(
    ("shape", "said"),
    [("z=1,4", "inputs: x"), ("x=1,a", "whole numbers"), ("x=1,5", "shape must be"), ("x=0,4", "not fit")],
)
def test_bad_shapes_of_bench(folder: Path, shape: str, said: str) -> None:
    status, out, err = call("bench", folder / "one.bp", "--shape", shape, "--seconds", 0.01)
    assert (status, out, err.count("\n")) == (1, "", 1) and said in err and "internal error" not in err
