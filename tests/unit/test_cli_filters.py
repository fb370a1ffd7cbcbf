"""bitpress huffman, rans and lzw: bytes in, bytes out, by files and by pipes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason="needs typer: pip install 'bitpress[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'bitpress[cli]'")

import bitpress as bp

DATA = (
    np.clip(np.round(np.random.Generator(np.random.PCG64(2)).normal(size=20_000) * 3), -7, 7).astype(np.int8).tobytes()
)


def call(*arguments: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "bitpress", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, check=False)


@pytest.mark.parametrize("name", ["huffman", "rans", "lzw"])
def test_files_and_pipes(name: str, tmp_path: Path) -> None:
    source, coded, back = tmp_path / "data", tmp_path / "coded", tmp_path / "back"
    source.write_bytes(DATA)
    done = call(name, source, "-o", coded)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert coded.read_bytes() == getattr(bp, name).encode(DATA) == call(name, "-", given=DATA).stdout
    assert call(name, "-", "-T", "2", given=DATA).stdout == coded.read_bytes()
    assert call(name, "-d", coded, "-o", back, "--threads", "0").returncode == 0
    assert back.read_bytes() == DATA == call(name, "-dc", coded).stdout
    assert call(name, "-d", "-", "-o", "-", given=coded.read_bytes()).stdout == DATA
    assert source.read_bytes() == DATA and {path.name for path in tmp_path.iterdir()} == {"data", "coded", "back"}


@pytest.mark.parametrize("options", [["--format", "z", "--max-bits", "12"], ["--format", "tiff"], ["--format", "gif"]])
def test_framings_of_lzw(options: list[str]) -> None:
    coded = call("lzw", "-", *options, given=DATA).stdout
    assert call("lzw", "-d", "-", *options[:2], given=coded).stdout == DATA
    if options[1] == "z":
        assert call("lzw", "-d", "-", given=coded).stdout == DATA
        program = shutil.which("compress")
        if program is not None:
            assert subprocess.run([program, "-dc"], input=coded, capture_output=True, check=True).stdout == DATA


def test_errors_are_one_line(tmp_path: Path) -> None:
    source, bad, out = tmp_path / "data", tmp_path / "bad", tmp_path / "out"
    source.write_bytes(DATA)
    bad.write_bytes(b"\x80")
    cases: list[tuple[int, list[str | Path], str]] = [
        (2, ["huffman", source], "--output"),
        (2, ["huffman", source, "-c", "-o", out], "--output"),
        (2, ["rans", source, "-o", out, "--max-bytes", "3"], "--max-bytes"),
        (2, ["lzw", source, "-o", out, "--max-bits", "12"], "--max-bits"),
        (2, ["lzw", source, "-o", out, "--format", "zip"], "--format"),
        (1, ["huffman", tmp_path / "none", "-o", out], "none: No such file"),
        (1, ["huffman", source, "-o", source], "is the input itself"),
        (1, ["huffman", "-d", bad, "-o", out], "bad: huffman: the input ends"),
        (1, ["lzw", "-d", bad, "-o", out], "bad: lzw: "),
        (1, ["lzw", "-d", source, "-o", out, "--format", "gif"], "data: gif: "),
        (1, ["lzw", source, "-o", out, "--format", "gif", "--min-code-size", "2"], "a pixel has more than 2 bits"),
    ]
    for status, arguments, said in cases:
        done = call(*arguments)
        error = done.stderr.decode()
        assert done.returncode == status, (arguments, error)
        assert said in error and error.count("\n") == 1 and "internal error" not in error, error
        assert done.stdout == b"" and not out.exists()
    coded = tmp_path / "coded"
    coded.write_bytes(bp.rans.encode(DATA))
    done = call("rans", "-d", coded, "-o", out, "--max-bytes", "19999")
    assert done.returncode == 1 and b"coded: rans: 20000 decoded bytes" in done.stderr and not out.exists()
