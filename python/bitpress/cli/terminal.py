"""What the commands print: tables and JSON on stdout, progress on stderr where that is a terminal."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["Advance", "console", "facts", "human", "print_json", "progress", "table"]

Advance = Callable[[str, int], None]
_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_PIPE_WIDTH = 400  # columns of a table that nobody sees: wide enough that no name is cut


def human(count: float) -> str:
    """Bytes as people read them: 1000 to the step, three digits."""
    step = 0
    while count >= 999.5 and step + 1 < len(_UNITS):
        count /= 1000
        step += 1
    if step == 0:
        return f"{count:.0f} {_UNITS[0] if count != 1 else 'byte'}"
    return f"{count:.{max(0, 2 - (count >= 9.995) - (count >= 99.95))}f} {_UNITS[step]}"


def console() -> Console:
    """stdout; plain and wide where it is not a terminal."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False, soft_wrap=False)
    return Console(highlight=False, width=_PIPE_WIDTH, color_system=None)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def table(columns: Sequence[tuple[str, str]], title: str | None = None) -> Table:
    """A table of (heading, justification) columns; justification is left, right or name (left, folded where narrow)."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, header_style="bold")
    for heading, justify in columns:
        if justify == "name":
            made.add_column(heading, overflow="fold", min_width=12)
        else:
            made.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=justify == "right")
    return made


def facts(pairs: Mapping[str, str]) -> None:
    """Lines of ``label  value``, aligned."""
    from rich.text import Text

    out = console()
    width = max(map(len, pairs), default=0)
    for label, value in pairs.items():
        out.print(Text.assemble((f"{label:<{width}}", "dim"), "  ", value), overflow="fold")


@contextlib.contextmanager
def progress(task: str, total: int, *, unit: str = "bytes") -> Iterator[Advance]:
    """A bar on stderr where that is a terminal; else nothing. ``advance(name, amount)`` says what was just done."""
    if not sys.stderr.isatty() or shutil.get_terminal_size().columns < 40:
        yield lambda name, amount: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[current]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        identity = bar.add_task(task, total=total, current="")

        def advance(name: str, amount: int) -> None:
            bar.update(identity, advance=amount, current=Text(name, overflow="ellipsis").plain[:48])

        yield advance
