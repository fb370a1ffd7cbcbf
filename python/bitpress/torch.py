"""``bitpress.torch``: training in torch. Importing this imports torch; ``import bitpress`` does not."""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError("bitpress.torch needs torch: pip install 'bitpress[torch]'", name="torch") from None

from .train.convert import convert
from .train.deep_compression import deep_compression
from .train.distill import Report, Result, distill, fit
from .train.loop import Evaluation, History, cosine, evaluate
from .train.loss import UNLABELLED, accuracy, cross_entropy, distillation_loss
from .train.losses import Mixture, Term, attention, decoupled, hint, kl, relational
from .train.packed import PressReport, press_
from .train.prepare import Press, prepare
from .train.progress import Progress
from .train.prune import PruningMasks
from .train.rate import coded_bits
from .train.reconstruct import Reconstructed, reconstruct
from .train.schedules import Cubic, Lottery, OneShot, Schedule
from .train.sensitivity import sensitivity

__all__ = [
    "UNLABELLED",
    "Cubic",
    "Evaluation",
    "History",
    "Lottery",
    "Mixture",
    "OneShot",
    "Press",
    "PressReport",
    "Progress",
    "PruningMasks",
    "Reconstructed",
    "Report",
    "Result",
    "Schedule",
    "Term",
    "accuracy",
    "attention",
    "coded_bits",
    "convert",
    "cosine",
    "cross_entropy",
    "decoupled",
    "deep_compression",
    "distill",
    "distillation_loss",
    "evaluate",
    "fit",
    "hint",
    "kl",
    "prepare",
    "press_",
    "reconstruct",
    "relational",
    "sensitivity",
]
