"""Rate in the loss: how many bits the codes of a prepared module take, so that training can trade them for error."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..scheme import Integer
from .prepare import pressed_in
from .pressed import Pressed

__all__ = ["coded_bits", "code_lengths"]


def code_lengths(codes: Tensor, zero: int, bits: int, smoothing: float) -> Tensor:
    """Bits of each of the ``2**bits`` codes under the statistics of ``codes`` (whole numbers, any shape), [2**bits].

    Frequencies are mixed with a share ``smoothing`` of a distribution that halves with each step from ``zero``: no code
    is ever out of reach, or the wall between 0 and its neighbours would keep all weights where they are.
    """
    counts = torch.bincount(codes.reshape(-1).long(), minlength=2**bits).double()
    spread = torch.exp2(-(torch.arange(2**bits, device=codes.device) - zero).abs().double().clamp_max(64))
    share = (1 - smoothing) * counts / counts.sum().clamp_min(1) + smoothing * spread / spread.sum()
    return -torch.log2(share.clamp_min(2.0**-64)).float()


def _bits(pressed: Pressed, weight: Tensor, smoothing: float) -> Tensor:
    """The bits of one tensor's codes; those that are pruned count as zeros, and have no gradient."""
    assert pressed.runs is not None
    values = pressed.runs.values
    fixed, zeros = pressed.codes(weight)
    if pressed.mask is not None:
        fixed = torch.where(pressed.mask, fixed, zeros.floor().expand_as(fixed))
    zero = round(float(pressed.zeros.float().median()))
    lengths = code_lengths(fixed, zero, values.bits, smoothing)
    low = float(values.symmetric and values.bits > 1)
    high = 2.0**values.bits - 1
    place = (weight / pressed.runs.spread(pressed.steps()) + zeros).clamp(low, high)
    below = place.detach().floor().clamp(max=high - 1)
    part = place - below
    each = (1 - part) * lengths[below.long()] + part * lengths[below.long() + 1]
    if pressed.mask is None:
        return each.sum()
    alive = pressed.mask.to(each.dtype)
    return (each * alive).sum() + (1 - alive).sum() * lengths[zero]


def coded_bits(module: nn.Module, *, smoothing: float = 0.01) -> Tensor:
    """A differentiable count of the bits that a prepared module's codes take, all layers together: a scalar.

    Add it to the loss, times lambda: weights then move to codes that are common in their layer, above all to 0. The
    statistics of a layer are those of its codes now (its zeros, pruned ones too, among them), taken anew at each call.
    Where every weight stands on a code, it is the cross entropy of the codes under the smoothed statistics: at least
    what an ideal coder of order 0 takes, adaptive tables aside. Between two codes it is interpolated: what rounding up
    or down at random would cost on average. Scales, zeros and the file around them are not counted; kept tensors
    neither.

    Source: entropy in the loss as in Oktay et al. 2020 (arXiv:1906.06624), with counted instead of learned statistics.
    """
    parts = [
        _bits(pressed, weight, smoothing)
        for pressed, weight in pressed_in(module)
        if isinstance(pressed.scheme.values, Integer)
    ]
    return torch.stack(parts).sum() if parts else torch.zeros(())
