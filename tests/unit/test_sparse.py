"""N:M and blocks: masks against the oracles, values of every kind, files, networks, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitpress as bp
from bitpress import _core
from bitpress.container import Container
from bitpress.graph import Graph, Node, Value
from bitpress.reference import sparse as oracle
from bitpress.tensor import PackedTensor, Role

rng = np.random.default_rng(8)
patterns = st.integers(2, 16).flatmap(lambda m: st.tuples(st.integers(1, m - 1), st.just(m)))
blocks = st.tuples(st.integers(1, 9), st.integers(1, 9)).filter(lambda block: block != (1, 1))


def pruned(x: np.ndarray, n: int, m: int) -> np.ndarray:
    """The n greatest magnitudes of each m consecutive elements."""
    groups = x.reshape(-1, m).copy()
    np.put_along_axis(groups, np.argsort(-np.abs(groups), axis=1)[:, n:], 0, 1)
    return groups.reshape(x.shape)


@given(pattern=patterns, groups=st.integers(0, 60), density=st.floats(0, 1), seed=st.integers(0, 9))
def test_nm_masks_are_the_oracles(pattern: tuple[int, int], groups: int, density: float, seed: int) -> None:
    n, m = pattern
    draw = np.random.default_rng(seed).random(groups * m)
    x = pruned(np.where(draw < density, draw + 1, 0).astype(np.float32), n, m)
    mask, stored = oracle.nm_mask(x != 0, n, m)
    tensor = bp.pack(x, bp.Scheme.int(5, nm=pattern))
    assert bytes(tensor.streams[Role.MASK]) == mask.tobytes()
    assert np.array_equal(tensor.mask(), stored)
    assert tensor.survivors == groups * n == int(stored.sum())
    exact = bp.pack(x, bp.Scheme.lossless(nm=pattern))
    assert np.array_equal(exact.unpack(), x)
    assert exact.streams[Role.DATA].nbytes == 4 * groups * n


@given(block=blocks, rows=st.integers(0, 30), columns=st.integers(1, 30), seed=st.integers(0, 9))
def test_block_masks_are_the_oracles(block: tuple[int, int], rows: int, columns: int, seed: int) -> None:
    draw = np.random.default_rng(seed).random((rows, columns))
    x = np.where(draw < 0.05, draw + 1, 0).astype(np.float32)
    mask, stored = oracle.block_mask(x != 0, *block)
    tensor = bp.pack(x, bp.Scheme.int(5, block=block))
    assert bytes(tensor.streams[Role.MASK]) == mask.tobytes()
    assert np.array_equal(tensor.mask(), stored)
    assert tensor.survivors == int(stored.sum())
    assert np.array_equal(bp.pack(x, bp.Scheme.lossless(block=block)).unpack(), x)


WAYS: dict[str, dict[str, Any]] = {"2:4": {"nm": (2, 4)}, "5:12": {"nm": (5, 12)}, "blocks": {"block": (3, 7)}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("values", ["int4", "int11", "affine", "codebook", "f16", "f64", "u8"])
def test_any_range_is_that_part_of_the_whole(way: str, values: str) -> None:
    x = rng.normal(size=(8, 6, 24)).astype(np.float32)
    if "nm" in WAYS[way]:
        x = pruned(x, *WAYS[way]["nm"])
    else:
        x[2:7, 1:4] = 0
    options = WAYS[way]
    scheme = {
        "int4": bp.Scheme.int(4, axis=0, **options),
        "int11": bp.Scheme.int(11, **options),
        "affine": bp.Scheme.int(3, symmetric=False, group_size=10, **options),
        "codebook": bp.Scheme.codebook(4, axis=1, **options),
    }.get(values, bp.Scheme.lossless(**options))
    x = x.astype({"f16": np.float16, "f64": np.float64, "u8": np.uint8}.get(values, np.float32))
    tensor = bp.pack(x, scheme)
    whole = tensor.unpack()
    assert not whole[~tensor.mask()].any()
    if scheme.values == bp.Scheme.lossless().values:
        assert np.array_equal(whole, x)
    if values in ("f64", "u8"):
        return
    for first in (0, 1, 5, 255, 256, 300, x.size - 1):
        for count in (1, 7, 260, x.size - first):
            if first + count <= x.size:
                part = tensor.floats(first, count)
                assert np.array_equal(part, whole.reshape(-1)[first : first + count].astype(np.float32))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("coding", ["raw", "auto"])
def test_files_hold_them(way: str, coding: str, tmp_path: Path) -> None:
    x = pruned(rng.normal(size=(60, 120)).astype(np.float32), 2, 4)
    x = pruned(x, 5, 12)
    scheme = bp.Scheme.int(4, axis=0, coding=coding, **WAYS[way])
    bp.save_file({"w": x}, tmp_path / "x.safetensors", recipe=bp.Recipe((bp.Rule("w", scheme),)))
    with Container.open(tmp_path / "x.safetensors") as file:
        assert file.scheme("w").numbers == scheme.numbers
        assert np.array_equal(file.held("w").unpack(), bp.pack(x, scheme).unpack())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2])
def test_networks_run_on_them(way: str, threads: int) -> None:
    """Linear, transposed, convolution and embedding give what the same values, dense, give."""
    shapes = {"fc": (24, 48), "mm": (24, 36), "conv": (12, 2, 2, 3), "table": (10, 24)}
    tensors = {}
    for name, shape in shapes.items():
        x = pruned(pruned(rng.normal(size=shape).astype(np.float32), 2, 4), 5, 12)
        tensors[name] = bp.pack(x, bp.Scheme.int(5, **WAYS[way]))
    graph = Graph(
        inputs=(Value("x", "F32", (3, 48)), Value("i", "I64", (4,)), Value("z", "F32", (1, 2, 8, 9))),
        outputs=(Value("b", "F32", (3, 36)), Value("e", "F32", (4, 24)), Value("c", "F32", (1, 12, 7, 7))),
        nodes=(
            Node("Gemm", "fc", ("x", "fc"), ("a",), {"transB": 1}),
            Node("MatMul", "mm", ("a", "mm"), ("b",)),
            Node("Gather", "table", ("table", "i"), ("e",)),
            Node("Conv", "conv", ("z", "conv"), ("c",)),
        ),
    )
    plain = {name: bp.pack(tensor.unpack(), bp.Scheme()) for name, tensor in tensors.items()}
    inputs = {
        "x": rng.normal(size=(3, 48)).astype(np.float32),
        "i": np.array([3, 0, 9, 3]),
        "z": rng.normal(size=(1, 2, 8, 9)).astype(np.float32),
    }
    found = bp.Session(bp.Model(tensors, graph, {}), threads=threads).run(inputs)
    wanted = bp.Session(bp.Model(plain, graph, {}), threads=threads).run(inputs)
    for name, value in wanted.items():
        assert np.array_equal(found[name], value), name


def test_what_does_not_fit_is_refused() -> None:
    full = np.ones((3, 8), np.float32)
    with pytest.raises(bp.SchemeError, match=r"w: 4 of 4 elements are not zero, 2:4 holds 2: prune it"):
        bp.pack(full, bp.Scheme.int(4, nm=(2, 4)), name="w")
    with pytest.raises(bp.SchemeError, match="24 elements are no whole groups of 5"):
        bp.pack(full * 0, bp.Scheme.int(4, nm=(2, 5)))
    for options in ({"nm": (4, 4)}, {"nm": (0, 4)}, {"nm": (2, 17)}, {"block": (1, 1)}, {"block": (65, 64)}):
        with pytest.raises(bp.SchemeError, match=r"N:M must be|blocks must be"):
            bp.Scheme.int(4, **options)
    with pytest.raises(bp.SchemeError, match="no zero"):
        bp.Scheme.int(1, nm=(2, 4))
    with pytest.raises(bp.SchemeError, match="one of sparse, nm and block"):
        bp.Scheme.int(4, nm=(2, 4), sparse=True)
    with pytest.raises(bp.SchemeError, match="dense tensors only"):
        bp.Scheme.codebook(4, vector=2, block=(2, 2))


def test_masks_that_lie_are_refused() -> None:
    tensor = bp.pack(np.zeros((4, 6), np.float32), bp.Scheme.int(4, nm=(2, 4)))
    mask = bytearray(tensor.streams[Role.MASK])
    assert len(mask) == math.ceil(6 * 3 / 8)
    for lie in (bytes([mask[0] | 7, *mask[1:]]), bytes([*mask[:2], mask[2] | 4]), bytes(mask[:2]), bytes([*mask, 0])):
        streams = {**tensor.streams, Role.MASK: memoryview(lie)}
        with pytest.raises(bp.CorruptError):  # a set of six that is the seventh; a bit after the last; lengths
            PackedTensor(tensor.dtype, tensor.shape, tensor.scheme, streams).unpack()
    huge = bp.Scheme.lossless(block=(64, 64), coding="raw")
    with pytest.raises(bp.CorruptError):
        PackedTensor("F32", (1 << 20, 1 << 20), huge, {Role.DATA: memoryview(b""), Role.MASK: memoryview(b"")}).unpack()


def test_a_small_file_cannot_claim_a_giant_tensor(tmp_path: Path) -> None:
    """A block's bit may stand for 4096 zeros: what a file claims counts them."""
    scheme = bp.Scheme.lossless(block=(64, 64), coding="rans")
    x = np.zeros((1 << 14, 1 << 14), np.uint8)
    bp.save_file({"w": x}, tmp_path / "x.safetensors", recipe=bp.Recipe((bp.Rule("w", scheme),)))
    assert (tmp_path / "x.safetensors").stat().st_size < 2000
    with pytest.raises(bp.FormatError, match="more than allowed"):
        Container.open(tmp_path / "x.safetensors")
    assert Container.open(tmp_path / "x.safetensors", max_bytes=1 << 30).held("w").survivors == 0


def test_recipes_say_them() -> None:
    rules = [
        {"pattern": "a", "bits": 4, "nm": "2:4"},
        {"pattern": "b", "codebook": True, "bits": 3, "block": "8x4"},
        {"pattern": "c", "lossless": True, "nm": "1:8"},
    ]
    recipe = bp.Recipe.from_dict({"rules": rules})
    assert [str(rule.scheme.structure.name) for rule in recipe.rules] == ["NM", "BLOCK", "NM"]
    assert [rule.scheme.pattern for rule in recipe.rules] == [(2, 4), (8, 4), (1, 8)]
    assert bp.Recipe.from_dict(recipe.to_dict()) == recipe
    for wrong in ({"nm": "2-4"}, {"nm": "2:4", "sparse": True}, {"block": "4"}, {"nm": "4:2"}, {"block": "-1x4"}):
        with pytest.raises(bp.SchemeError):
            bp.Recipe.from_dict({"rules": [{"pattern": "*", "bits": 4, **wrong}]})


def test_the_native_loops_check_their_arguments() -> None:
    scheme = bp.Scheme.int(4, nm=(2, 4)).numbers
    with pytest.raises(ValueError, match="a flag for each element"):
        _core.pack_mask(np.zeros(7, np.uint8), (8,), scheme, "x")
    with pytest.raises(ValueError, match="wrong"):
        _core.pack_mask(np.ones(8, np.uint8), (8,), scheme, "x")
    with pytest.raises(ValueError, match="a flag for each element"):
        _core.unpack_mask(b"\0", (8,), scheme, "x", np.zeros(9, np.uint8))
