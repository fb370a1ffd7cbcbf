"""What every test may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# One thread a process for torch's and numpy's libraries, whose sums depend on how the work is shared out; the tests
# themselves are run by several processes.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# No deadline: a shared machine is slow now and then. The same examples in each run of CI.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout: the folder that holds pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def build_folder() -> Path:
    """A folder in which CMake has built the project; skips where there is none."""
    for name in ("dev", "c", "asan"):
        if (ROOT / "build" / name / "libbitpress.a").exists():
            return ROOT / "build" / name
    pytest.skip("needs the C library: cmake --preset c && cmake --build build/c")


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a snippet in a fresh process of this Python; keyword ``env`` adds to the environment."""

    def run(code: str, *, env: dict[str, str] | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        import bitpress

        path = os.pathsep.join([str(Path(bitpress.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **(env or {})},
            timeout=120,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def bitpress() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a process of its own, its output in pipes; keyword ``cwd``: where."""
    import os

    import bitpress

    path = os.pathsep.join([str(Path(bitpress.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    env.pop("BITPRESS_DEBUG", None)

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bitpress", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, timeout=120)

    return run
