"""A student with few labels on Fashion-MNIST: what a teacher is worth that learned from other images.

``python bench/results/students.py [--seeds 3]`` prints the row of bench/results/README.md. The teacher learns from
30,000 labelled images; the student has 1,000 labels and 29,000 unlabelled images that the teacher never saw. Alone it
learns from its labels, for as many steps. Both are judged on the first 5,000 test images. A seed draws the halves, the
labels, the initial weights and every order; settings are the demo's (docs/distillation.md says how they were found).
Stopped anywhere, it goes on; what is done is kept in ``--folder``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from conftest import cpu_model

from bitpress.demo import classifier, data
from bitpress.demo.data import Part
from bitpress.demo.models import loader, student, teacher

LABELS = 1_000
ROWS = ("teacher", "alone", "distilled")


def one_seed(seed: int, folder: Path) -> dict[str, float]:
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
    return {name: report[name].metric for name in ROWS}


def main() -> None:
    """Print means over seeds, standard deviations, and the difference within a seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--folder", type=Path, default=Path("build/results"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    scores: dict[str, list[float]] = {name: [] for name in (*ROWS, "distilled less alone")}
    for seed in range(options.first, options.first + options.seeds):
        path = options.folder / f"students-{seed}.json"
        if not path.exists():
            path.write_text(json.dumps(one_seed(seed, options.folder)))
        found = json.loads(path.read_text())
        found["distilled less alone"] = found["distilled"] - found["alone"]
        for name, values in scores.items():
            values.append(100 * found[name])
    print(f"{LABELS} labels, {options.seeds} seeds; {cpu_model()}, one thread")
    for name, values in scores.items():
        spread = f" +- {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        print(f"| {name} | {statistics.mean(values):.2f}{spread} |")


if __name__ == "__main__":
    main()
