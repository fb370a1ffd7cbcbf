"""Recipes: which rule is a tensor's, the plain-dict form, files, and what is refused by rule and word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bitpress as bp

RECIPES = {
    "int": bp.Recipe.int(),
    "int4 sparse": bp.Recipe.int(4, sparsity=0.9, scope="model", coding="lzw", ignore=("head*",)),
    "groups": bp.Recipe.int(3, symmetric=False, group_size=32),
    "axis": bp.Recipe.int(5, axis=1),
    "lossless": bp.Recipe.lossless(coding="auto"),
    "rules": bp.Recipe(
        (
            bp.Rule("a.*", bp.Scheme.int(2), op="Conv", min_elements=10, threshold=0.5),
            bp.Rule("*", bp.Scheme.lossless(sparse=True), op=("", "Gemm")),
        ),
        ("*.bias",),
        {"who": "me"},
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_to_dict_and_back_through_json(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.to_dict()))
    assert bp.Recipe.from_dict(recipe.to_dict()) == bp.Recipe.from_file(path) == recipe


def test_yaml(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML: pip install pyyaml")
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPES["rules"].to_dict()))
    assert bp.Recipe.from_file(path) == RECIPES["rules"]
    path.write_text("rules: [")
    with pytest.raises(bp.SchemeError, match="not YAML"):
        bp.Recipe.from_file(path)


def test_words_have_defaults() -> None:
    recipe = bp.Recipe.from_dict({"rules": [{"pattern": "*"}, {"pattern": "b", "threshold": 1, "group_size": 8}]})
    first, second = recipe.rules
    assert first.channel and first.scheme == bp.Scheme.int(8, axis=0, coding="huffman")
    assert not second.channel and second.scheme == bp.Scheme.int(8, group_size=8, sparse=True, coding="huffman")


def test_the_first_rule_that_matches() -> None:
    shape = (4, 8)
    recipe = RECIPES["rules"]
    assert recipe.rule_for("a.weight", shape, "F32", "Conv") is recipe.rules[0]
    assert recipe.rule_for("a.weight", shape, "F32", "Gemm") is recipe.rules[1]
    assert recipe.rule_for("a.weight", shape, "F32") is recipe.rules[1]
    assert recipe.rule_for("a.weight", (9,), "F32", "Conv") is None
    assert recipe.rule_for("a.weight", shape, "I64", "Conv") is None
    assert recipe.rule_for("a.bias", shape, "F32", "Gemm") is None
    assert recipe.rule_for("weight", shape, "I64") is recipe.rules[1]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "must be an object"),
        ({"rule": []}, "unknown key 'rule'"),
        ({"rules": {}}, "must be lists"),
        ({"ignore": [1]}, "list of texts"),
        ({"metadata": {"a": 1}}, "object of texts"),
        ({"rules": ["*"]}, "rule 0: must be an object"),
        ({"rules": [{"pattern": "*"}, {}]}, "rule 1: a rule needs a pattern"),
        ({"rules": [{"pattern": "*", "bit": 4}]}, "rule 0: unknown key 'bit'"),
        ({"rules": [{"pattern": "*", "bits": "4"}]}, "bits must be a int, not '4'"),
        ({"rules": [{"pattern": "*", "bits": True}]}, "bits must be a int"),
        ({"rules": [{"pattern": "*", "bits": 17}]}, r"bits must be 1\.\.16"),
        ({"rules": [{"pattern": "*", "coding": "zip"}]}, "coding must be one of raw, huffman"),
        ({"rules": [{"pattern": "*", "per": "row"}]}, "per must be tensor, channel or group"),
        ({"rules": [{"pattern": "*", "per": "group", "axis": 0}]}, "axis does not go with per group"),
        ({"rules": [{"pattern": "*", "per": "tensor", "group_size": 4}]}, "group_size does not go with per tensor"),
        ({"rules": [{"pattern": "*", "lossless": True, "bits": 4}]}, "lossless does not go with bits"),
        ({"rules": [{"pattern": "*", "sparsity": 2}]}, r"sparsity must be 0\.\.1"),
        ({"rules": [{"pattern": "*", "sparsity": 0.5, "threshold": 1}]}, "not both"),
        ({"rules": [{"pattern": "*", "threshold": float("inf")}]}, "threshold must be"),
        ({"rules": [{"pattern": "*", "scope": "layer"}]}, "scope must be tensor or model"),
        ({"rules": [{"pattern": "*", "op": [1]}]}, "op must be a text or a list of texts"),
    ],
)
def test_what_is_wrong_is_said(document: Any, reason: str) -> None:
    with pytest.raises(bp.SchemeError, match=reason):
        bp.Recipe.from_dict(document)


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_no_recipe(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(text)
    with pytest.raises(bp.SchemeError, match=r"r\.json: not (JSON|UTF-8)"):
        bp.Recipe.from_file(path)


def test_a_percentile_is_a_share() -> None:
    for wrong in (0, -1, 100.5, float("nan")):
        with pytest.raises(bp.SchemeError, match="percentile must be above 0 and at most 100"):
            bp.Rule("*", bp.Scheme.int(4), range="percentile", percentile=wrong)
    rule = bp.Rule("*", bp.Scheme.int(4), range="percentile", percentile=99.5)
    assert bp.Recipe.from_dict(bp.Recipe((rule,)).to_dict()).rules == (rule,)
