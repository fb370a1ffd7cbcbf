"""A network pressed with calibration: its outputs, its biases, shared weights, dead channels, pruning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import model, node

import bitpress as bp


def chain(**changes: np.ndarray) -> tuple[Any, dict[str, np.ndarray]]:
    """conv, depthwise conv, gemm without a bias, matmul with an add; and its tensors."""
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    tensors = {"a": weights(16, 3, 3, 3), "b": weights(16, 1, 3, 3), "b.bias": weights(16)}
    tensors |= {"c.weight": weights(12, 16), "d": weights(12, 6), "d.bias": weights(6), **changes}
    nodes = [
        node("Conv", "x a", "h", pads=[1, 1, 1, 1]),
        node("Relu", "h", "r"),
        node("Conv", "r b b.bias", "k", group=len(tensors["b"])),
        node("Relu", "k", "q"),
        node("GlobalAveragePool", "q", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f c.weight", "g", transB=1),
        node("Relu", "g", "s"),
        node("MatMul", "s d", "m"),
        node("Add", "m d.bias", "y"),
    ]
    return model(nodes, {"x": ["n", 3, 8, 8]}, ["y"], tensors), tensors


def inputs(seed: int, count: int = 64) -> dict[str, np.ndarray]:
    """Smooth images: neighbours go together, as in real ones."""
    x = np.random.default_rng(seed).standard_normal((count, 3, 8, 8)).cumsum(2).cumsum(3)
    return {"x": (x / 8 + 0.3).astype(np.float32)}


def run(source: Any) -> np.ndarray:
    return bp.Session(source).run(inputs(9, 200))["y"]


def feedback(bits: int = 3, **settings: Any) -> bp.Recipe:
    return bp.Recipe.feedback(bits, min_elements=1, **{"shrink": 0.1, **settings})


def error(recipe: bp.Recipe, network: Any, **words: Any) -> float:
    exact = run(bp.compress(network, bp.Recipe()))
    return float(np.mean((run(bp.compress(network, recipe, **words)) - exact) ** 2))


def test_each_step_lessens_the_error_of_the_outputs() -> None:
    network, _ = chain()
    rounded = error(bp.Recipe.int(3, min_elements=1), network)
    fed = error(feedback(correct=False), network, calibration=inputs(1))
    corrected = error(feedback(), network, calibration=inputs(1))
    pressed = error(feedback(inputs="pressed"), network, calibration=inputs(1))
    assert corrected < 0.5 * rounded and fed < rounded and pressed < 0.5 * rounded


def test_rate_aware_files_are_smaller_at_the_same_error(tmp_path: Path) -> None:
    network, _ = chain()
    sizes = []
    by_rate = bp.Recipe.rate(0.01, shrink=0.1, damp=0.01, min_elements=16)  # inputs are many, and alike to come
    for recipe in (bp.Recipe.feedback(4, min_elements=16, coding="rans"), by_rate):
        made = bp.compress(network, recipe, calibration=inputs(1))
        made.save(tmp_path / "net.bp")
        sizes.append((tmp_path / "net.bp").stat().st_size)
    assert error(recipe, network, calibration=inputs(1)) < error(feedback(4), network, calibration=inputs(1))
    assert sizes[1] < sizes[0]
    assert {str(made.tensors[name].scheme) for name in ("a", "b", "c.weight", "d")} == {"int15 + rans"}
    assert {str(made.tensors[name].scheme) for name in ("b.bias", "a.bias")} == {"int10 + rans", "keep"}


def test_biases_take_what_the_mean_has_moved_by() -> None:
    network, tensors = chain()
    recipe = feedback(2)
    made = bp.compress(network, recipe, calibration=inputs(1))
    assert made.graph is not None
    biases = {node.outputs[0]: node.inputs[2] for node in made.graph.nodes if node.op in ("Conv", "Gemm")}
    assert set(biases.values()) - set(tensors) == {"a.bias", "c.bias"}
    assert all(made.tensors[name].scheme == bp.Scheme() for name in (*biases.values(), "d.bias"))
    assert not np.array_equal(made.tensors["d.bias"].unpack(), tensors["d.bias"])
    # One layer: the mean output over the calibration data is exact again.
    proto = model(
        [node("Gemm", "x w b", "y", transB=1, alpha=0.5, beta=2.0)],
        {"x": ["n", 20]},
        ["y"],
        {"w": np.random.default_rng(2).standard_normal((9, 20)).astype(np.float32), "b": np.ones(9, np.float32)},
    )
    x = {"x": (np.random.default_rng(3).standard_normal((50, 20)) + 1).astype(np.float32)}
    exact = bp.Session(bp.compress(proto, bp.Recipe())).run(x)["y"].mean(0)
    for method in ("round", "feedback"):
        rule = replace(recipe.rules[0], method=method)
        y = bp.Session(bp.compress(proto, bp.Recipe((rule,)), calibration=x)).run(x)["y"].mean(0)
        np.testing.assert_allclose(y, exact, atol=2e-5)


def test_a_bias_that_cannot_take_it_is_left_alone() -> None:
    random = np.random.default_rng(4)
    w = random.standard_normal((6, 6)).astype(np.float32)
    bias = random.standard_normal(6).astype(np.float32)
    nodes = [node("Gemm", "x v bias", "h"), node("Gemm", "h w bias", "k"), node("MatMul", "k u", "y")]
    network = model(nodes, {"x": ["n", 6]}, ["y"], {"v": w + 1, "w": w, "bias": bias, "u": w - 1})
    made = bp.compress(network, feedback(), calibration={"x": np.eye(6, dtype=np.float32)})
    np.testing.assert_array_equal(made.tensors["bias"].unpack(), bias)
    assert made.graph is not None and len(made.graph.nodes) == 3


def test_shared_weights_stay_shared() -> None:
    random = np.random.default_rng(5)
    w = random.standard_normal((8, 8)).astype(np.float32)
    network = model(
        [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r w", "y")],
        {"x": ["n", 8]},
        ["y"],
        {"w": w},
    )
    for how in ("exact", "pressed"):
        made = bp.compress(network, feedback(inputs=how), calibration={"x": random.standard_normal((30, 8))})
        assert list(made.tensors) == ["w"] and made.tensors["w"].scheme.values.bits == 3


@pytest.mark.parametrize("how", ["exact", "pressed"])
@pytest.mark.parametrize("range", ["minmax", "percentile", "mse", "output"])
def test_dead_constant_and_thin_layers(how: Any, range: Any) -> None:
    dead = np.zeros((16, 3, 3, 3), np.float32)
    dead[:4] = chain()[1]["a"][:4]
    network, _ = chain(a=dead, b=np.full((16, 1, 3, 3), 0.25, np.float32), d=np.ones((12, 1), np.float32))
    network.graph.initializer.remove(next(item for item in network.graph.initializer if item.name == "d.bias"))
    network.graph.node.pop()
    network.graph.node[-1].output[0] = "y"
    made = bp.compress(network, feedback(5, inputs=how, range=range), calibration=inputs(1))
    exact = run(bp.compress(network, bp.Recipe()))
    assert np.abs(run(made) - exact).max() < 0.25 * np.abs(exact).max()


def test_pruned_weights_stay_zero() -> None:
    network, tensors = chain()
    recipe = feedback(4, sparsity=0.5)
    made = bp.compress(network, recipe, calibration=inputs(1))
    for name in ("a", "b", "c.weight", "d"):
        pruned = bp.prune(tensors[name], sparsity=0.5)
        mask = made.tensors[name].mask()  # what MatMul reads is held transposed
        np.testing.assert_array_equal(mask.T if mask.shape != pruned.shape else mask, pruned != 0)


def test_a_file_and_the_model_in_memory_are_the_same(tmp_path: Path) -> None:
    network, _ = chain()
    (tmp_path / "net.onnx").write_bytes(network.SerializeToString())
    files = []
    for number, source in enumerate([network, tmp_path / "net.onnx", tmp_path / "net.onnx"]):
        made = bp.compress(source, feedback(), calibration=inputs(1))
        made.save(tmp_path / f"{number}.bp")
        files.append((tmp_path / f"{number}.bp").read_bytes())
    assert files[0] == files[1] == files[2]
    np.testing.assert_array_equal(run(tmp_path / "0.bp"), run(made))


def test_a_layer_with_too_many_inputs_keeps_the_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    from bitpress.calibrate import layers

    monkeypatch.setattr(layers, "MAX_HESSIAN", 8)
    network, _ = chain()
    fed = bp.compress(network, feedback(correct=False), calibration=inputs(1))
    rounded = bp.compress(network, bp.Recipe.int(3, min_elements=1))
    for name in ("a", "b", "c.weight", "d"):
        np.testing.assert_array_equal(fed.tensors[name].codes(), rounded.tensors[name].codes())


def test_few_hessians_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from bitpress.calibrate import press

    network, _ = chain()
    made = bp.compress(network, feedback(), calibration=inputs(1))
    monkeypatch.setattr(press, "HESSIAN_BYTES", 1)
    again = bp.compress(network, feedback(), calibration=inputs(1))
    for name in ("a", "b", "c.weight", "d"):
        assert made.tensors[name].streams == again.tensors[name].streams


def test_the_command_line(bitpress: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    wide = {"c.weight": random.standard_normal((96, 16)), "d": random.standard_normal((96, 6))}
    network, _ = chain(**{name: array.astype(np.float32) for name, array in wide.items()})
    (tmp_path / "net.onnx").write_bytes(network.SerializeToString())
    np.savez(tmp_path / "data.npz", **inputs(1))
    np.savez(tmp_path / "wrong.npz", z=np.zeros(3, np.float32))
    command = ["compress", tmp_path / "net.onnx", "-o", tmp_path / "net.bp"]
    done = bitpress(*command, "--calibration", tmp_path / "data.npz", "--bits", "3", "--range", "mse", "--json")
    assert done.returncode == 0 and not done.stderr, done.stderr
    recipe = bp.Recipe.feedback(3, range="mse")
    bp.compress(tmp_path / "net.onnx", recipe, calibration=tmp_path / "data.npz").save(tmp_path / "ours.bp")
    assert (tmp_path / "net.bp").read_bytes() == (tmp_path / "ours.bp").read_bytes()
    done = bitpress(*command, "--calibration", tmp_path / "data.npz", "--size", "2.6kB")
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert 2200 < (tmp_path / "net.bp").stat().st_size < 2800
    for words in (["--size", "2.6kB"], ["--size", "much"], ["--size", "9 kB", "--bits", "3", "--recipe", "r"]):
        assert bitpress(*command, *words).returncode == 2
    for words, reason in [
        (["--calibration", tmp_path / "wrong.npz"], "no input 'z'"),
        (["--calibration", tmp_path / "none.npz"], "none.npz: No such file"),
        (["--method", "feedback"], "c.weight: its rule needs calibration"),
        (["--lossless", "--calibration", tmp_path / "data.npz"], "no rule of the recipe"),
    ]:
        done = bitpress(*command, *words)
        assert done.returncode == 1 and reason in done.stderr and done.stderr.count("\n") == 1
