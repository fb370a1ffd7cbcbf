"""The C programs as a device has them: no libstdc++, the answers that Python gives, one line on bad input."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bitpress.session import Session

SYSROOT = Path("/usr/aarch64-linux-gnu")


@pytest.fixture
def model(root: Path) -> Path:
    """x [?, 4] -> y [?, 3], with int8 weights under Huffman."""
    return root / "tests" / "cpp" / "mlp.bp"


def runner(root: Path, cpu: str, build_folder: Path) -> tuple[list[str], Path]:
    """What stands before a program of that CPU, and the folder it was built in."""
    if cpu == "this":
        return [], build_folder
    if shutil.which("qemu-aarch64") is None or not SYSROOT.exists():
        pytest.skip("needs the apt packages qemu-user and g++-aarch64-linux-gnu")
    if not (root / "build" / "aarch64" / "examples" / "c" / "classify").exists():
        pytest.skip(
            "needs the apt package g++-aarch64-linux-gnu: cmake --preset aarch64 && cmake --build build/aarch64"
        )
    return ["qemu-aarch64", "-L", str(SYSROOT)], root / "build" / "aarch64"


def program(build: Path, *parts: str) -> Path:
    path = build.joinpath(*parts)
    if not path.exists():
        pytest.skip("needs the C programs: cmake --preset c && cmake --build build/c")
    return path


@pytest.mark.parametrize("cpu", ["this", "aarch64"])
def test_classify_answers_as_python_does(root: Path, build_folder: Path, model: Path, tmp_path: Path, cpu: str) -> None:
    before, build = runner(root, cpu, build_folder)
    x = np.random.default_rng(0).standard_normal((2, 4), np.float32)
    x.astype("<f4").tofile(tmp_path / "x.f32")
    command = [*before, str(program(build, "examples", "c", "classify")), str(model), str(tmp_path / "x.f32"), "2", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    want = Session(model).run({"x": x})["y"]
    answer, logits = done.stdout.splitlines()
    assert answer == f"class {want.argmax()}"
    np.testing.assert_allclose(np.array(logits.split(), np.float64), want.ravel(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cpu", ["this", "aarch64"])
def test_embed(root: Path, build_folder: Path, model: Path, cpu: str) -> None:
    """Static memory, every alignment, every truncation, every flipped bit."""
    before, build = runner(root, cpu, build_folder)
    command = [*before, str(program(build, "tests", "cpp", "embed")), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failures" in done.stdout


def test_classify_says_what_is_wrong(build_folder: Path, model: Path, tmp_path: Path) -> None:
    command = str(program(build_folder, "examples", "c", "classify"))
    data = model.read_bytes()
    (tmp_path / "cut.bp").write_bytes(data[:-1])
    (tmp_path / "x.f32").write_bytes(bytes(16))

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([command, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)

    assert run().returncode == 2
    for arguments, line in [
        ((tmp_path / "absent", tmp_path / "x.f32"), "cannot be read"),
        ((model, tmp_path / "absent"), "cannot be read"),
        ((tmp_path / "cut.bp", tmp_path / "x.f32"), "ends before what it announces"),
        ((model, tmp_path / "x.f32", 2, 4), "size does not fit"),
        ((model, tmp_path / "x.f32", 1, 2, 2), "the shapes do not fit"),
    ]:
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stdout == ""
        assert line in done.stderr
        assert done.stderr.count("\n") == 1


def test_programs_need_no_cpp_runtime(build_folder: Path) -> None:
    """Neither libstdc++ nor operator new, delete, exceptions or RTTI."""
    for parts in (("examples", "c", "classify"), ("tests", "cpp", "embed")):
        path = program(build_folder, *parts)
        names = subprocess.run(["nm", str(path)], capture_output=True, text=True, check=True).stdout
        if "__asan" in names:
            pytest.skip("a sanitized build needs its runtime: cmake --preset c && cmake --build build/c")
        assert re.findall(r" U (_Z\S*|__cxa_(?!finalize)\S*|__gxx\S*|_Unwind\S*)", names) == []
        linked = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"NEEDED.*\[(.*)\]", linked)) <= {"libc.so.6", "libm.so.6"}
