"""prepare: a module whose weights are pruned and rounded by a recipe while it learns."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import SchemeError, UnsupportedError
from ..methods.magnitude import below, find_border
from ..methods.patterns import kept
from ..recipe import Recipe, Rule
from ..scheme import Integer, Structure
from .activations import round_inputs
from .pressed import Pressed, held
from .schedules import OneShot, Schedule

__all__ = ["Press", "names_of", "prepare", "pressed_in"]

Place = tuple[Any, str]  # a module and the name of its parameter
_OPS = (
    ((nn.Linear, nn.Bilinear), "Gemm", 0),
    ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), "ConvTranspose", 1),
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), "Conv", 0),
    ((nn.Embedding, nn.EmbeddingBag), "Gather", 0),
)


def _read_by(owner: nn.Module, attribute: str) -> tuple[str, int]:
    """The operator that reads a parameter in the exported graph, as recipes call it, and the output channels' axis."""
    if attribute == "weight":
        for kinds, op, axis in _OPS:
            if isinstance(owner, kinds):
                return op, axis
    return "", 0


def _places(module: nn.Module) -> dict[str, list[Place]]:
    """Each parameter by its first name, with every place that it has: more than one where it is tied."""
    names: dict[int, str] = {}
    places: dict[str, list[Place]] = {}
    for prefix, owner in module.named_modules():  # a shared sub-module comes once
        for attribute, parameter in owner.named_parameters(recurse=False):
            name = names.setdefault(id(parameter), f"{prefix}.{attribute}" if prefix else attribute)
            places.setdefault(name, []).append((owner, attribute))
    return places


class Press:
    """What ``prepare`` gives: to be told of each step of the optimizer (``fit(..., after_step=press.step)``).

    Its state is in the module's state dict, so that a checkpoint of the module holds it.
    """

    def __init__(
        self, module: nn.Module, schedule: Schedule, quantize_at: int, strengths: Mapping[str, Tensor] | None = None
    ) -> None:
        self.schedule, self.quantize_at, self.strengths = schedule, quantize_at, dict(strengths or {})
        self._module = weakref.ref(module)

    @property
    def layers(self) -> dict[str, tuple[Pressed, Tensor]]:
        """Each pressed tensor's parametrization and the weight that is learned, by the tensor's name."""
        module = self._module()
        return {} if module is None else {pressed.name: (pressed, weight) for pressed, weight in pressed_in(module)}

    @property
    def clock(self) -> int:
        """Steps done."""
        return max((int(pressed.clock) for pressed, _ in self.layers.values()), default=0)

    @property
    def zeros(self) -> int:
        """How many weights are pruned."""
        return sum(int((~pressed.mask).sum()) for pressed, _ in self.layers.values() if pressed.mask is not None)

    @torch.no_grad()
    def step(self) -> None:
        """Call after each step of the optimizer."""
        layers = self.layers
        for pressed, _ in layers.values():
            pressed.clock += 1
        self._act(layers, self.clock)

    @torch.no_grad()
    def _act(self, layers: dict[str, tuple[Pressed, Tensor]], clock: int) -> None:
        for rule, names in _groups(layers):
            if rule.threshold is not None:
                share = rule.threshold if clock == 0 else None
            else:
                share = self.schedule.share(clock, rule.sparsity or 0.0)
            if share is not None:
                _prune(layers, rule, names, share, self.strengths)
                if self.schedule.rewind is not None and clock > 0:
                    for name in names:
                        _go_back(*layers[name])
        if self.schedule.rewind == clock:
            for pressed, weight in layers.values():
                if pressed.rewind is not None:
                    pressed.rewind.copy_(weight)
        if clock >= self.quantize_at:
            for pressed, weight in layers.values():
                pressed.begin(weight)


def _go_back(pressed: Pressed, weight: Tensor) -> None:
    assert pressed.rewind is not None
    weight.copy_(pressed.rewind)


def _mask(pressed: Pressed) -> Tensor:
    assert pressed.mask is not None
    return pressed.mask


def _groups(layers: dict[str, tuple[Pressed, Tensor]]) -> Iterator[tuple[Rule, list[str]]]:
    """The tensors that are ranked together: one by one, or all of a rule whose scope is the model."""
    together: dict[int, tuple[Rule, list[str]]] = {}
    for name, (pressed, _) in layers.items():
        rule = pressed.rule
        if rule.prunes:
            key = id(rule) if rule.scope == "model" else -1 - len(together)
            together.setdefault(key, (rule, []))[1].append(name)
    yield from together.values()


def _prune(
    layers: dict[str, tuple[Pressed, Tensor]],
    rule: Rule,
    names: list[str],
    share: float,
    strengths: Mapping[str, Tensor],
) -> None:
    """Choose masks by the magnitudes that the weights have now, with ``bp.compress``'s exact counts."""

    def read(name: str) -> tuple[npt.NDArray[Any], str]:
        weight = layers[name][1].detach()
        strength = strengths.get(name)
        return (weight if strength is None else weight * strength.to(weight.device)).cpu().numpy(), "F32"

    if rule.threshold is not None:
        for name in names:
            pressed, weight = layers[name]
            _mask(pressed).copy_(weight.abs() >= share)
        return
    patterned = rule.scheme.structure in (Structure.NM, Structure.BLOCK)
    border = None if patterned else find_border(names, read, share)
    for name in names:
        pressed, weight = layers[name]
        if border is None:
            alive = kept(np.square(read(name)[0].astype(np.float64)), rule.scheme, share, name)
        else:
            alive = ~below(border, *read(name), name)
        _mask(pressed).copy_(torch.from_numpy(alive).reshape(weight.shape))


def prepare(
    module: nn.Module,
    recipe: Recipe,
    *,
    schedule: Schedule | None = None,
    quantize_at: int = 0,
    strengths: Mapping[str, Tensor] | None = None,
    activations: int | None = None,
) -> Press:
    """Make ``module`` learn under a recipe, in place: its weights are pruned and rounded in every forward pass.

    Pressed are float32 parameters whose rule has integer values or prunes; a rule's ``op`` is told from the layer
    (Linear: Gemm). Steps are learned (LSQ), per tensor, axis or group; an affine zero stays where it begins. The rule's
    ``sparsity`` comes by ``schedule`` (`OneShot` by default, `Cubic`, `Lottery`), ranked by magnitude as in
    ``bp.compress``, in the groups of N:M or the blocks of its scheme where it has them; a ``threshold`` comes at once.
    ``strengths``: what magnitudes are multiplied by before they are ranked, by name, to broadcast over the weight: the
    root mean square of each input is Wanda's score (Sun et al. 2024, arXiv:2306.11695). Rounding begins at step
    ``quantize_at``. Tell the result of each step: ``fit(module, ..., after_step=press.step)``; then ``convert``.

    ``activations``: bits, 1 to 8, to which the inputs of the pressed Linear and Conv layers are rounded too, with a
    learned step each, for runtimes that multiply integers; ``convert`` drops that, since the file holds weights alone.

    A tied parameter is pressed once and stays tied. Make optimizers afterwards: the parameters change. Raises
    SchemeError where a rule cannot hold a tensor (NaN, a missing axis) or none matches, UnsupportedError for dtypes
    other than float32 and for modules that are prepared already.
    """
    if next(pressed_in(module), None) is not None:
        raise UnsupportedError("the module is prepared already: convert it first")
    if activations is not None and not 1 <= activations <= 8:
        raise SchemeError(f"activations must be 1..8 bits, not {activations}")
    plan = schedule or OneShot()
    chosen: list[tuple[list[Place], Pressed]] = []
    for name, places in _places(module).items():
        owner, attribute = places[0]
        weight, (op, axis) = getattr(owner, attribute), _read_by(owner, attribute)
        kind = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
        rule = recipe.rule_for(name, tuple(weight.shape), kind.get(weight.dtype, ""), op)
        if rule is None or not weight.numel() or not (isinstance(rule.scheme.values, Integer) or rule.prunes):
            continue
        if weight.dtype != torch.float32:
            raise UnsupportedError(f"{name}: training presses float32, not {str(weight.dtype).removeprefix('torch.')}")
        scheme = held(rule, name, tuple(weight.shape), axis)
        rewinds = plan.rewind is not None
        chosen.append((places, Pressed(weight, rule, scheme, name, rewinds=rewinds).to(weight.device)))
    if not chosen:
        raise SchemeError("no parameter of the module has a rule that prunes it or gives it integer values")
    for places, pressed in chosen:
        for owner, attribute in places:
            if activations is not None and _read_by(owner, attribute)[0] in ("Gemm", "Conv", "ConvTranspose"):
                round_inputs(owner, activations)
            parametrize.register_parametrization(owner, attribute, pressed, unsafe=True)
        first = places[0][0].parametrizations[places[0][1]]
        for owner, attribute in places[1:]:
            owner.parametrizations[attribute].original = first.original  # tied, as it was
    press = Press(module, plan, quantize_at, strengths)
    with torch.no_grad():
        press._act(press.layers, 0)
    return press


def pressed_in(module: nn.Module) -> Iterator[tuple[Pressed, Tensor]]:
    """Each parametrization that ``prepare`` put there, once, and the weight that is learned."""
    seen: set[int] = set()
    owner: Any
    for owner in module.modules():
        for chain in getattr(owner, "parametrizations", {}).values():
            for part in chain:
                if isinstance(part, Pressed) and id(part) not in seen:
                    seen.add(id(part))
                    yield part, chain.original


def names_of(module: nn.Module) -> dict[str, list[Place]]:
    """Where each pressed tensor stands, by its name."""
    found: dict[str, list[Place]] = {}
    owner: Any
    for owner in module.modules():
        for attribute, chain in getattr(owner, "parametrizations", {}).items():
            if isinstance(chain[0], Pressed):
                found.setdefault(chain[0].name, []).append((owner, attribute))
    return found
