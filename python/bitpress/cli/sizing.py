"""``bitpress compress --size``: the recipe whose file takes about so many bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import steps

if TYPE_CHECKING:
    from bitpress.methods import Sensitivity
    from bitpress.recipe import Recipe

__all__ = ["recipe_of_size"]

GRADIENTS = 32


def recipe_of_size(
    source: Path, nbytes: int, inputs: Any, recipe: Recipe
) -> tuple[Recipe, Mapping[str, Sensitivity] | None]:
    """The recipe, and what the network's outputs feel of each layer; None where that is not known.

    It is for rules of rate-aware rounding, where torch is installed and has a derivative of all of the network's
    operators: then one rate serves all layers. Else each layer gets a setting of its own.
    """
    from bitpress import allocate

    known = _sensitivity(source, inputs, recipe) if any(rule.method == "rate" for rule in recipe.rules) else None
    with steps("allotting") as step:
        return allocate(source, nbytes, calibration=inputs, recipe=recipe, sensitivity=known, progress=step), known


def _sensitivity(source: Path, inputs: Any, recipe: Recipe) -> Mapping[str, Sensitivity] | None:
    from bitpress import UnsupportedError

    try:
        from bitpress.torch import sensitivity
    except ModuleNotFoundError:
        return None
    try:
        return sensitivity(source, inputs, gradients=GRADIENTS, recipe=recipe)
    except UnsupportedError:
        return None
