"""Frames are the same bytes on a big-endian machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress import _core

COMPILER, EMULATOR = shutil.which("s390x-linux-gnu-g++"), shutil.which("qemu-s390x")


@pytest.fixture(scope="module")
def pipe(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """tests/cpp/codings_pipe.cpp for s390x."""
    if COMPILER is None or EMULATOR is None:
        pytest.skip("needs a compiler and an emulator: apt install g++-s390x-linux-gnu qemu-user")
    program = tmp_path_factory.mktemp("s390x") / "codings_pipe"
    sources = [root / "tests/cpp/codings_pipe.cpp", root / "csrc/status.cpp", *(root / "csrc/codings").glob("*.cpp")]
    sources += [*(root / "csrc/kernels").glob("*.cpp"), *(root / "csrc/kernels/scalar").glob("*.cpp")]
    command = [COMPILER, "-std=c++20", "-O1", "-static", "-I", root / "csrc", "-o", program, *sources]
    subprocess.run(command, check=True, capture_output=True)
    return str(program)


@pytest.mark.parametrize("coding", [*_core.CODINGS, "z"])
def test_frames_are_the_same(pipe: str, coding: str) -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    gaussian = np.clip(np.round(rng.normal(size=300_000) * 20), -127, 127).astype(np.int8).tobytes()
    for data in (b"", b"x", gaussian[:3000], gaussian, bytes(200_000), gaussian[:140_000] + bytes(100_000)):
        assert EMULATOR is not None
        done = subprocess.run([EMULATOR, pipe, coding], input=data, capture_output=True, check=True)
        assert done.stdout == (bp.lzw.encode(data, format="z") if coding == "z" else _core.encode(coding, data))
