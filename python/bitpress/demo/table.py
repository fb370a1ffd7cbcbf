"""What the demo measured, as rows: one a step, with the peers' beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Row", "Story"]


@dataclass(frozen=True)
class Row:
    """One step. ``bytes`` is the size on disk of ``file``; ``score`` is on the test set, None where it does not apply.

    ``seconds``: what the step took; ``peer``: another tool's line for the step above it; ``note``: what to know.
    """

    step: str
    file: str = ""
    bytes: int | None = None
    score: float | None = None
    seconds: float | None = None
    peer: bool = False
    note: str = ""


@dataclass
class Story:
    """The rows in order. ``score`` names what they are judged by; ``base`` is the size whose ratio is 1."""

    name: str
    seed: int
    score: str
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> int | None:
        """Bytes of the first row that has any: the network before anything was done to it."""
        return next((row.bytes for row in self.rows if row.bytes is not None), None)

    def ratio(self, row: Row) -> float | None:
        """How many times smaller than ``base``."""
        return self.base / row.bytes if row.bytes and self.base else None

    def gain_note(self, path: Path) -> str:
        """What to say of a file as large as an earlier one of ours: a coding that does not pay is not applied."""
        size = path.stat().st_size
        return "no gain: stored raw" if any(row.bytes == size for row in self.rows if not row.peer) else ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain numbers and strings."""
        rows = [{**asdict(row), "ratio": self.ratio(row)} for row in self.rows]
        return {"name": self.name, "seed": self.seed, "score": self.score, "rows": rows, **self.facts}

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows as text: what a table of any make shows."""
        heads = ["step", "bytes", "ratio", self.score, "time"]
        return heads, [self._cells(row) for row in self.rows]

    def _cells(self, row: Row) -> list[str]:
        ratio = self.ratio(row)
        return [
            ("  peer: " if row.peer else "") + row.step + (f" ({row.note})" if row.note else ""),
            "" if row.bytes is None else f"{row.bytes:,}",
            "" if ratio is None else f"{ratio:.1f}x",
            "" if row.score is None else f"{100 * row.score:.2f}%",
            "" if row.seconds is None else f"{row.seconds:.2f} s",
        ]

    def __str__(self) -> str:
        return _aligned(*self.cells())


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain text: the first column to the left, the others to the right."""
    widths = [max(len(line[column]) for line in [heads, *rows]) for column in range(len(heads))]
    lines = []
    for line in [heads, ["-" * width for width in widths], *rows]:
        numbers = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("  ".join([line[0].ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines)
