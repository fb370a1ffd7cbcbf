"""Bits for each layer under a limit: the limit holds, more bytes never cost more, the recipe is a file to edit."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_compress_calibrated import chain, inputs, run

import bitpress as bp
from bitpress import allocation


def network() -> Any:
    random = np.random.default_rng(3)
    wide = {"a": random.standard_normal((64, 3, 3, 3)) / 5, "b": random.standard_normal((64, 1, 3, 3)) / 3}
    wide |= {"b.bias": random.standard_normal(64), "c.weight": random.standard_normal((96, 64)) / 8}
    wide |= {"d": random.standard_normal((96, 6)) / 8}
    return chain(**{name: array.astype(np.float32) for name, array in wide.items()})[0]


BASE = bp.Recipe.feedback(min_elements=64, coding="rans")


def test_the_limit_holds_and_the_recipe_is_a_file(tmp_path: Path) -> None:
    source, exact = network(), run(bp.compress(network(), bp.Recipe()))
    errors = []
    for nbytes in (7500, 9500):
        recipe = bp.allocate(source, nbytes, calibration=inputs(1), recipe=BASE)
        assert [rule.pattern for rule in recipe.rules] == ["a", "b", "c.weight", "d", "*"]
        recipe.save(tmp_path / "r.json")
        assert bp.Recipe.from_file(tmp_path / "r.json") == recipe
        made = bp.compress(source, recipe, calibration=inputs(1))
        made.save(tmp_path / "net.bp")
        assert 0.85 * nbytes < (tmp_path / "net.bp").stat().st_size < 1.06 * nbytes
        assert [made.tensors[rule.pattern].scheme.values.bits for rule in recipe.rules[:4]] == [
            rule.scheme.values.bits for rule in recipe.rules[:4]
        ]
        errors.append(float(np.mean((run(tmp_path / "net.bp") - exact) ** 2)))
    assert errors[1] < errors[0]


def test_rates_for_each_layer(tmp_path: Path) -> None:
    source, exact = network(), run(bp.compress(network(), bp.Recipe()))
    base = bp.Recipe.rate(min_elements=64)
    errors = []
    for nbytes in (5000, 7000):
        recipe = bp.allocate(source, nbytes, calibration=inputs(1), recipe=base)
        rates = [rule.rate for rule in recipe.rules[:4]]
        assert len(set(rates)) > 1 and all(1e-5 <= rate <= 1 for rate in rates)
        assert recipe.rules[4:] == base.rules
        recipe.save(tmp_path / "r.json")
        assert bp.Recipe.from_file(tmp_path / "r.json") == recipe
        bp.compress(source, recipe, calibration=inputs(1)).save(tmp_path / "net.bp")
        assert 0.85 * nbytes < (tmp_path / "net.bp").stat().st_size < 1.06 * nbytes
        errors.append(float(np.mean((run(tmp_path / "net.bp") - exact) ** 2)))
    assert errors[1] < errors[0]


def test_the_least_cost_under_the_limit() -> None:
    choice = allocation._Choice
    choices = {
        "cheap": [choice(2, 10, 1.0), choice(4, 20, 0.1), choice(8, 40, 0.0)],
        "dear": [choice(2, 10, 100.0), choice(4, 20, 10.0), choice(8, 40, 0.5)],
    }
    found = {
        limit: {name: each.setting for name, each in allocation._least(choices, limit).items()}
        for limit in (20, 30, 50, 80)
    }
    assert found == {
        20: {"cheap": 2, "dear": 2},
        30: {"cheap": 2, "dear": 4},
        50: {"cheap": 2, "dear": 8},
        80: {"cheap": 8, "dear": 8},
    }
    random = np.random.default_rng(5)
    many = {
        str(i): [choice(b, 100.0 * b, float(4.0**-b * random.exponential())) for b in range(3, 9)] for i in range(20)
    }
    costs = [sum(c.cost for c in allocation._least(many, limit).values()) for limit in range(6000, 16500, 500)]
    assert all(a >= b for a, b in itertools.pairwise(costs))
    assert costs[-1] == pytest.approx(sum(min(c.cost for c in items) for items in many.values()))
    with pytest.raises(bp.SchemeError, match="at least"):
        allocation._least(many, 5999)


def test_what_is_refused() -> None:
    with pytest.raises(bp.SchemeError, match="bytes at least"):
        bp.allocate(network(), 100, calibration=inputs(1), recipe=BASE)
    with pytest.raises(bp.SchemeError, match="no rule"):
        bp.allocate(network(), 10_000, calibration=inputs(1), recipe=bp.Recipe.int(4))
    with pytest.raises(bp.SchemeError, match="to a network"):
        bp.allocate({"w": np.ones((4, 4), np.float32)}, 100, calibration=inputs(1))
    with pytest.raises(bp.CalibrationError, match="missing"):
        bp.allocate(network(), 10_000, calibration={}, recipe=BASE)
