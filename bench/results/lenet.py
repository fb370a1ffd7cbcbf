"""LeNet-300-100 and LeNet-5 on Fashion-MNIST, pressed while they train: our recipe beside Deep Compression's.

``python bench/results/lenet.py [lenet-300-100] [lenet-5] [--seeds 3] [--only baseline ours deep]`` trains what
``--folder`` does not hold yet and prints the table of bench/results/README.md as far as there are files. Every byte is
that of a file on disk, opened again and run. Stopped anywhere, it goes on where it was. CPU on an AMD EPYC Zen 4 core
that others loaded: the teacher of all 4.7 minutes; lenet-300-100 2.6 a baseline, 1.3 to 1.7 a pressed file; lenet-5 3.2
a baseline, 2.2 to 3.2 a pressed file, 2.4 Deep Compression's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there
sys.path.insert(0, str(Path(__file__).parents[1]))

import fashion
import torch
from conftest import cpu_model
from pressing import Setting, deep, measured, ours, soft_targets

from bitpress.torch import evaluate

_MLP = {"batch": 256, "rate": 5e-3, "wanda": True, "flip": False, "epochs": 30}
_CNN = {"bits": {"0.weight": 4, "2.weight": 2, "6.weight": 2, "9.weight": 3}, "batch": 256, "rate": 3e-3}
# Picked on the validation images, with seed 0.
SETTINGS: dict[str, dict[str, Setting]] = {
    "lenet-300-100": {
        "ours": Setting(
            zeros={"2.weight": 0.91, "5.weight": 0.77, "8.weight": 0.4},
            bits={"2.weight": 3, "5.weight": 3, "8.weight": 4},
            **_MLP,
        ),
        "ours, smaller": Setting(
            zeros={"2.weight": 0.95, "5.weight": 0.85, "8.weight": 0.5},
            bits={"2.weight": 2, "5.weight": 2, "8.weight": 4},
            **_MLP,
        ),
    },
    "lenet-5": {
        "ours": Setting(zeros={"0.weight": 0.2, "2.weight": 0.7, "6.weight": 0.92, "9.weight": 0.7}, epochs=18, **_CNN),
        "ours, 95% zeros": Setting(
            zeros={"0.weight": 0.2, "2.weight": 0.75, "6.weight": 0.95, "9.weight": 0.75}, epochs=18, **_CNN
        ),
        "ours, 96.7% zeros": Setting(
            zeros={"0.weight": 0.2, "2.weight": 0.8, "6.weight": 0.967, "9.weight": 0.8}, epochs=18, **_CNN
        ),
        "ours, 98.6% zeros": Setting(
            zeros={"0.weight": 0.2, "2.weight": 0.86, "6.weight": 0.986, "9.weight": 0.85}, epochs=12, **_CNN
        ),
    },
}
DEEP_EPOCHS = {"lenet-300-100": (10, 5), "lenet-5": (8, 4)}
BASELINE = "baseline, fp32"


class Table:
    """Accuracies and bytes by row, one a seed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[str, list[tuple[float, float, int]]] = {}

    def add(self, row: str, validation: float, test: float, size: int) -> None:
        self.rows.setdefault(row, []).append((validation, test, size))
        print(f"{self.name}: {row}: validation {validation:.4f}, {size} bytes", file=sys.stderr, flush=True)

    def lines(self) -> Iterator[str]:
        """The rows in Markdown: means over seeds, and standard deviations where there are two or more."""
        full = 4 * fashion.parameters(self.name)
        for row, found in self.rows.items():
            columns = [[100 * each[i] for each in found] for i in (0, 1)]
            sizes = [each[2] for each in found]
            spread = [f" +- {statistics.stdev(c):.2f}" if len(c) > 1 else "" for c in columns]
            cells = [f"{statistics.mean(c):.2f}{s}" for c, s in zip(columns, spread, strict=True)]
            size = statistics.mean(sizes)
            less = [each[1] - base[1] for each, base in zip(found, self.rows[BASELINE], strict=True)]
            cells.append("" if row == BASELINE else f"{100 * statistics.mean(less):+.2f}")
            yield f"| {self.name} | {row} | {len(found)} | {size:,.0f} | {full / size:.1f}x | {' | '.join(cells)} |"


def main() -> None:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=", ".join(fashion.NETWORKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=("baseline", "ours", "deep"), default=("baseline", "ours", "deep"))
    parser.add_argument("--folder", type=Path, default=Path("build/results"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # the moments of pruned weights fade into numbers that are slow to add
    tables = []
    fashion.check_parts()
    for name in options.networks or fashion.NETWORKS:
        table = Table(name)
        tables.append(table)
        for seed in range(options.seeds):
            one_seed(table, seed, options)
    print(f"{cpu_model()}, one thread")
    print("| network | | seeds | bytes | of fp32 | validation, % | test, % | less the baseline |")
    print("|---|---|---|---|---|---|---|---|")
    for table in tables:
        print("\n".join(table.lines()))


def one_seed(table: Table, seed: int, options: argparse.Namespace) -> None:
    name, folder = table.name, options.folder
    start = fashion.baseline(name, seed, folder)
    scores = [evaluate(start, fashion.Rows(*fashion.images(part), 500)).metric for part in ("validation", "test")]
    table.add(BASELINE, scores[0], scores[1], 4 * fashion.parameters(name))
    if "ours" in options.only:
        for title, setting in SETTINGS[name].items():
            soft = soft_targets(fashion.teacher(folder), folder, "teacher", flip=setting.flip)
            path = ours(name, seed, setting, start, soft, folder)
            (validation, size), (test, _) = (measured(name, path, part) for part in ("validation", "test"))
            table.add(title, validation, test, size)
    if "deep" in options.only:
        path = deep(name, seed, start, folder, DEEP_EPOCHS[name])
        (validation, size), (test, _) = (measured(name, path, part) for part in ("validation", "test"))
        table.add("Deep Compression", validation, test, size)


if __name__ == "__main__":
    main()
