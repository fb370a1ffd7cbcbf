"""``bitpress run``: a file's network on arrays from .npy files."""

from __future__ import annotations

import dataclasses
import enum
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .arrays import opened_npz, read_npy, write_npy, write_npz
from .files import UsageProblem, existing, output_path
from .terminal import facts, human, print_json

if TYPE_CHECKING:
    import numpy as np

    from bitpress.profile import Profile

__all__ = ["EXAMPLES", "SUMMARY", "command", "read_inputs"]

SUMMARY = "Run a pressed network on arrays."
EXAMPLES = """bitpress run net.bp --input image=image.npy
bitpress run net.bp --input image.npy --output logits.npy --top 3
bitpress run net.bp --input inputs.npz --output-dir out --json"""


def read_inputs(given: list[str], names: list[str]) -> dict[str, np.ndarray]:
    """Arrays by input name, from ``name=file.npy``, ``file.npy`` (for the one input) and ``file.npz`` (all by name)."""
    arrays: dict[str, np.ndarray] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if equals and name in names:
            arrays[name] = read_npy(Path(file))
        elif equals and not Path(text).exists():
            raise UsageProblem(f"{text}: the network has no input {name!r}; its inputs are {', '.join(names)}")
        elif Path(text).suffix.lower() == ".npz":
            with opened_npz(Path(text)) as data:
                for key in data:
                    arrays[key] = data[key]
        elif len(names) == 1:
            arrays[names[0]] = read_npy(Path(text))
        else:
            raise UsageProblem(f"{text}: which input? Write NAME=FILE; the inputs are {', '.join(names)}")
    return arrays


def _top(array: np.ndarray, count: int) -> list[tuple[list[int], float]]:
    """The largest values with where they are, largest first; NaN counts as smallest."""
    import numpy as np

    flat = np.nan_to_num(array.reshape(-1).astype(np.float64), nan=-np.inf)
    best = np.argsort(-flat, kind="stable")[:count]
    return [([int(i) for i in np.unravel_index(k, array.shape)], array.reshape(-1)[k].item()) for k in best]


def _write(outputs: Mapping[str, np.ndarray], output: Path | None, folder: Path | None) -> list[str]:
    written = []
    if output is not None:
        if output.suffix.lower() == ".npz":
            write_npz(output, outputs)
        elif len(outputs) == 1:
            write_npy(output, next(iter(outputs.values())))
        else:
            raise UsageProblem(f"{output}: the network has {len(outputs)} outputs: use --output-dir, or an .npz file")
        written.append(str(output))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for index, (name, array) in enumerate(outputs.items()):
            safe = re.sub(r"[^\w.-]", "_", name).lstrip(".")[:100] or f"output{index}"
            path = folder / f"{safe}.npy"
            path = folder / f"{safe}.{index}.npy" if str(path) in written else path
            write_npy(path, array)
            written.append(str(path))
    return written


class Activations(str, enum.Enum):
    """What a network computes with."""

    FLOAT32 = "float32"
    INT16 = "int16"
    INT8 = "int8"


class Load(str, enum.Enum):
    """What becomes of weights in memory."""

    MAP = "map"
    TILE = "tile"
    UNPACK = "unpack"


def command(
    file: Annotated[Path, typer.Argument(help="A bitpress file that holds a network.", show_default=False)],
    input: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=FILE", help="An input: .npy, or .npz with several."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The output: .npy, or .npz with all.")] = None,
    output_dir: Annotated[Path | None, typer.Option(help="A folder for all outputs, one .npy each.")] = None,
    top: Annotated[int, typer.Option(min=0, help="How many of the largest values to print.")] = 5,
    activations: Annotated[
        Activations, typer.Option(help="int16, int8: products with packed weights by integers.")
    ] = Activations.FLOAT32,
    load: Annotated[
        Load, typer.Option(help="tile: less memory, more time; unpack: more memory, less time.")
    ] = Load.MAP,
    threads: Annotated[int, typer.Option(min=0, help="How many may share the run; 0: one a CPU.")] = 1,
    memory_limit: Annotated[
        int, typer.Option(min=0, metavar="BYTES", help="Refuse to take more than this for weights, arena and results.")
    ] = 1 << 33,
    profile: Annotated[bool, typer.Option("--profile", help="Run ten times more; print each operator's time.")] = False,
    trace: Annotated[
        Path | None, typer.Option(help="Profile, and write a trace for Perfetto or chrome://tracing.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Run a pressed network on arrays, and print the shapes and the largest values of its outputs."""
    from bitpress import Session

    session = Session(
        existing(file),
        threads=threads,
        load=load.value,
        activations=activations.value,
        memory_limit=memory_limit,
    )
    arrays = read_inputs(input or [], [value.name for value in session.inputs])
    if output is not None:
        output_path(output, file)
    if trace is not None:
        output_path(trace, file)
    if output_dir is not None and output_dir.exists() and not output_dir.is_dir():
        raise UsageProblem(f"{output_dir}: is not a directory")
    start = time.perf_counter()
    try:
        outputs = session.run(arrays)
    except (ValueError, TypeError) as error:
        raise UsageProblem(str(error)) from error
    seconds = time.perf_counter() - start
    written = _write(outputs, output, output_dir)
    measured = session.profile(arrays) if profile or trace is not None else None
    if measured is not None and trace is not None:
        measured.save(trace)
        written.append(str(trace))
    _show(outputs, top, seconds, written, json, measured)


def _profile_document(measured: Profile) -> dict[str, Any]:
    return {
        "seconds": measured.seconds,
        "machine": dataclasses.asdict(measured.machine),
        "steps": [dataclasses.asdict(step) for step in measured.steps],
    }


def _show(
    outputs: Mapping[str, np.ndarray],
    top: int,
    seconds: float,
    written: list[str],
    json: bool,
    measured: Profile | None,
) -> None:
    from rich.text import Text

    from .terminal import console, one_line, show, table

    if json:
        document: dict[str, Any] = {
            "seconds": round(seconds, 6),
            "outputs": [
                {
                    "name": name,
                    "dtype": str(array.dtype),
                    "shape": list(array.shape),
                    "top": [{"index": at, "value": _plain(value)} for at, value in _top(array, top)],
                }
                for name, array in outputs.items()
            ],
            "written": written,
        }
        if measured is not None:
            document["profile"] = _profile_document(measured)
        print_json(document)
        return
    for name, array in outputs.items():
        shape = "x".join(map(str, array.shape)) or "scalar"
        console().print(Text.assemble((one_line(name), "bold"), f"  {array.dtype}  {shape}  {human(array.nbytes)}"))
        if top and array.size:
            rows = table([("index", "right"), ("value", "right")])
            for at, value in _top(array, top):
                rows.add_row(", ".join(map(str, at)) or "-", f"{value:.6g}")
            show(rows)
    pairs = {"time": f"{seconds * 1000:.2f} ms"}
    if written:
        pairs["written"] = ", ".join(written)
    facts(pairs)
    if measured is not None:
        console().print(measured)


def _plain(value: Any) -> Any:
    """A JSON value: NaN and infinity as text."""
    import math

    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
