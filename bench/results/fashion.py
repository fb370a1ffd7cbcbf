"""Fashion-MNIST for the results: who learns from what, and the two networks of Deep Compression with strong baselines.

Of the 60,000 training images 5,000 are for validation, the same for every seed; accuracy is reported on the first 5,000
test images, which only the last stage reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitpress.demo.data import FASHION_MNIST, read_idx

__all__ = [
    "BFLOAT16",
    "NETWORKS",
    "Rows",
    "baseline",
    "check_parts",
    "fitted",
    "images",
    "key_of",
    "network",
    "parameters",
    "teacher",
]

VALIDATION = 5_000
NETWORKS = ("lenet-300-100", "lenet-5")
EPOCHS = {"lenet-300-100": 60, "lenet-5": 18}
TEACHER_EPOCHS = 12
BFLOAT16 = ("lenet-5", "teacher")  # what computes in bfloat16 while it learns, for speed; weights stay float32


def rows_of(part: str) -> tuple[str, np.ndarray]:
    """The file ("train" or "t10k") and the rows of it that "train", "validation" or "test" are."""
    if part == "test":
        return "t10k", np.arange(5_000)
    order = np.random.default_rng(0).permutation(60_000)
    return "train", order[VALIDATION:] if part == "train" else order[:VALIDATION]


def images(part: str) -> tuple[Tensor, Tensor]:
    """Pixels 0..1, float32 [rows, 1, 28, 28], and labels of "train" (55,000 rows), "validation" or "test" (5,000)."""
    prefix, rows = rows_of(part)
    files = [FASHION_MNIST / f"{prefix}-{kind}.gz" for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    pixels, labels = (read_idx(file) for file in files)
    x = torch.from_numpy(pixels[rows].astype(np.float32) / 255)[:, None]
    return x, torch.from_numpy(labels[rows].astype(np.int64))


def check_parts() -> None:
    """No image is in two of the parts: those learned from, those that settings are picked by, those judged on."""
    parts = [{(prefix, int(row)) for row in rows} for prefix, rows in map(rows_of, ("train", "validation", "test"))]
    assert [len(part) for part in parts] == [55_000, VALIDATION, 5_000]
    assert len(set().union(*parts)) == sum(map(len, parts)), "an image is in two parts"


class Rows:
    """Batches of (pixels, labels) in an order drawn anew each epoch; with ``soft``, (pixels, labels, soft targets).

    ``flip``: half of the images are mirrored. ``soft`` is [2, rows, classes] then, the second for mirrored ones.
    """

    def __init__(
        self, x: Tensor, y: Tensor, batch: int, *, seed: int = 0, flip: bool = False, soft: Tensor | None = None
    ) -> None:
        self.x, self.y, self.batch, self.flip, self.soft = x, y, batch, flip, soft
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.x) // self.batch

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for rows in torch.randperm(len(self.x), generator=self.generator).split(self.batch)[: len(self)]:
            x, mirrored = self.x[rows], torch.zeros(len(rows), dtype=torch.long)
            if self.flip:
                mirrored = torch.randint(2, (len(rows),), generator=self.generator)
                x = torch.where(mirrored[:, None, None, None] == 1, x.flip(3), x)
            x = x[:, 0, :, :, None].permute(0, 3, 1, 2)  # strides that tell convolutions to work channels last
            yield (x, self.y[rows]) if self.soft is None else (x, self.y[rows], self.soft[mirrored, rows])


def network(name: str, *, dropout: float = 0.0) -> nn.Sequential:
    """LeNet-300-100 (266,610 parameters) or Caffe's LeNet-5 (431,080), as in Deep Compression (arXiv:1510.00149).

    ``dropout``: the share of the baseline's rates.
    """
    if name == "lenet-300-100":
        return nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.1 * dropout),
            nn.Linear(784, 300),
            nn.ReLU(),
            nn.Dropout(0.3 * dropout),
            nn.Linear(300, 100),
            nn.ReLU(),
            nn.Dropout(0.2 * dropout),
            nn.Linear(100, 10),
        )
    if name == "lenet-5":
        return nn.Sequential(
            nn.Conv2d(1, 20, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 50, 5),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.25 * dropout),
            nn.Linear(800, 500),
            nn.ReLU(),
            nn.Dropout(0.5 * dropout),
            nn.Linear(500, 10),
        ).to(memory_format=torch.channels_last)  # a quarter faster on one core
    if name == "teacher":
        layers: list[nn.Module] = []
        for before, after in ((1, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        head = [nn.Flatten(), nn.Dropout(0.3 * dropout), nn.Linear(1152, 10)]
        return nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)
    raise ValueError(f"no network {name}; there are: {', '.join(NETWORKS)}")


def key_of(setting: Any) -> str:
    """What tells settings, of any dataclass, in names of files."""
    return hashlib.sha256(json.dumps(asdict(setting), sort_keys=True).encode()).hexdigest()[:8]


def parameters(name: str) -> int:
    """How many."""
    return sum(parameter.numel() for parameter in network(name).parameters())


def baseline(name: str, seed: int, folder: Path) -> nn.Module:
    """The strong baseline of a seed: AdamW with decay, dropout, a cosine. Kept in ``folder``; a killed run goes on."""
    return _trained(name, seed, folder / f"{name}-baseline-{seed}.pt", EPOCHS[name], rate=1e-3)


def teacher(folder: Path) -> nn.Module:
    """A convolutional network of 104,426 parameters, three layers with batch normalization, from mirrored images too.

    Kept in ``folder``.
    """
    return _trained("teacher", 0, folder / "teacher.pt", TEACHER_EPOCHS, rate=3e-3, flip=True)


def _trained(name: str, seed: int, path: Path, epochs: int, *, rate: float, flip: bool = False) -> nn.Module:
    torch.manual_seed(seed)
    model = network(name, dropout=1.0)
    return fitted(
        model,
        lambda: Rows(*images("train"), 128, seed=seed, flip=flip),
        path,
        seed,
        rate=rate,
        decay=0.05,
        epochs=epochs,
        amp=name in BFLOAT16,
        checkpoint_every=100,
    )


def fitted(
    model: nn.Module, rows: Callable[[], Rows], path: Path, seed: int, *, rate: float, decay: float, **options: Any
) -> nn.Module:
    """The model with the weights of ``path``; where there are none yet, trained by AdamW and kept there.

    ``options``: those of `bitpress.torch.fit`. A killed run goes on from the checkpoint beside ``path``.
    """
    import bitpress as bp

    if not path.exists():
        bp.torch.fit(
            model,
            rows(),
            optimizer=lambda group: torch.optim.AdamW(group, lr=rate, weight_decay=decay, fused=True),
            seed=seed,
            checkpoint=path.with_suffix(".checkpoint"),
            progress=None,
            name=path.stem,
            **options,
        )
        torch.save(model.state_dict(), path)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()
