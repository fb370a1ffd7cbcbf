"""Frames are the same bytes on other machines: a big-endian one, and 64-bit Arm with its own kernels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress import _core


@pytest.fixture(scope="module", params=["s390x", "aarch64"])
def pipe(request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """tests/cpp/codings_pipe.cpp for another CPU, as a command."""
    cpu = request.param
    compiler, emulator = shutil.which(f"{cpu}-linux-gnu-g++"), shutil.which(f"qemu-{cpu}")
    if compiler is None or emulator is None:
        pytest.skip(f"needs a compiler and an emulator: apt install g++-{cpu}-linux-gnu qemu-user")
    program = tmp_path_factory.mktemp(cpu) / "codings_pipe"
    sources = [root / "tests/cpp/codings_pipe.cpp", root / "csrc/status.cpp", *(root / "csrc/codings").glob("*.cpp")]
    sources += [*(root / "csrc/kernels").glob("*.cpp"), *(root / "csrc/kernels/scalar").glob("*.cpp")]
    command = [compiler, "-std=c++20", "-O1", "-ffp-contract=off", "-static", "-I", root / "csrc", "-o", program]
    if cpu == "aarch64":
        sources += (root / "csrc/kernels/neon").glob("*.cpp")
        command.append("-DBITPRESS_WITH_NEON=1")
    subprocess.run([*command, *sources], check=True, capture_output=True)
    return [emulator, str(program)]


@pytest.mark.parametrize("coding", [*_core.CODINGS, "z"])
def test_frames_are_the_same(pipe: list[str], coding: str) -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    gaussian = np.clip(np.round(rng.normal(size=300_000) * 20), -127, 127).astype(np.int8).tobytes()
    for data in (b"", b"x", gaussian[:3000], gaussian, bytes(200_000), gaussian[:140_000] + bytes(100_000)):
        done = subprocess.run([*pipe, coding], input=data, capture_output=True, check=True)
        assert done.stdout == (bp.lzw.encode(data, format="z") if coding == "z" else _core.encode(coding, data))
