"""What distillation gives, and what pressing its student costs.

``python bench/distillation.py [digits] [fashion-mnist]`` prints the tables of docs/distillation.md: means over seeds of
accuracies on the test set, which nothing else looks at, and of differences within a seed, with their standard
deviation. A seed draws the split, the labels that are given away, the initial weights and every order. On one core that
has other work too: 5 minutes a set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there

import numpy as np
import torch
from conftest import cpu_model
from torch import nn

import bitpress as bp
from bitpress.demo import classifier, data
from bitpress.demo.data import Data, Part
from bitpress.demo.models import loader, student, teacher
from bitpress.torch import evaluate

SEEDS = {"digits": 5, "fashion-mnist": 5}
LIMIT = {"digits": None, "fashion-mnist": 10_000}


@dataclass
class Scores:
    """Accuracies by network, one a seed."""

    of: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, score: float) -> None:
        self.of.setdefault(name, []).append(score)

    def mean(self, name: str, less: str | None = None) -> str:
        """Mean and standard deviation in points, of one network or of its difference to another."""
        base = self.of[less] if less else [0.0] * len(self.of[name])
        points = [100 * (score - other) for score, other in zip(self.of[name], base, strict=True)]
        return f"{statistics.mean(points):{'+' if less else ''}.2f} +- {statistics.stdev(points):.2f}"


def few_labels(part: Part, share: float, seed: int) -> Part:
    """``share`` of a part's rows, the same number of each class."""
    random = np.random.default_rng(seed)
    count = round(share * len(part) / 10)
    rows = [random.choice(np.flatnonzero(part.y == label), count, replace=False) for label in range(10)]
    return part[np.concatenate(rows)]


def one_seed(found: Data, seed: int, scores: Scores) -> None:
    """Teacher, few labels, all labels, pressed student: one accuracy each."""
    settings = classifier.SETTINGS[found.name]
    few = few_labels(found.train, 0.05, seed)
    few_loader, bare = loader(few, settings.batch), loader(found.transfer, settings.batch, labels=False)

    def network(make: Callable[[str], nn.Module]) -> nn.Module:
        torch.manual_seed(seed)
        return make(found.name)

    large = network(teacher)
    report = classifier.teach(found, settings, (large, network(student)), seed, labelled=few_loader, transfer=bare)
    scores.add("teacher, all labels of its training set", report["teacher"].metric)
    scores.add("student alone, 5% of these labels", report["alone"].metric)
    scores.add("student distilled, no label", report["distilled"].metric)

    unsure, epochs = network(teacher), settings.teacher_epochs * 20
    options = {"train": few_loader, "teacher_epochs": epochs, "transfer": bare, "compare": False}
    report = classifier.teach(found, settings, (unsure, network(student)), seed, **options)
    scores.add("teacher, the same 5% of the labels", report["teacher"].metric)
    scores.add("student distilled from that teacher", report["distilled"].metric)

    small = network(student)
    report = classifier.teach(found, settings, (large, small), seed, train=None)
    scores.add("student alone, all labels", report["alone"].metric)
    scores.add("student distilled, all labels", report["distilled"].metric)
    classifier.tune(small, large, found, settings, seed, None)
    scores.add("... pruned and tuned", evaluate(small, loader(found.test, 500, shuffle=False)).metric)
    scores.add("... and quantized: the file, run", pressed(small, found, settings))


def pressed(network: nn.Module, found: Data, settings: classifier.Settings) -> float:
    """Accuracy of the pressed student's file, run by bitpress."""
    with tempfile.TemporaryDirectory() as folder:
        source = classifier.to_onnx(network, found, Path(folder, "student.onnx"))
        path = Path(folder, "student.safetensors")
        bp.compress(source, classifier.press_recipe(settings, "huffman")).save(path)
        session = bp.Session(path)
        (value,) = session.inputs
        starts = range(0, len(found.test), 500)
        outputs = [next(iter(session.run({value.name: found.test.x[i : i + 500]}).values())) for i in starts]
    return float((np.concatenate(outputs).argmax(1) == found.test.y).mean())


COMPARED = (
    ("student distilled, no label", "student alone, 5% of these labels"),
    ("student distilled from that teacher", "student alone, 5% of these labels"),
    ("student distilled, all labels", "student alone, all labels"),
    ("... and quantized: the file, run", "student distilled, all labels"),
)


def main() -> None:
    """Print a table a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help=", ".join(SEEDS))
    parser.add_argument("--seeds", type=int, help="how many (at least 2)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if unknown := set(options.sets) - set(SEEDS):
        parser.error(f"no set {', '.join(sorted(unknown))}")
    for name in options.sets or SEEDS:
        began, scores = time.perf_counter(), Scores()
        seeds = options.seeds or SEEDS[name]
        for seed in range(seeds):
            found = data.digits(seed) if name == "digits" else data.fashion_mnist(seed, limit=LIMIT[name])
            one_seed(found, seed, scores)
        rows = f"{len(found.train)} / {len(found.transfer)} / {len(found.test)} rows to train / transfer / test"
        print(f"\n{name}: {seeds} seeds, {rows}; {cpu_model()}, one thread;\n{classifier.SETTINGS[name]}")
        print(f"{'network':68}{'accuracy, %':>18}")
        for network in scores.of:
            print(f"{network:68}{scores.mean(network):>18}")
        print(f"{'difference within a seed':68}{'points':>18}")
        for better, worse in COMPARED:
            print(f"{better} less {worse}".ljust(68) + f"{scores.mean(better, worse):>18}")
        print(f"{time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
