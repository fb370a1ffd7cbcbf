"""The C program answers as Python does, on this CPU and on aarch64 under qemu."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress.demo.inputs import image_crops
from bitpress.demo.networks import MissingError, efficientnet_lite0
from bitpress.session import Session

SYSROOT = Path("/usr/aarch64-linux-gnu")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, np.ndarray]:
    """EfficientNet-Lite0 at 8 bits a channel, an image, and what Python answers."""
    folder = tmp_path_factory.mktemp("c")
    path, source = folder / "network.safetensors", folder / "x.f32"
    try:
        bp.compress(efficientnet_lite0()).save(path)
        x = image_crops(1)
    except MissingError as error:
        pytest.skip(str(error))
    x.astype("<f4").tofile(source)
    session = Session(path)
    return path, source, session.run({session.inputs[0].name: x})[session.outputs[0].name][0]


def check(command: list[str], case: tuple[Path, Path, np.ndarray]) -> None:
    path, source, expected = case
    done = subprocess.run([*command, str(path), str(source)], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    answer, logits = done.stdout.splitlines()
    found = np.array(logits.split(), np.float64)
    assert answer == f"class {expected.argmax()}"
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * max(1.0, float(np.ptp(expected)))


def test_this_cpu(build_folder: Path, case: tuple[Path, Path, np.ndarray]) -> None:
    program = build_folder / "examples" / "c" / "classify"
    if not program.exists():
        pytest.skip("needs the C example: cmake --preset c && cmake --build build/c")
    check([str(program)], case)


@pytest.mark.skipif(platform.machine() == "aarch64", reason="this CPU is an aarch64: test_this_cpu")
def test_aarch64_under_qemu(root: Path, case: tuple[Path, Path, np.ndarray]) -> None:
    if shutil.which("qemu-aarch64") is None or not SYSROOT.exists():
        pytest.skip("install the apt packages qemu-user and g++-aarch64-linux-gnu")
    program = root / "build" / "aarch64" / "examples" / "c" / "classify"
    if not program.exists():
        pytest.skip(
            "install the apt package g++-aarch64-linux-gnu, then: cmake --preset aarch64 && cmake --build build/aarch64"
        )
    check(["qemu-aarch64", "-L", str(SYSROOT), str(program)], case)
