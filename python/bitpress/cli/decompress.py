"""``bitpress decompress``: every tensor back to a safetensors file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitpress.container.atomic import replacing

from .files import Entry, UsageProblem, existing, ordered, output_path, write_safetensors
from .terminal import Advance, facts, human, print_json, progress

if TYPE_CHECKING:
    from bitpress.container import Container

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY = "Give every tensor back as a safetensors file."
EXAMPLES = """bitpress decompress net.bp -o net.safetensors
bitpress decompress tuned.bp -o tuned.safetensors --base model.safetensors
bitpress decompress net.bp -o net.safetensors --json"""


def _entries(container: Container, file: Path) -> list[Entry]:
    from bitpress.dtypes import DTYPES, stored_bytes

    if "__metadata__" in container.tensors:
        raise UsageProblem(f"{file}: safetensors cannot hold a tensor called '__metadata__'")
    return ordered(
        Entry(name, tensor.dtype, tensor.shape, stored_bytes(tensor.dtype, tensor.shape), DTYPES[tensor.dtype].bits)
        for name, tensor in container.tensors.items()
    )


def _data(container: Container, entries: list[Entry], advance: Advance) -> Iterator[memoryview]:
    """The bytes of one tensor after the other; one at a time is in memory."""
    for entry in entries:
        yield container.packed(entry.name).to_bytes()
        advance(entry.name, entry.nbytes)


def command(
    file: Annotated[Path, typer.Argument(help="A bitpress file, also one that another tool saved again.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file to write.")],
    max_bytes: Annotated[int | None, typer.Option(min=0, help="The most bytes that may be written.")] = None,
    base: Annotated[Path | None, typer.Option(help="The file that it was pressed against.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Give back every tensor by name, shape and type: bit for bit where it was kept, else the values of its codes.

    A network's graph is not part of a safetensors file and is left out.
    """
    from bitpress.container import Base, open_container

    if base is not None:
        existing(base, "base")
    target = output_path(output, existing(file))
    start = time.perf_counter()
    against = None if base is None else Base(base)
    with open_container(file, resaved=True, max_bytes=max_bytes, base=against) as container:
        entries = _entries(container, file)
        with progress("writing", sum(entry.nbytes for entry in entries)) as advance, replacing(target) as handle:
            written = write_safetensors(handle, entries, _data(container, entries, advance), container.metadata)
    seconds = time.perf_counter() - start
    if json:
        document = {"file": str(file), "output": str(output), "tensors": len(entries), "bytes": written}
        print_json(document | {"seconds": round(seconds, 6)})
        return
    facts({"written": f"{output}, {human(written)}, {len(entries)} tensors, {seconds:.2f} s"})
