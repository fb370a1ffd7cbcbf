"""The words that options of ``bitpress compress`` take are the library's own."""

from __future__ import annotations

import enum
from typing import Any, get_args

import pytest

from bitpress import methods, rule, scheme, targets

choices = pytest.importorskip("bitpress.cli.choices", reason="needs the extra cli")

KNOWN: dict[str, Any] = {
    "Range": get_args(rule.Range),
    "Score": get_args(rule.Score),
    "Target": targets.TARGETS,
}


@pytest.mark.parametrize("name", KNOWN)
def test_words_are_the_librarys(name: str) -> None:
    kind: type[enum.Enum] = getattr(choices, name)
    assert sorted(word.value for word in kind) == sorted(KNOWN[name])


def test_methods_are_there() -> None:
    for word in choices.Method:
        assert methods.method(word.value)


def test_bounds_are_those_of_schemes() -> None:
    assert sorted(word.value for word in choices.Bound) == sorted(get_args(scheme.Bound))
