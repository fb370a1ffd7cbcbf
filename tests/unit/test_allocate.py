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


@pytest.mark.parametrize("score", ["magnitude", "wanda", "sparsegpt"])
def test_zeros_for_each_layer(score: Any, tmp_path: Path) -> None:
    source, exact = network(), run(bp.compress(network(), bp.Recipe()))
    base = bp.Recipe.int(6, sparsity=0.5, score=score, coding="rans", min_elements=64)
    errors = []
    for nbytes in (6500, 8500):
        recipe = bp.allocate(source, nbytes, calibration=inputs(1), recipe=base, sparsity=(0, 0.3, 0.5, 0.7, 0.9))
        shares = [rule.sparsity or 0 for rule in recipe.rules[:4]]
        assert len(set(shares)) > 1 and set(shares) <= {0, 0.3, 0.5, 0.7, 0.9}
        recipe.save(tmp_path / "r.json")
        assert bp.Recipe.from_file(tmp_path / "r.json") == recipe
        calibration = inputs(1) if any(rule.is_calibrated for rule in recipe.rules[:4]) else None
        made = bp.compress(source, recipe, calibration=calibration)
        made.save(tmp_path / "net.bp")
        assert 0.8 * nbytes < (tmp_path / "net.bp").stat().st_size < 1.06 * nbytes
        for rule, share in zip(recipe.rules[:4], shares, strict=True):
            tensor = made.tensors[rule.pattern]
            assert tensor.scheme.is_sparse is (share > 0)
        errors.append(float(np.mean((run(tmp_path / "net.bp") - exact) ** 2)))
    assert errors[1] < errors[0]


def test_a_limit_of_error(tmp_path: Path) -> None:
    """The smallest file under it: what is predicted comes, about, and less error takes more bytes."""
    source, exact = network(), run(bp.compress(network(), bp.Recipe()))
    variance = float(np.var(exact))
    sizes = []
    for limit in (1e-3, 1e-4):
        recipe = bp.allocate(source, error=limit, calibration=inputs(1), recipe=BASE)
        bp.compress(source, recipe, calibration=inputs(1)).save(tmp_path / "net.bp")
        found = float(np.mean((run(tmp_path / "net.bp") - exact) ** 2)) / variance
        assert found < 3 * limit
        sizes.append((tmp_path / "net.bp").stat().st_size)
    assert sizes[0] < sizes[1]
    with pytest.raises(bp.SchemeError, match=r"an error of .* at least"):
        bp.allocate(source, error=1e-12, calibration=inputs(1), recipe=BASE)


def test_one_rate_by_what_the_outputs_feel(tmp_path: Path) -> None:
    source, base = network(), bp.Recipe.rate(min_elements=64)
    known = bp.torch.sensitivity(source, inputs(1), recipe=base, gradients=16)
    rates = []
    for nbytes in (4500, 6500):
        recipe = bp.allocate(source, nbytes, calibration=inputs(1), recipe=base, sensitivity=known)
        assert [rule.pattern for rule in recipe.rules] == [rule.pattern for rule in base.rules]
        rates.append(recipe.rules[0].rate)
        bp.compress(source, recipe, calibration=inputs(1), sensitivity=known).save(tmp_path / "net.bp")
        assert 0.85 * nbytes < (tmp_path / "net.bp").stat().st_size < 1.15 * nbytes
    assert rates[1] < rates[0]
    with pytest.raises(bp.SchemeError, match="bytes at least"):
        bp.allocate(source, 100, calibration=inputs(1), recipe=base, sensitivity=known)
    for words in ({"recipe": BASE, "nbytes": 5000}, {"recipe": base, "error": 0.1}):
        with pytest.raises(bp.SchemeError, match="sensitivity goes with nbytes"):
            bp.allocate(source, calibration=inputs(1), sensitivity=known, **words)


def test_limits_and_rules_that_cannot_be_allotted() -> None:
    for words in ({}, {"nbytes": 5000, "error": 0.1}):
        with pytest.raises(bp.SchemeError, match="give a limit"):
            bp.allocate(network(), calibration=inputs(1), recipe=BASE, **words)
    for words in ({"nm": (2, 4)}, {"sparsity": 0.5, "scope": "model"}):
        with pytest.raises(bp.SchemeError, match="only a sparsity of each tensor"):
            recipe = bp.Recipe.int(6, min_elements=64, **words)
            bp.allocate(network(), 5000, calibration=inputs(1), recipe=recipe)


def test_what_is_done_to_the_graph_stays_in_the_recipe() -> None:
    base = bp.Recipe(BASE.rules, equalize=True)
    recipe = bp.allocate(network(), 9000, calibration=inputs(1), recipe=base)
    assert recipe.equalize and bp.compress(network(), recipe, calibration=inputs(1))
