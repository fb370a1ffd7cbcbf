"""Distillation: a small network learns from a large one's answers, and the report says what that gave."""

from __future__ import annotations

import copy
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from .batches import Batch, Loader, Split, call, length, split
from .cache import with_teacher
from .loop import (
    History,
    LabelLoss,
    MakeOptimizer,
    MakeScheduler,
    Metric,
    Objective,
    adamw,
    cosine,
    evaluate,
    supervised,
)
from .loss import accuracy, cross_entropy, distillation_loss
from .progress import OnProgress, reporter
from .randomness import generators_of, isolated
from .run import Run

__all__ = ["Report", "Result", "SoftLoss", "distill", "fit", "taught"]

SoftLoss = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


@dataclass(frozen=True)
class Result:
    """One network on the test set. ``seconds``: of its training steps; 0 epochs: it came trained."""

    name: str
    parameters: int
    bytes: int
    metric: float
    loss: float
    epochs: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class Report:
    """Teacher, student alone and student distilled, in this order; ``student_alone`` is the control, trained on
    labels."""

    results: tuple[Result, ...]
    metric: str
    temperature: float
    alpha: float
    seed: int
    student_alone: nn.Module | None = field(default=None, repr=False, compare=False)

    def __getitem__(self, name: str) -> Result:
        return next(result for result in self.results if result.name == name)

    @property
    def gain(self) -> float | None:
        """The distilled student's metric less that of the student alone; None where there was no such control."""
        return self["distilled"].metric - self["alone"].metric if self.student_alone is not None else None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        settings = {"metric": self.metric, "temperature": self.temperature, "alpha": self.alpha, "seed": self.seed}
        return {"results": [asdict(result) for result in self.results], **settings, "gain": self.gain}

    def __str__(self) -> str:
        head = f"{'network':<18}{'parameters':>12}{'bytes':>12}{self.metric:>10}{'loss':>9}"
        head += f"{'epochs':>8}{'steps':>8}{'seconds':>9}"
        names = {"teacher": "teacher", "alone": "student alone", "distilled": "student distilled"}
        rows = [
            f"{names[r.name]:<18}{r.parameters:>12,}{r.bytes:>12,}{r.metric:>10.4f}{r.loss:>9.4f}"
            f"{r.epochs:>8}{r.steps:>8}{r.seconds:>9.1f}"
            for r in self.results
        ]
        return "\n".join([head, *rows])


def _size(model: nn.Module) -> tuple[int, int]:
    tensors = [value for value in model.state_dict().values() if isinstance(value, Tensor)]
    return sum(p.numel() for p in model.parameters()), sum(t.numel() * t.element_size() for t in tensors)


def _shape(model: nn.Module) -> str:
    """A network's make in a line: two of other tensors have other ones."""
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    return f"{type(model).__name__} of {_size(model)[0]} parameters ({zlib.crc32(repr(shapes).encode()):08x})"


def taught(teacher: nn.Module, soft_loss: SoftLoss) -> Objective:
    """The objective of a student: its outputs, and ``soft_loss`` of them against the teacher's on the very same inputs.

    Both see one view of each input, augmentations included: the "consistent" half of Beyer et al. 2022, "Knowledge
    distillation: a good teacher is patient and consistent". TrainingError where the teacher answers with NaN or
    infinity.
    """

    def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        soft = batch.soft
        if soft is None:
            with torch.no_grad():
                soft = call(teacher, batch.inputs)
        if not bool(torch.isfinite(soft).all()):
            raise TrainingError("the teacher's outputs hold NaN or infinity")
        outputs = call(model, batch.inputs)
        return soft_loss(outputs, soft, batch.labels), outputs

    return objective


def fit(
    model: nn.Module,
    loader: Loader,
    *,
    epochs: int,
    objective: Objective | None = None,
    optimizer: MakeOptimizer = adamw,
    scheduler: MakeScheduler | None = cosine,
    metric: Metric | None = accuracy,
    batch: Split = split,
    device: str | torch.device | None = None,
    seed: int = 0,
    max_grad_norm: float | None = None,
    after_step: Callable[[], None] | None = None,
    adapters: nn.Module | None = None,
    amp: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    progress: bool | OnProgress | None = None,
    name: str = "fit",
) -> History:
    """Train ``model`` in place on a loader and return losses, metrics, steps and seconds.

    ``objective(model, batch)`` gives a loss and the outputs; by default cross entropy with the labels. The other
    options are ``distill``'s. ``after_step`` is called after every step of the optimizer (``Press.step`` or
    ``PruningMasks.apply_``, say). ``adapters``: modules of the objective that learn along (``Mixture.adapters``).
    ``amp``: products in bfloat16 by torch's autocast, for a GPU that is fast at them; weights and steps stay float32.
    """
    options = {"optimizer": optimizer, "scheduler": scheduler, "metric": metric, "batch": batch, "device": device}
    settings = {"epochs": epochs, "seed": seed, "network": _shape(model)}
    with isolated(), reporter(progress) as report:
        run = Run(checkpoint, checkpoint_every, settings, {}, [loader], report)
        return run.train(
            name,
            model,
            loader,
            objective=objective or supervised(),
            epochs=epochs,
            seed=seed,
            max_grad_norm=max_grad_norm,
            after_step=after_step,
            adapters=adapters,
            amp=amp,
            **options,
        )


def distill(
    teacher: nn.Module,
    student: nn.Module,
    *,
    transfer: Loader,
    test: Loader,
    train: Loader | None = None,
    labelled: Loader | None = None,
    temperature: float = 2.0,
    alpha: float = 0.5,
    epochs: int = 30,
    teacher_epochs: int | None = None,
    alone_epochs: int | None = None,
    compare: bool = True,
    optimizer: MakeOptimizer = adamw,
    teacher_optimizer: MakeOptimizer | None = None,
    scheduler: MakeScheduler | None = cosine,
    soft_loss: SoftLoss | None = None,
    label_loss: LabelLoss = cross_entropy,
    metric: Metric = accuracy,
    batch: Split = split,
    device: str | torch.device | None = None,
    seed: int = 0,
    max_grad_norm: float | None = None,
    cache_teacher: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    progress: bool | OnProgress | None = None,
) -> Report:
    """Train ``student`` in place from ``teacher``'s answers, and judge teacher, student alone and student distilled.

    1. The teacher learns on ``train`` (labelled) for ``teacher_epochs`` (``epochs`` by default). Without ``train`` it
       is taken as it is.
    2. Control: a copy of the student as it came learns from labels alone on ``labelled`` (by default: ``transfer``
       where it yields labels, else ``train``), for ``alone_epochs``; by default for as many steps as the distilled
       one gets. ``compare=False`` leaves it out.
    3. The student learns on ``transfer`` with ``distillation_loss(temperature, alpha)``; batches without labels, and
       rows whose label is -100, learn from the teacher alone.
    4. Each is judged once on ``test``, which nothing else looks at.

    Loaders yield ``x``, ``(x, y)`` or mappings; ``batch`` makes ``(inputs, labels or None)`` of anything else.
    ``optimizer`` makes one from parameters (``teacher_optimizer``: the teacher's, where another); ``scheduler`` makes
    one from the optimizer and the count of steps, and is stepped at each. ``metric(outputs, labels)``: a batch's
    mean. ``soft_loss(student, teacher, labels)`` replaces ``distillation_loss``. ``cache_teacher`` asks the teacher
    once a row: for transfer data without augmentation.

    ``seed`` seeds torch, numpy and random at the start of each training; the caller's state is put back at the end.
    ``checkpoint`` is written after each epoch and every ``checkpoint_every`` steps; a run that finds it goes on and
    ends bit for bit as if it had never stopped (with one thread: several may sum otherwise from run to run).
    ``progress``: True for a bar, False for none, or a callable.

    Sources: Hinton, Vinyals and Dean 2015 (arXiv:1503.02531); Beyer et al. 2022 (arXiv:2106.05237). Raises
    TrainingError where a loss is not finite, ValueError or TypeError for loaders and options that do not fit.
    """
    if soft_loss is None:
        soft_loss = partial(distillation_loss, temperature=temperature, alpha=alpha)
        soft_loss(torch.zeros(1, 2), torch.zeros(1, 2), None)  # refuses bad options before hours of teaching
    where = torch.device(device) if device is not None else next(student.parameters()).device
    shared: dict[str, Any] = {"optimizer": optimizer, "scheduler": scheduler, "metric": metric, "device": where}
    shared |= {"seed": seed, "max_grad_norm": max_grad_norm}
    labels = {"objective": supervised(label_loss), "batch": batch}
    settings: dict[str, Any] = {"temperature": temperature, "alpha": alpha, "epochs": epochs, "seed": seed}
    settings |= {"compare": compare, "cache_teacher": cache_teacher}
    settings |= {"teacher": _shape(teacher), "student": _shape(student)}
    test_options: dict[str, Any] = {"loss": label_loss, "metric": metric, "batch": batch, "device": where}
    results: list[Result] = []

    def judge(name: str, model: nn.Module, history: History) -> None:
        seen = evaluate(model, test, **test_options)
        epochs_done = len(history.losses)
        results.append(Result(name, *_size(model), seen.metric, seen.loss, epochs_done, history.steps, history.seconds))

    with isolated(), reporter(progress) as report:
        initial = {key: value.detach().clone() for key, value in student.state_dict().items()}
        loaders = [train, labelled, transfer]
        run = Run(checkpoint, checkpoint_every, settings, initial, loaders, report)
        student.load_state_dict(run.keep)
        history = History()
        if train is not None:
            rest = {**shared, "optimizer": teacher_optimizer or optimizer}
            history = run.train("teacher", teacher, train, epochs=teacher_epochs or epochs, **labels, **rest)
        teacher.to(where).eval()
        judge("teacher", teacher, history)

        alone = copy.deepcopy(student) if compare else None
        if alone is not None:
            source = labelled if labelled is not None else _labels_of(transfer, train, batch)
            fair = alone_epochs or _same_steps(transfer, source, epochs)
            judge("alone", alone, run.train("alone", alone, source, epochs=fair, **labels, **shared))

        split_transfer = batch
        if cache_teacher and "distilled" not in run.done:
            transfer, split_transfer = with_teacher(teacher, transfer, batch, where)
        objective = taught(teacher, soft_loss)
        history = run.train(
            "distilled", student, transfer, epochs=epochs, objective=objective, batch=split_transfer, **shared
        )
        judge("distilled", student, history)
    return Report(tuple(results), metric.__name__, temperature, alpha, seed, alone)


def _labels_of(transfer: Loader, train: Loader | None, batch: Split) -> Loader:
    with isolated(generators_of([transfer])):
        has_labels = batch(next(iter(transfer)))[1] is not None
    if not has_labels and train is None:
        raise ValueError("the student alone has nothing to learn from: pass labelled=, or compare=False")
    return transfer if has_labels or train is None else train


def _same_steps(transfer: Loader, source: Loader, epochs: int) -> int:
    """Epochs over ``source`` that come to at least as many steps as ``epochs`` over ``transfer``."""
    steps, of_source = length(transfer), length(source)
    return math.ceil(epochs * steps / of_source) if steps and of_source else epochs
