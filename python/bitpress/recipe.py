"""Recipe: which scheme, and which method to pick its codes, for which tensor."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field

from .scheme import Scheme

__all__ = ["Recipe", "Rule"]


@dataclass(frozen=True)
class Rule:
    """Tensors whose name matches ``pattern`` (shell wildcards), and whose consumer is ``op`` if given, get ``scheme``.

    ``sparsity``: the share of smallest magnitudes set to zero first. ``threshold``: magnitudes below it become zero.
    ``method`` names the file in ``methods/`` that picks the codes.
    """

    pattern: str
    scheme: Scheme
    op: str | None = None
    min_elements: int = 0
    sparsity: float | None = None
    threshold: float | None = None
    method: str = "round"


@dataclass(frozen=True)
class Recipe:
    """Ordered rules; the first that matches decides. What none matches, or ``ignore`` names, is stored as it is."""

    rules: tuple[Rule, ...] = ()
    ignore: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)

    def rule_for(self, name: str, elements: int, op: str | None = None) -> Rule | None:
        """The first rule for a tensor of this name, size and consumer; None where it is to be stored as it is."""
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.ignore):
            return None
        for rule in self.rules:
            if (
                fnmatch.fnmatchcase(name, rule.pattern)
                and elements >= rule.min_elements
                and (rule.op is None or rule.op == op)
            ):
                return rule
        return None
