"""Runs one bitpress file in a process where no framework can be imported: ``python alone.py ROOT FILE IN OUT CHUNK``.

ROOT is the folder that holds the package bitpress; IN an .npy file of inputs, run CHUNK rows at a time; OUT an .npy
file for the outputs. Prints one JSON object: seconds to import, open and run, milliseconds for one row by
itself (median of 9), and which of the blocked packages were asked for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

BLOCKED = ("torch", "onnx", "onnxruntime", "onnxscript", "sklearn", "safetensors", "zstandard", "scipy", "numba")


class Blocker(MetaPathFinder):
    """Asked first for every import; refuses the frameworks by name."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for what may be imported; ModuleNotFoundError for what may not."""
        if name.partition(".")[0] in BLOCKED:
            self.refused.append(name)
            raise ModuleNotFoundError(f"{name} is blocked in this process", name=name)
        return None


def main(root: str, file: str, source: str, target: str, chunk: str) -> None:
    """See the module's text."""
    blocker = Blocker()
    sys.meta_path.insert(0, blocker)
    sys.path[0] = root  # not the folder of this script
    import numpy as np

    began = time.perf_counter()
    import bitpress

    imported = time.perf_counter()
    session = bitpress.Session(file)
    opened = time.perf_counter()
    rows = np.load(source, mmap_mode="r")
    (value,) = session.inputs

    def run(batch: Any) -> tuple[Any, float]:
        start = time.perf_counter()
        outputs = session.run({value.name: np.ascontiguousarray(batch)})
        return next(iter(outputs.values())), time.perf_counter() - start

    size = int(chunk)
    answers = [run(rows[i : i + size]) for i in range(0, len(rows), size)]
    one = sorted(run(rows[:1])[1] for _ in range(9))[4]
    np.save(target, np.concatenate([outputs for outputs, _ in answers]))
    got_in = sorted(package for package in BLOCKED if package in sys.modules)
    if got_in:
        raise SystemExit(f"{', '.join(got_in)} got in")
    report = {
        "import_seconds": imported - began,
        "open_seconds": opened - imported,
        "run_seconds": sum(seconds for _, seconds in answers),
        "milliseconds_one_row": 1e3 * one,
        "rows": len(rows),
        "blocked": list(BLOCKED),
        "asked_for": blocker.refused,
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
