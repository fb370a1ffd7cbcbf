"""``bitpress.torch``: training in torch. Importing this imports torch; ``import bitpress`` does not."""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError("bitpress.torch needs torch: pip install 'bitpress[torch]'", name="torch") from None

from .train.distill import Report, Result, distill, fit
from .train.loop import Evaluation, History, cosine, evaluate
from .train.loss import UNLABELLED, accuracy, cross_entropy, distillation_loss
from .train.progress import Progress
from .train.prune import PruningMasks

__all__ = [
    "UNLABELLED",
    "Evaluation",
    "History",
    "Progress",
    "PruningMasks",
    "Report",
    "Result",
    "accuracy",
    "cosine",
    "cross_entropy",
    "distill",
    "distillation_loss",
    "evaluate",
    "fit",
]
