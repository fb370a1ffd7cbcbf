"""The training loop: any model, loader, optimizer and schedule; stopped anywhere, it goes on bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from ..errors import TrainingError
from .batches import Batch, Loader, Split, call, length, split, to_device
from .loss import UNLABELLED, accuracy, cross_entropy
from .progress import OnProgress, Progress
from .randomness import read_state, seed_all, write_state

__all__ = [
    "Evaluation",
    "History",
    "LabelLoss",
    "Metric",
    "Objective",
    "Trainer",
    "adamw",
    "cosine",
    "evaluate",
    "supervised",
]

Metric = Callable[[Tensor, Tensor], "Tensor | float"]
LabelLoss = Callable[[Tensor, Tensor], Tensor]
Objective = Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeScheduler = Callable[[Optimizer, int], LRScheduler]


def adamw(parameters: Iterable[nn.Parameter]) -> Optimizer:
    """AdamW, learning rate 0.003, decay 0.01."""
    return torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.01)


def cosine(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Linear warm-up over the first 5% of ``steps``, then half a cosine down to zero."""
    warm = max(1, steps // 20)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    return LambdaLR(optimizer, factor)


@dataclass
class _Mean:
    """A mean over rows, gathered batch by batch. Plain numbers, so that a checkpoint can hold it."""

    total: float = 0.0
    rows: int = 0

    def add(self, value: float, rows: int) -> None:
        if rows:
            self.total += value * rows
            self.rows += rows

    @property
    def value(self) -> float | None:
        return self.total / self.rows if self.rows else None


@dataclass
class History:
    """What a run did: a loss and a metric (None without labels) an epoch, ``seconds`` of training in all."""

    losses: list[float] = field(default_factory=list)
    metrics: list[float | None] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """Means over ``rows`` labelled rows."""

    loss: float
    metric: float
    rows: int


def _labelled(labels: Tensor) -> int:
    return int((labels != UNLABELLED).sum())


def _device_of(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def evaluate(
    model: nn.Module,
    loader: Loader,
    *,
    loss: LabelLoss = cross_entropy,
    metric: Metric = accuracy,
    batch: Split = split,
    device: str | torch.device | None = None,
) -> Evaluation:
    """Loss and metric over a labelled loader, in eval mode, which the model leaves again.

    ``metric(outputs, labels)`` gives a batch's mean; batches are weighted by their labelled rows. Raises ValueError
    where no row has a label.
    """
    where = torch.device(device) if device is not None else _device_of(model)
    losses, metrics, training = _Mean(), _Mean(), model.training
    model.to(where).eval()
    try:
        with torch.no_grad():
            for raw in loader:
                inputs, labels = to_device(batch(raw), where)
                rows = _labelled(labels) if labels is not None else 0
                if rows:
                    outputs = call(model, inputs)
                    losses.add(float(loss(outputs, labels)), rows)
                    metrics.add(float(metric(outputs, labels)), rows)
    finally:
        model.train(training)
    if losses.value is None or metrics.value is None:
        raise ValueError("the loader to evaluate on yields no labels")
    return Evaluation(losses.value, metrics.value, losses.rows)


def supervised(loss: LabelLoss = cross_entropy) -> Objective:
    """The objective that learns from labels alone; ValueError for a batch without them."""

    def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        if batch.labels is None:
            raise ValueError("learning from labels needs a loader that yields them")
        outputs = call(model, batch.inputs)
        return loss(outputs, batch.labels), outputs

    return objective


@dataclass
class Trainer:
    """One model's training. ``state`` and ``restore`` hold and put back all of it, between any two steps.

    Exact resumption needs what most loaders keep: their randomness comes from torch, numpy, random or a
    ``torch.Generator`` named in ``generators``, and iterating them again from the same random state gives the same
    batches.
    """

    name: str
    model: nn.Module
    loader: Loader
    objective: Objective
    epochs: int
    optimizer: MakeOptimizer = adamw
    scheduler: MakeScheduler | None = cosine
    metric: Metric | None = accuracy
    batch: Split = split
    device: str | torch.device | None = None
    seed: int = 0
    max_grad_norm: float | None = None
    generators: list[torch.Generator] = field(default_factory=list)
    after_step: Callable[[], None] | None = None
    adapters: nn.Module | None = None
    amp: bool = False
    report: OnProgress | None = None
    save: Callable[[], None] | None = None
    save_every: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"{self.name}: epochs must be at least 1, not {self.epochs}")
        if iter(self.loader) is self.loader:
            raise ValueError(
                f"{self.name}: the loader can be read only once: pass one that starts anew at every iter()"
            )
        if self.save and getattr(self.loader, "persistent_workers", False):
            raise ValueError(f"{self.name}: persistent workers keep random state that a checkpoint cannot hold")
        self._where = torch.device(self.device) if self.device is not None else _device_of(self.model)
        self.model.to(self._where)
        seed_all(self.seed)
        self._steps_an_epoch = length(self.loader)
        learned = nn.ModuleList([self.model] if self.adapters is None else [self.model, self.adapters.to(self._where)])
        self._optimizer = self.optimizer(learned.parameters())
        self._schedule = self._make_schedule()
        self.history = History()
        self._position = 0  # steps done in this epoch
        self._epoch_start = read_state(self.generators)
        self._loss, self._metric = _Mean(), _Mean()

    def _make_schedule(self) -> LRScheduler | None:
        if self.scheduler is None:
            return None
        if self._steps_an_epoch is None:
            raise ValueError(
                f"{self.name}: the loader has no length: pass scheduler=None or one that needs no step count"
            )
        return self.scheduler(self._optimizer, self._steps_an_epoch * self.epochs)

    def run(self) -> History:
        """Train to the end and return what happened. TrainingError where the loss is not finite."""
        while len(self.history.losses) < self.epochs:
            self.model.train()
            for raw in self._batches():
                began = time.perf_counter()
                inputs, labels, *soft = to_device(self.batch(raw), self._where)
                self._step(Batch(inputs, labels, *soft))
                self.history.seconds += time.perf_counter() - began
                if self.save and self.save_every and self.history.steps % self.save_every == 0:
                    self.save()
            self._end_epoch()
        self.model.eval()
        return self.history

    def _batches(self) -> Iterator[Any]:
        """The rest of this epoch: what a run before a checkpoint has seen is drawn again and dropped."""
        if self._position == 0:
            self._epoch_start = read_state(self.generators)
            yield from self.loader
            return
        now = read_state(self.generators)
        write_state(self._epoch_start, self.generators)
        batches = iter(self.loader)
        for _ in range(self._position):
            if next(batches, batches) is batches:
                raise ValueError(f"{self.name}: the loader yields fewer batches than when the checkpoint was made")
        write_state(now, self.generators)
        yield from batches

    def _step(self, batch: Batch) -> None:
        with torch.autocast(self._where.type, torch.bfloat16, enabled=self.amp):
            loss, outputs = self.objective(self.model, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            where = f"epoch {len(self.history.losses) + 1}, step {self._position + 1}"
            raise TrainingError(
                f"{self.name}: the loss is {value} at {where}: lower the learning rate, or look for it in the data"
            )
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        self._optimizer.step()
        if self._schedule is not None:
            self._schedule.step()
        if self.after_step is not None:
            self.after_step()
        self._position += 1
        self.history.steps += 1
        self._loss.add(value, len(outputs))
        if self.metric is not None and batch.labels is not None and (rows := _labelled(batch.labels)):
            self._metric.add(float(self.metric(outputs.detach(), batch.labels)), rows)
        if self.report is not None:
            self.report(self._progress())

    def _progress(self) -> Progress:
        epoch = len(self.history.losses) + 1
        steps, loss = self._steps_an_epoch, self._loss.value or 0.0
        return Progress(
            self.name, epoch, self.epochs, self._position, steps, self.history.steps, loss, self._metric.value
        )

    def _end_epoch(self) -> None:
        if self._loss.value is None:
            raise ValueError(f"{self.name}: the loader yields nothing")
        self.history.losses.append(self._loss.value)
        self.history.metrics.append(self._metric.value)
        self._position, self._loss, self._metric = 0, _Mean(), _Mean()
        if self.save:
            self.save()

    def state(self) -> dict[str, Any]:
        """Everything that decides the next step, in types that ``torch.load(weights_only=True)`` takes."""
        return {
            "model": self.model.state_dict(),
            "adapters": None if self.adapters is None else self.adapters.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict() if self._schedule is not None else None,
            "history": asdict(self.history),
            "position": self._position,
            "means": [asdict(self._loss), asdict(self._metric)],
            "epoch_start": self._epoch_start,
            "now": read_state(self.generators),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what ``state`` gave, into a Trainer made with the same arguments."""
        self.model.load_state_dict(state["model"])
        if self.adapters is not None:
            self.adapters.load_state_dict(state["adapters"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._schedule is not None:
            self._schedule.load_state_dict(state["schedule"])
        self.history = History(**state["history"])
        self._position = state["position"]
        self._loss, self._metric = (_Mean(**mean) for mean in state["means"])
        self._epoch_start = state["epoch_start"]
        write_state(state["now"], self.generators)
