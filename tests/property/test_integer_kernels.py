"""The integer kernels of every instruction set give the bits of the oracles in reference/."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpress import _core
from bitpress.reference import integer_kernels as oracle

ISAS = _core.isas()
bounds = st.sampled_from([(-np.inf, np.inf), (0.0, 6.0), (-0.25, 0.25)])
seeds = st.integers(0, 2**32 - 1)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 1e-45, 2.0**-100, 3.4e38, -0.0, 2.0**-101], np.float32)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(k=st.integers(0, 40), extra=st.integers(0, 3), special=st.integers(0, 12), seed=seeds)
def test_quantize_columns(isa: str, k: int, extra: int, special: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.standard_normal((k, 16 + extra), np.float32) * np.float32(10.0 ** int(random.integers(-9, 9)))
    for _ in range(special if k else 0):
        x[random.integers(k), random.integers(16)] = random.choice(SPECIAL)
    x[:, seed % 16] = random.choice(SPECIAL)
    for largest in (127, 32767):
        codes, scales = oracle.quantize_columns(x[:, :16], largest)
        panel, got = _core.kernels.quantize_columns_s16(isa, x, largest)
        assert np.array_equal(got, scales, equal_nan=True)
        assert np.array_equal(panel, oracle.pack_panel(codes))
    codes, scales = oracle.quantize_columns(x[:, :16], 127)
    panel, got, sums = _core.kernels.quantize_columns_s8(isa, x)
    assert np.array_equal(got, scales, equal_nan=True)
    assert np.array_equal(panel, oracle.pack_quads(codes).view(np.int8))
    assert np.array_equal(sums, codes.sum(0))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("factor", "zero"), [(1, 128), (2, 1), (1, 8)])
def test_widen_codes(isa: str, factor: int, zero: int) -> None:
    for n in (0, 1, 15, 16, 17, 256):
        codes = np.arange(n, dtype=np.uint8)
        assert np.array_equal(
            _core.kernels.widen_codes_s16(isa, codes, factor, zero), factor * codes.astype(int) - zero
        )


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(k=st.integers(0, 70), special=st.integers(0, 2), power=st.integers(-9, 9), seed=seeds)
def test_quantize_row(isa: str, k: int, special: int, power: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.standard_normal(k, np.float32) * np.float32(10.0**power)
    for _ in range(special if k else 0):
        x[random.integers(k)] = random.choice(SPECIAL)
    codes, scales = oracle.quantize_columns(np.repeat(x[:, None], 16, 1), 32767)
    got, scale = _core.kernels.quantize_row_s16(isa, x)
    assert np.array_equal(got[:k], codes[:, 0]) and not got[k:].any()
    assert np.array_equal(np.float32(scale), scales[0], equal_nan=True)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("by_rows", [False, True])
@settings(max_examples=40, deadline=None)
@given(width=st.integers(0, 40), k=st.integers(0, 40), extra=st.integers(0, 3), two=st.booleans(), seed=seeds)
def test_panels(isa: str, by_rows: bool, width: int, k: int, extra: int, two: bool, seed: int) -> None:
    factor, zero = (2, 1) if two else (1, 128)
    codes = np.random.default_rng(seed).integers(0, 256, (k, width + extra), np.uint8)
    values = np.zeros((k, -(-width // 16) * 16), np.int16)
    values[:, :width] = factor * codes[:, :width].astype(np.int16) - zero
    stored = np.ascontiguousarray(codes.T) if by_rows else codes
    got = _core.kernels.panels_s16(isa, by_rows, stored, width, k, factor, zero)
    panels = [oracle.pack_panel(values[:, j : j + 16]) for j in range(0, width, 16)]
    assert np.array_equal(got, np.concatenate(panels or [got[:0]]))


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(
    m=st.integers(0, 14),
    n=st.integers(0, 40),
    k=st.one_of(st.integers(0, 20), st.just(512)),
    extra=st.integers(0, 3),
    adds=st.booleans(),
    extreme=st.booleans(),
    clip=bounds,
    seed=seeds,
)
def test_gemm(
    isa: str, m: int, n: int, k: int, extra: int, adds: bool, extreme: bool, clip: tuple[float, float], seed: int
) -> None:
    random = np.random.default_rng(seed)
    pairs, columns = -(-k // 2), -(-n // 16) * 16
    a = random.integers(-128, 129, (m, 2 * pairs + extra)).astype(np.int16)
    b = random.integers(-32767, 32768, (k, columns)).astype(np.int16)
    if extreme:
        a[:], b[:] = -128, 32767
    panels = np.concatenate([oracle.pack_panel(b[:, j : j + 16]) for j in range(0, columns, 16)] or [b.reshape(-1)])
    column_scales, row_scales = random.random(n, np.float32) * 1e-4, random.random(m, np.float32) / 100
    c, starts = random.random((m, n + extra), np.float32), random.random(m, np.float32)
    start = c[:, :n] if adds else starts[:, None]
    want = oracle.gemm(start, a[:, :k], b[:, :n], column_scales.astype(np.float32), row_scales, *clip)
    got = c.copy()
    _core.kernels.gemm_s16(isa, n, pairs, a, panels, column_scales, row_scales, None if adds else starts, got, *clip)
    assert np.array_equal(got[:, :n], want)
    assert np.array_equal(got[:, n:], c[:, n:])


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(0, 14),
    n=st.integers(0, 40),
    k=st.one_of(st.integers(0, 20), st.just(512)),
    extra=st.integers(0, 3),
    adds=st.booleans(),
    extreme=st.booleans(),
    clip=bounds,
    seed=seeds,
)
def test_gemm_codes(
    isa: str, m: int, n: int, k: int, extra: int, adds: bool, extreme: bool, clip: tuple[float, float], seed: int
) -> None:
    """Codes past the end of k may be anything: they meet zeros."""
    random = np.random.default_rng(seed)
    quads, columns, zero = -(-k // 4), -(-n // 16) * 16, int(random.integers(256))
    a = random.integers(0, 256, (m, 4 * quads + extra)).astype(np.uint8)
    b = random.integers(-127, 128, (k, columns)).astype(np.int16)
    if extreme:
        a[:], b[:], zero = 255, -127, 0
    panels = np.concatenate([b[:0].ravel(), *[oracle.pack_quads(b[:, j : j + 16]) for j in range(0, columns, 16)]])
    column_scales, row_scales = random.random(n, np.float32) * np.float32(1e-4), random.random(m, np.float32) / 100
    c, starts = random.random((m, n + extra), np.float32), random.random(m, np.float32)
    start = c[:, :n] if adds else starts[:, None]
    want = oracle.gemm(start, a[:, :k].astype(int) - zero, b[:, :n], column_scales, row_scales, *clip)
    got, sums = c.copy(), b.sum(0)[:n].astype(np.int32)
    begin = None if adds else starts
    _core.kernels.gemm_codes_s8(
        isa,
        n,
        quads,
        a,
        zero,
        panels.astype(np.uint8).view(np.int8),
        sums,
        column_scales,
        row_scales,
        begin,
        got,
        *clip,
    )
    assert np.array_equal(got[:, :n], want)
    assert np.array_equal(got[:, n:], c[:, n:])
