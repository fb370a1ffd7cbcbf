"""Products with what a bitmap stores: every scheme, both layouts, any counts, any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import bitpress as bp
from bitpress.graph import Graph, Node, Value
from bitpress.model import Model
from bitpress.scheme import Scheme

SCHEMES = {
    "int8 a row": (Scheme.int(8, axis=0, sparse=True), np.float32),
    "int8 a column": (Scheme.int(8, axis=1, sparse=True), np.float32),
    "int5": (Scheme.int(5, sparse=True), np.float32),
    "int4 in groups": (Scheme.int(4, group_size=64, sparse=True), np.float32),
    "int3 in short groups, affine": (Scheme.int(3, symmetric=False, group_size=7, sparse=True), np.float32),
    "int12 a column": (Scheme.int(12, axis=1, sparse=True), np.float32),
    "codebook": (Scheme.codebook(4, sparse=True), np.float32),
    "codebook a row": (Scheme.codebook(4, axis=0, sparse=True), np.float32),
    "float32": (Scheme.lossless(sparse=True, coding="raw"), np.float32),
    "float16": (Scheme.lossless(sparse=True, coding="raw"), np.float16),
}


def _weights(rows: int, columns: int, zeros: float, dtype: type) -> np.ndarray:
    rng = np.random.default_rng(rows * columns)
    w = rng.standard_normal((rows, columns), np.float32)
    w[rng.random(w.shape) < zeros] = 0
    return w.astype(dtype)


def _product(packed: bp.PackedTensor, x: np.ndarray, transposed: bool, threads: int = 1) -> np.ndarray:
    n = packed.shape[0 if transposed else 1]
    node = Node("MatMul", "product", ("x", "w"), ("y",), {"transB": 1} if transposed else {})
    shape = x.shape[:-1]
    graph = Graph((Value("x", "F32", x.shape),), (Value("y", "F32", (*shape, n)),), (node,))
    return bp.Session(Model({"w": packed}, graph), threads=threads).run({"x": x})["y"]


def _near(y: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
    x, w = x.astype(np.float64), w.astype(np.float64)
    bound = (w.shape[0] + 1) * 2.0**-23 * (np.abs(x) @ np.abs(w)) + 1e-30
    assert np.all(np.abs(y - x @ w) <= bound)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", SCHEMES)
def test_products_are_those_of_the_unpacked_weights(name: str, transposed: bool) -> None:
    scheme, dtype = SCHEMES[name]
    # Rows that begin inside bytes of the mask, more than one block of outputs and of depth, and multiples of all.
    for rows, columns, m in ((301, 270, 17), (256, 512, 32), (5, 3, 16), (530, 9, 140)):
        packed = bp.pack(_weights(rows, columns, 0.9, dtype), scheme)
        w = packed.unpack().astype(np.float32)
        x = np.random.default_rng(m).standard_normal((m, rows if not transposed else columns), np.float32)
        _near(_product(packed, x, transposed), x, w.T if transposed else w)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.97, 1.0])
def test_any_share_of_zeros(zeros: float, transposed: bool) -> None:
    packed = bp.pack(_weights(260, 264, zeros, np.float32), Scheme.int(8, axis=0, sparse=True))
    x = np.random.default_rng(1).standard_normal((2, 70, 264 if transposed else 260), np.float32)
    w = packed.unpack()
    _near(_product(packed, x, transposed), x, w.T if transposed else w)


def test_a_full_part_of_the_weights() -> None:
    # As many survivors in a row as a tile holds of outputs, none elsewhere.
    w = np.zeros((600, 600), np.float32)
    w[:120] = np.random.default_rng(2).standard_normal((120, 600), np.float32)
    for transposed in (False, True):
        packed = bp.pack(w, Scheme.int(8, axis=0, sparse=True))
        x = np.random.default_rng(3).standard_normal((64, 600), np.float32)
        unpacked = packed.unpack()
        _near(_product(packed, x, transposed), x, unpacked.T if transposed else unpacked)


@pytest.mark.parametrize("transposed", [False, True])
def test_the_same_bits_for_any_number_of_threads(transposed: bool) -> None:
    packed = bp.pack(_weights(700, 900, 0.9, np.float32), Scheme.int(4, axis=0, sparse=True))
    x = np.random.default_rng(4).standard_normal((200, 900 if transposed else 700), np.float32)
    one = _product(packed, x, transposed)
    for threads in (2, 3):
        assert np.array_equal(_product(packed, x, transposed, threads), one)


def test_gemm_adds_scales_and_clips() -> None:
    packed = bp.pack(_weights(300, 200, 0.9, np.float32), Scheme.int(8, axis=1, sparse=True))
    rng = np.random.default_rng(5)
    x, c = rng.standard_normal((40, 300), np.float32), rng.standard_normal(200, np.float32)
    attributes = {"alpha": 0.5, "beta": 2.0, "clip_low": 0.0, "clip_high": 6.0}
    node = Node("Gemm", "product", ("x", "w", "c"), ("y",), attributes)
    graph = Graph((Value("x", "F32", x.shape),), (Value("y", "F32", (40, 200)),), (node,))
    session = bp.Session(Model({"w": packed, "c": bp.pack(c, Scheme())}, graph))
    expected = np.clip(0.5 * (x.astype(np.float64) @ packed.unpack()) + 2.0 * c, 0, 6)
    assert np.allclose(session.run({"x": x})["y"], expected, atol=1e-4)


def test_a_row_with_infinity_stays_alone() -> None:
    packed = bp.pack(_weights(128, 128, 0.9, np.float32), Scheme.int(8, axis=0, sparse=True))
    x = np.random.default_rng(6).standard_normal((32, 128), np.float32)
    expected = _product(packed, x, False)
    x[3] = np.inf
    y = _product(packed, x, False)
    assert not np.isfinite(y[3]).all()
    assert np.array_equal(np.delete(y, 3, 0), np.delete(expected, 3, 0))


def test_memory_stays_packed_bytes_and_a_tile() -> None:
    packed = bp.pack(_weights(2048, 1024, 0.9, np.float32), Scheme.int(8, axis=0, sparse=True))
    node = Node("MatMul", "product", ("x", "w"), ("y",), {})
    graph = Graph((Value("x", "F32", (32, 2048)),), (Value("y", "F32", (32, 1024)),), (node,))
    session = bp.Session(Model({"w": packed}, graph))
    session.run({"x": np.zeros((32, 2048), np.float32)})
    assert session.memory.weights <= packed.nbytes + 4096
    assert session.memory.tile <= 256 << 10
