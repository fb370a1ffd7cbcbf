"""Rule: one line of a recipe, the tensors that it is for and what becomes of them."""

from __future__ import annotations

import fnmatch
import math
from dataclasses import dataclass
from typing import Any, Literal

from .dtypes import FLOATS
from .errors import SchemeError
from .recipe_words import PLAIN_WORDS, scheme_words
from .scheme import Bounded, Codebook, Coded, Keep, Scheme, Structure

__all__ = ["Inputs", "Range", "Rule", "Scope", "Score", "Shape"]

Scope = Literal["tensor", "model"]
Range = Literal["minmax", "percentile", "mse", "output"]
Inputs = Literal["exact", "pressed"]
Score = Literal["magnitude", "wanda", "sparsegpt"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Rule:
    """Tensors whose name matches ``pattern`` (shell wildcards), and whose consumer is ``op`` where given, get a scheme.

    ``op``: an operator's name or several; the empty name stands for "no graph tells". ``min_elements``, ``min_rank``:
    smaller tensors are not matched. Codes and pruning match floating tensors only (F16, BF16, F32, F64).
    ``channel``: a scheme per axis takes the axis of the output channels, as the consumer reads the tensor (0 where no
    graph tells). ``sparsity``: the share of smallest magnitudes that is set to zero first, of each tensor, or of all
    that the rule matches together where ``scope`` is ``"model"``. ``threshold``: magnitudes below it are set to zero.
    ``score``: what weights are ranked by: "magnitude", or by what calibration knows of the layer's inputs ("wanda",
    "sparsegpt": `bitpress.methods`). The scheme's N:M or blocks tell which go together; N:M needs the sparsity 1 - N/M.
    ``method`` names the file in ``methods/`` that picks the codes: "round", "feedback" or "rate", of which the last two
    need calibration, or "kmeans", for codebooks.
    ``range``: what a scale spans: all of its weights ("minmax"), all but its outliers ("percentile": so that
    ``percentile`` % lie inside), or the part that a search finds best for the weights ("mse") or for the layer's output
    ("output", which needs calibration); the method "rate" finds its own. ``shrink`` (0..1) and ``damp`` (of feedback):
    how far the inputs' second moments are taken toward their diagonal, and the share of its mean that is added to it.
    ``correct``: the layer's bias takes what its mean output has moved by (needs calibration). ``inputs``: the moments
    of a layer are of the network as it came ("exact"), or with every earlier layer "pressed".
    ``shared``: all tensors that the rule matches have one codebook, learned from all, stored once.
    ``rate`` (of the method): what one bit a weight may cost, as a share of the variance of the layer's output; of the
    network's, where `bitpress.torch.sensitivity` is given. ``temper`` (0..1): the power to which an output's share in
    what the network feels is taken then: few gradients overstate how outputs differ.
    """

    pattern: str
    scheme: Scheme
    op: str | tuple[str, ...] | None = None
    min_elements: int = 0
    min_rank: int = 0
    channel: bool = False
    sparsity: float | None = None
    threshold: float | None = None
    scope: Scope = "tensor"
    score: Score = "magnitude"
    method: str = "round"
    range: Range = "minmax"
    shrink: float = 0.0
    damp: float = 0.01
    correct: bool = False
    inputs: Inputs = "exact"
    rate: float = 0.0
    temper: float = 0.5
    percentile: float = 99.9
    shared: bool = False

    def __post_init__(self) -> None:
        if not self.pattern:
            raise SchemeError("a rule needs a pattern, such as '*.weight'")
        if self.sparsity is not None and not 0 <= self.sparsity <= 1:
            raise SchemeError(f"sparsity must be 0..1, not {self.sparsity}")
        if self.threshold is not None and not 0 <= self.threshold < math.inf:
            raise SchemeError(f"threshold must be a number of 0 or more, not {self.threshold}")
        if self.sparsity is not None and self.threshold is not None:
            raise SchemeError("give sparsity or threshold, not both")
        if self.scope not in ("tensor", "model"):
            raise SchemeError(f"scope must be tensor or model, not {self.scope!r}")
        if self.score not in ("magnitude", "wanda", "sparsegpt"):
            raise SchemeError(f"score must be magnitude, wanda or sparsegpt, not {self.score!r}")
        if self.sparsity is None and self.score != "magnitude":
            raise SchemeError(f"score {self.score} needs a sparsity")
        self._check_pattern()
        if self.shared:
            plain = self.method == "kmeans" and self.range == "minmax" and self.score == "magnitude"
            if not isinstance(self.scheme.values, Codebook) or not plain:
                raise SchemeError("shared is for codebooks by k-means, range minmax and score magnitude")
        if self.range not in ("minmax", "percentile", "mse", "output"):
            raise SchemeError(f"range must be minmax, percentile, mse or output, not {self.range!r}")
        if not 0 < self.percentile <= 100:
            raise SchemeError(f"percentile must be above 0 and at most 100, not {self.percentile}")
        if self.inputs not in ("exact", "pressed"):
            raise SchemeError(f"inputs must be exact or pressed, not {self.inputs!r}")
        for word in ("shrink", "temper"):
            if not 0 <= getattr(self, word) <= 1:
                raise SchemeError(f"{word} must be 0..1, not {getattr(self, word)}")
        for word in ("damp", "rate"):
            if not 0 <= getattr(self, word) < math.inf:
                raise SchemeError(f"{word} must be a number of 0 or more, not {getattr(self, word)}")

    def _check_pattern(self) -> None:
        structure = self.scheme.structure
        if structure not in (Structure.NM, Structure.BLOCK) and self.score == "magnitude":
            return
        if self.scope == "model":
            raise SchemeError("N:M, blocks and scores of a layer's inputs rank each tensor alone: scope tensor")
        if structure is Structure.NM and self.sparsity is not None:
            kept, group = self.scheme.pattern
            if abs(self.sparsity - (1 - kept / group)) > 1e-6:
                raise SchemeError(f"{kept}:{group} has the sparsity {1 - kept / group:g}, not {self.sparsity}")

    @property
    def is_calibrated(self) -> bool:
        """Whether it needs to know the inputs of a layer."""
        coded = isinstance(self.scheme.values, Coded)
        return self.score != "magnitude" or (
            coded and (self.method in ("feedback", "rate") or self.range == "output" or self.correct)
        )

    @property
    def is_bounded(self) -> bool:
        """Whether every element stays within a bound."""
        return isinstance(self.scheme.values, Bounded)

    @property
    def prunes(self) -> bool:
        """Whether it sets weights to zero."""
        return self.sparsity is not None or self.threshold is not None

    @property
    def is_lossless(self) -> bool:
        """Whether every tensor comes back bit for bit."""
        return isinstance(self.scheme.values, Keep) and not self.prunes

    def matches(self, name: str, shape: Shape, dtype: str, op: str) -> bool:
        """Whether it is for this tensor; ``op`` is empty where no graph tells."""
        ops = (self.op,) if isinstance(self.op, str) else self.op
        return (
            fnmatch.fnmatchcase(name, self.pattern)
            and math.prod(shape) >= self.min_elements
            and len(shape) >= self.min_rank
            and (ops is None or op in ops)
            and (self.is_lossless or dtype in (("F32", "F64") if self.is_bounded else FLOATS))
        )

    def to_dict(self) -> dict[str, Any]:
        """The rule in the words of ``Recipe.from_dict``."""
        return {"pattern": self.pattern, **scheme_words(self.scheme, channel=self.channel), **self._words()}

    def _words(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in self._rest().items()}

    def _rest(self) -> dict[str, Any]:
        defaults = {name: item.default for name, item in self.__dataclass_fields__.items()}
        return {key: getattr(self, key) for key in PLAIN_WORDS if getattr(self, key) != defaults[key]}
