"""``bitpress inspect``: what a file holds, byte by byte; a table, JSON, or one HTML page with plots."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitpress.container.atomic import replacing

from .files import existing, output_path
from .terminal import console, facts, human, one_line, print_json, progress, show, table

if TYPE_CHECKING:
    from bitpress.report.graph import Stage
    from bitpress.report.survey import Survey

__all__ = ["EXAMPLES", "SUMMARY", "command"]

_WIDE = 100  # columns of a terminal from which type and share are shown
SUMMARY = "Show what a file holds: every tensor, every byte."
EXAMPLES = """bitpress inspect net.bp
bitpress inspect net.bp --html net.html
bitpress inspect net.bp --build
bitpress inspect net.onnx --graph
bitpress inspect net.bp --json"""


def command(
    file: Annotated[Path, typer.Argument(help="A bitpress file; for --graph an ONNX file too.")],
    html: Annotated[Path | None, typer.Option(help="Write one self-contained page with plots here.")] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Print the CMake options of a C library for files like this one alone.")
    ] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Show the graph: of an ONNX file before and after the passes.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Show what a file holds: shape, scheme, bits a weight, bytes and share of each tensor, and where the rest goes.

    Every checksum is checked. The bytes of all lines add up to the file's length.
    """
    from bitpress.report.survey import survey_of

    target = output_path(html, file) if html is not None else None
    if build and (json or html is not None or graph):
        raise typer.BadParameter("prints options alone", param_hint="--build")
    if graph:
        if html is not None:
            raise typer.BadParameter("shows the graph alone", param_hint="--graph")
        _show_graph(existing(file), json)
        return
    survey = survey_of(existing(file))
    if build:
        print(*(shlex.quote(option) for option in survey.build_options))
        return
    if target is not None:
        _write_page(survey, target)
    if json:
        print_json(survey.as_json() | ({"html": str(html)} if html is not None else {}))
        return
    if html is not None:
        facts({"written": f"{html} ({human(html.stat().st_size)})"})
        return
    _show(survey)


def _show_graph(file: Path, json: bool) -> None:
    """Nodes in order, and what a plan for its shapes (1 where a size is open) takes: the arena beside what lives."""
    from bitpress.report.graph import list_nodes, stages_of

    if file.suffix == ".onnx":
        stages, memory = stages_of(str(file)), None
    else:
        stages, memory = _stored_graph(file)
    if json:
        print_json(
            {
                "file": str(file),
                "stages": [
                    {"name": stage.name, "operators": stage.operators, "nodes": list(list_nodes(stage.graph))}
                    for stage in stages
                ],
                "arena": memory,
            }
        )
        return
    lines: dict[str, str] = {}
    for stage in stages:
        for line in list_nodes(stage.graph) if stage is stages[-1] else ():
            console().print(one_line(line), markup=False, highlight=False, soft_wrap=True)
        counts = ", ".join(f"{op} {count}" for op, count in stage.operators.items())
        lines[stage.name] = f"{sum(stage.operators.values())} nodes: {counts}"
    if memory is not None:
        lines["arena"] = f"{memory['arena']:,} bytes, of which {memory['live']:,} hold something at a time at most"
    facts(lines)


def _stored_graph(file: Path) -> tuple[list[Stage], dict[str, int]]:
    """A bitpress file's graph, and what a plan of it takes."""
    from bitpress.container import open_container
    from bitpress.errors import UnsupportedError
    from bitpress.report.graph import Stage
    from bitpress.session import Session

    with open_container(file) as container:
        found = container.read_graph()
    if found is None:
        raise UnsupportedError(f"{file}: it holds no graph")
    session = Session(file, check="none")
    memory = session.plan().memory
    return [Stage("stored", found)], {"arena": memory.arena, "live": memory.live}


def _write_page(survey: Survey, target: Path) -> None:
    from bitpress import __version__
    from bitpress.container import open_container
    from bitpress.report.page import CARDS, render
    from bitpress.report.statistics import statistics_of

    largest = sorted(survey.tensors, key=lambda tensor: -tensor.nbytes)[:CARDS]
    statistics = {}
    with (
        open_container(survey.path) as container,
        progress("counting", sum(tensor.source_nbytes for tensor in largest)) as advance,
    ):
        for tensor in largest:
            if tensor.elements:
                statistics[tensor.name] = statistics_of(container.held(tensor.name))
            advance(tensor.name, tensor.source_nbytes)
    with replacing(target) as handle:
        handle.write(render(survey, statistics, __version__).encode("utf-8"))


def _show(survey: Survey) -> None:
    from rich.text import Text

    heads = [("tensor", "name"), ("shape", "left"), ("type", "left"), ("scheme", "wrap")]
    heads += [("bits/weight", "right"), ("bytes", "right"), ("share", "right")]
    kept = [index for index in range(7) if index not in (2, 6) or console().width >= _WIDE]
    rows = table([heads[index] for index in kept])

    def add(*cells: str, style: str | None = None) -> None:
        rows.add_row(*(Text(one_line(cells[index])) for index in kept), style=style)

    for tensor in survey.tensors:
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        bits = f"{tensor.bits_per_weight:.2f}"
        add(
            tensor.name, shape, tensor.dtype, tensor.scheme, bits, f"{tensor.nbytes:,}", _percent(tensor.nbytes, survey)
        )
    rows.add_section()
    if survey.graph_nbytes:
        add("graph", "", "", "", "", f"{survey.graph_nbytes:,}", _percent(survey.graph_nbytes, survey))
    add("overhead", "", "", "", "", f"{survey.overhead:,}", _percent(survey.overhead, survey))
    bits = f"{8 * survey.nbytes / survey.elements:.2f}" if survey.elements else ""
    rows.add_section()
    add(f"{len(survey.tensors):,} tensors", "", "", "", bits, f"{survey.nbytes:,}", "100.0%", style="bold")
    show(rows)
    console().print()
    facts(_facts(survey))


def _facts(survey: Survey) -> dict[str, str]:
    parts = f"{survey.header:,} bytes of header, {survey.manifest:,} of manifest, {survey.padding:,} of padding"
    lines = {
        "file": f"{human(survey.nbytes)} for {survey.elements:,} weights",
        "ratio": f"{survey.ratio:.2f} times smaller than the {human(survey.source_nbytes)} they were",
        "overhead": parts,
    }
    if survey.panels:
        count = f"{survey.panels} tensor{'s' if survey.panels > 1 else ''} in panels"
        lines["laid out"] = f"{count}, for products of bytes by vectors; all others unpack them in every run"
    if survey.graph is not None:
        for label, values in (("inputs", survey.graph.inputs), ("outputs", survey.graph.outputs)):
            lines[label] = ", ".join(f"{name} ({dtype} {shape})" for name, dtype, shape in values)
        counts = ", ".join(f"{op} {count}" for op, count in survey.graph.operators.items())
        lines["operators"] = f"{sum(survey.graph.operators.values())}: {counts}"
    return lines | {f"metadata {key}": value for key, value in survey.metadata.items()}


def _percent(count: int, survey: Survey) -> str:
    return f"{100 * count / survey.nbytes:.1f}%"
