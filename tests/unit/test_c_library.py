"""The C programs as a device has them: no libstdc++, the answers that Python gives, one line on bad input."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitpress as bp
from bitpress.graph import Graph, Node, Value
from bitpress.session import Session

# Cross builds: the emulator, the compiler's name.
CROSS = {"aarch64": ("qemu-aarch64", "aarch64-linux-gnu"), "armv7": ("qemu-arm", "arm-linux-gnueabihf")}
BUILDS = ["this", "minimal", *CROSS]


@pytest.fixture
def model(root: Path) -> Path:
    """x [?, 4] -> y [?, 3], with int8 weights under Huffman."""
    return root / "tests" / "cpp" / "mlp.bp"


def runner(root: Path, build: str, build_folder: Path) -> tuple[list[str], Path]:
    """What stands before a program of that build, and the build's folder."""
    if build == "this":
        return [], build_folder
    folder = root / "build" / build
    if not (folder / "examples" / "c" / "classify").exists():
        pytest.skip(f"needs the C library: cmake --preset {build} && cmake --build build/{build}")
    if build == "minimal":
        return [], folder
    emulator, compiler = CROSS[build]
    if shutil.which(emulator) is None:
        pytest.skip(f"needs the apt packages qemu-user and g++-{compiler}")
    return [emulator, "-L", f"/usr/{compiler}"], folder


def program(build: Path, *parts: str) -> Path:
    path = build.joinpath(*parts)
    if not path.exists():
        pytest.skip("needs the C programs: cmake --preset c && cmake --build build/c")
    return path


def check_classify(before: list[str], build: Path, model: Path, shape: tuple[int, int], folder: Path) -> None:
    """The program's answer to numbers of this shape is Python's."""
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    x.astype("<f4").tofile(folder / "x.f32")
    command = [*before, str(program(build, "examples", "c", "classify")), str(model), str(folder / "x.f32")]
    done = subprocess.run([*command, *map(str, shape)], capture_output=True, text=True, check=True, timeout=60)
    want = Session(model).run({"x": x})["y"]
    answer, logits = done.stdout.splitlines()
    assert answer == f"class {want.argmax()}"
    np.testing.assert_allclose(np.array(logits.split(), np.float64), want.ravel(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", BUILDS)
def test_classify_answers_as_python_does(
    root: Path, build_folder: Path, model: Path, tmp_path: Path, kind: str
) -> None:
    before, build = runner(root, kind, build_folder)
    check_classify(before, build, model, (2, 4), tmp_path)


@pytest.mark.parametrize("kind", BUILDS)
def test_a_file_laid_out_for_another_cpu_runs(root: Path, build_folder: Path, tmp_path: Path, kind: str) -> None:
    before, build = runner(root, kind, build_folder)
    w = bp.pack(np.random.default_rng(1).standard_normal((32, 64), np.float32), bp.Scheme.int(8, axis=0))
    product = Node("Gemm", "product", ("x", "w"), ("y",), {"transB": 1})
    graph = Graph((Value("x", "F32", (-1, 64)),), (Value("y", "F32", (-1, 32)),), (product,))
    bp.Model({"w": w}, graph, target="x86-64-v4").save(tmp_path / "net.bp")
    check_classify(before, build, tmp_path / "net.bp", (2, 64), tmp_path)


@pytest.mark.parametrize("kind", BUILDS)
def test_embed(root: Path, build_folder: Path, model: Path, kind: str) -> None:
    """Static memory, every alignment, every truncation, every flipped bit."""
    before, build = runner(root, kind, build_folder)
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


def test_classify_stays_within_its_memory(build_folder: Path, model: Path, tmp_path: Path) -> None:
    """It refuses a limit that is too small, and runs in a process that may not have more than a large enough one."""
    command = str(program(build_folder, "examples", "c", "classify"))
    np.zeros((1, 4), np.float32).tofile(tmp_path / "x.f32")
    alone = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # what tests run under is large

    def run(limit: int, **keywords: Any) -> subprocess.CompletedProcess[str]:
        arguments = [command, "-m", str(limit), str(model), str(tmp_path / "x.f32"), "1", "4"]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, env=alone, **keywords)

    least = next(limit for limit in range(0, 1 << 18, 4096) if run(limit).returncode == 0)
    refused = run(least - 4096)
    assert refused.returncode == 1 and "needs more memory" in refused.stderr and refused.stdout == ""
    if "__asan" not in subprocess.run(["nm", command], capture_output=True, text=True, check=True).stdout:
        room = (1 << 20) + least  # of heap and data: libc's own is part of it
        done = run(least, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (room, room)))
        assert done.returncode == 0, done.stderr


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


LIBM = ("a?(sin|cos|tan)h?", "ceil", "erf", "exp[2f]?", "erff", "expm1", "floorf?", "fmod", "frexp", "ldexp",
        "log(1p|2)?", "nearbyintf?", "pow", "sqrtf?", "tanhf")  # fmt: skip


def test_a_minimal_library_needs_neither_files_nor_environment(root: Path, build_folder: Path) -> None:
    """mem*, string comparisons and libm: a device without an operating system has these."""
    _, build = runner(root, "minimal", build_folder)
    text = subprocess.run(["nm", str(build / "libbitpress.a")], capture_output=True, text=True, check=True).stdout
    defined = set(re.findall(r"^[0-9a-f]+ [A-Z] (\S+)$", text, re.MULTILINE))
    needed = set(re.findall(r"^ +U (\S+)$", text, re.MULTILINE)) - defined
    assert needed & {"memcpy", "memcmp"}
    allowed = r"mem\w+|str(cmp|len)|__\w+|_GLOBAL_OFFSET_TABLE_|getauxval|" + "|".join(LIBM)
    assert {name for name in needed if re.fullmatch(allowed, name) is None} == set()
    assert needed & {"getenv", "malloc", "free", "fopen", "printf", "abort", "exit", "__assert_fail"} == set()
    small, whole = ((folder / "examples" / "c" / "classify").stat().st_size for folder in (build, root / "build" / "c"))
    assert small < whole / 2


def test_a_minimal_library_refuses_what_it_lacks(root: Path, build_folder: Path, tmp_path: Path) -> None:
    _, build = runner(root, "minimal", build_folder)
    (tmp_path / "x.f32").write_bytes(bytes(16))
    weight = np.eye(4, 1024, dtype=np.float32)  # large enough for a coding to pay
    for op, coding in (("MatMul", "huffman"), ("Gemm", "lzw")):
        x, y = Value("x", shape=(1, 4)), Value("y", shape=(1, 1024))
        graph = Graph((x,), (y,), (Node(op, op, ("x", "w"), ("y",)),))
        path = tmp_path / f"{op}.bp"
        bp.Model({"w": bp.pack(weight, bp.Scheme.int(8, coding=coding))}, graph).save(path)
        command = [str(build / "examples" / "c" / "classify"), str(path), str(tmp_path / "x.f32"), "1", "4"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1 and "does not know" in done.stderr, (op, done)
