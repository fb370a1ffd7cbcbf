"""Checks an installed bitpress: its size, its files, what it brings along, how long its import takes.

Run with the Python of an environment into which nothing but bitpress was installed.
"""

from __future__ import annotations

import importlib.metadata
import statistics
import subprocess
import sys

LIMIT = 4_000_000


def import_seconds(statement: str) -> float:
    """Median time of a fresh process that runs a statement, in seconds."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(9)]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> int:
    """Print what was found; 1 where something does not hold."""
    distribution = importlib.metadata.distribution("bitpress")
    files = [file for file in distribution.files or [] if file.suffix != ".pyc"]
    size = sum(file.locate().stat().st_size for file in files)
    names = {str(file) for file in files}
    others = {found.metadata["Name"].lower() for found in importlib.metadata.distributions()}
    numpy = import_seconds("import numpy")
    both = import_seconds("import numpy, bitpress")
    print(f"installed: {size:,} bytes in {len(files)} files; beside it: {', '.join(sorted(others - {'bitpress'}))}")
    print(f"import numpy {numpy * 1e3:.0f} ms, with bitpress {(both - numpy) * 1e3:+.1f} ms (information only)")
    wrong = []
    if size > LIMIT:
        wrong.append(f"larger than {LIMIT:,} bytes")
    if not {"bitpress/py.typed", "bitpress/_core.pyi", "bitpress/__init__.py"} <= names:
        wrong.append("py.typed, the stubs or the sources are missing")
    if any(name.startswith(("tests", "bench", "csrc")) or "/tests/" in name for name in names):
        wrong.append("tests, benches or C++ sources are inside")
    if others - {"bitpress", "numpy", "pip", "setuptools", "wheel"}:
        wrong.append("more than numpy came along")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
