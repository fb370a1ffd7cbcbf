"""The loss that a student learns with: soft targets, mixed with labels where there are any."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["UNLABELLED", "accuracy", "at_least_float32", "cross_entropy", "distillation_loss"]

UNLABELLED = -100
"""A label that says "none": torch's own ``ignore_index``."""


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor | None = None,
    *,
    temperature: float = 2.0,
    alpha: float = 0.5,
) -> Tensor:
    """``alpha * T**2 * KL(teacher/T || student/T) + (1 - alpha) * cross_entropy``, a mean over rows.

    Logits are ``(..., classes)``, both of one shape; ``labels`` are whole numbers of shape ``(...)``. A row without a
    label (``labels`` is None, or ``UNLABELLED`` there) learns from the soft target alone, with weight 1. ``T**2``
    keeps the gradient's size when the temperature changes (Hinton, Vinyals and Dean 2015, "Distilling the knowledge
    in a neural network", section 2.1). Raises ValueError for shapes that differ, ``temperature <= 0``, ``alpha``
    outside 0..1.
    """
    if student_logits.shape != teacher_logits.shape:
        shapes = f"{tuple(student_logits.shape)}, the teacher's {tuple(teacher_logits.shape)}"
        raise ValueError(f"the student's logits are {shapes}: they must agree")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be 0..1, not {alpha}")
    classes = student_logits.shape[-1]
    student = at_least_float32(student_logits).reshape(-1, classes)
    teacher = teacher_logits.reshape(-1, classes).to(student.dtype)
    soft = (
        F.kl_div(
            F.log_softmax(student / temperature, 1),
            F.log_softmax(teacher / temperature, 1),
            reduction="none",
            log_target=True,
        ).sum(1)
        * temperature**2
    )
    if labels is None:
        return soft.mean()
    flat = labels.reshape(-1)
    hard = F.cross_entropy(student, flat, ignore_index=UNLABELLED, reduction="none")
    return torch.where(flat == UNLABELLED, soft, alpha * soft + (1 - alpha) * hard).mean()


def at_least_float32(logits: Tensor) -> Tensor:
    """Logits as float32 where they are narrower: under autocast ``log_softmax`` would keep 8 bits of its answers."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of logits ``(..., classes)`` under whole labels ``(...)``, ``UNLABELLED`` ones left out."""
    return F.cross_entropy(outputs.reshape(-1, outputs.shape[-1]), labels.reshape(-1), ignore_index=UNLABELLED)


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest logit is the label's; rows without a label do not count. NaN where no row has one."""
    known = labels != UNLABELLED
    right = (outputs.argmax(-1) == labels) & known
    count = int(known.sum())
    return int(right.sum()) / count if count else float("nan")
