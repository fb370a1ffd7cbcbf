"""Where the time of a run goes: per operator, beside what the machine can do at most."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from .container.atomic import replacing

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Machine", "Profile", "Step"]

_PRODUCTS = ("", "f32", "s16", "s8")  # as the core numbers them
_HEADINGS = ("operator", "node", "ms", "%", "bytes", "GOP/s", "GB/s", "of limit", "limit", "threads")


@dataclass(frozen=True)
class Machine:
    """What was measured of this machine, on as many threads as the session has.

    f32, s16, s8: operations a second (two a multiply-add) of the kernels' own matrix products with floats, 16-bit and
    8-bit integers, on numbers that stay in the nearest caches. memory: bytes a second, read and written, of a copy of
    64 MiB.
    """

    f32: float
    s16: float
    s8: float
    memory: float


@dataclass(frozen=True)
class Step:
    """One operator.

    seconds: the median of the runs. bytes: what it reads and writes: values, and weights as they are held. operations:
    two a multiply-add, or one an element visited. products: "f32", "s16", "s8", or "" where it multiplies no
    matrices. threads: how many may share it. share: the least time that the machine needs for its products or for its
    bytes, whichever is more, over the time it took; above 1 where what it reads was still in a cache. limit: "compute"
    or "memory", which of the two that is.
    """

    name: str
    op: str
    seconds: float
    bytes: int
    operations: int
    products: str
    threads: int
    share: float
    limit: str


@dataclass(frozen=True)
class Profile:
    """What :meth:`bitpress.Session.profile` measured.

    steps: the operators that run, in order. seconds: the median of whole runs. machine: the limits. events: of every
    run, (index in steps, seconds from the first run's begin, seconds). ``str`` is a table of plain text,
    ``rich.print`` shows one of rich's.
    """

    steps: tuple[Step, ...]
    seconds: float
    machine: Machine
    events: tuple[tuple[tuple[int, float, float], ...], ...]

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells: a row a step, those that took longest first, and the sum."""
        total = sum(step.seconds for step in self.steps) or 1.0
        rows = [
            (
                step.op,
                step.name,
                f"{step.seconds * 1e3:.3f}",
                f"{step.seconds / total * 100:.1f}",
                f"{step.bytes:,}",
                f"{step.operations / step.seconds / 1e9:.1f}" if step.seconds else "-",
                f"{step.bytes / step.seconds / 1e9:.1f}" if step.seconds else "-",
                f"{step.share * 100:.0f}%",
                step.limit,
                str(step.threads),
            )
            for step in sorted(self.steps, key=lambda step: -step.seconds)
        ]
        moved = sum(step.bytes for step in self.steps)
        last = ("all", "", f"{self.seconds * 1e3:.3f}", "", f"{moved:,}", "", "", "", "", "")
        return [*rows, last]

    def __str__(self) -> str:
        rows = [_HEADINGS, *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        lines = ["  ".join(_justify(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
                 for row in rows]  # fmt: skip
        return "\n".join([*(line.rstrip() for line in lines), self._limits()])

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(caption=self._limits(), caption_justify="left")
        for i, heading in enumerate(_HEADINGS):
            table.add_column(heading, justify="left" if _is_text(i) else "right")
        for row in self.rows():
            table.add_row(*(Text(cell) for cell in row))
        return table

    def _limits(self) -> str:
        machine = self.machine
        return (
            f"limits: {machine.f32 / 1e9:.0f} GOP/s float32, {machine.s16 / 1e9:.0f} 16-bit, {machine.s8 / 1e9:.0f} "
            f"8-bit, {machine.memory / 1e9:.1f} GB/s memory"
        )

    def trace(self) -> dict[str, Any]:
        """The runs in the Trace Event Format, which Perfetto and chrome://tracing read."""
        events: list[dict[str, Any]] = [
            {"name": "process_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "bitpress"}},
        ]
        for number, run in enumerate(self.events):
            if run:
                end = run[-1][1] + run[-1][2]
                events.append(_event(f"run {number + 1}", "run", run[0][1], end - run[0][1], {}))
            for index, begin, seconds in run:
                step = self.steps[index]
                about = {"operator": step.op, "bytes": step.bytes, "operations": step.operations,
                         "threads": step.threads, "limit": step.limit, "share": round(step.share, 4)}  # fmt: skip
                events.append(_event(step.name or step.op, step.op, begin, seconds, about))
        return {"traceEvents": events, "displayTimeUnit": "ms"}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes :meth:`trace` as JSON, whole or not at all: open it in https://ui.perfetto.dev. Raises OSError."""
        text = json.dumps(self.trace(), ensure_ascii=False)
        with replacing(path) as file:
            file.write(text.encode("utf-8", "replace"))


def make_profile(
    nodes: Sequence[tuple[str, str, int, int, int, int]],
    runs: Sequence[Sequence[tuple[int, int, int]]],
    rates: Mapping[str, float],
) -> Profile:
    """From what the core says of the nodes, of each run's steps (nanoseconds), and of the machine."""
    machine = Machine(rates["f32"], rates["s16"], rates["s8"], rates["memory"])
    place: dict[int, int] = {}
    taken: list[list[float]] = []  # of each step in each run: in all turns of a loop together
    events = []
    begun = 0.0
    for number, run in enumerate(runs):
        for node, _, length in run:
            if node not in place:
                place[node] = len(taken)
                taken.append([0.0] * len(runs))
            taken[place[node]][number] += length / 1e9
        events.append(tuple((place[node], begun + begin / 1e9, length / 1e9) for node, begin, length in run))
        begun += (run[-1][1] + run[-1][2]) / 1e9 if run else 0.0
    steps = tuple(_step(nodes[node], median(taken[index]), machine) for node, index in place.items())
    whole = median([(run[-1][1] + run[-1][2]) / 1e9 if run else 0.0 for run in runs]) if runs else 0.0
    return Profile(steps, whole, machine, tuple(events))


def _step(node: tuple[str, str, int, int, int, int], seconds: float, machine: Machine) -> Step:
    name, op, moved, work, kind, threads = node
    products = _PRODUCTS[kind]
    operations = 2 * work if products else work
    compute = operations / getattr(machine, products) if products else 0.0
    memory = moved / machine.memory
    share = max(compute, memory) / seconds if seconds else 0.0
    return Step(
        name, op, seconds, moved, operations, products, threads, share, "compute" if compute > memory else "memory"
    )


def _event(name: str, kind: str, begin: float, seconds: float, about: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "cat": kind, "ph": "X", "ts": begin * 1e6, "dur": seconds * 1e6, "pid": 1, "tid": 1,
            "args": about}  # fmt: skip


def _is_text(column: int) -> bool:
    return _HEADINGS[column] in ("operator", "node", "limit")


def _justify(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if _is_text(column) else cell.rjust(width)
