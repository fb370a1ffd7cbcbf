"""`compress`, `decompress`, `inspect`, `verify`: what they write, print and refuse."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason="needs typer: pip install 'bitpress[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'bitpress[cli]'")

from typer.testing import CliRunner

import bitpress as bp
from bitpress.cli.app import COMMANDS, app
from bitpress.cli.files import Entry, ordered, write_safetensors
from bitpress.dtypes import DTYPES, stored_bytes
from bitpress.scheme import CODINGS

Bitpress = Callable[..., subprocess.CompletedProcess[str]]


def write(path: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]], **metadata: str) -> Path:
    """A safetensors file of (dtype, shape, bytes) by name."""
    entries = [Entry(n, d, shape, len(data), DTYPES[d].bits) for n, (d, shape, data) in tensors.items()]
    with path.open("wb") as handle:
        write_safetensors(handle, ordered(entries), (tensors[e.name][2] for e in ordered(entries)), metadata)
    return path


def floats(*arrays: tuple[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: ("F32", array.shape, array.astype("<f4").tobytes()) for name, array in arrays}


@pytest.fixture(scope="module")
def every_dtype() -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """A tensor of each dtype, of bytes that repeat, and the shapes that are easily forgotten."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name in DTYPES:
        size = stored_bytes(name, (64, 24))
        data = rng.choice(np.array([0, 1, 1, 1], np.uint8), size).tobytes()
        tensors[f"a.{name}"] = (name, (64, 24), data)
    tensors["scalar"] = ("F32", (), b"\x00\x00\xc0\x7f")  # a NaN with its payload
    tensors["empty"] = ("F16", (3, 0), b"")
    tensors["odd \U0001f600 'name'"] = ("I64", (3,), bytes(range(24)))
    return tensors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(1)
    weights = floats(
        ("layers.0.weight", rng.standard_normal((64, 48)) * 0.1),
        ("layers.0.bias", rng.standard_normal(64)),
        ("layers.1.weight", rng.standard_normal((32, 64)) * 0.2),
    )
    write(path / "net.safetensors", weights, author="someone")
    bp.compress(path / "net.safetensors").save(path / "net.bp")
    return path


def call(*arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command in this process."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, done.stderr


def test_lossless_there_and_back_for_every_dtype(tmp_path: Path, every_dtype: dict, bitpress: Bitpress) -> None:
    source = write(tmp_path / "all.safetensors", every_dtype, key="value")
    assert bitpress("compress", source, "-o", tmp_path / "all.bp", "--lossless").returncode == 0
    assert bitpress("decompress", tmp_path / "all.bp", "-o", tmp_path / "back.safetensors").returncode == 0
    assert (tmp_path / "back.safetensors").read_bytes() == source.read_bytes()
    assert (tmp_path / "all.bp").stat().st_size < source.stat().st_size


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_lossless_gives_each_dtype_back(tmp_path: Path, every_dtype: dict, dtype: str) -> None:
    source = write(tmp_path / "one.safetensors", {"t": every_dtype[f"a.{dtype}"]})
    assert call("compress", source, "-o", tmp_path / "one.bp", "--lossless", "--coding", "auto")[0] == 0
    assert call("decompress", tmp_path / "one.bp", "-o", tmp_path / "back.safetensors")[0] == 0
    assert (tmp_path / "back.safetensors").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("options", "scheme"),
    [
        ([], "int8 axis 0 + huffman"),
        (["--bits", "4", "--affine", "--per", "tensor", "--coding", "raw"], "int4 affine"),
        (["--bits", "3", "--group-size", "16", "--coding", "lzw"], "int3 group 16"),
        (["--sparsity", "0.9", "--bits", "6"], "bitmap + int6 axis 0"),
        (["--codebook"], "codebook4"),
        (["--codebook", "--bits", "6", "--vector", "2", "--group-size", "8"], "codebook6 of 2 group 8"),
        (["--sparsity", "0.9", "--global"], "bitmap + int8 axis 0"),
        (["--threshold", "0.3"], "bitmap + int8 axis 0"),
        (["--nm", "1:4", "--bits", "4"], "1:4 + int4 axis 0"),
        (["--block", "4x8", "--sparsity", "0.5"], "4x8 + int8 axis 0"),
        (["--lossless", "--coding", "lzw"], "keep"),
        (["--ignore", "*.weight"], "keep"),
    ],
)
def test_options_choose_the_scheme(folder: Path, tmp_path: Path, options: list[str], scheme: str) -> None:
    status, out, err = call("compress", folder / "net.safetensors", "-o", tmp_path / "o.bp", *options, "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["bytes"] == (tmp_path / "o.bp").stat().st_size and report["tensors"] == 3
    held = {t["name"]: t["scheme"] for t in json.loads(call("inspect", tmp_path / "o.bp", "--json")[1])["tensors"]}
    assert held["layers.0.weight"].startswith(scheme)


def test_every_coding_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    for name in (*CODINGS, "auto:1.5"):
        assert call("compress", folder / "net.safetensors", "-o", tmp_path / "c.bp", "--coding", name)[0] == 0
        assert call("verify", tmp_path / "c.bp")[0] == 0
    code, _, text = call("compress", folder / "net.safetensors", "-o", tmp_path / "c.bp", "--coding", "zip")
    assert code == 2 and "coding must be one of raw, huffman" in text


def test_sparsity_is_exact(folder: Path, tmp_path: Path) -> None:
    for options, counts in [([], [307, 205]), (["--global"], None)]:
        call("compress", folder / "net.safetensors", "-o", tmp_path / "s.bp", "--sparsity", "0.9", *options)
        arrays = bp.load_file(tmp_path / "s.bp")
        kept = [np.count_nonzero(arrays[name]) for name in ("layers.0.weight", "layers.1.weight")]
        assert sum(kept) <= 512 and (counts is None or all(k <= c for k, c in zip(kept, counts, strict=True)))


def test_a_recipe_file(folder: Path, tmp_path: Path) -> None:
    recipe = {"rules": [{"pattern": "*.0.weight", "bits": 2}], "ignore": ["*.bias"], "metadata": {"by": "us"}}
    (tmp_path / "r.json").write_text(json.dumps(recipe))
    status, _, err = call(
        "compress", folder / "net.safetensors", "-o", tmp_path / "r.bp", "--recipe", tmp_path / "r.json"
    )
    assert (status, err) == (0, "")
    report = json.loads(call("inspect", tmp_path / "r.bp", "--json")[1])
    held = {tensor["name"]: tensor["scheme"] for tensor in report["tensors"]}
    assert held["layers.0.weight"].startswith("int2") and held["layers.1.weight"] == "keep"
    assert report["metadata"] == {"author": "someone", "by": "us"}


def test_the_same_input_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("a.bp", "b.bp"):
        call("compress", folder / "net.safetensors", "-o", tmp_path / name)
    assert (tmp_path / "a.bp").read_bytes() == (tmp_path / "b.bp").read_bytes() == (folder / "net.bp").read_bytes()


def test_inspect_counts_every_byte(tmp_path: Path, every_dtype: dict, folder: Path) -> None:
    write(tmp_path / "all.safetensors", every_dtype)
    call("compress", tmp_path / "all.safetensors", "-o", tmp_path / "all.bp", "--lossless")
    for path in (tmp_path / "all.bp", folder / "net.bp"):
        status, out, err = call("inspect", path, "--json")
        assert (status, err) == (0, "")
        report = json.loads(out)
        tensors = sum(tensor["bytes"] for tensor in report["tensors"])
        assert tensors == report["tensor_bytes"] == sum(s["bytes"] for t in report["tensors"] for s in t["streams"])
        over = report["overhead"]
        assert over["bytes"] == over["header"] + over["manifest"] + over["padding"] and over["padding"] >= 0
        assert tensors + over["bytes"] + report["graph_bytes"] == report["bytes"] == path.stat().st_size
        assert report["overhead"]["header"] == 8 + int.from_bytes(path.read_bytes()[:8], "little")


def test_inspect_prints_a_line_a_tensor(folder: Path, bitpress: Bitpress) -> None:
    done = bitpress("inspect", folder / "net.bp")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert next(line.split() for line in lines if line.startswith("layers.0.weight"))[1:3] == ["64x48", "F32"]
    size = (folder / "net.bp").stat().st_size
    assert any(line.startswith("3 tensors") and f"{size:,}" in line and line.endswith("100.0%") for line in lines)
    assert any(line.startswith("metadata author  someone") for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_inspect_names_what_a_c_library_needs(tmp_path: Path, root: Path) -> None:
    status, out, err = call("inspect", root / "tests" / "cpp" / "mlp.bp", "--build")
    assert (status, out, err) == (
        0,
        "-DBITPRESS_MINIMAL=ON -DBITPRESS_OPERATORS=Gemm -DBITPRESS_CODINGS=huffman\n",
        "",
    )
    bp.save_file({"w": np.zeros(3, np.float32)}, tmp_path / "w.bp")
    assert "-DBITPRESS_CODINGS=raw" in call("inspect", tmp_path / "w.bp", "--build")[1]
    assert call("inspect", tmp_path / "w.bp", "--build", "--json")[0] == 2


def test_inspect_is_safe_with_names(tmp_path: Path) -> None:
    name = "[red]\x1b[31mw[/red]\n"
    bp.save_file({name: np.zeros(3, np.float32)}, tmp_path / "n.bp")
    out = call("inspect", tmp_path / "n.bp")[1]
    assert "[red]" in out and "\x1b" not in out


def test_verify_good_files(folder: Path, bitpress: Bitpress) -> None:
    done = bitpress("verify", folder / "net.bp", folder / "net.bp")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count(f"{folder / 'net.bp'}: ok") == 2


def test_verify_finds_a_flip_anywhere(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / "net.bp").read_bytes())
    bad = tmp_path / "bad.bp"
    for at in np.random.default_rng(0).choice(len(data), 60, replace=False):
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(at) % 8
        bad.write_bytes(flipped)
        status, out, err = call("verify", bad)
        assert (status, out, err.count("\n")) == (1, "", 1), f"byte {at}: {err}"
        assert err.startswith(f"{bad}: ")


def test_verify_one_line_a_file_and_json(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.bp").write_text("hello")
    files = [folder / "net.bp", tmp_path / "text.bp", tmp_path / "missing.bp", tmp_path]
    status, out, err = call("verify", *files)
    assert (status, out.count("\n"), err.count("\n")) == (1, 1, 3)
    status, out, err = call("verify", *files, "--json")
    assert (status, err) == (1, "")
    assert [entry["ok"] for entry in json.loads(out)] == [True, False, False, False]


def onnx_of(operator: str, path: Path) -> Path:
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'bitpress[onnx]'")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, ["x"], ["y"])], "g", [value("x", 1, [1, 4])], [value("y", 1, [1, 4])]
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), path)
    return path


def _bad_inputs(folder: Path, here: Path) -> Iterator[tuple[str, list[object], str]]:
    source = folder / "net.safetensors"
    out = here / "out.bp"
    (here / "text.safetensors").write_text("this is a text")
    (here / "cut.safetensors").write_bytes(source.read_bytes()[:-100])
    (here / "empty.safetensors").write_bytes(b"")
    (here / "what.xyz").write_text("x")
    (here / "folder").mkdir(exist_ok=True)
    (here / "bad.pt").write_bytes(b"not a pickle")
    (here / "bad.onnx").write_bytes(b"not a protobuf")
    write(here / "nan.safetensors", floats(("w", np.full((64, 64), np.nan, np.float32))))
    for name, recipe in [("list", []), ("key", {"rule": 1}), ("bits", {"rules": [{"pattern": "*", "bits": 17}]})]:
        (here / f"{name}.json").write_text(json.dumps(recipe))
    (here / "text.json").write_text("rules:")
    compress = ["compress", "-o", out]
    yield "missing", [*compress, here / "no.safetensors"], "no.safetensors: No such file or directory"
    yield "text", [*compress, here / "text.safetensors"], "text.safetensors"
    yield "truncated", [*compress, here / "cut.safetensors"], "cut.safetensors"
    yield "empty", [*compress, here / "empty.safetensors"], "empty.safetensors"
    yield "suffix", [*compress, here / "what.xyz"], "what.xyz"
    yield "folder", [*compress, here / "folder"], "folder"
    yield "device", [*compress, "/dev/null"], "/dev/null: is not a regular file"
    yield "pickle", [*compress, here / "bad.pt"], "bad.pt"
    yield "protobuf", [*compress, here / "bad.onnx"], "bad.onnx"
    yield "nan", [*compress, here / "nan.safetensors"], "w: "
    yield "operator", [*compress, onnx_of("Mystery", here / "op.onnx")], "Mystery"
    for name in ("list", "key", "bits", "text"):
        yield f"recipe {name}", [*compress, source, "--recipe", here / f"{name}.json"], f"{name}.json: "
    yield "no recipe", [*compress, source, "--recipe", here / "no.json"], "no.json: No such file"
    yield "no folder", ["compress", source, "-o", here / "none" / "out.bp"], "no such folder"
    yield "onto itself", ["compress", source, "-o", source], "is the input itself"
    yield "onto another's", ["compress", source, "-o", here / "what.xyz"], "--force replaces it"
    yield "onto a folder", ["compress", source, "-o", here / "folder"], "not a regular file"
    (here / "cut.bp").write_bytes((folder / "net.bp").read_bytes()[:-1])
    flipped = bytearray((folder / "net.bp").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (here / "flip.bp").write_bytes(flipped)
    for command in (["decompress", "-o", out], ["inspect"], ["inspect", "--html", out], ["run"], ["bench"]):
        if command[0] not in COMMANDS:
            continue
        for name in ("cut.bp", "flip.bp", "text.safetensors", "missing.bp", "folder", "empty.safetensors"):
            yield f"{command[0]} {name}", [*command, here / name], name
    yield "not ours", ["inspect", source], "not one that bitpress wrote"
    yield "html onto it", ["inspect", folder / "net.bp", "--html", folder / "net.bp"], "is the input itself"
    yield "decompress onto it", ["decompress", folder / "net.bp", "-o", folder / "net.bp"], "is the input itself"
    yield "too much", ["decompress", folder / "net.bp", "-o", out, "--max-bytes", 10], "net.bp"


def test_bad_input_is_one_line_and_no_output(folder: Path, tmp_path: Path) -> None:
    cases = list(_bad_inputs(folder, tmp_path))
    before = {path.name for path in tmp_path.iterdir()}
    for name, arguments, said in cases:
        status, out, err = call(*arguments)
        assert status == 1, f"{name}: {status} {out} {err}"
        assert err.startswith("bitpress: error: ") and err.count("\n") == 1, f"{name}: {err}"
        assert said in err and "Traceback" not in err and "internal error" not in err, f"{name}: {err}"
        assert out == "", name
        assert {path.name for path in tmp_path.iterdir()} == before, name


@pytest.mark.parametrize(
    "arguments",
    [
        ["compress", "x"],
        ["compress", "x", "-o", "y", "--bits", "17"],
        ["compress", "x", "-o", "y", "--vector", "9"],
        ["compress", "x", "-o", "y", "--per", "row"],
        ["compress", "x", "-o", "y", "--lossless", "--bits", "4"],
        ["compress", "x", "-o", "y", "--recipe", "r.json", "--bits", "4"],
        ["compress", "x", "-o", "y", "--global"],
        ["compress", "x", "-o", "y", "--sparsity", "1.5"],
        ["decompress", "x"],
        ["inspect"],
        ["verify"],
    ],
)
def test_bad_usage_is_2(arguments: list[str]) -> None:
    status, out, err = call(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1) and f"bitpress {arguments[0]}: error: " in err


def test_an_older_output_is_replaced_and_force_replaces_anything(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.bp"
    for content in (b"", (folder / "net.bp").read_bytes()):
        target.write_bytes(content)
        assert call("compress", folder / "net.safetensors", "-o", target, "--bits", "3")[0] == 0
    target.write_text("notes")
    assert call("compress", folder / "net.safetensors", "-o", target)[0] == 1
    assert target.read_text() == "notes"
    assert call("compress", folder / "net.safetensors", "-o", target, "--force")[0] == 0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A child sees SIGINT even where a shell started this run in the background, ignoring it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_compress_leaves_nothing(tmp_path: Path, number: signal.Signals, interruptible: None) -> None:
    rng = np.random.default_rng(0)
    big = floats(*((f"w{i}", rng.standard_normal((512, 1024)).astype(np.float32)) for i in range(40)))
    source = write(tmp_path / "big.safetensors", big)
    before = {path.name for path in tmp_path.iterdir()}
    path = os.pathsep.join([str(Path(bp.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "bitpress", "compress", source, "-o", tmp_path / "out.bp", "--coding", "auto"],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    deadline = time.monotonic() + 60
    while {path.name for path in tmp_path.iterdir()} == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "it was done before it could be stopped"
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and b"Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == before


def test_progress_is_for_terminals(folder: Path, tmp_path: Path) -> None:
    """On a terminal stderr shows the tensors as they pass, and is wiped; stdout stays clean."""
    import pty

    master, slave = pty.openpty()
    path = os.pathsep.join([str(Path(bp.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    command = [
        sys.executable,
        "-m",
        "bitpress",
        "compress",
        folder / "net.safetensors",
        "-o",
        tmp_path / "o.bp",
        "--json",
    ]
    env = {**os.environ, "PYTHONPATH": path, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, env=env)
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end was closed
        while piece := os.read(master, 4096):
            shown += piece
    out, _ = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == 0 and json.loads(out)["tensors"] == 3
    assert b"pressing" in shown and b"layers.1.weight" in shown
