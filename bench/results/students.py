"""Students on Fashion-MNIST beside the same students alone: with few labels, and with all.

``python bench/results/students.py [few] [all] [--seeds N]`` prints the rows of bench/results/README.md; all are judged
on the first 5,000 test images. *few*: the teacher learns from 30,000 labelled images; the student has 1,000 labels and
29,000 unlabelled images that the teacher never saw, and alone learns from its labels, for as many steps; 3 seeds.
Settings are the demo's (docs/distillation.md says how they were found). *all*: all_labels.py says what; 5 seeds. A seed
draws the halves and the labels (*few*), the initial weights and every order. Stopped anywhere, it goes on; what is done
is kept in ``--folder``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there
sys.path.insert(0, str(Path(__file__).parents[1]))

import all_labels
import fashion
import numpy as np
import torch
from conftest import cpu_model

from bitpress.demo import classifier, data
from bitpress.demo.data import Part
from bitpress.demo.models import loader, student, teacher

LABELS = 1_000
SEEDS = {"few": 3, "all": 5}
OneSeed = Callable[[int, Path], dict[str, float]]


def few_labels(seed: int, folder: Path) -> dict[str, float]:
    """Accuracies of the teacher, the student alone and the student distilled."""
    found = data.fashion_mnist(seed)
    settings = classifier.SETTINGS[found.name]
    random = np.random.default_rng(seed)
    known = np.sort(random.choice(len(found.transfer), LABELS, replace=False))
    labels = np.full(len(found.transfer), -100)
    labels[known] = found.transfer.y[known]
    networks = []
    for make in (teacher, student):
        torch.manual_seed(seed)
        networks.append(make(found.name))
    report = classifier.teach(
        found,
        settings,
        (networks[0], networks[1]),
        seed,
        labelled=loader(found.transfer[known], settings.batch),
        transfer=loader(Part(found.transfer.x, labels), settings.batch),
        test=loader(found.test[:5_000], 500, shuffle=False),
        checkpoint=folder / f"students-{seed}.checkpoint",
        checkpoint_every=500,
    )
    return {name: report[name].metric for name in ("teacher", "alone", "distilled")}


def rows(title: str, name: str, one_seed: OneSeed, seeds: range, folder: Path) -> None:
    """Print means over seeds, standard deviations, and the difference within a seed."""
    scores: dict[str, list[float]] = {}
    for seed in seeds:
        path = folder / f"{name}-{seed}.json"
        if not path.exists():
            path.write_text(json.dumps(one_seed(seed, folder)))
        found = json.loads(path.read_text())
        found["distilled less alone"] = found["distilled"] - found["alone"]
        for row, value in found.items():
            scores.setdefault(row, []).append(100 * value)
    print(f"\n{title}, {len(seeds)} seeds; {cpu_model()}, one thread")
    for row, values in scores.items():
        spread = f" +- {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        print(f"| {row} | {statistics.mean(values):.2f}{spread} |")


def main() -> None:
    """Train what ``--folder`` does not hold yet, print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", help="few, all")
    parser.add_argument("--seeds", type=int, help="few: 3, all: 5")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--folder", type=Path, default=Path("build/results"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    fashion.check_parts()
    for which in options.which or SEEDS:
        seeds = range(options.first, options.first + (options.seeds or SEEDS[which]))
        if which == "few":
            rows(f"{LABELS} labels", "students", few_labels, seeds, options.folder)
            continue
        for name, setting in all_labels.SETTINGS.items():
            one_seed = partial(all_labels.one_seed, setting)
            rows(f"{name}, all labels", f"all-labels-{fashion.key_of(setting)}", one_seed, seeds, options.folder)


if __name__ == "__main__":
    main()
