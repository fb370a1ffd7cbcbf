"""Bounded values in files: the bound holds for every element after a round trip; every byte is counted and checked."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import bitpress as bp
from bitpress import _core
from bitpress.container import open_container, verify
from bitpress.graph import Graph, Node, Value
from bitpress.scheme import Bounded
from bitpress.tensor import Role

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))


def third() -> ModuleType:
    spec = importlib.util.spec_from_file_location("third_reader", TESTS / "third_reader.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["third_reader"] = module
    spec.loader.exec_module(module)
    return module


def _cli() -> tuple[Any, Any]:
    from typer.testing import CliRunner

    from bitpress.cli.app import app

    return CliRunner(), app


def smooth(shape: tuple[int, ...], dtype: type, seed: int = 1) -> np.ndarray:
    values = np.random.Generator(np.random.PCG64(seed)).normal(size=shape)
    for axis in range(len(shape)):
        values = values + np.roll(values, 1, axis)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["absolute", "relative", "range"])
@pytest.mark.parametrize("shape", [(), (7,), (5000,), (70, 90), (3, 40, 50), (2, 3, 20, 30)], ids=str)
def test_the_bound_holds(tmp_path: Path, dtype: type, kind: str, shape: tuple[int, ...]) -> None:
    x = np.asarray(smooth(shape, dtype))
    if x.size > 100:
        x.reshape(-1)[[3, 50, 51]] = np.nan, np.inf, -np.inf
    error = 1e-3
    packed = bp.pack(x, bp.Scheme.bounded(error, kind))
    assert packed.report().streams == {"data": len(packed.streams[Role.DATA])}
    assert packed.report().nbytes == packed.nbytes and packed.elements == packed.survivors == x.size
    path = tmp_path / "x"
    bp.save_file({"x": x, "whole": np.arange(9)}, path, bp.Recipe.bounded(error, kind))
    back = bp.load_file(path)
    assert np.array_equal(back["whole"], np.arange(9))
    y = back["x"]
    assert y.dtype == x.dtype and y.shape == x.shape and y.tobytes() == packed.unpack().tobytes()
    finite = np.isfinite(x)
    a, b = x[finite].astype(np.float64), y[finite].astype(np.float64)
    limit = error * (a.max() - a.min() if kind == "range" else np.abs(a) if kind == "relative" else 1)
    assert (np.abs(a - b) <= limit).all()
    assert x[~finite].tobytes() == y[~finite].tobytes()
    assert verify(path) == []
    read = third().read(path.read_bytes()) if x.size < 10_000 else None
    if read is not None:
        assert read.tensors["x"].data == y.tobytes()


def test_what_a_file_says_of_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    x = smooth((64, 1000), np.float32)
    bp.save_file({"x": x}, path, bp.Recipe.bounded(0.01))
    with open_container(path) as container:
        assert container.scheme("x") == bp.Scheme.from_numbers((0, 5, 0, False, 0, 0, 0, 0, 0, 0), "rans")
        assert str(container.scheme("x")) == "bounded + rans"
        (stream,) = container.tensors["x"].streams
        assert stream.layout == 3 and stream.decoded == x.nbytes and stream.stored < x.nbytes // 3
        packed = container.packed("x")
        assert bytes(packed.streams[Role.DATA]) == bp.bounded.encode(x, absolute=0.01)
        assert np.array_equal(packed.floats(100, 50), packed.unpack().reshape(-1)[100:150])
        with pytest.raises(bp.SchemeError, match="no codes"):
            packed.codes()
    assert str(bp.Scheme.bounded(0.01)) == "bounded 0.01 absolute + rans"
    bp.load(path).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_schemes_and_recipes_that_cannot_be() -> None:
    x = np.ones((4, 4))
    for scheme, array, complaint in (
        (bp.Scheme.bounded(0.1), x.astype(np.float16), "F32 and F64, not F16"),
        (bp.Scheme.from_numbers((0, 5, 0, False, 0, 0, 0, 0, 0, 0), "rans"), x, "need an error"),
    ):
        with pytest.raises(bp.SchemeError, match=complaint):
            bp.pack(array, scheme)
    for error, kind in ((0, "absolute"), (-1, "range"), (float("nan"), "range"), (1, "relative"), (0.1, "psnr")):
        with pytest.raises(bp.SchemeError):
            bp.Scheme.bounded(error, kind)
    with pytest.raises(bp.SchemeError, match="dense"):
        bp.Scheme(bp.Scheme.int(sparse=True).structure, Bounded(0.1), "rans")
    with pytest.raises(bp.SchemeError, match="rans"):
        bp.Scheme.bounded(0.1).with_coding("huffman")
    recipe = bp.Recipe.bounded(0.5, "range", min_elements=4, ignore=("b",))
    assert bp.Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe and not recipe.is_lossless
    for words in (
        {"bounded": 0.1, "bits": 4},
        {"bound": "range"},
        {"bounded": "much"},
        {"bounded": 0.1, "coding": "rans"},
    ):
        with pytest.raises(bp.SchemeError):
            bp.Recipe.from_dict({"rules": [{"pattern": "*", **words}]})


def test_the_command_line(tmp_path: Path) -> None:
    pytest.importorskip("typer")
    runner, app = _cli()
    source, target = tmp_path / "x.safetensors", tmp_path / "x.bp"
    x = smooth((64, 500), np.float32)
    save_file({"x": x, "ids": np.arange(10)}, source)
    run = lambda *words: runner.invoke(app, [str(word) for word in words])  # noqa: E731
    done = run("compress", source, "-o", target, "--bounded", "1e-3", "--bound", "range", "--json")
    assert done.exit_code == 0, done.output
    assert np.abs(x - bp.load_file(target)["x"]).max() <= 1e-3 * (x.max() - x.min())
    listed = json.loads(run("inspect", target, "--json").output)
    (tensor,) = (t for t in listed["tensors"] if t["name"] == "x")
    assert tensor["scheme"] == "bounded + rans" and listed["bytes"] == target.stat().st_size
    assert run("inspect", target, "--html", tmp_path / "x.html").exit_code == 0
    assert run("verify", target).exit_code == 0
    for words in (("--bounded", "1", "--bits", "4"), ("--bounded", "0"), ("--bound", "range"), ("--bounded", "x")):
        assert run("compress", source, "-o", tmp_path / "y.bp", *words).exit_code in (1, 2)


def test_a_session_runs_with_bounded_weights(tmp_path: Path) -> None:
    w = smooth((16, 300), np.float32)
    graph = Graph(
        inputs=(Value("x", "F32", (-1, 300)),),
        outputs=(Value("y", "F32", (-1, 16)),),
        nodes=(Node("Gemm", "fc", ("x", "w"), ("y",), {"transB": 1}),),
    )
    packed = bp.pack(w, bp.Scheme.bounded(1e-3))
    model = bp.Model({"w": packed}, graph)
    model.save(tmp_path / "net")
    x = smooth((3, 300), np.float32, seed=2)
    for load in ("map", "tile", "unpack"):
        (y,) = bp.Session(tmp_path / "net", load=load).run({"x": x}).values()
        assert np.allclose(y, x @ packed.unpack().T, atol=1e-4)


def patched(blob: bytes, at: int, value: bytes) -> bytes:
    """A file with other bytes in its manifest, its checksums right again."""
    start = 8 + int.from_bytes(blob[:8], "little")
    size = int.from_bytes(blob[start + 12 : start + 16], "little")
    manifest = bytearray(blob[start : start + size])
    manifest[at : at + len(value)] = value
    own = _core.checksum(bytes(manifest[40:]), _core.checksum(bytes(manifest[:32])))
    manifest[32:40] = struct.pack("<Q", own)
    return blob[:start] + bytes(manifest) + blob[start + size :]


def test_records_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    bp.save_file({"x": smooth((40, 90), np.float32)}, path, bp.Recipe.bounded(0.01))
    blob = path.read_bytes()
    start = 8 + int.from_bytes(blob[:8], "little")
    manifest = blob[start:]
    sections = int.from_bytes(manifest[10:12], "little")
    tensor = 40 + 8 * sections
    stream = tensor + 24  # its record of 20 bytes, to a multiple of 8
    numbers = stream + 16
    changes = {
        "values that are kept": (tensor + 18, b"\0"),
        "integer values": (tensor + 18, b"\x83"),
        "bits": (tensor + 18, b"\x15"),
        "flags": (tensor + 19, b"\1"),
        "a bitmap": (tensor + 17, b"\x12"),
        "elements of F64": (tensor + 16, b"\x0e"),
        "elements of I32": (tensor + 16, b"\x09"),
        "another coding": (stream + 14, b"\1"),
        "no coding": (stream + 14, b"\0"),
        "no layout": (stream + 15, b"\0"),
        "an unknown layout": (stream + 15, b"\4"),
        "other dims": (numbers, struct.pack("<II", 90, 40)),
        "another dim": (numbers, struct.pack("<I", 41)),
    }
    reader = third()
    assert patched(blob, 0, b"BITPRESS") == blob
    for what, (at, value) in changes.items():
        bad = patched(blob, at, value)
        path.write_bytes(bad)
        with pytest.raises(bp.BitpressError):
            bp.load_file(path)
        with pytest.raises(reader.Refused):
            reader.read(bad)
            raise AssertionError(what)


def test_a_damaged_chunk_is_found_without_its_checksum(tmp_path: Path) -> None:
    """What the head says is right, what the chunks say is not: unpacking refuses it, and so does verify."""
    x = smooth((40, 90), np.float32)
    packed = bp.pack(x, bp.Scheme.bounded(0.01))
    frame = bytearray(packed.streams[Role.DATA])
    frame[-1] ^= 255
    broken = bp.PackedTensor("F32", (40, 90), packed.scheme, {Role.DATA: memoryview(bytes(frame))})
    broken.check()
    with pytest.raises(bp.CorruptError):
        broken.unpack()
    path = tmp_path / "x"
    bp.Model({"x": broken}).save(path)
    assert len(verify(path)) == 1
    for other in (packed.streams[Role.DATA][:-1], b""):
        with pytest.raises(bp.FormatError):
            bp.PackedTensor("F32", (40, 90), packed.scheme, {Role.DATA: memoryview(other)}).check()
    with pytest.raises(bp.CorruptError, match="holds"):
        bp.PackedTensor("F32", (90, 40), packed.scheme, {Role.DATA: packed.streams[Role.DATA]}).check()


def test_a_large_file_is_written_as_it_goes(tmp_path: Path) -> None:
    """Over 16 MiB a file is not laid out in memory: its room for the head is bounded; noise takes more than it has."""
    noise = np.random.Generator(np.random.PCG64(1)).integers(0, 2**32, 4_500_000, dtype=np.uint32).view(np.float32)
    small = {f"t{i}": noise[:1020].copy() for i in range(40)}
    path = tmp_path / "x"
    bp.save_file({"noise": noise, **small}, path, bp.Recipe.bounded(1e-30))
    assert path.stat().st_size > noise.nbytes
    assert bp.load_file(path)["noise"].tobytes() == noise.tobytes() and verify(path) == []
