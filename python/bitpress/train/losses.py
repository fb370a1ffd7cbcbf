"""What a student can learn from a teacher: losses of logits and of features, and any mix of them by layer name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import TrainingError
from .batches import Batch, call
from .loss import UNLABELLED, at_least_float32, cross_entropy, distillation_loss

__all__ = ["Mixture", "Term", "attention", "decoupled", "hint", "kl", "relational"]

FeatureLoss = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


def kl(student: Tensor, teacher: Tensor, labels: Tensor | None = None, *, temperature: float = 2.0) -> Tensor:
    """``T**2 * KL(teacher/T || student/T)``, a mean over rows (Hinton, Vinyals and Dean 2015). ``labels``: unused."""
    return distillation_loss(student, teacher, None, temperature=temperature, alpha=1.0)


def decoupled(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor | None,
    *,
    target: float = 1.0,
    others: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """DKD: the KL of "the label or not" times ``target``, and that among the other classes times ``others``.

    Logits are [rows, classes], labels [rows]; rows without a label do not count, and the mean is over the others. With
    ``others`` equal to the teacher's probability of the wrong classes it would be plain ``kl``. Source: Zhao et al.
    2022, "Decoupled knowledge distillation" (arXiv:2203.08679). ValueError without labels.
    """
    if labels is None:
        raise ValueError("decoupled distillation needs labels")
    known = labels != UNLABELLED
    if not bool(known.any()):
        return student.sum() * 0
    labels = labels[known]
    student, teacher = (at_least_float32(logits[known]) / temperature for logits in (student, teacher))
    right = F.one_hot(labels, student.shape[1]).bool()
    logs = []
    for logits in (student, teacher):
        whole = F.log_softmax(logits, 1)
        hit = whole[right]
        rest = torch.logsumexp(whole.masked_fill(right, -torch.inf), 1)
        among = F.log_softmax(logits.masked_fill(right, -torch.inf), 1).masked_fill(right, 0.0)
        logs.append((torch.stack([hit, rest], 1), among, right))
    (binary, among, _), (binary_t, among_t, _) = logs
    of_target = F.kl_div(binary, binary_t, reduction="none", log_target=True).sum(1)
    weights = among_t.exp().masked_fill(right, 0.0)
    of_others = (weights * (among_t - among)).sum(1)
    return (target * of_target + others * of_others).mean() * temperature**2


def hint(student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
    """Mean squared difference of features of one shape: FitNets (Romero et al. 2015, arXiv:1412.6550).

    Where the shapes differ, give the ``Term`` an adapter that makes the student's features the teacher's shape.
    """
    if student.shape != teacher.shape:
        shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"the features have the shapes {shapes}: give the term an adapter")
    return F.mse_loss(student, teacher)


def attention(student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
    """Attention transfer: where features [rows, channels, height, width] are strong, whatever their channels.

    Maps are means of squares over channels, of length 1 each; the loss is the mean squared difference, summed over a
    map. Maps of different sizes are averaged to the smaller. Source: Zagoruyko and Komodakis 2017 (arXiv:1612.03928).
    """
    if student.dim() != 4 or teacher.dim() != 4:
        raise ValueError("attention needs features [rows, channels, height, width]")
    size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
    maps = [
        F.normalize(F.adaptive_avg_pool2d(x.square().mean(1, keepdim=True), size).flatten(1))
        for x in (student, teacher)
    ]
    return (maps[0] - maps[1]).square().sum(1).mean()


def relational(
    student: Tensor, teacher: Tensor, labels: Tensor | None = None, *, distance: float = 1.0, angle: float = 2.0
) -> Tensor:
    """RKD: distances between rows (over their mean) and angles of triples of rows, under Huber's loss.

    Features [rows, ...] of any two sizes; memory rows**3 for angles (leave them out with ``angle=0``). Source: Park et
    al. 2019 (arXiv:1904.05068).
    """
    rows = [x.flatten(1) for x in (student, teacher)]
    loss = student.sum() * 0
    if distance:
        pairs = [_distances(x) for x in rows]
        loss = loss + distance * F.smooth_l1_loss(pairs[0], pairs[1])
    if angle:
        angles = [_angles(x) for x in rows]
        loss = loss + angle * F.smooth_l1_loss(angles[0], angles[1])
    return loss


def _distances(x: Tensor) -> Tensor:
    squares = (x[:, None] - x[None]).square().sum(2)
    far = squares.clamp_min(1e-12).sqrt() * (1 - torch.eye(len(x), device=x.device))
    return far / (far.sum() / max(1, len(x) * (len(x) - 1))).clamp_min(1e-12)


def _angles(x: Tensor) -> Tensor:
    directions = F.normalize(x[None] - x[:, None], dim=2)
    return torch.einsum("ijd,ikd->ijk", directions, directions)


@dataclass(frozen=True)
class Term:
    """One part of a mix: ``weight * loss(student, teacher, labels)`` of two layers' outputs; of the logits where a
    layer is not named. ``adapter``: a module that makes the student's features comparable, trained along."""

    loss: FeatureLoss
    weight: float = 1.0
    student: str | None = None
    teacher: str | None = None
    adapter: nn.Module | None = None


class Mixture:
    """An objective for ``fit``: ``labels`` times cross entropy with the labels, and the terms.

    ``teacher``: asked live, in eval mode, for the very inputs of the student; None where all terms are of logits and
    the batches bring the teacher's (``batch`` splits into inputs, labels and them). With adapters, pass
    ``fit(..., adapters=mixture.adapters)`` too. Rows without a label learn from the terms alone. TrainingError where
    the teacher answers with NaN or infinity.
    """

    def __init__(self, teacher: nn.Module | None, terms: Sequence[Term], *, labels: float = 0.5) -> None:
        self.teacher, self.terms, self.labels = teacher, tuple(terms), labels
        self.adapters = nn.ModuleList(term.adapter for term in self.terms if term.adapter is not None)
        if teacher is None and any(term.teacher is not None for term in self.terms):
            raise ValueError("terms of the teacher's layers need the teacher itself")

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and the student's outputs."""
        outputs, mine = _run(model, batch.inputs, [term.student for term in self.terms])
        logits = batch.soft
        theirs: dict[str, Tensor] = {}
        if self.teacher is not None and (logits is None or any(term.teacher for term in self.terms)):
            with torch.no_grad():
                logits, theirs = _run(self.teacher.eval(), batch.inputs, [term.teacher for term in self.terms])
        if logits is None:
            raise ValueError("the batches bring no teacher's outputs, and there is no teacher to ask")
        if not bool(torch.isfinite(logits).all()):
            raise TrainingError("the teacher's outputs hold NaN or infinity")
        known = batch.labels is not None and bool((batch.labels != UNLABELLED).any())
        loss = outputs.sum() * 0
        if known and self.labels and batch.labels is not None:
            loss = loss + self.labels * cross_entropy(outputs, batch.labels)
        for term in self.terms:
            student = outputs if term.student is None else mine[term.student]
            student = student if term.adapter is None else term.adapter(student)
            teacher = logits if term.teacher is None else theirs[term.teacher]
            loss = loss + term.weight * term.loss(student, teacher, batch.labels)
        return loss, outputs


def _run(model: nn.Module, inputs: Any, layers: Sequence[str | None]) -> tuple[Tensor, dict[str, Tensor]]:
    features: dict[str, Tensor] = {}
    with _watched(model, {name for name in layers if name is not None}, features):
        outputs = call(model, inputs)
    return outputs, features


@contextmanager
def _watched(model: nn.Module, layers: set[str], features: dict[str, Tensor]) -> Iterator[None]:
    """While it lasts, the outputs of these sub-modules are put into ``features``."""

    def keep(name: str, module: nn.Module, inputs: Any, outputs: Any) -> None:
        features[name] = outputs

    handles = []
    try:
        for name in sorted(layers):
            try:
                module = model.get_submodule(name)
            except AttributeError:
                raise ValueError(f"{type(model).__name__} has no layer {name!r}") from None
            handles.append(module.register_forward_hook(partial(keep, name)))
        yield
    finally:
        for handle in handles:
            handle.remove()
