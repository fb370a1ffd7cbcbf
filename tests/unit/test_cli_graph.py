"""`inspect --graph`: nodes in order, an ONNX file before and after the passes, the arena beside its lower bound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason="needs typer: pip install 'bitpress[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'bitpress[cli]'")

from graph_file import GraphFile, NodeSpec, plain
from typer.testing import CliRunner

import bitpress as bp
from bitpress.cli.app import app
from bitpress.session import Session


def call(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def test_before_and_after_the_passes(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    from onnx_models import model, node

    nodes = [
        node("Conv", "x w", "c"),
        node("BatchNormalization", "c s b m v", "n"),
        node("Relu", "n", "r"),
        node("Identity", "r"),
    ]
    tensors = {"w": np.ones((4, 2, 1, 1), np.float32)} | {name: np.ones(4, np.float32) for name in "sbmv"}
    path = tmp_path / "net.onnx"
    onnx.save(model(nodes, {"x": (1, 2, 5, 5)}, ["y"], tensors), path)
    status, out = call("inspect", path, "--graph", "--json")
    assert status == 0
    before, after = json.loads(out)["stages"]
    assert before["operators"] == {"Conv": 1, "BatchNormalization": 1, "Relu": 1}
    assert after["operators"] == {"Conv": 1}
    assert after["nodes"] == ["Conv 'Conv_c': x, w, w.bias -> y [1x4x5x5] clip_low=0.0 clip_high=inf"]
    status, out = call("inspect", path, "--graph")
    assert status == 0 and "imported" in out and "3 nodes" in out and "1 nodes: Conv 1" in out


def test_the_arena_beside_its_lower_bound(root: Path, tmp_path: Path) -> None:
    status, out = call("inspect", root / "tests" / "golden" / "bodies.safetensors", "--graph", "--json")
    assert status == 0
    (stage,), arena = json.loads(out)["stages"], json.loads(out)["arena"]
    assert stage["operators"] == {"Loop": 1, "Add": 2, "Less": 1, "If": 1, "Identity": 1, "NonZero": 1}
    assert 0 < arena["live"] <= arena["arena"]
    bp.save_file({"w": np.ones(3, np.float32)}, tmp_path / "w.bp")
    status, out = call("inspect", tmp_path / "w.bp", "--graph")
    assert status == 1 and "no graph" in out
    assert call("inspect", tmp_path / "w.bp", "--graph", "--build")[0] == 2


def test_a_plan_says_what_a_run_takes() -> None:
    """A chain needs two values at a time, whatever its length; a plan of other shapes is another plan."""
    nodes = [NodeSpec("MatMul", [f"v{i}" if i else "x", "w"], [f"v{i + 1}" if i < 7 else "y"]) for i in range(8)]
    file = GraphFile({"x": (-1, 64)}, ["y"], nodes, {"w": plain(np.eye(64, dtype=np.float32))})
    session = Session(file.bytes())
    assert session.memory.arena == 0
    memory = session.plan({"x": (512, 64)}).memory
    value = 512 * 64 * 4
    assert 2 * value <= memory.live <= memory.arena < 3 * value
    assert session.plan().memory.arena < memory.arena


@pytest.mark.parametrize("target", [None, "generic", "armv8"])
def test_a_target_is_written_and_shown(target: str | None, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    from onnx_models import model, node

    tensors = {"w": np.random.default_rng(1).standard_normal((64, 48), np.float32)}
    onnx.save(model([node("MatMul", "x w", "y")], {"x": (3, 64)}, ["y"], tensors), tmp_path / "net.onnx")
    options = ["--target", target] if target else []
    assert call("compress", tmp_path / "net.onnx", "-o", tmp_path / "net.bp", "--coding", "raw", *options)[0] == 0
    status, out = call("inspect", tmp_path / "net.bp", "--json")
    assert status == 0
    laid_out = target == "armv8"
    assert json.loads(out)["tensors"][0]["in_panels"] == laid_out
    assert json.loads(out)["panels"] == laid_out
    status, out = call("inspect", tmp_path / "net.bp")
    assert status == 0 and ("1 tensor in panels" in out) == laid_out
