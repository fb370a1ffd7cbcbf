"""bp.compress: sources, recipes, and what becomes of each tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress.compression import LazyTensors

rng = np.random.default_rng(7)


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    return {
        "conv.weight": rng.standard_normal((16, 8, 3, 3)).astype(np.float32),
        "conv.bias": rng.standard_normal(16).astype(np.float32),
        "embedding": rng.standard_normal((40, 30)),
        "steps": np.arange(2000).reshape(2, 1000),
        "empty": np.zeros((0, 4000), np.float32),
        "scalar": np.float32(3),
    }


def test_the_default_is_int8_per_channel_for_matrices(tensors: dict[str, np.ndarray]) -> None:
    model = bp.compress(tensors)
    assert list(model.tensors) == list(tensors)
    schemes = {name: str(tensor.scheme) for name, tensor in model.tensors.items()}
    pressed = "int8 axis 0 + huffman"
    assert schemes == dict.fromkeys(tensors, "keep") | {"conv.weight": pressed, "embedding": pressed}
    for name, array in tensors.items():
        back = model.tensors[name].unpack()
        assert back.dtype == array.dtype and back.shape == array.shape
        if schemes[name] == "keep":
            np.testing.assert_array_equal(back, array)
        else:
            half = np.abs(array).max(axis=tuple(range(1, array.ndim)), keepdims=True) / 127 / 2
            assert (np.abs(back - array) <= half * 1.001).all()


def test_lossless_is_bit_for_bit(tensors: dict[str, np.ndarray]) -> None:
    model = bp.compress(tensors, bp.Recipe.lossless())
    for name, array in tensors.items():
        assert model.tensors[name].unpack().tobytes() == array.tobytes()


def test_rules_in_order_ignore_and_metadata(tensors: dict[str, np.ndarray]) -> None:
    recipe = bp.Recipe(
        (
            bp.Rule("conv.*", bp.Scheme.int(4, group_size=24), min_rank=2),
            bp.Rule("conv.*", bp.Scheme.lossless()),
            bp.Rule("*", bp.Scheme.int(2, axis=1), min_elements=100),
        ),
        ignore=("emb*",),
        metadata={"made": "today"},
    )
    model = bp.compress(tensors, recipe)
    schemes = {name: str(tensor.scheme) for name, tensor in model.tensors.items()}
    assert schemes["conv.weight"] == "int4 group 24" and schemes["conv.bias"] == "keep + planes"
    assert schemes["embedding"] == schemes["steps"] == schemes["empty"] == "keep"
    assert model.metadata == {"made": "today"}


@pytest.mark.parametrize("scope", ["tensor", "model"])
def test_sparsity_is_exact(tensors: dict[str, np.ndarray], scope: str) -> None:
    model = bp.compress(tensors, bp.Recipe.int(4, sparsity=0.9, scope=scope))
    pressed = {name: tensor for name, tensor in model.tensors.items() if tensor.nbytes < tensors[name].nbytes}
    assert list(pressed) == ["conv.weight", "embedding"]
    if scope == "model":
        total = sum(tensor.elements for tensor in pressed.values())
        assert sum(tensor.survivors for tensor in pressed.values()) == total - round(0.9 * total)
    else:
        for tensor in pressed.values():
            assert tensor.survivors == tensor.elements - round(0.9 * tensor.elements)


def test_nan_is_refused_by_name(tensors: dict[str, np.ndarray]) -> None:
    tensors["conv.weight"][3, 1, 2, 0] = np.nan
    with pytest.raises(bp.SchemeError, match=r"conv\.weight: NaN or infinity"):
        bp.compress(tensors)
    bp.compress(tensors, bp.Recipe.lossless())


def test_an_axis_that_is_not_there_is_refused_by_name(tensors: dict[str, np.ndarray]) -> None:
    with pytest.raises(bp.SchemeError, match="embedding: no axis 2 in a tensor of 2 dimensions"):
        bp.compress(tensors, bp.Recipe.int(axis=2))


@pytest.mark.parametrize("wrong", [3, None, [np.zeros(3)], "net.keras", "/", {"": np.zeros(2)}, {3: np.zeros(2)}])
def test_what_is_no_source_is_refused(wrong: object) -> None:
    with pytest.raises((bp.UnsupportedError, bp.FormatError)):
        bp.compress(wrong)


@pytest.mark.parametrize("name", ["x.safetensors", "x.safetensors.index.json", "x.pt", "x.onnx"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=f"{name}"):
        bp.compress(tmp_path / name)


def test_arrays_that_cannot_be_stored_are_named() -> None:
    with pytest.raises(bp.UnsupportedError, match=r"words: dtype <U5 cannot be stored"):
        bp.compress({"words": np.array(["hello"])})


def test_an_unknown_method_is_refused(tensors: dict[str, np.ndarray]) -> None:
    rule = bp.Rule("*", bp.Scheme.int(8), method="magic")
    with pytest.raises(bp.SchemeError, match="no method 'magic'; there are: feedback, kmeans, rate, round"):
        bp.compress(tensors, bp.Recipe((rule,)))


def test_files_are_read_only_when_asked_for(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    tensors["conv.weight"][0] = np.inf
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, tmp_path / "n.safetensors")
    model = bp.compress(tmp_path / "n.safetensors")
    assert isinstance(model.tensors, LazyTensors)
    assert [spec.name for spec in model.tensors.specs()] == list(model.tensors)
    np.testing.assert_array_equal(model.tensors["steps"].unpack(), tensors["steps"])
    with pytest.raises(bp.SchemeError, match=r"conv\.weight"):
        model.tensors["conv.weight"]
