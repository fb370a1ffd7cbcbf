"""``bitpress demo``: the whole way on data that is there, measured as it goes."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .terminal import console, facts, print_json, table

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY = "Teach, distil, prune, quantize, store and run a network, measured."

EXAMPLES = """bitpress demo --output pressed
bitpress demo --data fashion-mnist --json
bitpress demo --model efficientnet-lite0"""


class Set(str, Enum):
    """The sets with a story."""

    digits = "digits"
    fashion_mnist = "fashion-mnist"


class Network(str, Enum):
    """The pretrained networks with a story."""

    efficientnet_lite0 = "efficientnet-lite0"


def command(
    data: Annotated[Set, typer.Option(help="The set: scikit-learn's digits, or Fashion-MNIST.")] = Set.digits,
    model: Annotated[Network | None, typer.Option(help="A pretrained network, pressed and run instead.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A folder that keeps the files.")] = None,
    fashion_mnist: Annotated[Path | None, typer.Option(help="The folder with Fashion-MNIST's idx files.")] = None,
    crops: Annotated[int, typer.Option(min=1, help="Images on which a pretrained network is judged.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of data, weights and order.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Teach a network, distil a student, prune, quantize and store it, then run the file where there is no torch.

    Each line is measured in this run: sizes are those of the files on disk, scores those on the whole test set. The
    peers' lines are the same step by other tools, where they are installed.
    """
    from bitpress.demo.story import tell

    def say(step: str) -> None:
        if sys.stderr.isatty() and not json:
            sys.stderr.write(f"{step} ...\n")

    story = tell(
        data=data.value,
        model=model.value if model else None,
        output=output,
        fashion_mnist=fashion_mnist,
        crops=crops,
        seed=seed,
        say=say,
        progress=False if json else None,
    )
    if json:
        print_json(story.to_dict())
        return
    heads, rows = story.cells()
    made = table([(heads[0], "left"), *((head, "right") for head in heads[1:])])
    for row, cells in zip(story.rows, rows, strict=True):
        made.add_row(*cells, style="dim" if row.peer else None)
    console().print(made)
    second = story.facts["second_process"]
    facts(
        {
            "second process": f"{second['file']} ran where {', '.join(second['blocked'][:3])} cannot be imported: "
            f"{second['rows']} rows, {second['milliseconds_one_row']:.2f} ms for one by itself, "
            f"{100 * second['same_answers']:.2f}% of the answers as before it was quantized",
            "in all": f"{story.facts['seconds']:.1f} s",
            **({"files": story.facts["folder"]} if story.facts["folder"] else {}),
        }
    )
