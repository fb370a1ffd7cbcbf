"""``bitpress distill``: a small classifier learns from a large one's answers. A front door to ``bp.torch.distill``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpress.container.atomic import replacing

from .files import Entry, UsageProblem, existing, ordered, output_path, write_safetensors
from .terminal import facts, human, print_json, show, table

if TYPE_CHECKING:
    from bitpress.torch import Report

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY = "Teach a small classifier with a large one's answers."
EXAMPLES = """bitpress distill nets:teacher nets:student --train train.npz --transfer x.npz --test test.npz -o out.st
bitpress distill nets:teacher nets:student --teacher-weights teacher.pt --transfer train.npz --test test.npz --json"""


def _loader(path: Path | None, batch: int, seed: int, *, labels: bool, shuffle: bool = True) -> Any:
    """Batches of an .npz file's ``x`` and, where there is one, ``y``; None for no file."""
    from bitpress import SchemeError
    from bitpress.train.plain import loader

    from .arrays import opened_npz

    if path is None:
        return None
    with opened_npz(path) as data:
        for key in ("x", "y") if labels else ("x",):
            if key not in data:
                raise UsageProblem(f"{path}: has no array {key!r}")
        arrays = data["x"], data.get("y")
    try:
        return loader(*arrays, batch=batch, seed=seed, shuffle=shuffle)
    except SchemeError as error:
        raise UsageProblem(f"{path}: {error}") from None


def _save(model: Any, path: Path) -> None:
    """The network's state dict as a safetensors file."""
    from bitpress.dtypes import DTYPES
    from bitpress.train.plain import weights

    entries, data = [], {}
    for name, spec, content in weights(model):
        entries.append(Entry(name, spec.dtype, spec.shape, len(content), DTYPES[spec.dtype].bits))
        data[name] = content
    entries = ordered(entries)
    with replacing(path) as handle:
        write_safetensors(handle, entries, (data[entry.name] for entry in entries))


def command(
    teacher: Annotated[str, typer.Argument(help="The teacher, as module:factory (a function that makes it).")],
    student: Annotated[str, typer.Argument(help="The student, as module:factory.")],
    transfer: Annotated[Path, typer.Option(help="Data (.npz) on which the student learns: x, and y where known.")],
    test: Annotated[Path, typer.Option(help="Data (.npz with x and y) on which all are judged.")],
    train: Annotated[Path | None, typer.Option(help="Labelled data on which the teacher learns first.")] = None,
    labelled: Annotated[Path | None, typer.Option(help="Labelled data of the student alone.")] = None,
    teacher_weights: Annotated[Path | None, typer.Option(help="A state dict (.pt) for the teacher.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The student's weights (.safetensors).")] = None,
    temperature: Annotated[float, typer.Option(min=0.01, help="Temperature of the soft targets.")] = 2.0,
    alpha: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the soft targets in the loss.")] = 0.5,
    epochs: Annotated[int, typer.Option(min=1, help="Times over the transfer data.")] = 30,
    teacher_epochs: Annotated[int | None, typer.Option(min=1, help="Times over the training data.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows a step.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and order.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Written as it goes; a run that finds it goes on.")] = None,
    compare: Annotated[bool, typer.Option(help="Train the student alone too, as the control.")] = True,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Teach a small classifier with a large one's answers, and compare both with the small one alone.

    The data are .npz files: x (rows of input; uint8 is scaled to 0..1) and y (class numbers; -100 where not known).
    """
    paths = [path for path in (transfer, test, train, labelled, teacher_weights) if path is not None]
    for path in paths:
        existing(path)
    target = output_path(output, *paths) if output else None
    from bitpress.torch import distill
    from bitpress.train.plain import load_weights, network

    networks = network(teacher, seed=seed), network(student, seed=seed)
    if teacher_weights is not None:
        load_weights(teacher_weights, networks[0])
    learned = _loader(transfer, batch_size, seed, labels=False)
    judged = _loader(test, batch_size, seed, labels=True, shuffle=False)
    taught, alone = (_loader(path, batch_size, seed, labels=True) for path in (train, labelled))
    try:
        report = distill(
            *networks,
            transfer=learned,
            test=judged,
            train=taught,
            labelled=alone,
            temperature=temperature,
            alpha=alpha,
            epochs=epochs,
            teacher_epochs=teacher_epochs,
            compare=compare,
            seed=seed,
            checkpoint=checkpoint,
            progress=False if json else None,
        )
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        raise UsageProblem(f"networks and data do not fit: {str(error).splitlines()[0]}") from error
    if target is not None:
        _save(networks[1], target)
    _show(report, output, json)


def _show(report: Report, target: Path | None, json: bool) -> None:
    document = report.to_dict()
    if json:
        print_json({**document, "output": str(target) if target else None})
        return
    rows = table(
        [
            ("network", "left"),
            *((head, "right") for head in ("weights", "bytes", report.metric, "loss", "epochs", "time")),
        ]
    )
    names = {"teacher": "teacher", "alone": "student alone", "distilled": "student distilled"}
    for result in report.results:
        rows.add_row(
            names.get(result.name, result.name),
            f"{result.parameters:,}",
            human(result.bytes),
            f"{100 * result.metric:.2f}%",
            f"{result.loss:.4f}",
            str(result.epochs),
            f"{result.seconds:.1f} s",
        )
    show(rows)
    if report.gain is not None:
        facts({"gain": f"{100 * report.gain:+.2f} points over the student alone"})
    if target is not None:
        facts({"written": str(target)})
