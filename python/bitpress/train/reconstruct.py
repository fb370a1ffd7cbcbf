"""Block reconstruction: rounding and steps learned against what the block of the exact network gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import SchemeError, TrainingError
from ..scheme import Integer
from .batches import to_device
from .pressed import Pressed
from .randomness import isolated, seed_all
from .steps import SMALLEST

__all__ = ["Reconstructed", "reconstruct"]

LOW, HIGH = -0.1, 1.1  # what a sigmoid is stretched to, so that 0 and 1 are reached


@dataclass(frozen=True)
class Reconstructed:
    """One block: the mean squared error of its output, rounded to nearest and as it is now."""

    block: str
    before: float
    after: float


class _Soft(nn.Module):
    """One layer's weight between its two neighbouring codes, and its steps, while both are learned."""

    def __init__(self, pressed: Pressed, weight: Tensor) -> None:
        super().__init__()
        assert pressed.runs is not None
        self.pressed, self.runs, values = pressed, pressed.runs, pressed.runs.values
        self.low, self.high = float(values.symmetric and values.bits > 1), 2.0**values.bits - 1
        place = (weight / self.runs.spread(pressed.steps()) + self.runs.spread(pressed.zeros)).detach()
        self.below = place.floor()
        part = (place - self.below - LOW) / (HIGH - LOW)
        self.rounding = nn.Parameter(torch.logit(part.clamp(1e-4, 1 - 1e-4)))
        self.offset = nn.Parameter(torch.zeros_like(pressed.base))

    def share(self) -> Tensor:
        """How far each weight is toward the upper code, 0 to 1."""
        return (torch.sigmoid(self.rounding) * (HIGH - LOW) + LOW).clamp(0, 1)

    def steps(self) -> Tensor:
        return (self.pressed.steps().detach() * self.offset.exp()).clamp_min(SMALLEST)

    def weight(self, share: Tensor) -> Tensor:
        codes = (self.below + share).clamp(self.low, self.high)
        return self.runs.spread(self.steps()) * (codes - self.runs.spread(self.pressed.zeros))

    @torch.no_grad()
    def settle(self, weight: Tensor) -> None:
        """The learned codes and steps become the layer's own."""
        hard = (self.share() >= 0.5).to(weight.dtype)
        weight.copy_(self.weight(hard))
        self.pressed.base.copy_(self.steps())
        self.pressed.offset.zero_()


def reconstruct(
    exact: nn.Module,
    module: nn.Module,
    inputs: Sequence[Tensor],
    *,
    blocks: Sequence[str] | None = None,
    steps: int = 400,
    rate: float = 3e-2,
    penalty: float = 0.1,
    batch: int = 64,
    seed: int = 0,
) -> list[Reconstructed]:
    """Learn how a prepared module is rounded, block by block, from some inputs without labels; `convert` follows.

    ``exact``: the network before ``prepare``. ``inputs``: tensors of one argument each, of rows that go together in a
    batch. ``blocks``: names of sub-modules of one input and one tensor as output, in the order in which they run; by
    default the children of the module. Each learns, on what the pressed network feeds it, to give what the exact one
    gives: the codes (each weight's lower or upper neighbour, by a stretched sigmoid that ``penalty`` drives to one of
    them) and the steps, by Adam at ``rate`` for ``steps`` batches of ``batch`` rows. A block that is not better then,
    rounded, over all inputs, keeps its start. Masks stay. Memory: a block's inputs and outputs over all ``inputs``.

    Sources: AdaRound (Nagel et al. 2020, arXiv:2004.10568), BRECQ (Li et al. 2021, arXiv:2102.05426). Raises
    SchemeError where no block is prepared or a name is unknown, TrainingError where outputs are not finite.
    """
    names = [name for name, _ in module.named_children()] if blocks is None else list(blocks)
    done = []
    with isolated():
        seed_all(seed)
        for name in names:
            try:
                block, model = module.get_submodule(name), exact.get_submodule(name)
            except AttributeError:
                raise SchemeError(f"{type(module).__name__} has no block {name!r}") from None
            layers = _layers(block)
            if layers:
                fed, _ = _seen(module, block, inputs)
                _, wanted = _seen(exact, model, inputs)
                done.append(_learn(name, block, layers, (fed, wanted), (steps, rate, penalty, batch)))
    if not done:
        raise SchemeError("no block has a weight that is prepared with integer values")
    return done


def _layers(block: nn.Module) -> dict[str, tuple[Pressed, nn.Parameter]]:
    """The block's pressed weights by the name of what is learned, each once."""
    found: dict[str, tuple[Pressed, nn.Parameter]] = {}
    owner: Any
    for prefix, owner in block.named_modules():
        for attribute, chain in getattr(owner, "parametrizations", {}).items():
            part = chain[0]
            rounds = isinstance(part, Pressed) and isinstance(part.scheme.values, Integer)
            if rounds and not any(part is other for other, _ in found.values()):
                found[f"{prefix}.parametrizations.{attribute}.original".lstrip(".")] = part, chain.original
    return found


@torch.no_grad()
def _seen(module: nn.Module, block: nn.Module, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What a block is fed and what it gives, over all inputs, rows together."""
    pairs: list[tuple[Tensor, Tensor]] = []
    handle = block.register_forward_hook(lambda _, fed, given: pairs.append((fed[0].detach(), given.detach())))
    where = next(module.parameters()).device
    try:
        module.eval()
        for rows in inputs:
            module(to_device(rows, where))
    finally:
        handle.remove()
    if not pairs:
        raise SchemeError("the network does not run one of its blocks")
    fed, given = (torch.cat([pair[place] for pair in pairs]) for place in (0, 1))
    if not bool(torch.isfinite(given).all()):
        raise TrainingError("a block's outputs hold NaN or infinity")
    return fed, given


def _learn(
    name: str,
    block: nn.Module,
    layers: dict[str, tuple[Pressed, nn.Parameter]],
    data: tuple[Tensor, Tensor],
    how: tuple[int, float, float, int],
) -> Reconstructed:
    (fed, wanted), (steps, rate, penalty, batch) = data, how
    for pressed, weight in layers.values():
        pressed.begin(weight)
    before = _error(block, fed, wanted)
    soft = {key: _Soft(pressed, weight) for key, (pressed, weight) in layers.items()}
    learned = [parameter for each in soft.values() for parameter in each.parameters()]
    optimizer = torch.optim.Adam(learned, lr=rate)
    scale = float(wanted.square().mean().clamp_min(1e-12))
    start = {key: [tensor.detach().clone() for tensor in _state(*layer)] for key, layer in layers.items()}
    for pressed, _ in layers.values():
        pressed.active.fill_(False)  # the forward pass takes the weights that are given, under their masks
    for step in range(steps):
        rows = torch.randint(len(fed), (min(batch, len(fed)),))
        shares = {key: each.share() for key, each in soft.items()}
        given = functional_call(block, {key: soft[key].weight(share) for key, share in shares.items()}, (fed[rows],))
        loss = (given - wanted[rows]).square().mean() / scale
        warm = step / max(1, steps)
        if warm >= 0.2:  # then the exponent falls from 20 to 2, so that all weights decide
            power = 20 - 18 * (warm - 0.2) / 0.8
            for share in shares.values():
                loss = loss + penalty * (1 - (2 * share - 1).abs().pow(power)).mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
    for key, (pressed, weight) in layers.items():
        soft[key].settle(weight)
        pressed.active.fill_(True)
    after = _error(block, fed, wanted)
    if not after < before:
        with torch.no_grad():
            for key, layer in layers.items():
                for tensor, old in zip(_state(*layer), start[key], strict=True):
                    tensor.copy_(old)
        after = before
    return Reconstructed(name, before, after)


def _state(pressed: Pressed, weight: nn.Parameter) -> tuple[Tensor, ...]:
    return weight, pressed.base, pressed.offset


@torch.no_grad()
def _error(block: nn.Module, fed: Tensor, wanted: Tensor) -> float:
    total = 0.0
    for start in range(0, len(fed), 256):
        end = start + 256
        total += float((block(fed[start:end]) - wanted[start:end]).square().sum())
    return total / max(1, wanted.numel())
