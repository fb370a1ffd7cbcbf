"""The second process: opens a file and runs it where no framework can be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BitpressError

__all__ = ["run_alone"]


def run_alone(
    file: Path, inputs: npt.NDArray[np.float32], folder: Path, chunk: int = 256
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """Outputs for all rows, run ``chunk`` at a time, and what ``alone.py`` reports.

    BitpressError with the process's last line where it fails.
    """
    source, target = folder / "inputs.npy", folder / "outputs.npy"
    np.save(source, inputs)
    root = Path(__file__).resolve().parents[2]
    script = Path(__file__).with_name("alone.py")
    command = [sys.executable, *map(str, (script, root, file, source, target, chunk))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise BitpressError(f"{file}: cannot be run without torch: {reason[0]}")
    outputs = np.load(target)
    for path in (source, target):
        path.unlink()
    return outputs, json.loads(done.stdout)
