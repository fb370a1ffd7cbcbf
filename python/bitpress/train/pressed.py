"""One tensor while it is trained under a scheme: its mask, its steps, and what the forward pass sees of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import SchemeError
from ..recipe import Rule
from ..scheme import Granularity, Integer, Scheme, Structure
from ..tensor import PackedTensor, pack
from .steps import SMALLEST, Runs, codes_of, fit_steps, rounded

__all__ = ["Pressed", "held"]


def held(rule: Rule, name: str, shape: tuple[int, ...], channel_axis: int) -> Scheme:
    """The scheme that a tensor gets from a rule; SchemeError where it cannot hold it."""
    scheme, values = rule.scheme, rule.scheme.values
    if scheme.structure is Structure.NM and math.prod(shape) % scheme.pattern[1]:
        raise SchemeError(f"{name}: {math.prod(shape)} elements are no whole groups of {scheme.pattern[1]}")
    if isinstance(values, Integer):
        if values.granularity is Granularity.AXIS:
            axis = channel_axis if rule.channel else values.axis
            if axis >= len(shape):
                raise SchemeError(f"{name}: no axis {axis} in a tensor of {len(shape)} dimensions")
            scheme = replace(scheme, values=replace(values, axis=axis))
        if rule.prunes and not scheme.is_sparse and values.symmetric and values.bits == 1:
            raise SchemeError(f"{name}: one symmetric bit has no zero: prune under a bitmap (sparse)")
    return scheme


class Pressed(nn.Module):
    """A parametrization: from the weight that is learned to the one that the file would give.

    All that a checkpoint needs is in its state dict: ``mask``, ``base`` and ``offset`` (a step is
    ``base * exp(offset)``, so that an optimizer moves it by shares of itself and decay pulls it to where it began),
    ``zeros``, whether rounding is ``active``, the ``clock``, and the weights to ``rewind`` to.
    """

    mask: Tensor | None
    rewind: Tensor | None
    active: Tensor
    clock: Tensor
    base: Tensor
    zeros: Tensor
    offset: nn.Parameter

    def __init__(self, weight: Tensor, rule: Rule, scheme: Scheme, name: str, *, rewinds: bool) -> None:
        super().__init__()
        if not bool(torch.isfinite(weight).all()):
            raise SchemeError(f"{name}: NaN or infinity cannot be pressed")
        self.name, self.rule, self.scheme = name, rule, scheme
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool) if rule.prunes else None)
        self.register_buffer("rewind", weight.detach().clone() if rewinds and rule.prunes else None)
        self.register_buffer("active", torch.tensor(False))
        self.register_buffer("clock", torch.tensor(0))
        self.runs: Runs | None = None
        if isinstance(scheme.values, Integer):
            self.runs = Runs(tuple(weight.shape), scheme.values)
            steps, zeros = fit_steps(weight.detach(), self.runs)
            self.register_buffer("base", steps)
            self.register_buffer("zeros", zeros)
            self.offset = nn.Parameter(torch.zeros_like(steps))

    def steps(self) -> Tensor:
        """The steps, [scales], above 0."""
        return (self.base * self.offset.exp()).clamp_min(SMALLEST)

    def begin(self, weight: Tensor) -> None:
        """From now on the forward pass rounds, with steps that fit the weights as they are."""
        if self.runs is not None and not bool(self.active):
            steps, zeros = fit_steps(weight.detach(), self.runs, self.mask)
            self.base.copy_(steps)
            self.zeros.copy_(zeros)
            self.active.fill_(True)

    def forward(self, weight: Tensor) -> Tensor:
        """What the file would give back for a weight, of its shape."""
        value = weight
        if self.runs is not None and bool(self.active):
            value = rounded(weight, self.steps(), self.zeros, self.runs)
        return value if self.mask is None else torch.where(self.mask, value, torch.zeros_like(value))

    @torch.no_grad()
    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The codes and the zero of each element, as whole floats (a zero of 1/2 under one symmetric bit)."""
        assert self.runs is not None
        zeros = self.runs.spread(self.zeros)
        return codes_of(weight, self.runs.spread(self.steps()), zeros, self.runs.values)[0], zeros

    @torch.no_grad()
    def packed(self, weight: Tensor) -> PackedTensor:
        """The tensor as it is stored. A bitmap leaves out what is pruned and what was rounded to zero."""
        scheme = self.scheme
        if self.runs is None:
            return pack(self(weight).cpu().numpy() + np.float32(0), scheme, name=self.name)
        self.begin(weight)
        codes, zeros = self.codes(weight)
        alive = codes != zeros
        if self.mask is not None:
            codes = torch.where(self.mask, codes, zeros.floor().expand_as(codes))
            alive &= self.mask
        values = self.runs.values
        options: dict[str, Any] = {}
        if scheme.is_sparse:
            options["mask"] = alive.cpu().numpy()
        if not values.symmetric:
            options["zeros"] = self.zeros.cpu().numpy().astype(values.code_dtype)
        scales = self.steps().cpu().numpy()
        return PackedTensor.from_codes(codes.cpu().numpy().astype(values.code_dtype), scales, scheme, **options)
