"""`bitpress distill`: networks by import path, data in .npz files, the student's weights in a safetensors file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason="needs typer: pip install 'bitpress[cli]'")
pytest.importorskip("torch", reason="needs torch: pip install 'bitpress[torch]'")

Bitpress = Callable[..., subprocess.CompletedProcess[str]]
NETS = """
from torch import nn

def teacher():
    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 3))

def student():
    return nn.Sequential(nn.Linear(4, 3))

def wide():
    return nn.Sequential(nn.Linear(5, 3))

def broken():
    raise RuntimeError("no such layer")

def number():
    return 3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("distill")
    (path / "nets.py").write_text(NETS)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, 4)) * 3
    for name, rows in (("train", 240), ("transfer", 240), ("test", 120)):
        y = rng.integers(0, 3, rows)
        x = (centres[y] + rng.standard_normal((rows, 4))).astype(np.float32)
        np.savez(path / f"{name}.npz", **({"x": x} if name == "transfer" else {"x": x, "y": y}))
    np.savez(path / "unlabelled.npz", x=np.zeros((4, 4), np.float32))
    np.savez(path / "uneven.npz", x=np.zeros((4, 4), np.float32), y=np.zeros(3, np.int64))
    np.savez(path / "empty.npz", x=np.zeros((0, 4), np.float32), y=np.zeros(0, np.int64))
    (path / "text.npz").write_text("not an archive")
    (path / "weights.pt").write_bytes(b"\x80\x04nothing")
    return path


def test_distill_trains_reports_and_writes(bitpress: Bitpress, folder: Path) -> None:
    options = [
        "--train",
        "train.npz",
        "--transfer",
        "transfer.npz",
        "--test",
        "test.npz",
        "--epochs",
        8,
        "--batch-size",
        16,
    ]
    done = bitpress("distill", "nets:teacher", "nets:student", *options, "-o", "out.safetensors", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert [result["name"] for result in report["results"]] == ["teacher", "alone", "distilled"]
    assert report["results"][0]["metric"] > 0.9 and report["results"][2]["parameters"] == 15
    safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors: pip install safetensors")
    written = safetensors.load_file(folder / "out.safetensors")
    assert {name: array.shape for name, array in written.items()} == {"0.weight": (3, 4), "0.bias": (3,)}
    again = bitpress("distill", "nets:teacher", "nets:student", *options, "-o", "two.safetensors", cwd=folder)
    assert (folder / "two.safetensors").read_bytes() == (folder / "out.safetensors").read_bytes()
    assert "student distilled" in again.stdout and "points over the student alone" in again.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"teacher": "nets"}, "nets: write it as module:factory"),
        ({"teacher": "nothing:here"}, "nothing:here: ModuleNotFoundError"),
        ({"teacher": "nets:nobody"}, "nets:nobody: AttributeError"),
        ({"student": "nets:broken"}, "nets:broken: RuntimeError: no such layer"),
        ({"student": "nets:number"}, "nets:number: made a int"),
        ({"student": "nets:wide"}, "networks and data do not fit"),
        ({"--test": "unlabelled.npz"}, "unlabelled.npz: has no array 'y'"),
        ({"--test": "missing.npz"}, "missing.npz: No such file"),
        ({"--test": "text.npz"}, "text.npz: is no .npz file"),
        ({"--train": "uneven.npz"}, "uneven.npz: x has 4 rows, y has 3"),
        ({"--train": "empty.npz"}, "empty.npz: x is empty"),
        ({"--teacher-weights": "weights.pt"}, "weights.pt: is no state dict"),
        ({"-o": "no/out.safetensors"}, "no such folder"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], said: str
) -> None:
    from typer.testing import CliRunner

    from bitpress.cli.app import app

    given = {"teacher": "nets:teacher", "student": "nets:student", "-o": "bad.safetensors", "--epochs": "1"}
    given |= {"--train": "train.npz", "--transfer": "transfer.npz", "--test": "test.npz"} | change
    options = [part for key, value in given.items() if key.startswith("-") for part in (key, value)]
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["distill", given["teacher"], given["student"], *options])
    assert done.exit_code == 1, done.output
    assert done.stderr.count("\n") == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and not (folder / "bad.safetensors").exists()
