"""Pruning inside training: the smallest weights become zero and stay zero while the rest learns on."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from ..methods.magnitude import below, find_border

__all__ = ["PruningMasks"]


class PruningMasks:
    """Which weights of a module live, chosen once by magnitude (Han et al. 2015, arXiv:1506.02626); the others are
    set to 0.

    Exactly ``round(sparsity * elements)`` of the weights that ``patterns`` name and ``ignore`` does not are pruned,
    over all of them together, or in each tensor where ``per_tensor``. Among equal magnitudes the earlier one goes
    first. ``apply_`` after each step of an optimizer keeps them zero: ``fit(module, loader,
    after_step=masks.apply_)``.
    """

    def __init__(
        self,
        module: nn.Module,
        sparsity: float,
        *,
        patterns: Iterable[str] = ("*weight",),
        ignore: Iterable[str] = (),
        per_tensor: bool = False,
    ) -> None:
        if not 0 <= sparsity < 1:
            raise ValueError(f"sparsity must be at least 0 and below 1, not {sparsity}")
        patterns, ignore = tuple(patterns), tuple(ignore)
        self.weights = {
            name: weight
            for name, weight in module.named_parameters()
            if weight.dim() > 1
            and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
            and not any(fnmatch.fnmatchcase(name, pattern) for pattern in ignore)
        }
        if not self.weights:
            raise ValueError(f"no weight with two or more dimensions matches {', '.join(patterns)}")
        groups = [[name] for name in self.weights] if per_tensor else [list(self.weights)]
        self.masks: dict[str, torch.Tensor] = {}
        for names in groups:
            self.masks |= self._choose(names, sparsity)
        self.apply_()

    def _choose(self, names: list[str], sparsity: float) -> dict[str, torch.Tensor]:
        """Which weights stay, by the border that ``bp.compress`` would find."""

        def read(name: str) -> tuple[npt.NDArray[Any], str]:
            return self.weights[name].detach().float().cpu().numpy(), "F32"

        border = find_border(names, read, sparsity)
        masks = {}
        for name in names:
            weight = self.weights[name]
            alive = ~below(border, *read(name), name)
            masks[name] = torch.from_numpy(alive).reshape(weight.shape).to(weight.device)
        return masks

    @torch.no_grad()
    def apply_(self) -> None:
        """Set the pruned weights to zero again."""
        for name, mask in self.masks.items():
            self.weights[name].masked_fill_(~mask, 0)

    @property
    def zeros(self) -> int:
        """How many weights are pruned."""
        return sum(int((~mask).sum()) for mask in self.masks.values())
