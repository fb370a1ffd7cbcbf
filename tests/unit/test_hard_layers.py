"""What every method must bear: NaN, constant and dead weights, one row, no calibration, tied weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import model, node
from test_compress_calibrated import chain, inputs, run

import bitpress as bp
from bitpress.container import Container

INT = bp.Recipe.int
SMALL: Any = {"min_elements": 1}
RECIPES: dict[str, bp.Recipe] = {
    "round": INT(6, **SMALL),
    "affine": INT(6, symmetric=False, **SMALL),
    **{
        f"round {how}": bp.Recipe(tuple(replace(rule, range=how) for rule in INT(6, **SMALL).rules))  # type: ignore[arg-type]
        for how in ("percentile", "mse", "output")
    },
    "feedback": bp.Recipe.feedback(6, **SMALL),
    "feedback, pressed inputs": bp.Recipe.feedback(6, inputs="pressed", **SMALL),
    "rate": bp.Recipe.rate(1e-4, **SMALL),
    "codebook": bp.Recipe.codebook(6, **SMALL),
    "codebook by output": bp.Recipe.codebook(6, range="output", correct=True, **SMALL),
    "shared codebook": bp.Recipe.codebook(6, shared=True, **SMALL),
    **{score: INT(8, sparsity=0.25, score=score, **SMALL) for score in ("magnitude", "wanda", "sparsegpt")},  # type: ignore[arg-type]
    "over the model": INT(8, sparsity=0.25, scope="model", **SMALL),
    "blocks": INT(8, sparsity=0.25, block=(2, 2), **SMALL),
    "N:M": INT(8, nm=(3, 4), score="sparsegpt", **SMALL),
    "channels": replace(INT(8, **SMALL), channels=0.25),
    "low rank": replace(INT(8, **SMALL), low_rank=0.999),
    "equalized": replace(INT(8, **SMALL), equalize=True),
}


def pressed(name: str, network: Any, calibration: Any) -> bp.Model:
    recipe = RECIPES[name]
    calibrated = any(rule.is_calibrated for rule in recipe.rules)
    return bp.compress(network, recipe, calibration=calibration if calibrated else None)


@pytest.mark.parametrize("name", RECIPES)
def test_dead_and_constant_weights_and_one_row(name: str) -> None:
    dead = np.zeros((16, 3, 3, 3), np.float32)
    dead[:4] = chain()[1]["a"][:4]
    rest = {"b": np.full((16, 1, 3, 3), 0.25, np.float32), "d": np.ones((12, 1), np.float32)}
    if name == "N:M":  # groups of 4 must divide what is pressed
        dead, rest["b"] = np.full((16, 3, 2, 2), 1e-3, np.float32), np.full((16, 1, 2, 2), 0.25, np.float32)
    network, _ = chain(a=dead, **rest, **{"d.bias": np.zeros(1, np.float32)})
    exact = run(bp.compress(network, bp.Recipe()))
    found = run(pressed(name, network, inputs(1)))
    assert found.shape == exact.shape and np.isfinite(found).all()
    if name not in ("channels", "over the model", "magnitude", "wanda", "sparsegpt", "blocks", "N:M"):
        assert np.abs(found - exact).max() < 0.3 * np.abs(exact).max()


@pytest.mark.parametrize("name", RECIPES)
def test_nan_is_refused(name: str) -> None:
    """By the weight's name, or where it comes out of a layer by that of the one whose input is measured."""
    weights = chain()[1]["c.weight"].copy()
    weights[3, 3] = np.nan
    with pytest.raises((bp.SchemeError, bp.CalibrationError), match=r"^(c\.weight|d): .*NaN"):
        pressed(name, chain(**{"c.weight": weights})[0], inputs(1))


@pytest.mark.parametrize(
    "name", [name for name, recipe in RECIPES.items() if any(r.is_calibrated for r in recipe.rules)]
)
def test_no_calibration_is_refused(name: str) -> None:
    network, _ = chain()
    for empty in ([], {"x": np.zeros((0, 3, 8, 8), np.float32)}):
        with pytest.raises(bp.CalibrationError, match="holds no inputs"):
            bp.compress(network, RECIPES[name], calibration=empty)
    with pytest.raises(bp.SchemeError, match="needs calibration"):
        bp.compress(network, RECIPES[name])


@pytest.mark.parametrize("name", RECIPES)
def test_tied_weights_are_stored_once_and_stay_tied(name: str, tmp_path: Path) -> None:
    w = (np.random.default_rng(2).standard_normal((8, 8)) / 3).astype(np.float32)
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r w", "y")]
    network = model(nodes, {"x": ["n", 8]}, ["y"], {"w": w})
    x = np.random.default_rng(3).standard_normal((30, 8)).astype(np.float32)
    made = pressed(name, network, {"x": x})
    made.save(tmp_path / "net.bp")
    with Container.open(tmp_path / "net.bp") as file:
        assert list(file.tensors) == ["w"]
    assert made.graph is not None
    plain = bp.Model({"w": bp.pack(made.tensors["w"].unpack())}, made.graph)
    found, want = (bp.Session(each).run({"x": x})["y"] for each in (tmp_path / "net.bp", plain))
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    exact = np.maximum(x @ w, 0) @ w
    assert np.square(found - exact).mean() < 0.5 * np.square(exact).mean()
