"""Recipe: which scheme, and which method to pick its codes, for which tensor."""

from __future__ import annotations

import builtins
import fnmatch
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import SchemeError
from .recipe_words import PASSES, PLAIN_WORDS, WORDS, parsed, parts_of, scheme_of
from .rule import Inputs, Range, Rule, Scope, Score, Shape
from .scheme import Bound, Coding, Pattern, Scheme

__all__ = ["Recipe", "Rule"]

# Operators whose weights carry a network's size: what Recipe.int presses where there is a graph.
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Gather")
# What Recipe.rate takes for whose weights (bench/results/README.md).
RATE_SETTINGS: dict[tuple[str, ...], dict[str, Any]] = {
    ("Conv", "ConvTranspose", "Gemm"): {"shrink": 0.5, "damp": 2.0, "temper": 0.0},
    ("", "MatMul", "Gather"): {"shrink": 0.1, "damp": 0.02, "temper": 0.5},
}


@dataclass(frozen=True)
class Recipe:
    """Ordered rules; the first that matches decides. What none matches, or ``ignore`` names, is stored as it is.

    ``channels``: the share of whole channels, neurons and heads that is cut out of the graph first (`passes.channels`).
    ``equalize``: scales then move between layers until the channels of each span alike (`passes.equalize`).
    ``low_rank``: the share of a matrix' sum of squares that two thin ones must keep where they are smaller
    (`passes.low_rank`); 0: none is split.
    """

    rules: tuple[Rule, ...] = ()
    ignore: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    channels: float = 0.0
    low_rank: float = 0.0
    equalize: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low_rank <= 1:
            raise SchemeError(f"low_rank must be 0..1, not {self.low_rank}")
        if not 0 <= self.channels < 1:
            raise SchemeError(f"channels must be at least 0 and below 1, not {self.channels}")

    @classmethod
    def int(
        cls,
        bits: int = 8,
        *,
        symmetric: bool = True,
        axis: int | None = None,
        group_size: int | None = None,
        sparsity: float | None = None,
        scope: Scope = "tensor",
        score: Score = "magnitude",
        nm: Pattern | None = None,
        block: Pattern | None = None,
        coding: Coding = "huffman",
        min_elements: int = 1024,
        ignore: tuple[str, ...] = (),
    ) -> Recipe:
        """Integer codes for the weights of matrices and convolutions, everything else as it is.

        Pressed are floating tensors of two dimensions or more and ``min_elements`` elements or more; where there is a
        graph, only those that a Conv, ConvTranspose, Gemm, MatMul or Gather reads. Steps are per output channel, unless
        ``axis`` (of every tensor) or ``group_size`` is given. With ``sparsity`` that share is pruned first (of each
        tensor, or ``scope="model"``), ranked by ``score`` (`Rule`), and the survivors are held by a bitmap, or go in
        whole blocks of (rows, columns) with ``block``; ``nm=(2, 4)`` keeps two of each four weights.
        """
        if nm is not None and sparsity is None:
            sparsity = 1 - nm[0] / nm[1]
        channel = axis is None and group_size is None
        scheme = Scheme.int(
            bits,
            symmetric=symmetric,
            axis=0 if channel else axis,
            group_size=group_size,
            sparse=sparsity is not None and nm is None and block is None,
            nm=nm,
            block=block,
            coding=coding,
        )
        rule = Rule(
            "*",
            scheme,
            op=("", *WEIGHTED),
            min_elements=min_elements,
            min_rank=2,
            channel=channel,
            sparsity=sparsity,
            scope=scope,
            score=score,
        )
        return cls((rule,), ignore)

    @classmethod
    def codebook(
        cls,
        bits: builtins.int = 4,
        *,
        vector: builtins.int = 1,
        axis: builtins.int | None = None,
        group_size: builtins.int | None = None,
        range: Range = "minmax",
        correct: bool = False,
        sparsity: float | None = None,
        shared: bool = False,
        coding: Coding = "huffman",
        **words: Any,
    ) -> Recipe:
        """Shared weights (`Codebook`), by k-means: ``Recipe.int`` with a table a tensor for steps.

        Entries are not scaled unless ``axis`` or ``group_size`` is given. ``range`` "output" weighs errors by what they
        do to a layer's output, and ``correct`` its biases; both need calibration. ``shared``: one book for all tensors.
        ``words`` are the others of
        ``Recipe.int``. Tensors that vectors do not divide are refused: ``ignore`` them.
        """
        plain = cls.int(8, axis=axis, group_size=group_size, sparsity=sparsity, coding=coding, **words)
        book = Scheme.codebook(bits, vector=vector, axis=axis, group_size=group_size).values
        scheme = replace(plain.rules[0].scheme, values=book)
        settings: dict[str, Any] = {"method": "kmeans", "range": range, "correct": correct, "shared": shared}
        rules = (replace(rule, scheme=scheme, channel=False, **settings) for rule in plain.rules)
        return cls(tuple(rules), plain.ignore)

    @classmethod
    def feedback(
        cls,
        bits: builtins.int = 5,
        *,
        range: Range = "minmax",
        shrink: float = 0.1,
        damp: float = 0.01,
        correct: bool = True,
        inputs: Inputs = "exact",
        **words: Any,
    ) -> Recipe:
        """``Recipe.int`` with codes picked by error feedback and biases corrected: ``compress`` needs calibration.

        ``range`` .. ``inputs`` are those of `Rule`; ``words`` those of ``Recipe.int``. A layer that calibration says
        nothing of (an embedding) is rounded to nearest.
        """
        plain = cls.int(bits, **words)
        settings: dict[str, Any] = {"range": range, "shrink": shrink, "damp": damp, "correct": correct}
        rules = (replace(rule, method="feedback", inputs=inputs, **settings) for rule in plain.rules)
        return cls(tuple(rules), plain.ignore)

    @classmethod
    def rate(
        cls,
        rate: float = 0.01,
        *,
        shrink: float | None = None,
        damp: float | None = None,
        temper: float | None = None,
        correct: bool = True,
        inputs: Inputs = "exact",
        biases: builtins.int | None = 10,
        coding: Coding = "rans",
        min_elements: builtins.int = 256,
        ignore: tuple[str, ...] = (),
    ) -> Recipe:
        """Rate-aware rounding, for the smallest file: ``compress`` needs calibration.

        ``rate`` is that of `Rule`, alike for all layers: 0.03 to 0.1 where `bitpress.torch.sensitivity` tells what a
        network's outputs feel (bench/results/README.md); without it `bitpress.allocate` finds one for each layer.
        Matrices and convolutions get one step each, in 15-bit codes that only an entropy coding makes small. Biases of
        Conv and Gemm are held in ``biases`` bits (None: as they are) after they are corrected.

        ``shrink``, ``damp`` and ``temper`` of None are what was best on real networks: 0.5, 2 and 0 for Conv,
        ConvTranspose and Gemm, whose inputs are many positions of few images; 0.1, 0.02 and 0.5 for MatMul and Gather,
        whose inputs are tokens.
        """
        weights = cls.int(15, min_elements=min_elements).rules[0]
        weights = replace(weights, scheme=Scheme.int(15, coding=coding), channel=False, method="rate", rate=rate)
        weights = replace(weights, correct=correct, inputs=inputs)
        given = {"shrink": shrink, "damp": damp, "temper": temper}
        settings = {word: value for word, value in given.items() if value is not None}
        rules = [replace(weights, op=ops, **(usual | settings)) for ops, usual in RATE_SETTINGS.items()]
        if biases is not None:
            rules.append(Rule("*", Scheme.int(biases, coding=coding), op=("Conv", "Gemm"), min_elements=16))
        return cls(tuple(rules), ignore)

    @classmethod
    def lossless(cls, *, coding: Coding = "planes", ignore: tuple[str, ...] = ()) -> Recipe:
        """Every tensor bit for bit, entropy-coded."""
        return cls((Rule("*", Scheme.lossless(coding=coding)),), ignore)

    @classmethod
    def bounded(
        cls,
        error: float,
        kind: Bound = "absolute",
        *,
        min_elements: builtins.int = 0,
        ignore: tuple[str, ...] = (),
    ) -> Recipe:
        """F32 and F64 tensors within ``error`` of what they were, element by element (`Scheme.bounded`); others as they
        are. For data: activations, embeddings, an optimizer's state.
        """
        return cls((Rule("*", Scheme.bounded(error, kind), min_elements=min_elements),), ignore)

    @property
    def is_lossless(self) -> bool:
        """Whether every tensor comes back bit for bit."""
        shapes = self.channels or self.low_rank or self.equalize
        return not shapes and all(rule.is_lossless for rule in self.rules)

    def rule_for(self, name: str, shape: Shape, dtype: str = "F32", op: str = "") -> Rule | None:
        """The first rule for a tensor of this name, shape, dtype and consumer; None where it is stored as it is."""
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.ignore):
            return None
        return next((rule for rule in self.rules if rule.matches(name, shape, dtype, op)), None)

    def to_dict(self) -> dict[str, Any]:
        """The recipe in plain dicts and lists, as JSON and YAML hold it; ``from_dict`` reads it back."""
        return {
            "rules": [rule.to_dict() for rule in self.rules],
            "ignore": list(self.ignore),
            "metadata": dict(self.metadata),
            **{word: value for word in PASSES if (value := getattr(self, word))},
        }

    @classmethod
    def from_dict(cls, document: Any) -> Recipe:
        """A recipe from plain dicts and lists: ``{"rules": [...], "ignore": [patterns], "metadata": {...},
        "channels": share, "low_rank": share, "equalize": true}``.

        A rule's words: ``pattern`` (needed), ``op``, ``min_elements``, ``min_rank``; ``lossless``; or ``bounded`` (an
        error) and ``bound`` ("absolute" (the default), "relative" or "range"); or ``bits``, ``symmetric`` (or
        ``codebook``, ``vector``), ``per`` ("tensor" (a codebook's default), "channel" (otherwise) or "group"),
        ``axis``, ``group_size``; ``sparse``, ``nm`` ("2:4") or ``block`` ("8x8"); ``sparsity``, ``threshold``,
        ``scope``, ``score``; ``coding``; ``method``, ``range``, ``percentile``, ``shrink``, ``damp``, ``correct``,
        ``inputs``, ``rate``, ``temper``; ``shared``. SchemeError names the rule and what is wrong.
        """
        rules, ignore, metadata, passes = parts_of(document)
        read = []
        for index, rule in enumerate(rules):
            try:
                read.append(_rule(rule))
            except SchemeError as error:
                raise SchemeError(f"rule {index}: {error}") from None
        return cls(tuple(read), ignore, metadata, **passes)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Recipe:
        """A recipe from a JSON file, or a YAML one where PyYAML is installed; SchemeError names file and rule."""
        try:
            return cls.from_dict(parsed(Path(path)))
        except SchemeError as error:
            raise SchemeError(f"{os.fspath(path)}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, a line a rule, to be read, edited and opened by ``from_file``."""
        document = self.to_dict()
        rules = ",\n".join(f"    {json.dumps(rule)}" for rule in document["rules"])
        rest = ",\n".join(f"  {json.dumps(word)}: {json.dumps(document[word])}" for word in document if word != "rules")
        Path(path).write_text(f'{{\n  "rules": [\n{rules}\n  ],\n{rest}\n}}\n', "utf-8")


def _rule(words: Any) -> Rule:
    if not isinstance(words, Mapping):
        raise SchemeError(f"must be an object, not {words!r}")
    for key, value in words.items():
        if key not in WORDS:
            raise SchemeError(f"unknown key {key!r}; known: {', '.join(WORDS)}")
        kinds = WORDS[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise SchemeError(f"{key} must be a {kinds[-1].__name__}, not {value!r}")
    if isinstance(words.get("op"), list) and not all(isinstance(op, str) for op in words["op"]):
        raise SchemeError("op must be a text or a list of texts")
    rest: dict[str, Any] = {key: words[key] for key in PLAIN_WORDS if key in words}
    if words.get("codebook"):
        rest.setdefault("method", "kmeans")
    if isinstance(rest.get("op"), list):
        rest["op"] = tuple(rest["op"])
    scheme, channel = scheme_of(words)
    return Rule(words.get("pattern", ""), scheme, channel=channel, **rest)
