"""The teacher's answers, asked for once: for transfer data that is the same in every epoch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from .batches import Loader, Split, call, to_device

__all__ = ["with_teacher"]


class _Numbered(Dataset[Any]):
    """A dataset that also tells each row's number."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.dataset[index], index


class _Collate:
    """The loader's own collate function, with the rows' numbers beside (a class, so that workers can be spawned)."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, rows: list[tuple[Any, int]]) -> tuple[Any, Tensor]:
        return self.collate([row for row, _ in rows]), torch.tensor([index for _, index in rows])


def with_teacher(teacher: nn.Module, loader: Loader, batch: Split, device: torch.device) -> tuple[Loader, Split]:
    """A loader of the same batches in the same order, and what splits one into inputs, labels and the teacher's
    outputs.

    The teacher runs once over the whole dataset, in eval mode. TypeError where the loader is no DataLoader over a
    dataset that can be indexed. Memory: one row of outputs a row of data, on the CPU.
    """
    if (
        not isinstance(loader, DataLoader)
        or isinstance(loader.dataset, IterableDataset)
        or loader.batch_sampler is None
    ):
        raise TypeError("cache_teacher needs a torch DataLoader, in batches, over a dataset that can be indexed")
    collate = loader.collate_fn
    ordered: DataLoader[Any] = DataLoader(
        loader.dataset, batch_size=loader.batch_size or 64, collate_fn=collate, num_workers=loader.num_workers
    )
    teacher.to(device).eval()
    with torch.no_grad():
        answers = torch.cat([call(teacher, to_device(batch(raw)[0], device)).cpu() for raw in ordered])
    if len(answers) != len(loader.dataset):  # type: ignore[arg-type]
        raise TypeError("cache_teacher needs one row of the teacher's outputs for each row of the dataset")
    numbered: DataLoader[Any] = DataLoader(
        _Numbered(loader.dataset),
        batch_sampler=loader.batch_sampler,
        collate_fn=_Collate(collate),
        num_workers=loader.num_workers,
        generator=loader.generator,
        worker_init_fn=loader.worker_init_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        multiprocessing_context=loader.multiprocessing_context,
    )

    def split_numbered(raw: Any) -> tuple[Any, Tensor | None, Tensor]:
        rows, numbers = raw
        inputs, labels = batch(rows)
        return inputs, labels, answers[numbers]

    return numbered, split_numbered  # type: ignore[return-value]
