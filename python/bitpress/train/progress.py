"""How training is going: one event a step, shown as a bar or handed to a callable."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["OnProgress", "Progress", "reporter"]


@dataclass(frozen=True)
class Progress:
    """Where a run stands, counted from 1. ``loss`` and ``metric`` are means over the epoch so far.

    ``step`` of ``steps`` in this epoch (None where the loader has no length); ``done`` steps in all.
    """

    name: str
    epoch: int
    epochs: int
    step: int
    steps: int | None
    done: int
    loss: float
    metric: float | None


OnProgress = Callable[[Progress], None]


@contextmanager
def reporter(progress: bool | OnProgress | None) -> Iterator[OnProgress | None]:
    """What to call at each step. None: a bar where stderr is a terminal and rich is there; True: insist; False:
    nothing."""
    if callable(progress):
        yield progress
        return
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars
    except ModuleNotFoundError:
        if progress:
            raise ModuleNotFoundError("progress=True needs rich: pip install rich") from None
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.fields[epoch]} loss {task.fields[loss]:.4f}{task.fields[metric]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(event: Progress) -> None:
            metric = "" if event.metric is None else f" metric {event.metric:.4f}"
            if event.name not in tasks:
                total = event.steps * event.epochs if event.steps else None
                tasks[event.name] = bars.add_task(event.name, total=total, epoch="", loss=0.0, metric="")
            epoch = f"{event.epoch}/{event.epochs}"
            bars.update(tasks[event.name], completed=event.done, epoch=epoch, loss=event.loss, metric=metric)

        yield show
