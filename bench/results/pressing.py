"""The two recipes that the results hold against each other: ours, and Deep Compression's as published."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import fashion
import numpy as np
import torch
from torch import Tensor, nn

import bitpress as bp
from bitpress.torch import Cubic, Mixture, Term, kl

__all__ = ["Setting", "deep", "measured", "ours", "soft_targets"]

# What the paper keeps of each layer, and its bits (tables 2 to 5); in LeNet-5 8 for convolutions.
KEEP = {
    "lenet-300-100": {"2.weight": 0.08, "5.weight": 0.09, "8.weight": 0.26},
    "lenet-5": {"0.weight": 0.66, "2.weight": 0.12, "6.weight": 0.08, "9.weight": 0.19},
}
BITS = {"lenet-300-100": {"*": 6}, "lenet-5": {"0.*": 8, "2.*": 8, "*": 5}}


@dataclass(frozen=True)
class Setting:
    """How our recipe presses: zeros by layer, bits by layer, and how long and from whom it learns."""

    zeros: dict[str, float]
    bits: dict[str, int]
    epochs: int
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.0
    labels: float = 0.3
    soft: float = 0.7
    temperature: float = 2.0
    pruned_by: float = 0.3  # the share of the steps after which all zeros are there
    rounded_from: float = 0.3  # the share of the steps after which weights are rounded
    bias_bits: int = 6
    flip: bool = True  # half of the images are mirrored
    wanda: bool = False  # rank the first layer's weights by magnitude times input strength


def soft_targets(teacher: nn.Module, folder: Path, key: str, *, flip: bool) -> Tensor:
    """The teacher's logits for the training images (and, with ``flip``, their mirror images), [1 or 2, rows, 10]."""
    path = folder / f"soft-{key}{'-flip' if flip else ''}.pt"
    if not path.exists():
        x, _ = fashion.images("train")
        with torch.no_grad():
            views = [torch.cat([teacher(rows) for rows in view.split(500)]) for view in (x, x.flip(3))[: 1 + flip]]
        torch.save(torch.stack(views), path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
    loaded: Tensor = torch.load(path, weights_only=True)
    return loaded


def recipe(setting: Setting) -> bp.Recipe:
    """Weights in a bitmap, a learned step a layer; biases in a few bits, zeros left out."""
    rules = [
        bp.Rule(name, bp.Scheme.int(bits, sparse=True, coding="auto"), sparsity=setting.zeros[name])
        for name, bits in setting.bits.items()
    ]
    return bp.Recipe((*rules, bp.Rule("*.bias", bp.Scheme.int(setting.bias_bits, sparse=True, coding="auto"))))


def ours(name: str, seed: int, setting: Setting, start: nn.Module, soft: Tensor, folder: Path) -> Path:
    """Press a baseline: prune along a cubic, round, learn from labels and soft targets all the while. The file."""
    path = folder / f"{name}-{fashion.key_of(setting)}-{seed}.safetensors"
    if path.exists():
        return path
    x, y = fashion.images("train")
    model = fashion.network(name)
    model.load_state_dict(start.state_dict())
    rows = fashion.Rows(x, y, setting.batch, seed=seed, flip=setting.flip, soft=soft)
    steps = len(rows) * setting.epochs
    schedule = Cubic(int(setting.pruned_by * steps), every=20)
    strengths = {"2.weight": x.flatten(1).square().mean(0).sqrt()} if setting.wanda else None
    quantize_at = int(setting.rounded_from * steps)
    press = bp.torch.prepare(model, recipe(setting), schedule=schedule, quantize_at=quantize_at, strengths=strengths)
    mix = Mixture(
        None,
        [Term(lambda s, t, labels: kl(s, t, temperature=setting.temperature), setting.soft)],
        labels=setting.labels,
    )
    bp.torch.fit(
        model,
        rows,
        epochs=setting.epochs,
        objective=mix,
        optimizer=lambda group: torch.optim.AdamW(group, lr=setting.rate, weight_decay=setting.decay, fused=True),
        after_step=press.step,
        batch=lambda raw: raw,
        amp=name in fashion.BFLOAT16,
        seed=seed,
        checkpoint=path.with_suffix(".checkpoint"),
        checkpoint_every=100,
        name=path.stem,
    )
    without_dead_biases(model)
    bp.torch.convert(model, example_inputs=(x[:2],)).save(path)
    path.with_suffix(".json").write_text(json.dumps(asdict(setting)))
    return path


def without_dead_biases(model: nn.Sequential) -> None:
    """Set the biases of units that nothing reads to zero: they cost bytes and change no output."""
    layers = [layer for layer in model if isinstance(layer, (nn.Linear, nn.Conv2d))]
    with torch.no_grad():
        for layer, after in pairwise(layers):
            read = after.weight != 0
            units = read.reshape(len(read), layer.weight.shape[0], -1).any(2).any(0)
            layer.parametrizations.bias.original.masked_fill_(~units, 0)


def deep(name: str, seed: int, start: nn.Module, folder: Path, epochs: tuple[int, int]) -> Path:
    """Deep Compression's file of a baseline."""
    path = folder / f"{name}-deep-compression-{seed}.safetensors"
    if not path.exists():
        x, y = fashion.images("train")
        model = fashion.network(name, dropout=0.28)  # the paper's rule: the root of the share that survives
        model.load_state_dict(start.state_dict())
        rows = fashion.Rows(x, y, 128, seed=seed)
        fit = {
            "optimizer": lambda group: torch.optim.AdamW(group, lr=1e-3, weight_decay=0.0, fused=True),
            "amp": name in fashion.BFLOAT16,
        }
        press = {"keep": KEEP[name], "bits": BITS[name], "epochs": epochs, "seed": seed, "example_inputs": (x[:2],)}
        bp.torch.deep_compression(model, rows, **press, **fit).save(path)
    return path


def measured(name: str, path: Path, part: str) -> tuple[float, int]:
    """Accuracy of a file, opened and run, and its bytes."""
    x, y = fashion.images(part)
    session = bp.Session(path)
    (value,) = session.inputs
    outputs = [next(iter(session.run({value.name: rows.numpy()}).values())) for rows in x.split(500)]
    return float((np.concatenate(outputs).argmax(1) == y.numpy()).mean()), path.stat().st_size
