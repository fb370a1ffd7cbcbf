"""A student with all labels on Fashion-MNIST, taught by a strong teacher too, beside the same student alone.

Both see the same 55,000 labelled images in the same order, for as many epochs, from the same initial weights. Settings
were picked on the 5,000 validation images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import fashion
import torch
from pressing import soft_targets
from torch import nn

from bitpress.demo.models import student
from bitpress.torch import Mixture, Term, evaluate, kl

__all__ = ["SETTINGS", "Setting", "one_seed"]


@dataclass(frozen=True)
class Setting:
    """How long a student learns, from which images, and what of its loss comes from labels and from the teacher."""

    student: str
    epochs: int
    batch: int = 128
    rate: float = 3e-3
    decay: float = 0.01
    labels: float = 0.3
    soft: float = 0.7
    temperature: float = 2.0
    flip: bool = False


SETTINGS = {"784-100-50-10": Setting("784-100-50-10", 60, batch=256)}


def network(name: str) -> nn.Module:
    """A perceptron, such as "784-64-10", or the demo's convolutional student (11,306 parameters)."""
    if name == "convolutional":
        return student("fashion-mnist")
    sizes = [int(size) for size in name.split("-")]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def trained(setting: Setting, seed: int, folder: Path) -> nn.Module:
    """A student of a setting. Kept in ``folder``; a killed run goes on."""
    torch.manual_seed(seed)
    model = network(setting.student)
    path = folder / f"taught-{fashion.key_of(setting)}-{seed}.pt"

    def rows() -> fashion.Rows:
        soft = soft_targets(fashion.teacher(folder), folder, "teacher", flip=setting.flip)
        return fashion.Rows(*fashion.images("train"), setting.batch, seed=seed, flip=setting.flip, soft=soft)

    taught = Term(partial(kl, temperature=setting.temperature), setting.soft)
    return fashion.fitted(
        model,
        rows,
        path,
        seed,
        rate=setting.rate,
        decay=setting.decay,
        epochs=setting.epochs,
        objective=Mixture(None, [taught] if setting.soft else [], labels=setting.labels),
        batch=lambda raw: raw,
        checkpoint_every=2000,
    )


def score(model: nn.Module, part: str) -> float:
    """Accuracy on "validation" or "test"."""
    return evaluate(model, fashion.Rows(*fashion.images(part), 500)).metric


def one_seed(setting: Setting, seed: int, folder: Path) -> dict[str, float]:
    """Test accuracies of the teacher, the student alone and the student distilled."""
    networks = {
        "teacher": fashion.teacher(folder),
        "alone": trained(replace(setting, labels=1.0, soft=0.0), seed, folder),
        "distilled": trained(setting, seed, folder),
    }
    return {name: score(network, "test") for name, network in networks.items()}
