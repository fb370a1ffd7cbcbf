"""What a data loader yields, made one shape: inputs, labels where there are any, and where the teacher's answer is
kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Batch", "Loader", "Split", "call", "length", "split", "to_device"]

Loader = Iterable[Any]
Split = Callable[[Any], tuple[Any, "Tensor | None"]]
_LABELS = ("labels", "label", "target", "targets")


@dataclass(frozen=True)
class Batch:
    """``inputs``: a tensor, a tuple (positional) or a mapping (keywords) of them. ``labels``: None where there are
    none.

    ``soft``: the teacher's outputs for these rows, where they were computed before.
    """

    inputs: Any
    labels: Tensor | None = None
    soft: Tensor | None = None


def split(raw: Any) -> tuple[Any, Tensor | None]:
    """Inputs and labels of what most loaders yield: ``x``, ``(x,)``, ``(x, y)``, or a mapping with or without
    ``labels``.

    Anything else is a TypeError that asks for ``batch=``, a callable of one's own with this signature.
    """
    if isinstance(raw, Tensor):
        return raw, None
    if isinstance(raw, Mapping):
        labels = next((raw[key] for key in _LABELS if raw.get(key) is not None), None)
        return {key: value for key, value in raw.items() if key not in _LABELS}, labels
    if isinstance(raw, (tuple, list)) and len(raw) in (1, 2):
        return raw[0], raw[1] if len(raw) == 2 else None
    what = f"{type(raw).__name__} of {len(raw)}" if isinstance(raw, (tuple, list)) else type(raw).__name__
    raise TypeError(f"the loader yields a {what}: pass batch=, a function that makes (inputs, labels or None) of it")


def to_device(value: Any, device: torch.device) -> Any:
    """Every tensor in (nested) tuples, lists and mappings, moved."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: to_device(item, device) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(to_device(item, device) for item in value)
    return value


def call(model: nn.Module, inputs: Any) -> Tensor:
    """The model's logits: its output, or the ``logits`` of a structured one."""
    if isinstance(inputs, Mapping):
        outputs = model(**inputs)
    elif isinstance(inputs, (tuple, list)):
        outputs = model(*inputs)
    else:
        outputs = model(inputs)
    outputs = getattr(outputs, "logits", outputs)
    if not isinstance(outputs, Tensor):
        raise TypeError(f"{type(model).__name__} returns a {type(outputs).__name__}: a tensor of logits is needed")
    return outputs


def length(loader: Loader) -> int | None:
    """Batches an epoch, where the loader says."""
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader over an iterable dataset without a length
        return None
