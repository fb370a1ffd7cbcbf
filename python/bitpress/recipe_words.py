"""The words of a recipe's document: which there are, a scheme in them, both ways, and the document in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import SchemeError
from .scheme import Bounded, Codebook, Coded, Granularity, Integer, Scheme, Structure, split_coding

__all__ = ["PASSES", "PLAIN_WORDS", "WORDS", "parsed", "parts_of", "pattern_of", "scheme_of", "scheme_words"]

MAX_BYTES = 10_000_000  # a recipe file is read whole

PLAIN_WORDS = (
    *("op", "min_elements", "min_rank", "sparsity", "threshold", "scope", "score"),
    *("method", "range", "percentile", "shrink", "damp", "correct", "inputs", "rate", "temper", "shared"),
)
PASSES: dict[str, tuple[type, ...]] = {"channels": (int, float), "low_rank": (int, float), "equalize": (bool,)}
WORDS: dict[str, tuple[type, ...]] = {
    "pattern": (str,),
    "op": (str, list),
    "min_elements": (int,),
    "min_rank": (int,),
    "lossless": (bool,),
    "bounded": (int, float),
    "bound": (str,),
    "bits": (int,),
    "symmetric": (bool,),
    "codebook": (bool,),
    "vector": (int,),
    "per": (str,),
    "axis": (int,),
    "group_size": (int,),
    "sparse": (bool,),
    "nm": (str,),
    "block": (str,),
    "sparsity": (int, float),
    "threshold": (int, float),
    "scope": (str,),
    "score": (str,),
    "coding": (str,),
    "method": (str,),
    "range": (str,),
    "percentile": (int, float),
    "shrink": (int, float),
    "damp": (int, float),
    "correct": (bool,),
    "inputs": (str,),
    "rate": (int, float),
    "temper": (int, float),
    "shared": (bool,),
}


def scheme_words(scheme: Scheme, *, channel: bool) -> dict[str, Any]:
    """The words of a scheme; ``channel``: its axis is the output channels', and is not told."""
    words: dict[str, Any] = {"coding": scheme.coding}
    match scheme.values:
        case Bounded(error, kind):
            return {"bounded": error, "bound": kind}
        case Integer(bits, symmetric) as values:
            words |= {"bits": bits, "symmetric": symmetric, **_per(values, channel)}
        case Codebook(bits, vector) as values:
            words |= {"codebook": True, "bits": bits, "vector": vector, **_per(values, channel)}
        case _:
            words["lossless"] = True
    first, second = scheme.pattern
    match scheme.structure:
        case Structure.NM:
            return words | {"nm": f"{first}:{second}"}
        case Structure.BLOCK:
            return words | {"block": f"{first}x{second}"}
    return words | {"sparse": scheme.is_sparse}


def pattern_of(text: str, sign: str) -> tuple[int, int]:
    """The two numbers of a pattern: "2:4" with ":", "8x8" with "x". SchemeError for anything else."""
    parts = text.split(sign)
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise SchemeError(f"{text!r} is no pattern such as {'2:4' if sign == ':' else '8x8'}")
    return int(parts[0]), int(parts[1])


def _structure(words: Mapping[str, Any]) -> dict[str, Any]:
    """The structure of a rule's words: sparse, nm or block."""
    chosen = [word for word in ("sparse", "nm", "block") if word in words]
    if len(chosen) > 1:
        raise SchemeError(f"{chosen[0]} does not go with {chosen[1]}")
    if "nm" in words:
        return {"nm": pattern_of(words["nm"], ":")}
    if "block" in words:
        return {"block": pattern_of(words["block"], "x")}
    return {"sparse": words.get("sparse", "sparsity" in words or "threshold" in words)}


def _per(values: Coded, channel: bool) -> dict[str, Any]:
    words: dict[str, Any] = {"per": {0: "tensor", 1: "channel", 2: "group"}[int(values.granularity)]}
    if values.granularity is Granularity.AXIS and not channel:
        words["axis"] = values.axis
    if values.granularity is Granularity.GROUP:
        words["group_size"] = values.group_size
    return words


def scheme_of(words: Mapping[str, Any]) -> tuple[Scheme, bool]:
    """The scheme, and whether its axis is the output channels'."""
    coding: Any = words.get("coding", "planes" if words.get("lossless") else "huffman")
    split_coding(coding)
    structure = _structure(words)
    if "bounded" in words:
        wrong = words.keys() & {
            "lossless",
            "bits",
            "symmetric",
            "codebook",
            "vector",
            "per",
            "axis",
            "group_size",
            "sparse",
            "sparsity",
            "nm",
            "block",
        }
        wrong |= words.keys() & {"threshold", "coding", "method"}
        if wrong:
            raise SchemeError(f"bounded does not go with {', '.join(sorted(wrong))}")
        return Scheme.bounded(float(words["bounded"]), words.get("bound", "absolute")), False
    if "bound" in words:
        raise SchemeError("bound goes with bounded alone")
    if words.get("lossless"):
        wrong = words.keys() & {"bits", "symmetric", "codebook", "vector", "per", "axis", "group_size"}
        if wrong:
            raise SchemeError(f"lossless does not go with {', '.join(sorted(wrong))}")
        return Scheme.lossless(**structure, coding=coding), False
    book = words.get("codebook", False)
    wrong = words.keys() & ({"symmetric"} if book else {"vector"})
    if wrong:
        raise SchemeError(f"{min(wrong)} does not go {'with' if book else 'without'} codebook")
    usual = "tensor" if book and "axis" not in words else "channel"
    per = words.get("per", "group" if "group_size" in words else usual)
    if per not in ("tensor", "channel", "group"):
        raise SchemeError(f"per must be tensor, channel or group, not {per!r}")
    if "axis" in words and per != "channel":
        raise SchemeError(f"axis does not go with per {per}")
    if "group_size" in words and per != "group":
        raise SchemeError(f"group_size does not go with per {per}")
    axis = words.get("axis", 0) if per == "channel" else None
    group_size = words.get("group_size", 64) if per == "group" else None
    shared: dict[str, Any] = {"axis": axis, "group_size": group_size, "coding": coding, **structure}
    if book:
        scheme = Scheme.codebook(words.get("bits", 4), vector=words.get("vector", 1), **shared)
    else:
        scheme = Scheme.int(words.get("bits", 8), symmetric=words.get("symmetric", True), **shared)
    return scheme, per == "channel" and "axis" not in words


def parts_of(document: Any) -> tuple[list[Any], tuple[str, ...], dict[str, str], dict[str, Any]]:
    """Rules, what is ignored, metadata, and what is done to the graph, by word, of a recipe's document; SchemeError
    where it is none.
    """
    if not isinstance(document, Mapping):
        raise SchemeError("a recipe must be an object with rules")
    known = ("rules", "ignore", "metadata", *PASSES)
    unknown = set(map(str, document)) - set(known)
    if unknown:
        raise SchemeError(f"unknown key {min(unknown)!r}; known: {', '.join(known)}")
    rules, ignore, metadata = document.get("rules", []), document.get("ignore", []), document.get("metadata", {})
    if not isinstance(rules, list) or not isinstance(ignore, list):
        raise SchemeError("rules and ignore must be lists")
    if not all(isinstance(pattern, str) for pattern in ignore):
        raise SchemeError("ignore must be a list of texts")
    if not isinstance(metadata, Mapping) or not all(isinstance(x, str) for pair in metadata.items() for x in pair):
        raise SchemeError("metadata must be an object of texts")
    passes = {word: document[word] for word in PASSES if word in document}
    for word, value in passes.items():
        if isinstance(value, bool) is not (PASSES[word] == (bool,)) or not isinstance(value, PASSES[word]):
            raise SchemeError(f"{word} must be {'true or false' if PASSES[word] == (bool,) else 'a number'}")
    return rules, tuple(ignore), dict(metadata), passes


def parsed(path: Path) -> Any:
    """A JSON or (by its name) YAML file; SchemeError where it is neither, or too long."""
    if path.stat().st_size > MAX_BYTES:
        raise SchemeError("too long for a recipe")
    try:
        text = path.read_text("utf-8")
        if path.suffix.lower() not in (".yaml", ".yml"):
            return json.loads(text)
    except UnicodeDecodeError:
        raise SchemeError("not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise SchemeError(f"not JSON: {error}") from None
    try:
        import yaml
    except ModuleNotFoundError:
        raise SchemeError("YAML needs PyYAML: pip install pyyaml, or write the recipe as JSON") from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise SchemeError(f"not YAML: {' '.join(str(error).split())}") from None
