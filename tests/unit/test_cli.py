"""The root of the command line: help, version, usage, and that every error is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("typer", reason="needs typer: pip install 'bitpress[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'bitpress[cli]'")

from typer.testing import CliRunner

from bitpress import BitpressError, FormatError, __version__
from bitpress.cli import app as module
from bitpress.cli.app import COMMANDS, app
from bitpress.cli.files import Entry, UsageProblem, existing, output_path, write_safetensors
from bitpress.cli.terminal import human
from bitpress.container.atomic import replacing

Bitpress = Callable[..., subprocess.CompletedProcess[str]]


def test_version(bitpress: Bitpress) -> None:
    assert bitpress("--version").stdout == f"bitpress {__version__}\n"


def test_help_lists_every_command(bitpress: Bitpress) -> None:
    done = bitpress("--help")
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_helps_with_examples(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0
    assert f"Usage: bitpress {name}" in done.stdout
    assert f"Examples:\n    bitpress {name} " in done.stdout


def test_help_imports_nothing_heavy(python: Bitpress) -> None:
    code = """
import sys
sys.argv = ["bitpress", "--help"]
from bitpress.cli import main
try:
    main()
except SystemExit:
    pass
heavy = {"torch", "onnx", "numba", "scipy", "bitpress.report", "bitpress.train"} & set(sys.modules)
assert not heavy, heavy
"""
    python(code)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["--nonsense"], "--nonsense"),
        (["distill"], "Missing argument"),
        (["distill", "a:b", "c:d", "--transfer", "x", "--test", "y", "--epochs", "many"], "--epochs"),
    ],
)
def test_bad_usage_is_one_line_and_2(bitpress: Bitpress, arguments: list[str], said: str) -> None:
    done = bitpress(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and said in done.stderr and "error: " in done.stderr


def test_no_arguments_show_the_help(bitpress: Bitpress) -> None:
    done = bitpress()
    assert done.returncode == 2 and "Commands:" in done.stderr and done.stdout == ""


def test_without_typer_one_line_says_what_to_install(python: Bitpress) -> None:
    code = """
import sys
sys.modules["typer"] = None
from bitpress.cli import main
main()
"""
    done = python(code, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "bitpress: error: typer is not installed: pip install 'bitpress[cli]'\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (FormatError("a.bp: no manifest"), 1, "bitpress: error: a.bp: no manifest\n"),
        (BitpressError("two\nlines"), 1, "bitpress: error: two lines\n"),
        (FileNotFoundError(2, "No such file or directory", "x"), 1, "bitpress: error: x: No such file or directory\n"),
        (MemoryError(), 1, "bitpress: error: not enough memory\n"),
        (UsageProblem("\x1b[31mred"), 1, "bitpress: error: \\x1b[31mred\n"),
        (ModuleNotFoundError("No module named 'onnx'", name="onnx"), 1, "onnx is not installed: pip install onnx\n"),
        (ZeroDivisionError("oops"), 1, "internal error: ZeroDivisionError: oops (BITPRESS_DEBUG=1 shows where)\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    monkeypatch.delenv("BITPRESS_DEBUG", raising=False)

    def fail() -> None:
        raise error

    assert module._guarded(fail) == status
    said = capsys.readouterr().err
    assert said.endswith(line) and said.count("\n") == (status == 1)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITPRESS_DEBUG", "1")

    def fail() -> None:
        raise FormatError("here")

    with pytest.raises(FormatError, match="here"):
        module._guarded(fail)


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "bitpress", "--help"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert done.returncode == 141 and done.stderr == b""


def test_human() -> None:
    sizes = {0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.00 KB", 99_950: "100 KB", 999_499: "999 KB"}
    sizes |= {999_500: "1.00 MB", 12_345_678: "12.3 MB", 4_380_000_000: "4.38 GB"}
    assert {count: human(count) for count in sizes} == sizes


def test_output_path_refuses_what_must_not_be_replaced(tmp_path: Path) -> None:
    source = tmp_path / "in.bin"
    source.write_bytes(b"x")
    link = tmp_path / "link.bin"
    link.symlink_to(source)
    for bad, said in [
        (source, "is the input itself"),
        (link, "is the input itself"),
        (tmp_path, "not a regular file"),
        (Path("/dev/null"), "not a regular file"),
        (tmp_path / "no" / "out.bin", "no such folder"),
        (source / "out.bin", "no such folder"),
    ]:
        with pytest.raises(UsageProblem, match=said):
            output_path(bad, source)
    assert output_path(tmp_path / "new.bin", source) == tmp_path / "new.bin"
    assert output_path(link) == source  # the link stays, the file it names is replaced


def test_existing_names_what_is_wrong(tmp_path: Path) -> None:
    for bad, said in [(tmp_path / "no", "No such file"), (tmp_path, "is a directory"), (Path("/dev/null"), "regular")]:
        with pytest.raises(UsageProblem, match=said):
            existing(bad)


def test_write_safetensors_is_read_by_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors", reason="needs safetensors: pip install safetensors")
    target = tmp_path / "a.safetensors"
    entries = [Entry("w", "F32", (2, 1), 8, 32), Entry("é", "U8", (), 1, 8), Entry("none", "F32", (0, 3), 0, 32)]
    with replacing(target) as handle:
        length = write_safetensors(handle, entries, [b"12345678", b"9", b""], {"key": "value"})
    assert target.stat().st_size == length
    with safetensors.safe_open(target, "np") as file:
        assert file.metadata() == {"key": "value"}
        assert set(file.keys()) == {"w", "é", "none"}
        assert file.get_tensor("w").tobytes() == b"12345678" and file.get_tensor("none").shape == (0, 3)
    with pytest.raises(ValueError, match="'w' has 2 bytes"), replacing(target) as handle:
        write_safetensors(handle, entries, [b"12", b"9", b""])
    assert target.stat().st_size == length
