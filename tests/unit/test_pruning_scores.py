"""Pruning after training: exact counts by every score and structure, and error feedback that is never worse."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import bitpress as bp
from bitpress.methods import Layout, Settings, Statistics, magnitude, pruning, sparsegpt, wanda
from bitpress.methods.patterns import best, kept


def statistics_of(layout: Layout, groups: int, inputs: int, seed: int = 0) -> Statistics:
    """Of inputs that go together, one of which is always 0."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(groups, 200, inputs)) @ draw.normal(size=(groups, inputs, inputs)) * draw.random(inputs)
    x[:, :, 0] = 0
    hessian = x.transpose(0, 2, 1) @ x / 200
    diagonal = np.ascontiguousarray(np.diagonal(hessian, axis1=1, axis2=2))
    return Statistics(layout, diagonal, x.mean(1), 200, hessian)


STRUCTURES: dict[str, dict[str, Any]] = {
    "unstructured": {"sparse": True},
    "2:4": {"nm": (2, 4)},
    "3:8": {"nm": (3, 8)},
    "blocks": {"block": (4, 6)},
}
LAYOUTS = {"linear": (Layout(), (20, 48)), "transposed": (Layout(transposed=True), (48, 24))}
LAYOUTS |= {"conv": (Layout(2), (16, 8, 2, 3)), "depthwise": (Layout(16), (16, 1, 2, 4))}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("score", ["magnitude", "wanda", "sparsegpt"])
def test_counts_are_exact(score: str, structure: str, layout: str) -> None:
    how, shape = LAYOUTS[layout]
    w = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    like = how.matrices(w)
    scheme = bp.Scheme.int(4, **STRUCTURES[structure])
    share = 1 - scheme.pattern[0] / scheme.pattern[1] if "nm" in STRUCTURES[structure] else 0.7
    rule = bp.Rule("*", scheme, sparsity=share, score=score)  # type: ignore[arg-type]
    known = statistics_of(how, like.shape[0], like.shape[2])
    data = pruning.prune(memoryview(w.tobytes()), "F32", shape, scheme, rule, statistics=known)
    found = np.frombuffer(data, np.float32).reshape(shape)
    gone = found == 0
    if "nm" in STRUCTURES[structure]:
        count, group = scheme.pattern
        assert np.array_equal(np.count_nonzero(found.reshape(-1, group), axis=1), np.full(w.size // group, count))
    elif structure == "blocks":
        matrix = np.pad(found.reshape(shape[0], -1), ((0, -shape[0] % 4), (0, -(w.size // shape[0]) % 6)))
        held = matrix.reshape(matrix.shape[0] // 4, 4, matrix.shape[1] // 6, 6).any((1, 3))
        assert np.count_nonzero(~held) == round(0.7 * held.size)
    elif score == "wanda":
        inputs = like.shape[2]
        assert np.array_equal(
            np.count_nonzero(how.matrices(gone), axis=2), np.full(like.shape[:2], round(share * inputs))
        )
    else:
        assert np.count_nonzero(gone) == round(share * w.size)
    if score != "sparsegpt":
        assert np.array_equal(found[~gone], w[~gone])
    bp.pack(found, scheme)  # fits


@given(seed=st.integers(0, 30), share=st.floats(0, 1), layout=st.sampled_from(sorted(LAYOUTS)))
def test_what_is_made_good_is_never_worse_than_the_same_weights_dropped(seed: int, share: float, layout: str) -> None:
    how, shape = LAYOUTS[layout]
    w = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    like = how.matrices(w)
    known = statistics_of(how, like.shape[0], like.shape[2], seed)
    scheme = bp.Scheme.int(4, sparse=True)
    found, stays = sparsegpt.pruned(w, scheme, share, known, Settings(), "w")
    assert np.count_nonzero(~stays) == round(share * w.size)
    dropped = known.error(how.matrices(np.where(stays, w, 0)) - like)
    assert (known.error(how.matrices(found) - like) <= dropped * (1 + 1e-5)).all()


def test_error_feedback_beats_wanda_and_wanda_magnitude() -> None:
    how, w = Layout(), np.random.default_rng(4).normal(size=(40, 64)).astype(np.float32)
    known = statistics_of(how, 1, 64, 3)
    scheme = bp.Scheme.int(8, nm=(2, 4))
    by_magnitude = np.where(kept(np.square(w), scheme, 0.5, "w"), w, 0)
    by_wanda = np.where(wanda.stays(w, scheme, 0.5, known, "w"), w, 0)
    fed, stays = sparsegpt.pruned(w, scheme, 0.5, known, Settings(), "w")
    errors = [known.error((x - w)[None]).sum() for x in (by_magnitude, by_wanda, np.where(stays, fed, 0))]
    assert errors[2] < errors[1] < errors[0]


def test_uncorrelated_inputs_leave_the_survivors_alone() -> None:
    """With a diagonal Hessian nothing can be made good, and the scores are Wanda's."""
    rng = np.random.default_rng(4)
    w = rng.normal(size=(6, 32)).astype(np.float32)
    diagonal = rng.random((1, 32)) + 0.1
    known = Statistics(Layout(), diagonal, np.zeros((1, 32)), 50, None)
    scheme = bp.Scheme.int(8, nm=(1, 4))
    found, stays = sparsegpt.pruned(w, scheme, 0.75, known, Settings(damp=0.0), "w")
    assert np.array_equal(stays, wanda.stays(w, scheme, 0.75, known, "w"))
    np.testing.assert_array_equal(found[stays], w[stays])


def test_ties_take_the_earlier_first() -> None:
    assert best(np.zeros((2, 5)), 2).tolist() == [[False, False, False, True, True]] * 2
    flat = np.ones(10, np.float32)
    by_kept = kept(flat, bp.Scheme.int(4, sparse=True), 0.35, "w")
    assert np.array_equal(magnitude.prune(flat, sparsity=0.35) != 0, by_kept)


SCORES: tuple[Any, ...] = ("magnitude", "wanda", "sparsegpt")


def dense(seed: int) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """A network of one layer, its weights, and inputs that go together."""
    rng = np.random.default_rng(seed)
    w, b = rng.normal(size=(8, 16)).astype(np.float32), np.zeros(8, np.float32)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)]
    values = [helper.make_tensor_value_info(name, 1, ["n", size]) for name, size in (("x", 16), ("y", 8))]
    held = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")]
    model = helper.make_model(helper.make_graph(nodes, "net", values[:1], values[1:], held))
    return model, w, (rng.normal(size=(300, 16)) @ rng.normal(size=(16, 16))).astype(np.float32)


def test_networks_are_pruned_by_their_inputs() -> None:
    """Of one network a score can be lucky; over eight what knows more does better."""
    errors = dict.fromkeys(SCORES, 0.0)
    for seed in range(8):
        model, w, x = dense(seed)
        for score in SCORES:
            rule = bp.Rule("w", bp.Scheme.int(8, axis=0, nm=(2, 4)), sparsity=0.5, score=score, method="feedback")
            pressed = bp.compress(model, bp.Recipe((rule,)), calibration={"x": x})
            assert pressed.tensors["w"].survivors == 64
            found = bp.Session(pressed).run({"x": x})["y"]
            errors[score] += float(np.square(found - x @ w.T).mean())
    assert errors["sparsegpt"] < errors["wanda"] < errors["magnitude"]
    with pytest.raises(bp.SchemeError, match="needs calibration"):
        bp.compress(model, bp.Recipe.int(nm=(2, 4), score="wanda", min_elements=1))


def test_rules_that_contradict_themselves_are_refused() -> None:
    for words, message in (
        ({"sparsity": 0.4, "nm": (2, 4)}, "2:4 has the sparsity 0.5"),
        ({"score": "wanda"}, "needs a sparsity"),
        ({"score": "fisher", "sparsity": 0.5}, "score must be"),
        ({"sparsity": 0.5, "block": (2, 2), "scope": "model"}, "scope tensor"),
    ):
        structure = {key: words.pop(key) for key in ("nm", "block") if key in words}  # type: ignore[attr-defined]
        with pytest.raises(bp.SchemeError, match=message):
            bp.Rule("*", bp.Scheme.int(4, **structure), **words)  # type: ignore[arg-type]
    made = bp.Recipe.int(4, nm=(1, 4), score="sparsegpt")
    assert made.rules[0].sparsity == 0.75
    assert bp.Recipe.from_dict(made.to_dict()) == made
    assert bp.Recipe.codebook(4, nm=(2, 4)).rules[0].scheme.pattern == (2, 4)


@pytest.mark.parametrize("shape", [(24, 24), (24, 40), (40, 24)])
@pytest.mark.parametrize("score", ["wanda", "sparsegpt"])
def test_matrices_that_are_held_transposed_are_ranked_by_the_same_inputs(score: Any, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(5)
    w = random.standard_normal(shape).astype(np.float32)
    x = (random.standard_normal((300, shape[0])) * np.exp(2 * random.standard_normal(shape[0]))).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [value("x", onnx.TensorProto.FLOAT, ["n", shape[0]])],
        [value("y", onnx.TensorProto.FLOAT, ["n", shape[1]])],
        [numpy_helper.from_array(w, "w")],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    recipe = bp.Recipe.int(8, sparsity=0.5, score=score, min_elements=1)
    found, plain = (bp.compress(network, recipe, calibration={"x": x}, optimize=on) for on in (True, False))
    assert found.graph is not None and found.graph.nodes[0].attributes["transB"] == 1
    np.testing.assert_array_equal(found.tensors["w"].mask().T, plain.tensors["w"].mask())
    error = [np.square(bp.Session(made).run({"x": x})["y"] - x @ w).mean() for made in (found, plain)]
    np.testing.assert_allclose(error[0], error[1], rtol=0.02)


def test_many_inputs_whose_strengths_alone_are_known_take_no_matrix() -> None:
    random = np.random.default_rng(6)
    columns = 20_000
    strengths = random.random((1, columns))
    w = random.standard_normal((columns, 4)).astype(np.float32)
    known = Statistics(Layout(transposed=True), strengths, strengths, 1)
    tracemalloc.start()
    found, stays = sparsegpt.pruned(w, bp.Scheme.int(4, sparse=True), 0.6, known, Settings(), "w")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    scores = np.square(w.astype(np.float64)) * strengths.T
    assert np.count_nonzero(~stays) == round(0.6 * w.size)
    assert scores[stays].min() >= scores[~stays].max()
    np.testing.assert_array_equal(found, w * stays)
