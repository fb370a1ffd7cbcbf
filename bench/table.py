"""What runs of the benches gave: bench/speeds.csv, and from it docs/bench.md and its plots.

One line for ours beside each peer of a group, by medians, and by minima, which others' work on the same machine
disturbs less. A line is replaced when its benches are run again, so that a part of them may be run; it says on which
CPU it was measured, for without that no figure means anything.
"""

from __future__ import annotations

import csv
import math
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SPEEDS = ROOT / "bench" / "speeds.csv"
DOCS = ROOT / "docs"
OURS, THEIRS = "#2a7f62", "#b5651d"


@dataclass(frozen=True)
class Line:
    """Ours beside a peer, and how many times its speed ours has; empty where something is not known."""

    group: str
    peer: str
    cpu: str
    ours: str
    gb_s: str  # of plain data, by medians; empty where a bench does not say how much there is
    milliseconds: str
    bits: str
    peer_gb_s: str
    peer_bits: str
    medians: str
    minima: str


def _rate(bench: Any) -> str:
    return f"{bench.extra_info['bytes'] / bench.stats.median / 1e9:.2f}" if "bytes" in bench.extra_info else ""


def lines(groups: dict[str, list[Any]], cpu: str) -> list[Line]:
    """One for each peer of each group that has a bench of ours."""
    found = []
    for group, benches in sorted(groups.items()):
        ours = [bench for bench in benches if "peer" not in bench.extra_info]
        mine = min(ours, key=lambda bench: bench.stats.min, default=None)
        for peer in [bench for bench in benches if "peer" in bench.extra_info] if mine else []:
            found.append(
                Line(
                    group,
                    peer.extra_info["peer"].split(":")[0],
                    cpu,
                    mine.extra_info.get("ours", "bitpress"),
                    _rate(mine),
                    f"{mine.stats.median * 1e3:.3f}",
                    str(mine.extra_info.get("bits_a_byte", "")),
                    _rate(peer),
                    str(peer.extra_info.get("bits_a_byte", "")),
                    f"{peer.stats.median / mine.stats.median:.2f}",
                    f"{peer.stats.min / mine.stats.min:.2f}",
                )
            )
    return found


Lines = dict[tuple[str, str], Line]


def read() -> Lines:
    """The lines of bench/speeds.csv by group and peer."""
    if not SPEEDS.exists():
        return {}
    with SPEEDS.open(newline="") as file:
        return {(row["group"], row["peer"]): Line(**row) for row in csv.DictReader(file)}


def write(groups: dict[str, list[Any]], cpu: str) -> None:
    """Merges the lines of this run, and makes docs/bench.md and the plots anew."""
    found = lines(groups, cpu)
    if not found:
        return
    merged = read() | {(line.group, line.peer): line for line in found}
    with SPEEDS.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([field.name for field in fields(Line)])
        out.writerows(astuple(line) for _, line in sorted(merged.items()))
    draw(merged)


def draw(merged: Lines) -> None:
    """docs/bench.md; and the plots, where matplotlib is installed."""
    text = [
        "# Measured",
        "Made by `make bench` (bench/table.py) from bench/speeds.csv: ours beside peers of the same run, on one",
        "core. GB/s is of plain data, by medians; the columns before the CPU say how many times the peer's",
        "speed ours has. Bits: stored, a plain byte. The instruction set is ours; a peer takes what the CPU has.",
        "",
        "![Decoding](bench_decode.svg)",
        "![Encoding](bench_encode.svg)",
        "![Sizes of bounded arrays](bench_bounded.svg)",
        "",
        "| what | ours | GB/s | bits | peer | GB/s | bits | medians | minima | CPU |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for line in sorted(merged.values(), key=lambda line: (line.group, line.peer)):
        rate = line.gb_s or f"{line.milliseconds} ms"
        cells = [line.group, line.ours, rate, line.bits, line.peer, line.peer_gb_s, line.peer_bits]
        text.append(f"| {' | '.join([*cells, f'{line.medians}x', f'{line.minima}x', line.cpu])} |")
    (DOCS / "bench.md").write_text("\n".join(text) + "\n")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return
    mpl.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "bitpress", "font.size": 8, "font.sans-serif": ["DejaVu Sans"]}
    )
    for way in ("decode", "encode"):
        _plot_speeds(Figure, way, merged)
    _plot_bounded(Figure, merged)


def _plot_speeds(figure_of: Any, way: str, merged: Lines) -> None:
    """Ours and the fastest peer of each group, GB/s from zero on."""
    fastest: dict[str, Line] = {}
    for line in merged.values():
        known = line.group.startswith(f"{way} ") and "range" not in line.group and line.gb_s and line.peer_gb_s
        if known and float(line.peer_gb_s) > float(getattr(fastest.get(line.group), "peer_gb_s", 0)):
            fastest[line.group] = line
    chosen = [line for _, line in sorted(fastest.items())]
    if not chosen:
        return
    figure = figure_of(figsize=(7.5, 0.8 + 0.3 * len(chosen)), layout="constrained")
    axes = figure.add_subplot()
    place = np.arange(len(chosen))
    for offset, color, rate, name in ((-0.2, OURS, "gb_s", "ours"), (0.2, THEIRS, "peer_gb_s", "peer")):
        values = [float(getattr(line, rate)) for line in chosen]
        axes.barh(place + offset, values, 0.38, color=color, label="bitpress" if name == "ours" else "fastest peer")
        for at, value, line in zip(place + offset, values, chosen, strict=True):
            axes.text(value, at, f" {value:.2f} {getattr(line, name)}", va="center", fontsize=6)
    axes.set_yticks(place, [line.group.removeprefix(f"{way} ") for line in chosen])
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(max(float(line.gb_s), float(line.peer_gb_s)) for line in chosen))
    axes.set_xlabel(f"GB/s of plain data to {way}, one core ({'; '.join(sorted({line.cpu for line in chosen}))})")
    axes.legend(loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(DOCS / f"bench_{way}.svg", metadata={"Date": None})


def _plot_bounded(figure_of: Any, merged: Lines) -> None:
    """Stored bits a plain byte of bounded arrays by bound, ours and each peer's."""
    arrays: dict[str, dict[str, dict[float, float]]] = {}
    for line in merged.values():
        name, _, rest = line.group.removeprefix("decode ").rpartition(", ")
        if not (line.group.startswith("decode ") and rest.endswith(" of the range")):
            continue
        bound = float(rest.split()[0])
        coders = arrays.setdefault(name, {})
        coders.setdefault("bitpress", {})[bound] = float(line.bits)
        coders.setdefault(line.peer, {})[bound] = float(line.peer_bits)
    if not arrays:
        return
    figure = figure_of(figsize=(7.5, 2.4 * math.ceil(len(arrays) / 3)), layout="constrained")
    for k, (name, coders) in enumerate(sorted(arrays.items())):
        axes = figure.add_subplot(math.ceil(len(arrays) / 3), 3, k + 1)
        for coder, sizes in sorted(coders.items()):
            bounds = sorted(sizes)
            style = {"color": OURS, "linewidth": 2} if coder == "bitpress" else {"linewidth": 1}
            axes.plot(bounds, [sizes[bound] for bound in bounds], marker="o", markersize=3, label=coder, **style)
        axes.set_xscale("log")
        axes.set_ylim(0)
        axes.set_title(name, fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(fontsize=6)
    figure.supxlabel("bound, of the range")
    figure.supylabel("stored bits a plain byte (less is better)")
    figure.savefig(DOCS / "bench_bounded.svg", metadata={"Date": None})


if __name__ == "__main__":
    draw(read())
