"""Exact sizes, kept in bench/ratios.csv: a change of a coder, a scheme or the container shows as a diff of that file.

Two ways in. A *row* is a function that makes its data from a seed and returns (bytes, raw bytes); rows live in
bench/rows.py, are cheap, and a test checks that each still equals the committed line. A bench that has a size at hand
calls ``record``. ``make bench`` writes the file.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

RATIOS = Path(__file__).with_name("ratios.csv")
HEADER = ["name", "bytes", "raw_bytes", "ratio"]

ROWS: dict[str, Callable[[], tuple[int, int]]] = {}
_recorded: dict[str, tuple[int, int]] = {}


def row(name: str) -> Callable[[Callable[[], tuple[int, int]]], Callable[[], tuple[int, int]]]:
    """Registers a function without arguments that returns (bytes, raw bytes) under a name that says data and method."""

    def register(function: Callable[[], tuple[int, int]]) -> Callable[[], tuple[int, int]]:
        assert name not in ROWS, name
        ROWS[name] = function
        return function

    return register


def record(name: str, nbytes: int, raw_bytes: int) -> None:
    """Notes one exact size; data must come from a seed or a pinned package, so that the figure can be had again."""
    _recorded[name] = (int(nbytes), int(raw_bytes))


def read() -> dict[str, tuple[int, int]]:
    """What bench/ratios.csv holds: name -> (bytes, raw bytes)."""
    if not RATIOS.exists():
        return {}
    with RATIOS.open(newline="") as file:
        return {line["name"]: (int(line["bytes"]), int(line["raw_bytes"])) for line in csv.DictReader(file)}


def write() -> None:
    """Merges what was recorded, and every row, into bench/ratios.csv, sorted by name."""
    merged = read() | {name: function() for name, function in ROWS.items()} | _recorded
    with RATIOS.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(HEADER)
        for name, (nbytes, raw_bytes) in sorted(merged.items()):
            out.writerow([name, nbytes, raw_bytes, f"{nbytes / raw_bytes:.4f}"])
