"""The demo's networks in torch: teachers, and students of operators that any runtime has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from .data import Part

__all__ = ["loader", "one_thread", "student", "teacher"]


def teacher(name: str) -> nn.Module:
    """The teacher for a set of that name: two wide convolutions and a hidden layer, with dropout."""
    if name == "digits":  # 1 x 8 x 8
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * 16, 128),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(128, 10),
        )
    return nn.Sequential(  # 1 x 28 x 28
        nn.Conv2d(1, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(32 * 49, 128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, 10),
    )


def student(name: str) -> nn.Module:
    """The student: a tenth of the teacher's weights or fewer."""
    if name == "digits":
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 9, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def loader(part: Part, size: int, *, labels: bool = True, shuffle: bool = True) -> DataLoader[Any]:
    """Batches ``(x, y)`` of a part in memory, or ``(x,)`` without ``labels``."""
    tensors = [torch.from_numpy(part.x), *([torch.from_numpy(part.y)] if labels else [])]
    return DataLoader(TensorDataset(*tensors), batch_size=size, shuffle=shuffle)


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread: networks this small gain nothing from two, and the same seed then gives the same bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
