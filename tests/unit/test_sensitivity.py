"""What outputs feel of layers: the graph in torch answers as a Session does, and what it predicts is what comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx_models import model, node
from test_calibrate import inputs, network

import bitpress as bp
from bitpress.calibrate import layers as calibrate_layers
from bitpress.calibrate import layers_of, measure, read_data
from bitpress.methods.rate import entropy
from bitpress.model import Model
from bitpress.train.interpreter import run

WORDS = 40


def encoder() -> Any:
    """Embedding, attention, a norm, GELU and a mean, as MiniLM has them; input x [2, 6], the words' numbers."""
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / 2).astype(np.float32)

    tensors = {"words": weights(WORDS, 8), "q": weights(8, 8), "k": weights(8, 8), "up": weights(8, 16)}
    tensors |= {"up.bias": weights(16), "scale": weights(8) + 1, "shift": weights(8), "down": weights(16, 8)}
    tensors["one"] = np.array([1])
    tensors["root"] = np.array(8**0.5, np.float32)
    nodes = [
        node("Cast", "x", "ids", to=7),
        node("Gather", "words ids", "e", axis=0),
        node("MatMul", "e q", "a"),
        node("MatMul", "e k", "b"),
        node("Transpose", "b", "t", perm=[0, 2, 1]),
        node("MatMul", "a t", "s"),
        node("Div", "s root", "d"),
        node("Softmax", "d", "p", axis=-1),
        node("MatMul", "p e", "m"),
        node("Add", "m e", "r"),
        node("LayerNormalization", "r scale shift", "n", axis=-1),
        node("MatMul", "n up", "u"),
        node("Add", "u up.bias", "v"),
        node("Gelu", "v", "g"),
        node("MatMul", "g down", "o"),
        node("ReduceMean", "o one", "y", keepdims=0),
    ]
    return model(nodes, {"x": [2, 6]}, ["y"], tensors)


def words(count: int) -> np.ndarray:
    """Seldom ones too, as in texts."""
    return np.minimum(np.random.default_rng(5).geometric(0.1, (count, 6)), WORDS - 1).astype(np.float32)


NETWORKS = {"convolutions": (network, inputs), "encoder": (encoder, words)}
RECIPE = bp.Recipe.rate(0.01, biases=None, min_elements=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_in_torch_answers_as_a_session(name: str) -> None:
    make, draw = NETWORKS[name]
    made, x = bp.compress(make(), bp.Recipe()), draw(2)
    assert made.graph is not None
    tensors = {each: torch.tensor(made.tensors[each].unpack()) for each in made.graph.stored()}
    (found,) = run(made.graph, tensors, {"x": torch.from_numpy(x)}).values()
    (want,) = bp.Session(made).run({"x": x}).values()
    np.testing.assert_allclose(found.numpy(), want, rtol=0, atol=1e-5 * np.abs(want).max())


def outputs(made: bp.Model, x: np.ndarray) -> np.ndarray:
    session = bp.Session(made)
    return np.concatenate([next(iter(session.run({"x": x[i : i + 2]}).values())) for i in range(0, len(x), 2)])


@pytest.mark.parametrize("name", NETWORKS)
def test_what_it_predicts_of_random_errors_is_what_they_do(name: str) -> None:
    """tr(G dW H dW^T), layer by layer, within a factor of 2 of the outputs' squared error as a share of variance."""
    make, draw = NETWORKS[name]
    made, x = bp.compress(make(), bp.Recipe()), draw(400)
    assert made.graph is not None
    known = bp.torch.sensitivity(make(), {"x": x}, gradients=200, recipe=RECIPE)
    layers = {layer.weight: layer for layer in layers_of(made.graph, {s.name: s.shape for s in made.specs()})}
    assert set(known) == set(layers) and len({each.weights for each in known.values()}) == 1
    exact = outputs(made, x)
    variance = np.square(exact - exact.mean(0)).sum(1).mean()
    found = measure(made.graph, made.tensors.__getitem__, list(layers.values()), read_data({"x": x}, made.graph))
    random = np.random.default_rng(6)
    for weight, layer in layers.items():
        w = made.tensors[weight].unpack()
        statistics, gram = found[layer.node.outputs[0]], known[weight].outputs
        error = 0.01 * np.abs(w).max() * random.standard_normal(layer.layout.matrices(w).shape)
        mean = statistics.mean[:, None, :]  # errors that do not move the mean, as where a bias is corrected
        error -= (error * mean).sum(2, keepdims=True) * mean / np.square(mean).sum(2, keepdims=True)
        moved = w + layer.layout.tensor(error, w.shape).astype(np.float32)
        hessian = statistics.hessian
        if hessian is None:  # of what is looked up
            assert layer.looks_up
            counts = np.bincount(x.astype(np.intp).reshape(-1), minlength=WORDS)
            hessian = np.diag(counts / counts.sum())[None]
        predicted = sum(np.trace(g @ e @ h @ e.T) for g, e, h in zip(gram, error, hessian, strict=True))
        tensors = {**made.tensors, weight: bp.pack(moved)}
        real = np.square(outputs(Model(tensors, made.graph), x) - exact).sum(1).mean() / variance
        assert 0.5 < real / predicted < 2, (weight, real, predicted)


@pytest.mark.parametrize("name", NETWORKS)
def test_files_are_better_at_their_size_with_it(name: str) -> None:
    make, draw = NETWORKS[name]
    x, judged = draw(400), draw(100)
    exact = outputs(bp.compress(make(), bp.Recipe()), judged)
    known = bp.torch.sensitivity(make(), {"x": x}, recipe=RECIPE)

    def pressed(rate: float, **given: Any) -> tuple[float, float]:
        recipe = bp.Recipe.rate(rate, biases=None, min_elements=1)
        made = bp.compress(make(), recipe, calibration={"x": x}, **given)
        bits = sum(entropy(each.codes()) for name, each in made.tensors.items() if name in known)
        return bits, float(np.square(outputs(made, judged) - exact).mean())

    bits, error = pressed(0.02, sensitivity=known)
    plain = [pressed(rate) for rate in np.geomspace(1e-3, 1, 12)]
    assert error < min(e for b, e in plain if b <= 1.02 * bits)


def test_blocks_of_inputs_leave_what_outputs_feel(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bp.torch.sensitivity(network(), {"x": inputs()}, gradients=5, recipe=RECIPE)
    monkeypatch.setattr(calibrate_layers, "MAX_HESSIAN", 5000)
    monkeypatch.setattr(calibrate_layers, "LEAST_BLOCK", 3)
    cut = bp.torch.sensitivity(network(), {"x": inputs()}, gradients=5, recipe=RECIPE)
    for weight, parts, columns in (("a", 3, 9), ("b", 24, 3), ("c", 1, 8)):
        one, other = whole[weight], cut[weight]
        np.testing.assert_allclose(other.outputs, one.outputs, rtol=1e-5, atol=1e-9 * np.abs(one.outputs).max())
        assert one.inputs is not None and other.inputs is not None and other.inputs.shape == (parts, columns, columns)
        found, want = (np.diagonal(each.inputs, axis1=1, axis2=2).reshape(-1) for each in (other, one))
        np.testing.assert_allclose(found, want, rtol=1e-5)
    pressed = bp.compress(network(), RECIPE, calibration=inputs(40), sensitivity=cut)
    assert bp.Session(pressed).run({"x": inputs(2)})


def test_it_is_deterministic() -> None:
    once, again = (bp.torch.sensitivity(network(), {"x": inputs()}, gradients=5, recipe=RECIPE) for _ in range(2))
    for weight in once:
        np.testing.assert_array_equal(once[weight].outputs, again[weight].outputs)


def test_what_is_refused() -> None:
    with pytest.raises(bp.UnsupportedError, match="not of tensors alone"):
        bp.torch.sensitivity({"w": np.ones((3, 3), np.float32)}, {"x": inputs()})
    with pytest.raises(bp.UnsupportedError, match=r"operator CumSum .* has no derivative here"):
        bp.torch.sensitivity(
            model(
                [node("MatMul", "x w", "h"), node("CumSum", "h axis", "y")],
                {"x": ["n", 3]},
                ["y"],
                {"w": np.ones((3, 3), np.float32), "axis": np.array(1)},
            ),
            {"x": np.ones((2, 3), np.float32)},
            recipe=RECIPE,
        )
    with pytest.raises(bp.CalibrationError, match="do not vary"):
        bp.torch.sensitivity(network(), {"x": np.zeros((4, 3, 9, 8), np.float32)}, recipe=RECIPE)
    with pytest.raises(bp.CalibrationError, match="no rule of the recipe"):
        bp.torch.sensitivity(network(), {"x": inputs()}, recipe=bp.Recipe.int(8))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_at_a_time_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from bitpress.train import sensitivity

    make, draw = NETWORKS[name]
    known, portions = [], []
    whole = sensitivity._portions
    monkeypatch.setattr(
        sensitivity, "_portions", lambda layers: [portions.append(part) or part for part in whole(layers)]
    )
    for limit in (1 << 28, 1):
        portions.clear()
        monkeypatch.setattr(sensitivity, "GRAM_BYTES", limit)
        known.append(bp.torch.sensitivity(make(), {"x": draw(8)}, gradients=6, recipe=RECIPE))
        assert len(portions) == (1 if limit > 1 else len(known[0]))
    once, again = known
    assert list(once) == list(again)
    for weight in once:
        np.testing.assert_allclose(again[weight].outputs, once[weight].outputs, rtol=1e-5, atol=1e-12)
        assert (once[weight].inputs is None) == (again[weight].inputs is None)
        if once[weight].inputs is not None:
            np.testing.assert_allclose(again[weight].inputs, once[weight].inputs, rtol=1e-5, atol=1e-12)


def test_a_product_with_a_matrix_held_transposed_is_the_sessions() -> None:
    random = np.random.default_rng(6)
    w = random.standard_normal((8, 12)).astype(np.float32)
    x = random.standard_normal((5, 8)).astype(np.float32)
    made = bp.compress(
        model([node("MatMul", "x w", "y")], {"x": (5, 8)}, ["y"], {"w": w}),
        bp.Recipe.int(8, sparsity=0.5, min_elements=1),
    )
    graph = made.graph
    assert graph is not None and graph.nodes[0].attributes["transB"] == 1
    stored = {name: torch.from_numpy(tensor.unpack().copy()) for name, tensor in made.tensors.items()}
    (found,) = run(graph, stored, {"x": torch.from_numpy(x)}).values()
    np.testing.assert_allclose(found.numpy(), bp.Session(made).run({"x": x})["y"], atol=1e-5)
