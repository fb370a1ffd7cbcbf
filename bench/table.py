"""What a run of the benches gave, as a table in Markdown and a plot: build/bench.md and build/bench.svg.

One line a group that has a bench of ours and a peer: our fastest beside the fastest peer of that run, by medians and
by minima, which others' work on the same machine disturbs less. The first line names CPU and instruction set, without
which no figure means anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "build"


@dataclass(frozen=True)
class Line:
    """A group: ours, and how many times the fastest peer's speed it has."""

    group: str
    seconds: float  # median
    rate: str  # GB/s of plain data
    peer: str
    medians: float
    minima: float


def lines(groups: dict[str, list[Any]]) -> list[Line]:
    """The groups that have a bench of ours and a peer's, by name."""
    found = []
    for group, benches in sorted(groups.items()):
        ours = [bench for bench in benches if "peer" not in bench.extra_info]
        peers = [bench for bench in benches if "peer" in bench.extra_info]
        if not ours or not peers:
            continue
        mine = min(ours, key=lambda bench: bench.stats.min).stats
        plain = min(ours, key=lambda bench: bench.stats.min).extra_info.get("bytes")
        peer = min(peers, key=lambda bench: bench.stats.min)
        rate = f"{plain / mine.median / 1e9:.2f}" if plain else ""
        medians, minima = peer.stats.median / mine.median, peer.stats.min / mine.min
        found.append(Line(group, mine.median, rate, peer.extra_info["peer"], medians, minima))
    return found


def write(groups: dict[str, list[Any]], header: str) -> None:
    """Both files; the plot only where matplotlib is installed."""
    found = lines(groups)
    if not found:
        return
    FOLDER.mkdir(exist_ok=True)
    text = [
        header,
        "",
        "| what | median ms | GB/s | the fastest peer | medians | minima |",
        "|---|---|---|---|---|---|",
    ]
    for line in found:
        ratios = f"{line.medians:.2f}x | {line.minima:.2f}x"
        text.append(f"| {line.group} | {line.seconds * 1e3:.2f} | {line.rate} | {line.peer} | {ratios} |")
    (FOLDER / "bench.md").write_text("\n".join(text) + "\n")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(8, 0.9 + 0.24 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(
        range(len(found)),
        [line.minima for line in found],
        color=["#2a7f62" if line.minima >= 1 else "#b5651d" for line in found],
    )
    axes.set_yticks(range(len(found)), [f"{line.group} ({line.peer})" for line in found], fontsize=6)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xscale("log", base=2)
    axes.set_xlabel("times the speed of the fastest peer in the same run (minima)")
    axes.set_title(header, fontsize=7)
    figure.savefig(FOLDER / "bench.svg")
