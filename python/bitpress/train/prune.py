"""Pruning inside training: the smallest weights become zero and stay zero while the rest learns on."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["PruningMasks"]


class PruningMasks:
    """Which weights of a module live, chosen once by magnitude (Han et al. 2015, arXiv:1506.02626); the others are
    set to 0.

    Exactly ``round(sparsity * elements)`` of the weights that ``patterns`` name and ``ignore`` does not are pruned,
    over all of them together, or in each tensor where ``per_tensor``. Among equal magnitudes the later one goes
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
        flat = torch.cat([self.weights[name].detach().abs().reshape(-1) for name in names])
        if not bool(torch.isfinite(flat).all()):
            raise ValueError(f"cannot prune: {', '.join(names)} hold NaN or infinity")
        order = torch.sort(flat, descending=True, stable=True).indices
        alive = torch.ones_like(flat, dtype=torch.bool)
        alive[order[len(flat) - round(sparsity * len(flat)) :]] = False
        sizes = [self.weights[name].numel() for name in names]
        parts = zip(names, torch.split(alive, sizes), strict=True)
        return {name: part.reshape(self.weights[name].shape) for name, part in parts}

    @torch.no_grad()
    def apply_(self) -> None:
        """Set the pruned weights to zero again."""
        for name, mask in self.masks.items():
            self.weights[name].masked_fill_(~mask, 0)

    @property
    def zeros(self) -> int:
        """How many weights are pruned."""
        return sum(int((~mask).sum()) for mask in self.masks.values())
