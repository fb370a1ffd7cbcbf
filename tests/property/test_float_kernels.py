"""Every float kernel of every instruction set against the oracles in reference/."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpress import _core
from bitpress.reference import float_kernels as oracle

ISAS = _core.isas()
sizes = st.integers(0, 40)
bounds = st.sampled_from([(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0), (-0.25, 0.25)])
seeds = st.integers(0, 2**32 - 1)


def floats(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(0, 14),
    n=sizes,
    k=st.integers(0, 20),
    extra=st.integers(0, 3),
    begun=st.booleans(),
    clip=bounds,
    seed=seeds,
)
def test_gemm(isa: str, m: int, n: int, k: int, extra: int, begun: bool, clip: tuple[float, float], seed: int) -> None:
    a, c = floats(seed, m, k + extra), floats(seed + 1, m, n + extra)
    panels = floats(seed + 2, -(-n // 16) * 16 * k)
    starts = floats(seed + 3, m if begun else 0)
    begin = np.repeat(starts[:, None], n, 1) if begun else c[:, :n]
    want, error = oracle.gemm(begin, a[:, :k], oracle.unpack_panels(panels, n, k), *clip)
    got = c.copy()
    _core.kernels.gemm_f32(isa, n, k, a, panels, starts, got, *clip)
    assert np.all(np.abs(got[:, :n] - want) <= error)
    assert np.array_equal(got[:, n:], c[:, n:])


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(m=st.integers(0, 9), k=st.integers(0, 70), extra=st.integers(0, 3), seed=seeds)
def test_gemv(isa: str, m: int, k: int, extra: int, seed: int) -> None:
    a, x, y = floats(seed, m, k + extra), floats(seed + 1, k), floats(seed + 2, m)
    want, error = oracle.gemv(y, a[:, :k], x)
    _core.kernels.gemv_f32(isa, k, a, x, y)
    assert np.all(np.abs(y - want) <= error)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=40, deadline=None)
@given(rows=st.integers(0, 16), k=sizes, extra=st.integers(0, 3), seed=seeds)
def test_pack_panel(isa: str, rows: int, k: int, extra: int, seed: int) -> None:
    a = floats(seed, rows, k + extra)
    assert np.array_equal(_core.kernels.pack_panel_f32(isa, k, a), oracle.pack_panel(a[:, :k]))


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(
    offsets=st.lists(st.integers(0, 90), max_size=26),
    row_step=st.integers(1, 50),
    rows=st.integers(1, 17),
    n=st.integers(1, 70),
    bias=st.sampled_from([0.0, -1.5]),
    clip=bounds,
    seed=seeds,
)
def test_depthwise(
    isa: str,
    offsets: list[int],
    row_step: int,
    rows: int,
    n: int,
    bias: float,
    clip: tuple[float, float],
    seed: int,
) -> None:
    used = max(offsets, default=0) + (rows - 1) * row_step + n
    x = floats(seed, used + 8)
    x[used:] = np.nan  # may be read, must not be used
    w, at = floats(seed + 1, len(offsets)), np.array(offsets, np.uint64)
    want, error = oracle.depthwise(x, w, at, row_step, bias, *clip, rows, n)
    got = _core.kernels.depthwise_f32(isa, x, w, at, row_step, bias, *clip, rows, n)
    assert np.all(np.abs(got - want) <= error)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(rows=st.integers(0, 4), n=sizes, first=st.integers(0, 5), stride=st.integers(1, 4), extra=st.integers(0, 3))
def test_sort_rows(isa: str, rows: int, n: int, first: int, stride: int, extra: int) -> None:
    x, length = floats(n, rows, n), -(-(first + n) // stride) + extra
    want = floats(n + 1, rows, stride * length + extra)
    got = want.copy()
    _core.kernels.sort_rows_f32(isa, x, first, stride, length, got)
    oracle.sort_rows(x, first, stride, length, want)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(offsets=st.lists(st.integers(0, 60), max_size=20), n=st.integers(0, 16), more=st.integers(0, 16), seed=seeds)
def test_gather_panel(isa: str, offsets: list[int], n: int, more: int, seed: int) -> None:
    x, room = floats(seed, max(offsets, default=0) + n), min(n + more, 16)
    at = np.array(offsets, np.uint64)
    got = _core.kernels.gather_panel_f32(isa, x, at, n, room, 7.0)
    assert np.array_equal(got, oracle.gather_panel(x, at, n, room, 7.0))


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(op=st.integers(0, 5), n=sizes, single=st.sampled_from(["", "a", "b", "ab"]), clip=bounds, seed=seeds)
def test_binary(isa: str, op: int, n: int, single: str, clip: tuple[float, float], seed: int) -> None:
    a = floats(seed, 1 if "a" in single else n)
    b = floats(seed + 1, 1 if "b" in single else n)
    special = np.array([0, np.inf, -np.inf, np.nan, -0.0], np.float32)
    a[: min(3, a.size)] = special[seed % 3 : seed % 3 + min(3, a.size)]
    with np.errstate(all="ignore"):
        want = oracle.binary(op, a, b, n, *clip)
    assert np.array_equal(_core.kernels.binary_f32(isa, op, a, b, n, *clip), want, equal_nan=True)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=40, deadline=None)
@given(n=sizes, scale=st.sampled_from([1.0, 0.3, -7.0]), shift=st.sampled_from([0.0, 0.7]), clip=bounds, seed=seeds)
def test_affine(isa: str, n: int, scale: float, shift: float, clip: tuple[float, float], seed: int) -> None:
    x = floats(seed, n)
    x[: min(2, n)] = np.array([np.nan, np.inf], np.float32)[: min(2, n)]
    want = oracle.affine(x, scale, shift, *clip)
    assert np.array_equal(_core.kernels.affine_f32(isa, x, scale, shift, *clip), want, equal_nan=True)


SMOOTH = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "gelu": lambda x: x / 2 * np.array([math.erfc(-v / 2**0.5) for v in x]),
    "gelu_tanh": lambda x: x / (1 + np.exp(-2 * (2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "softmax": lambda x: np.exp(x - x.max(initial=-np.inf)) / np.exp(x - x.max(initial=-np.inf)).sum(),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", SMOOTH)
@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), size=st.sampled_from([1e-6, 0.1, 1.0, 10.0, 40.0, 200.0]), seed=seeds)
def test_smooth(isa: str, kind: str, n: int, size: float, seed: int) -> None:
    x = floats(seed, n) * np.float32(size)
    with np.errstate(over="ignore", under="ignore"):
        want = SMOOTH[kind](x.astype(np.float64))
    got = _core.kernels.smooth_f32(isa, kind, x)
    relative = 2.0**-21 * np.abs(x) if "gelu" in kind else 2.0**-20 * np.abs(want)
    # Of a softmax, the exponents' own rounding: x - max in float32.
    if kind == "softmax":
        relative += np.abs(want) * np.spacing(np.float32(2 * np.abs(x).max()))
    assert np.all(np.abs(got - want) <= relative + 2.0**-126)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", SMOOTH)
@pytest.mark.parametrize("n", [1, 5, 8, 19])
def test_smooth_of_nan_and_infinity(isa: str, kind: str, n: int) -> None:
    x = np.full(n, np.inf, np.float32)
    x[n // 2] = np.nan
    got = _core.kernels.smooth_f32(isa, kind, x)
    others = np.delete(got, n // 2)
    assert np.isnan(got[n // 2])
    assert np.isnan(others).all() if kind == "softmax" else np.array_equal(others, np.full(n - 1, SMOOTH_AT[kind]))


SMOOTH_AT = {"sigmoid": 1.0, "gelu": np.inf, "gelu_tanh": np.inf}


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), one=st.booleans(), shifts=st.sampled_from([0, 1, 2]), seed=seeds)
def test_layer_norm(isa: str, n: int, one: bool, shifts: int, seed: int) -> None:
    x = floats(seed, n) * np.float32(3) + np.float32(5)
    scales, shift = floats(seed + 1, 1 if one else n), floats(seed + 2, [0, 1, n][shifts])
    wide = x.astype(np.float64)
    unit = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-5)
    want = unit * scales + (shift if shift.size else 0)
    got = _core.kernels.layer_norm_f32(isa, x, scales, shift, 1e-5)
    # Two roundings of the product, one of the sum.
    error = 2.0**-22 * (np.abs(unit * scales) + np.abs(want)) + 1e-10
    assert np.all(np.abs(got - want) <= error)
