"""Codebooks: shared values and vectors of them, packed, stored, run, and picked by k-means."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitpress as bp
from bitpress.codebooks import cluster
from bitpress.graph import Graph, Node, Value
from bitpress.methods import Layout, Settings, Statistics, kmeans
from bitpress.reference import quantize as oracle
from bitpress.scheme import Codebook, Granularity
from bitpress.tensor import PackedTensor, Role

rng = np.random.default_rng(5)
weights = rng.standard_normal((6, 20)).astype(np.float32)
WAYS: dict[str, dict[str, Any]] = {
    "tensor": {},
    "axis 0": {"axis": 0},
    "axis 1": {"axis": 1},
    "groups": {"group_size": 7},
    "long groups": {"group_size": 30},
    "bitmap": {"sparse": True, "axis": 0},
    "vectors": {"vector": 4},
    "vectors across rows": {"vector": 8, "group_size": 5},
}


def index_of(scheme: bp.Scheme, shape: tuple[int, ...]) -> np.ndarray:
    values = scheme.values
    assert isinstance(values, Codebook)
    axis = values.axis if values.granularity == 1 else None
    return oracle.scale_index(shape, axis=axis, group_size=values.group_size or None)


@pytest.mark.parametrize("bits", [1, 3, 4, 6, 8])
@pytest.mark.parametrize("way", WAYS)
def test_values_are_entries_times_scales(way: str, bits: int) -> None:
    scheme = bp.Scheme.codebook(bits, **WAYS[way])
    x = np.where(np.abs(weights) > 0.7, weights, 0).astype(np.float32) if way == "bitmap" else weights
    tensor = bp.pack(x, scheme)
    expected = tensor.book()[tensor.codes().reshape(-1)].reshape(x.shape)
    if tensor.scales().size:
        expected = expected * tensor.scales()[index_of(scheme, x.shape)]
    expected = np.where(tensor.mask(), expected, np.float32(0))
    np.testing.assert_array_equal(tensor.unpack(), expected)
    for first in range(0, x.size, 11):
        np.testing.assert_array_equal(tensor.floats(first, 9 % (x.size - first + 1)), expected.reshape(-1)[first:][:9])
    assert tensor.code_count * bits <= 8 * tensor.streams[Role.CODES].nbytes < tensor.code_count * bits + 8


@pytest.mark.parametrize("coding", ["raw", "huffman", "rans", "lzw", "planes", "auto"])
@pytest.mark.parametrize("way", WAYS)
def test_through_a_file(way: str, coding: str, tmp_path: Path) -> None:
    tensor = bp.pack(weights * (np.abs(weights) > 1), bp.Scheme.codebook(3, coding=coding, **WAYS[way]))
    path = tmp_path / "book.safetensors"
    bp.Model({"w": tensor}).save(path)
    back = bp.load(path).tensors["w"]
    assert back.streams == tensor.streams and back.scheme.values == tensor.scheme.values
    np.testing.assert_array_equal(bp.load_file(path)["w"], tensor.unpack())


def test_a_network_runs_from_it(tmp_path: Path) -> None:
    graph = Graph(
        inputs=(Value("x", "F32", (-1, 20)),),
        outputs=(Value("y", "F32", (-1, 6)),),
        nodes=(Node("Gemm", "fc", ("x", "w"), ("y",), {"transB": 1}),),
    )
    x = rng.standard_normal((3, 20)).astype(np.float32)
    for way, words in WAYS.items():
        tensor = bp.pack(weights, bp.Scheme.codebook(4, coding="huffman", **words))
        path = tmp_path / f"{way}.safetensors"
        bp.Model({"w": tensor}, graph).save(path)
        for load in ("map", "tile", "unpack"):
            for activations in ("float32", "int16", "int8"):
                session = bp.Session(path, load=load, activations=activations)
                np.testing.assert_allclose(session.run({"x": x})["y"], x @ tensor.unpack().T, rtol=1e-5, atol=1e-5)


def test_every_byte_is_counted() -> None:
    report = bp.pack(weights, bp.Scheme.codebook(4, vector=2, axis=0)).report(weights)
    assert report.streams == {"codes": 30, "scales": 24, "codebook": 16 * 2 * 4}
    assert str(report.scheme) == "codebook4 of 2 axis 0"
    assert bp.pack(weights, bp.Scheme.codebook(3)).report().streams == {"codes": 45, "codebook": 32}


@given(
    seed=st.integers(0, 999),
    size=st.integers(1, 300),
    kind=st.sampled_from(["normal", "few", "one", "heavy"]),
    weighted=st.booleans(),
    axis=st.booleans(),
)
def test_more_bits_are_never_worse(seed: int, size: int, kind: str, weighted: bool, axis: bool) -> None:
    random = np.random.default_rng(seed)
    x = {
        "normal": random.standard_normal(size),
        "few": random.integers(0, 5, size),
        "one": np.full(size, 0.3),
        "heavy": random.standard_t(1.5, size),
    }[kind].astype(np.float32)
    weight = random.random(size) + 0.01 if weighted else None
    costs = []
    for bits in range(1, 9):
        values = Codebook(bits, granularity=Granularity.AXIS if axis else Granularity.TENSOR)
        found = cluster(x, values, weight=weight)
        value = found.book[found.codes, 0].astype(np.float64)
        if axis:
            value = value * found.scales
        costs.append(float((np.square(value - x) * (1 if weight is None else weight)).sum()))
    slack = 1e-9 * float(np.square(x.astype(np.float64)).sum() + 1e-30)
    assert all(after <= before + slack for before, after in pairwise(costs)), costs
    if np.unique(x).size <= 2 or axis:
        assert costs[-1] <= 1e-6 * float(np.square(x).sum())


def test_gaussian_codebooks_are_near_the_best() -> None:
    x = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    best = {1: 0.3634, 2: 0.1175, 3: 0.03454, 4: 0.009497, 5: 0.002499}  # Max 1960, "Quantizing for Minimum Distortion"
    for bits, error in best.items():
        assert np.mean(np.square(bp.pack(x, bp.Scheme.codebook(bits)).unpack() - x)) < 1.03 * error


def test_vectors_use_how_neighbours_go_together() -> None:
    first = np.random.default_rng(0).standard_normal(4000)
    pairs = np.stack([first, first + 0.1 * np.random.default_rng(1).standard_normal(4000)], 1).astype(np.float32)
    alone = bp.pack(pairs, bp.Scheme.codebook(2)).report(pairs)
    together = bp.pack(pairs, bp.Scheme.codebook(4, vector=2)).report(pairs)
    assert together.rms_error < 0.6 * alone.rms_error and together.streams["codes"] == alone.streams["codes"]


def test_kmeans_weighs_by_the_strength_of_inputs() -> None:
    w = np.random.default_rng(0).standard_normal((8, 50)).astype(np.float32)
    w[:, :25] *= 10  # wide where inputs are weak
    diagonal = np.where(np.arange(50) < 25, 1e-4, 1.0)[None]
    statistics = Statistics(Layout(), diagonal, np.zeros((1, 50)), 10)
    errors = []
    for span in ("minmax", "output"):
        settings = Settings(range=span, statistics=statistics)
        tensor = kmeans.pack(w.tobytes(), "F32", w.shape, bp.Scheme.codebook(2), settings=settings)
        errors.append(statistics.error((tensor.unpack() - w)[None]).sum())
    assert errors[1] < 0.5 * errors[0]


def test_by_a_recipe() -> None:
    recipe = bp.Recipe.codebook(4, vector=2, coding="rans", min_elements=1)
    assert bp.Recipe.from_dict(recipe.to_dict()) == recipe
    model = bp.compress({"w": weights, "b": weights[0]}, recipe)
    assert str(model.tensors["w"].scheme) == "codebook4 of 2 + rans" and model.tensors["b"].scheme.is_plain
    pruned = bp.compress({"w": weights}, bp.Recipe.codebook(4, sparsity=0.5, min_elements=1)).tensors["w"]
    assert pruned.survivors == 60 and pruned.scheme.values == Codebook(4)
    words = {"rules": [{"pattern": "*", "codebook": True, "bits": 5}]}
    (rule,) = bp.Recipe.from_dict(words).rules
    assert (rule.method, rule.scheme) == ("kmeans", bp.Scheme.codebook(5, coding="huffman"))
    for wrong, match in [({"codebook": True, "symmetric": False}, "symmetric"), ({"vector": 2}, "vector")]:
        with pytest.raises(bp.SchemeError, match=match):
            bp.Recipe.from_dict({"rules": [{"pattern": "*", **wrong}]})


@pytest.mark.parametrize(
    ("words", "match"),
    [({"bits": 9}, "1..8"), ({"vector": 9}, "1..8"), ({"vector": 2, "sparse": True}, "dense"), ({"axis": 9}, "0..7")],
)
def test_schemes_that_cannot_be(words: dict[str, Any], match: str) -> None:
    with pytest.raises(bp.SchemeError, match=match):
        bp.Scheme.codebook(**words)


def test_what_cannot_be_held_is_refused_by_name() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(bp.SchemeError, match="fc: NaN or infinity"):
            bp.pack(np.array([1, bad], np.float32), bp.Scheme.codebook(2), name="fc")
    with pytest.raises(bp.SchemeError, match="no whole number of vectors of 7"):
        bp.pack(weights, bp.Scheme.codebook(2, vector=7))
    with pytest.raises(bp.SchemeError, match="not I32"):
        bp.pack(np.arange(4, dtype=np.int32), bp.Scheme.codebook(2))
    with pytest.raises(bp.SchemeError, match="no axis 2"):
        bp.pack(weights, bp.Scheme.codebook(2, axis=2))


def test_odd_arrays() -> None:
    for shape in [(), (0,), (3, 0, 2), (1,)]:
        for words in ({}, {"group_size": 2}):
            tensor = bp.pack(np.full(shape, 2.5, np.float32), bp.Scheme.codebook(2, **words))
            np.testing.assert_array_equal(tensor.unpack(), np.full(shape, 2.5, np.float32))
    tiny = np.array([0, 1e-45, -1e-45, 0], np.float32)
    assert np.abs(bp.pack(tiny, bp.Scheme.codebook(2, axis=0)).unpack() - tiny).max() <= 1e-45
    huge = np.array([3e38, -3e38, 0, 1], np.float32)
    for words in ({}, {"group_size": 4}):
        np.testing.assert_allclose(bp.pack(huge, bp.Scheme.codebook(2, **words)).unpack(), huge, rtol=1e-6, atol=1)
    assert (bp.pack(np.zeros((3, 4), np.float32), bp.Scheme.codebook(3, sparse=True)).unpack() == 0).all()


HOSTILE = {
    "an entry NaN": (Role.CODEBOOK, lambda b: np.float32(np.nan).tobytes() + b[4:]),
    "an entry infinite": (Role.CODEBOOK, lambda b: b[:-4] + np.float32(-np.inf).tobytes()),
    "an entry times a scale infinite": (Role.CODEBOOK, lambda b: np.float32(3e38).tobytes() + b[4:]),
    "a short book": (Role.CODEBOOK, lambda b: b[:-4]),
    "a long book": (Role.CODEBOOK, lambda b: b + bytes(8)),
    "scale 0": (Role.SCALES, lambda b: bytes(4) + b[4:]),
    "scales long": (Role.SCALES, lambda b: b + bytes(4)),
    "codes long": (Role.CODES, lambda b: b + bytes(1)),
    "zeros as well": (Role.ZEROS, lambda b: b"x"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_streams_that_lie_are_refused(case: str) -> None:
    good = bp.pack(weights * 4, bp.Scheme.codebook(3, vector=2, axis=0))
    role, forge = HOSTILE[case]
    streams = {**good.streams, role: memoryview(forge(bytes(good.streams.get(role, b""))))}
    forged = PackedTensor(good.dtype, good.shape, good.scheme, streams)
    for use in (forged.check, forged.unpack, forged.codes, forged.floats):
        with pytest.raises(bp.CorruptError):
            use()
