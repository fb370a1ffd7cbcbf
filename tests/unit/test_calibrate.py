"""Calibration: what may be given, what is refused, and moments that equal those of plainly unfolded inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import model, node

import bitpress as bp
from bitpress.calibrate import layers as calibrate_layers
from bitpress.calibrate import layers_of, measure, read_data
from bitpress.graph import Graph, Node, Value


def network(batch: int | str = "n") -> Any:
    """A small ONNX network: a convolution without a bias, a depthwise one, a dense layer; input x [batch, 3, 9, 8]."""
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    tensors = {"a": weights(8, 3, 3, 3), "b": weights(8, 1, 3, 3), "b.bias": weights(8), "c": weights(8, 5)}
    nodes = [
        node("Conv", "x a", "h", pads=[1, 0, 1, 1], strides=[2, 1]),
        node("Relu", "h", "r"),
        node("Conv", "r b b.bias", "d", group=8, dilations=[2, 1]),
        node("GlobalAveragePool", "d", "p"),
        node("Flatten", "p", "f"),
        node("MatMul", "f c", "y"),
    ]
    return model(nodes, {"x": [batch, 3, 9, 8]}, ["y"], tensors)


def inputs(count: int = 10) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 3, 9, 8)).astype(np.float32)


RECIPE = bp.Recipe.feedback(4, min_elements=1)


def unfolded(x: np.ndarray, layer: Any, strides: tuple[int, int], pads: Any, dilations: tuple[int, int]) -> np.ndarray:
    """im2col written plainly: [groups, columns, samples]."""
    kernel = layer.shape[2:]
    groups = layer.layout.groups
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    found = []
    for image in x:
        for top in range(0, x.shape[2] - reach[0] + 1, strides[0]):
            for left in range(0, x.shape[3] - reach[1] + 1, strides[1]):
                rows = slice(top, top + reach[0], dilations[0])
                columns = slice(left, left + reach[1], dilations[1])
                found.append(image[:, rows, columns].reshape(groups, -1))
    return np.stack(found, -1)


def test_large_hessians_are_kept_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).standard_normal((5, 6, 4, 4)).astype(np.float32)
    w = bp.pack(np.random.default_rng(4).standard_normal((8, 3, 2, 2)).astype(np.float32))
    node = Node("Conv", "", ("x", "w"), ("y",), {"group": 2})
    graph = Graph((Value("x", "F32", (-1, 6, 4, 4)),), (Value("y"),), (node,))

    def measured() -> tuple[Any, Any]:
        (layer,) = layers_of(graph, {"w": w.shape})
        return layer, measure(graph, lambda name: w, [layer], read_data({"x": x}, graph))["y"]

    layer, whole = measured()
    assert layer.has_hessian and layer.layout.blocks == 1 and layer.nbytes == 8 * 2 * 12 * 12
    monkeypatch.setattr(calibrate_layers, "MAX_HESSIAN", 8 * 2 * 12 * 4)
    monkeypatch.setattr(calibrate_layers, "LEAST_BLOCK", 4)
    layer, found = measured()
    assert layer.has_hessian and layer.layout.blocks == 3 and layer.nbytes == 8 * 2 * 12 * 4
    for part in range(6):
        group, at = part // 3, slice(part % 3 * 4, part % 3 * 4 + 4)
        np.testing.assert_allclose(found.hessian[part], whole.hessian[group, at, at], rtol=1e-6)
        np.testing.assert_array_equal(found.mean[part], whole.mean[group, at])
    matrices, cut = whole.layout.matrices(w.unpack()), layer.layout.matrices(w.unpack())
    np.testing.assert_array_equal(cut[4], matrices[1, :, 4:8])
    np.testing.assert_array_equal(layer.layout.tensor(cut, w.shape), w.unpack())
    np.testing.assert_allclose(found.shift(cut, 2 * cut), whole.shift(matrices, 2 * matrices), rtol=1e-6)
    monkeypatch.setattr(calibrate_layers, "LEAST_BLOCK", 5)
    layer, found = measured()
    assert not layer.has_hessian and found.hessian is None and layer.nbytes == 8 * 2 * 12


def test_moments_are_those_of_the_unfolded_inputs() -> None:
    random = np.random.default_rng(2)
    x = random.standard_normal((5, 4, 9, 8)).astype(np.float32)
    w = bp.pack(np.zeros((6, 2, 3, 2), np.float32))
    attributes = {"group": 2, "strides": (2, 1), "pads": (1, 0, 2, 1), "dilations": (1, 2)}
    graph = Graph(
        (Value("x", "F32", (-1, 4, 9, 8)),), (Value("y"),), (Node("Conv", "", ("x", "w"), ("y",), attributes),)
    )
    (layer,) = layers_of(graph, {"w": w.shape})
    found = measure(graph, lambda name: w, [layer], read_data({"x": x}, graph))["y"]
    columns = unfolded(x, layer, (2, 1), [(1, 2), (0, 1)], (1, 2)).astype(np.float64)
    assert found.count == columns.shape[2]
    np.testing.assert_allclose(found.hessian, columns @ columns.transpose(0, 2, 1) / found.count, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.mean, columns.mean(2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.diagonal, (columns**2).mean(2), rtol=1e-5)


@pytest.mark.parametrize("automatic", [1, 2])
def test_automatic_pads_are_the_sessions(automatic: int) -> None:
    random = np.random.default_rng(3)
    x = random.standard_normal((3, 2, 7, 6)).astype(np.float32)
    w = random.standard_normal((4, 2, 3, 4)).astype(np.float32)
    attributes = {"strides": (2, 3), "auto_pad": automatic}
    conv = Node("Conv", "", ("x", "w"), ("y",), attributes)
    graph = Graph((Value("x", "F32", (-1, 2, 7, 6)),), (Value("y"),), (conv,))
    (layer,) = layers_of(graph, {"w": w.shape})
    y = bp.Session(bp.Model({"w": bp.pack(w)}, graph)).run({"x": x})["y"]
    columns = calibrate_layers.samples(layer, x, np.random.default_rng(0))[0]
    np.testing.assert_allclose(w.reshape(4, -1) @ columns, y.transpose(1, 0, 2, 3).reshape(4, -1), rtol=1e-4, atol=1e-5)


def test_positions_are_drawn_by_the_seed() -> None:
    x = np.random.default_rng(4).standard_normal((2, 1, 40, 40)).astype(np.float32)
    w = bp.pack(np.zeros((1, 1, 1, 1), np.float32))
    graph = Graph((Value("x", "F32", (-1, 1, 40, 40)),), (Value("y"),), (Node("Conv", "", ("x", "w"), ("y",)),))
    layers = layers_of(graph, {"w": w.shape})

    def mean(seed: int) -> float:
        found = measure(graph, lambda name: w, layers, read_data({"x": x}, graph), seed=seed)["y"]
        assert found.count == 2 * calibrate_layers.PIXELS[0]
        return float(found.mean[0, 0])

    assert mean(0) == mean(0) != mean(1)


def test_what_may_be_given_is_the_same_to_the_byte(tmp_path: Path) -> None:
    x = inputs()
    np.savez(tmp_path / "data.npz", x=x)
    given = [{"x": x}, [{"x": x[:4]}, {"x": x[4:]}], tmp_path / "data.npz", iter([{"x": x.astype(np.float64)}])]
    files = []
    for number, calibration in enumerate(given):
        bp.compress(network(), RECIPE, calibration=calibration).save(tmp_path / f"{number}.bp")
        files.append((tmp_path / f"{number}.bp").read_bytes())
    assert len(set(files)) == 1


def test_a_batch_that_the_network_fixes() -> None:
    done = []
    bp.compress(network(2), RECIPE, calibration={"x": inputs(6)}, progress=lambda *what: done.append(what))
    assert done == [("a", 1, 3), ("b", 2, 3), ("c", 3, 3)]
    with pytest.raises(bp.CalibrationError, match="shape must be 2x3x9x8, not 5x3x9x8"):
        bp.compress(network(2), RECIPE, calibration={"x": inputs(5)})


@pytest.mark.parametrize(
    ("calibration", "reason"),
    [
        ([], "calibration holds no inputs"),
        ({"x": np.zeros((0, 3, 9, 8), np.float32)}, "calibration holds no inputs"),
        ({}, "input 'x' is missing"),
        ({"x": inputs(), "z": inputs()}, "no input 'z'; inputs are 'x'"),
        ({"x": inputs()[:, :2]}, r"input 'x': shape must be \?x3x9x8, not 10x2x9x8"),
        ({"x": inputs()[0]}, "not 3x9x8"),
        ({"x": np.full((1, 3, 9, 8), np.nan)}, "input 'x': NaN or infinity"),
        ({"x": np.full((1, 3, 9, 8), 1e300)}, "input 'x': NaN or infinity"),
        ({"x": np.zeros((1, 3, 9, 8), np.int64)}, "dtype must be floating, not int64"),
        (["x"], "calibration batch 0: give a mapping of input names, not str"),
        (5, "must be a mapping, an iterable of them or a path, not 5"),
        (
            {"x": np.full((2, 3, 9, 8), 3e38, np.float32)},
            "calibration gives NaN, infinity or more at the layer's input",
        ),
    ],
)
def test_what_is_wrong_is_said(calibration: Any, reason: str) -> None:
    with pytest.raises(bp.CalibrationError, match=reason):
        bp.compress(network(), RECIPE, calibration=calibration)


def test_files_that_are_no_calibration(tmp_path: Path) -> None:
    for data, reason in [(b"", "not an .npz"), (b"PK\x03\x04" + bytes(40), "damaged"), (b"hello", "not an .npz")]:
        (tmp_path / "c.npz").write_bytes(data)
        with pytest.raises(bp.CalibrationError, match=reason):
            bp.compress(network(), RECIPE, calibration=tmp_path / "c.npz")
    with pytest.raises(FileNotFoundError):
        bp.compress(network(), RECIPE, calibration=tmp_path / "none.npz")
    np.savez(tmp_path / "o.npz", x=np.array([None, 1], object))
    with pytest.raises(bp.CalibrationError, match=r"o\.npz: "):
        bp.compress(network(), RECIPE, calibration=tmp_path / "o.npz")


def test_who_needs_it_and_who_does_not() -> None:
    with pytest.raises(bp.SchemeError, match=r"^a: its rule needs calibration"):
        bp.compress(network(), RECIPE)
    with pytest.raises(bp.SchemeError, match=r"^w: its rule needs a network"):
        bp.compress({"w": np.ones((40, 40), np.float32)}, RECIPE, calibration={"x": inputs()})
    with pytest.raises(bp.CalibrationError, match="no rule of the recipe"):
        bp.compress(network(), bp.Recipe.int(4), calibration={"x": inputs()})
