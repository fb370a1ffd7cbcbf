"""``bitpress verify``: every checksum and cross-check of files."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .files import existing
from .terminal import human, one_line, print_json

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY = "Check every checksum of files."
EXAMPLES = """bitpress verify net.bp
bitpress verify models/*.bp --json"""


def _findings(path: Path) -> list[str]:
    """What is wrong with a file: a line each, which begins with its name."""
    from bitpress import BitpressError
    from bitpress.container import verify

    try:
        return verify(existing(path))
    except (BitpressError, OSError) as error:
        said = str(error)
        return [said if said.startswith(str(path)) else f"{path}: {said}"]


def command(
    files: Annotated[list[Path], typer.Argument(help="Bitpress files.")],
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Check files: every checksum, the JSON header against the manifest, every stream decoded, the graph.

    One line a file: good ones on stdout, what is wrong on stderr. Exit status 1 if anything is wrong.
    """
    documents: list[dict[str, Any]] = []
    bad = 0
    for path in files:
        start = time.perf_counter()
        found = _findings(path)
        seconds = time.perf_counter() - start
        bad += bool(found)
        if json:
            size = path.stat().st_size if path.is_file() else None
            documents.append({"file": str(path), "ok": not found, "bytes": size, "findings": found})
        elif found:
            sys.stdout.flush()
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            sys.stderr.write(f"{one_line(found[0])}{more}\n")
        else:
            size = path.stat().st_size
            sys.stdout.write(f"{one_line(str(path))}: ok, {human(size)} in {1000 * seconds:.1f} ms\n")
    if json:
        print_json(documents)
    if bad:
        raise typer.Exit(1)
