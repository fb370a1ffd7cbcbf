"""Session.profile: what its numbers mean, the table, the trace, the command."""

from __future__ import annotations

import io
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_file import GraphFile, NodeSpec, plain

from bitpress import Session
from bitpress.profile import Machine, make_profile
from bitpress.scheme import Scheme
from bitpress.tensor import pack

RNG = np.random.default_rng(3)
MACHINE = {"f32": 100e9, "s16": 200e9, "s8": 400e9, "memory": 10e9}


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


def network() -> bytes:
    tensors = {"w": pack(floats(64, 32), Scheme.int(8, axis=1)), "table": plain(floats(100, 64))}
    nodes = [
        NodeSpec("MatMul", ["x", "w"], ["h"], {}, "product"),
        NodeSpec("Reshape", ["h"], ["r"], {"shape": [-1]}, "alias"),
        NodeSpec("Relu", ["r"], ["y"], {}, "last"),
    ]
    return GraphFile({"x": (-1, 64)}, ["y"], nodes, tensors).bytes()


@pytest.mark.parametrize("activations", ["float32", "int16"])
def test_steps(activations: Any) -> None:
    session = Session(network(), activations=activations)
    x = floats(50, 64)
    want = session.run({"x": x})["y"]
    profile = session.profile({"x": x}, runs=4)
    assert [(step.op, step.name) for step in profile.steps] == [("MatMul", "product"), ("Relu", "last")]
    product, last = profile.steps
    assert product.operations == 2 * 50 * 64 * 32
    assert product.bytes == 4 * (50 * 64 + 50 * 32) + 64 * 32 + 4 * 32  # weights as they are held
    assert product.products == {"float32": "f32", "int16": "s16"}[activations]
    assert (last.operations, last.bytes, last.products, last.limit) == (50 * 32, 2 * 4 * 50 * 32, "", "memory")
    assert all(0 < step.seconds <= profile.seconds and step.share > 0 and step.threads == 1 for step in profile.steps)
    assert all(rate > 1e8 for rate in vars(profile.machine).values())
    assert len(profile.events) == 4
    assert np.array_equal(session.run({"x": x})["y"], want)


def test_inputs_of_its_own() -> None:
    session = Session(network())
    assert session.profile(runs=1).steps[0].operations == 2 * 1 * 64 * 32
    session.run({"x": floats(7, 64)})
    assert session.profile(runs=1).steps[0].operations == 2 * 7 * 64 * 32
    with pytest.raises(ValueError, match="runs must be 1 or more"):
        session.profile(runs=0)
    with pytest.raises(ValueError, match="input 'x' is missing"):
        session.profile({})


def test_shares_and_medians() -> None:
    nodes = [("a", "Conv", 1000, 50_000, 1, 2), ("", "Add", 4_000, 1000, 0, 1)]
    runs = [[(0, 0, 2000), (1, 2000, 1000)], [(0, 0, 4000), (1, 4000, 500)], [(0, 0, 3000), (1, 3000, 700)]]
    profile = make_profile(nodes, runs, MACHINE)
    first, second = profile.steps
    assert profile.machine == Machine(**MACHINE)
    assert (first.seconds, first.operations, first.limit, first.threads) == (3e-6, 100_000, "compute", 2)
    assert first.share == pytest.approx(1e-6 / 3e-6)
    assert (second.seconds, second.limit) == (7e-7, "memory")
    assert second.share == pytest.approx(4e-7 / 7e-7)
    assert profile.seconds == pytest.approx(3.7e-6)
    assert profile.events[1][0][1] == pytest.approx(3e-6)  # the second run begins where the first ended


def test_table_with_and_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [("a[b]", "Conv", 1000, 50_000, 1, 2), ("", "Add", 4_000, 1000, 0, 1)]
    profile = make_profile(nodes, [[(0, 0, 2000), (1, 2000, 1000)]], MACHINE)
    rich = pytest.importorskip("rich.console", reason="needs rich: pip install rich")
    console = rich.Console(width=200, record=True, file=io.StringIO())
    console.print(profile)
    assert "a[b]" in console.export_text()
    monkeypatch.setitem(sys.modules, "rich", None)
    lines = str(profile).splitlines()
    assert " ".join(lines[0].split()) == "operator node ms % bytes GOP/s GB/s of limit limit threads"
    assert lines[1].split() == ["Conv", "a[b]", "0.002", "66.7", "1,000", "50.0", "0.5", "50%", "compute", "2"]
    assert lines[3].split() == ["all", "0.003", "5,000"]
    assert lines[4] == "limits: 100 GOP/s float32, 200 16-bit, 400 8-bit, 10.0 GB/s memory"


def test_trace(tmp_path: Path) -> None:
    profile = Session(network()).profile(runs=3)
    path = tmp_path / "trace.json"
    profile.save(path)
    events = json.loads(path.read_bytes())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert [span["name"] for span in spans] == [name for i in range(3) for name in (f"run {i + 1}", "product", "last")]
    assert all(span["dur"] >= 0 and span["pid"] == span["tid"] == 1 for span in spans)
    runs = [span for span in spans if span["cat"] == "run"]
    assert all(a["ts"] + a["dur"] <= b["ts"] + 1e-6 for a, b in itertools.pairwise(runs))
    assert spans[1]["args"]["operator"] == "MatMul"


def test_command(tmp_path: Path) -> None:
    testing = pytest.importorskip("typer.testing", reason="needs typer: pip install 'bitpress[cli]'")
    from bitpress.cli.app import app

    (tmp_path / "net.bp").write_bytes(network())
    np.save(tmp_path / "x.npy", floats(5, 64))
    common = ["run", str(tmp_path / "net.bp"), "--input", str(tmp_path / "x.npy"), "--threads", "2"]
    shown = testing.CliRunner().invoke(app, [*common, "--profile"])
    assert shown.exit_code == 0
    assert "of limit" in shown.stdout
    done = testing.CliRunner().invoke(app, [*common, "--json", "--trace", str(tmp_path / "t.json")])
    document = json.loads(done.stdout)
    assert [step["op"] for step in document["profile"]["steps"]] == ["MatMul", "Relu"]
    assert document["written"] == [str(tmp_path / "t.json")]
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
