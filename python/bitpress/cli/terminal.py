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

__all__ = ["Advance", "console", "facts", "human", "one_line", "print_json", "progress", "show", "steps", "table"]

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


def one_line(text: str) -> str:
    """A text on one line, without a terminal's escapes: a file's name may hold anything."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split("\n")))


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
    """A table of (heading, justification) columns; left, right, wrap (left, at words) or name (left, anywhere)."""
    from rich import box
    from rich.table import Table

    made = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading, justify in columns:
        if justify == "name":
            made.add_column(heading, overflow="fold", min_width=12)
        else:
            made.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=justify != "wrap")
    return made


def show(rows: Table) -> None:
    """Print a table, without the spaces that rich leaves at the ends of lines."""
    out = console()
    if sys.stdout.isatty():
        out.print(rows)
        return
    with out.capture() as captured:
        out.print(rows)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def facts(pairs: Mapping[str, str]) -> None:
    """Lines of ``label  value``, aligned; long values go on below themselves."""
    from rich.table import Table
    from rich.text import Text

    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for label, value in pairs.items():
        rows.add_row(Text(one_line(label), style="dim"), Text(one_line(value)))
    show(rows)


@contextlib.contextmanager
def progress(task: str, total: int, *, unit: str = "bytes") -> Iterator[Advance]:
    """A bar on stderr where that is a terminal; else nothing. ``advance(name, amount)`` says what was just done."""
    if not sys.stderr.isatty() or shutil.get_terminal_size().columns < 40:
        yield lambda name, amount: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[current]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        identity = bar.add_task(task, total=total, current="")

        def advance(name: str, amount: int) -> None:
            bar.update(identity, advance=amount, current=Text(name, overflow="ellipsis").plain[:48])

        yield advance


@contextlib.contextmanager
def steps(task: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for work whose length the first word of it tells: ``(name, done, total)`` after each step."""
    with contextlib.ExitStack() as stack:
        advance: list[Advance] = []

        def step(name: str, done: int, total: int) -> None:
            if not advance:
                advance.append(stack.enter_context(progress(task, total, unit="layers")))
            advance[0](name, 1)

        yield step
