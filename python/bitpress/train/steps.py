"""Learned steps: a tensor rounded to integer codes in the forward pass, as a file would give it back.

The arithmetic is docs/format.md's, section 4, so that what training sees is what ``convert`` stores, bit for bit. The
gradient is that of LSQ (Esser et al. 2020, "Learned step size quantization", arXiv:1902.08153): straight through the
rounding inside the range of codes, and of the step itself, scaled by 1 / sqrt(elements * largest code).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..runs import scale_index
from ..scheme import Granularity, Integer

__all__ = ["SMALLEST", "Runs", "codes_of", "fit_steps", "rounded"]

SMALLEST = 2.0**-126
"""The least scale that a file holds."""


class Runs:
    """Which elements of a tensor share a step: shapes of steps that broadcast, and sums over the elements of each."""

    def __init__(self, shape: tuple[int, ...], values: Integer) -> None:
        self.shape, self.values = shape, values
        self._along = [1] * len(shape)
        if values.granularity is Granularity.AXIS:
            self._along[values.axis] = shape[values.axis]
        self._index: Tensor | None = None
        self.count = 1
        if values.granularity is Granularity.AXIS:
            self.count = shape[values.axis]
        elif values.granularity is Granularity.GROUP:
            index = torch.from_numpy(scale_index(shape, values).reshape(-1).copy())
            self._index, self.count = index, int(index.max()) + 1

    def spread(self, steps: Tensor) -> Tensor:
        """Steps [scales] so that they broadcast over the elements."""
        if self._index is not None:
            return steps[self._index.to(steps.device)].reshape(self.shape)
        return steps.reshape(self._along)

    def sums(self, elements: Tensor) -> Tensor:
        """The sum of each run, [scales], of a tensor of the elements' shape."""
        if self._index is not None:
            total = torch.zeros(self.count, dtype=elements.dtype, device=elements.device)
            return total.index_add_(0, self._index.to(elements.device), elements.reshape(-1))
        if self.values.granularity is Granularity.TENSOR:
            return elements.sum().reshape(1)
        others = [axis for axis in range(len(self.shape)) if axis != self.values.axis]
        return elements.sum(others) if others else elements.clone()


def _limits(values: Integer) -> tuple[float, float]:
    """The least code and the greatest."""
    return float(values.symmetric and values.bits > 1), 2.0**values.bits - 1


def codes_of(x: Tensor, steps: Tensor, zeros: Tensor, values: Integer) -> tuple[Tensor, Tensor]:
    """The codes nearest to elements, as whole floats of their shape, and where none lay beyond the least or greatest.

    ``steps`` and ``zeros`` broadcast over ``x``; all are float32.
    """
    low, high = _limits(values)
    whole = zeros.floor()
    free = torch.round(x / steps + (zeros - whole)) + whole
    codes = free.clamp(low, high)
    return codes, free == codes


class _Rounded(torch.autograd.Function):
    """``step * (code - zero)`` of each element."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: Tensor, zeros: Tensor, runs: Runs) -> Tensor:
        spread, zero = runs.spread(steps), runs.spread(zeros)
        codes, inside = codes_of(x, spread, zero, runs.values)
        ctx.save_for_backward(x, spread, codes - zero, inside)
        ctx.runs = runs
        return spread * (codes - zero)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, spread, distance, inside = ctx.saved_tensors
        runs: Runs = ctx.runs
        of_step = runs.sums(gradient * torch.where(inside, distance - x / spread, distance))
        share = max(1.0, x.numel() / runs.count * max(1, 2 ** (runs.values.bits - 1) - 1))
        return gradient * inside, of_step / math.sqrt(share), None, None


def rounded(x: Tensor, steps: Tensor, zeros: Tensor, runs: Runs) -> Tensor:
    """Elements as their codes give them back; ``steps`` and ``zeros`` are [scales]. Differentiable in both."""
    result: Tensor = _Rounded.apply(x, steps, zeros, runs)  # type: ignore[no-untyped-call]
    return result


@torch.no_grad()
def fit_steps(x: Tensor, runs: Runs, alive: Tensor | None = None, rounds: int = 20) -> tuple[Tensor, Tensor]:
    """Steps and zeros, [scales] each, of a small squared error of the elements that are ``alive`` (all by default).

    Codes to steps and steps to codes by turns, each time the best for the other (Lloyd), from LSQ's beginning on.
    An affine run spans its least to greatest, and its zero is the code that stands for 0. A run without a live element
    that is not 0 gets the mean step of the others, or 1.
    """
    values = runs.values
    kept = x if alive is None else torch.where(alive, x, torch.zeros_like(x))
    weight = torch.ones_like(x) if alive is None else alive.to(x.dtype)
    count = runs.sums(weight).clamp_min(1)
    if values.symmetric:
        zeros = torch.full((runs.count,), 0.5 if values.bits == 1 else 2.0 ** (values.bits - 1), device=x.device)
        steps = 2 * runs.sums(kept.abs()) / count / math.sqrt(max(1, 2 ** (values.bits - 1) - 1))
        for _ in range(rounds):
            codes, _ = codes_of(kept, runs.spread(steps).clamp_min(SMALLEST), runs.spread(zeros), values)
            distance = (codes - runs.spread(zeros)) * weight
            square = runs.sums(distance * distance)
            steps = torch.where(square > 0, runs.sums(distance * kept) / square.clamp_min(1e-30), steps)
    else:
        low, high = _extent(kept, runs)
        steps = (high - low) / (2.0**values.bits - 1)
        zeros = torch.round(-low / steps.clamp_min(SMALLEST)).clamp(0, 2.0**values.bits - 1)
    live = steps > SMALLEST
    spare = steps[live].mean() if bool(live.any()) else steps.new_tensor(1.0)
    return torch.where(live, steps, spare).float(), zeros.float()


def _extent(x: Tensor, runs: Runs) -> tuple[Tensor, Tensor]:
    """The least of each run, at most 0, and the greatest, at least 0."""
    index = torch.from_numpy(scale_index(runs.shape, runs.values).reshape(-1).copy()).to(x.device)
    low, high = (torch.zeros(runs.count, device=x.device) for _ in range(2))
    low.scatter_reduce_(0, index, x.reshape(-1), "amin")
    high.scatter_reduce_(0, index, x.reshape(-1), "amax")
    return low, high
