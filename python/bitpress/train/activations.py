"""Activations rounded while a network learns, for runtimes that multiply integers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..scheme import Integer
from .steps import SMALLEST, Runs, fit_steps, rounded

__all__ = ["RoundedInput", "remove_rounded_inputs", "round_inputs"]

_NAME = "rounded_input"


class RoundedInput(nn.Module):
    """A layer's input on 2**bits levels, one learned step for all of it; where 0 is, the first batch tells.

    The state is in the state dict, as that of weights: ``base * exp(offset)`` is the step.
    """

    base: Tensor
    zeros: Tensor
    ready: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.values = Integer(bits, symmetric=False)
        self.register_buffer("base", torch.ones(1))
        self.register_buffer("zeros", torch.zeros(1))
        self.register_buffer("ready", torch.tensor(False))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """What the layer reads instead, of the same shape."""
        runs = Runs(tuple(x.shape), self.values)
        if not bool(self.ready):
            steps, zeros = fit_steps(x.detach().float(), runs)
            self.base.copy_(steps)
            self.zeros.copy_(zeros)
            self.ready.fill_(True)
        return rounded(x, (self.base * self.offset.exp()).clamp_min(SMALLEST), self.zeros, runs)


def _round_input(layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (getattr(layer, _NAME)(inputs[0]), *inputs[1:])


def round_inputs(layer: nn.Module, bits: int) -> None:
    """From now on the first input of ``layer`` is rounded; once, however often this is called."""
    if not hasattr(layer, _NAME):
        device = next(layer.parameters()).device
        layer.add_module(_NAME, RoundedInput(bits).to(device))
        layer.register_forward_pre_hook(_round_input)


def remove_rounded_inputs(module: nn.Module) -> None:
    """Undo it in every layer."""
    for layer in module.modules():
        if isinstance(getattr(layer, _NAME, None), RoundedInput):
            delattr(layer, _NAME)
            hooks = layer._forward_pre_hooks
            for key in [key for key, hook in hooks.items() if hook is _round_input]:
                del hooks[key]
