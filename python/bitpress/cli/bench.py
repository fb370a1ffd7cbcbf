"""``bitpress bench``: how fast a file opens, decodes and runs on this machine."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .files import UsageProblem, existing
from .terminal import facts, human, print_json, show, table

if TYPE_CHECKING:
    import numpy as np

    from bitpress import Session
    from bitpress.container import Container
    from bitpress.container.layout import StreamRecord

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY = "Measure how fast a file opens, decodes and runs."
EXAMPLES = """bitpress bench net.bp
bitpress bench net.bp --shape image=1,3,224,224 --seconds 5 --json"""


def _times(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call, for about ``seconds`` in all, after one to warm up; 3 to 10,000 calls."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 10_000):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _decoding(container: Container, seconds: float) -> dict[str, dict[str, float]]:
    """For each coding of the file: stored and decoded bytes of its streams, and decoded bytes a second."""
    from bitpress.codings import CODING_NUMBERS

    names = {number: name for name, number in CODING_NUMBERS.items()}
    streams = defaultdict(list)
    for name, tensor in container.tensors.items():
        for stream in tensor.streams:
            if names[stream.coding] != "raw":
                streams[names[stream.coding]].append((name, stream))
    found: dict[str, dict[str, float]] = {}
    for coding, entries in sorted(streams.items()):

        def decode(entries: list[tuple[str, StreamRecord]] = entries) -> None:
            for entry in entries:
                container.decoded(*entry)

        decoded = sum(stream.decoded for _, stream in entries)
        median = statistics.median(_times(decode, seconds))
        found[coding] = {
            "streams": len(entries),
            "bytes": sum(stream.stored for _, stream in entries),
            "decoded_bytes": decoded,
            "bytes_per_second": round(decoded / median),
        }
    return found


def _shapes(given: list[str], session: Session) -> dict[str, tuple[int, ...]]:
    """The shape of each input: as given, else the network's own with 1 for a size that it leaves open."""
    shapes = {}
    for value in session.inputs:
        if value.shape is not None:
            shapes[value.name] = tuple(max(dim, 1) for dim in value.shape)
    for text in given:
        name, equals, sizes = text.rpartition("=")
        name = name if equals else session.inputs[0].name
        if name not in [value.name for value in session.inputs] or (not equals and len(session.inputs) > 1):
            raise UsageProblem(f"--shape {text}: write NAME=1,3,224,224; inputs: {_names(session)}")
        try:
            shapes[name] = tuple(int(size) for size in sizes.replace("x", ",").split(",") if size)
        except ValueError:
            raise UsageProblem(f"--shape {text}: a shape is whole numbers, such as 1,3,224,224") from None
    for value in session.inputs:
        if value.name not in shapes:
            raise UsageProblem(
                f"the file does not say the shape of input {value.name!r}: give --shape {value.name}=..."
            )
    return shapes


def _names(session: Session) -> str:
    return ", ".join(value.name for value in session.inputs)


def _running(session: Session, shapes: dict[str, tuple[int, ...]], seconds: float, seed: int) -> dict[str, Any]:
    import numpy as np

    rng = np.random.default_rng(seed)
    inputs: dict[str, np.ndarray] = {
        name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }
    try:
        times = sorted(_times(lambda: session.run(inputs), seconds))
    except (ValueError, TypeError) as error:
        raise UsageProblem(str(error)) from error
    return {
        "inputs": {name: list(shape) for name, shape in shapes.items()},
        "runs": len(times),
        "median_seconds": statistics.median(times),
        "fastest_seconds": times[0],
        "slowest_tenth_seconds": times[int(0.9 * (len(times) - 1))],
        "memory": asdict(session.memory),
    }


def command(
    file: Annotated[Path, typer.Argument(help="A bitpress file.")],
    shape: Annotated[list[str] | None, typer.Option(metavar="NAME=SIZES", help="An input's shape: x=1,3,8,8.")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="How long to measure each thing.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the random inputs.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Measure opening, decoding and, where the file holds a network, running it on random inputs; medians."""
    from bitpress.container import open_container

    existing(file)
    document: dict[str, Any] = {"file": str(file), "bytes": file.stat().st_size}
    session = None
    with open_container(file) as container:
        if container.graph.nbytes:
            from bitpress import Session

            session = Session(file)
        shapes = _shapes(shape or [], session) if session is not None else {}
        document["open_seconds"] = statistics.median(_times(lambda: open_container(file), min(seconds, 0.5)))
        document["decode"] = _decoding(container, seconds)
    document["run"] = _running(session, shapes, seconds, seed) if session is not None else None
    if json:
        print_json(document)
    else:
        _show(document)


def _show(document: dict[str, Any]) -> None:
    opened = document["open_seconds"]
    facts({"open, all checked": f"{1000 * opened:.2f} ms, {document['bytes'] / opened / 1e9:.2f} GB/s"})
    if document["decode"]:
        rows = table([("decode", "left"), *((head, "right") for head in ("streams", "stored", "decoded", "GB/s"))])
        for coding, found in document["decode"].items():
            sizes = human(found["bytes"]), human(found["decoded_bytes"])
            rows.add_row(coding, f"{found['streams']}", *sizes, f"{found['bytes_per_second'] / 1e9:.2f}")
        show(rows)
    run = document["run"]
    if run is None:
        facts({"run": "the file holds no network"})
        return
    memory = run["memory"]
    ends = f"fastest {1000 * run['fastest_seconds']:.2f}, 90% under {1000 * run['slowest_tenth_seconds']:.2f}"
    facts(
        {
            "run": f"{1000 * run['median_seconds']:.2f} ms (median of {run['runs']}; {ends})",
            "inputs": ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in run["inputs"].items()),
            "memory": ", ".join(f"{key} {human(size)}" for key, size in memory.items()),
        }
    )
