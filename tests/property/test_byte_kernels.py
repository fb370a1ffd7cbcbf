"""Kernels of weights of 2 to 8 bits with 8-bit activations: every instruction set gives the bits of reference/."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpress import _core
from bitpress.reference import integer_kernels as oracle
from bitpress.reference.panels import stand_in_panels

ISAS = _core.isas()
seeds = st.integers(0, 2**32 - 1)
bounds = st.sampled_from([(-np.inf, np.inf), (0.0, 6.0), (-0.25, 0.25)])
SPECIAL = np.array([np.nan, np.inf, -np.inf, 1e-45, 2.0**-100, 3.4e38, -0.0, 2.0**-101], np.float32)


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    spread = 8 // bits
    parts = codes.reshape(len(codes), codes.shape[1] // spread, spread).astype(np.uint8)
    shifts = (np.arange(spread) * bits).astype(np.uint8)
    packed: np.ndarray = np.bitwise_or.reduce(parts << shifts, axis=2)
    return packed


def in_order(values: np.ndarray, spread: int) -> np.ndarray:
    """Values [.., k] as they stand in blocks of 32 * spread."""
    out = np.empty_like(values)
    for p in range(values.shape[-1]):
        out[..., oracle.place(p, spread)] = values[..., p]
    return out


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("spread", [1, 2, 4])
@settings(max_examples=40, deadline=None)
@given(k=st.integers(0, 70), blocks=st.integers(0, 2), special=st.integers(0, 2), power=st.integers(-9, 9), seed=seeds)
def test_quantize_row(isa: str, spread: int, k: int, blocks: int, special: int, power: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.standard_normal(k if spread == 1 else blocks * 32 * spread, np.float32) * np.float32(10.0**power)
    for _ in range(special if x.size else 0):
        x[random.integers(x.size)] = random.choice(SPECIAL)
    codes, scale, total = oracle.quantize_row(x, spread)
    got, got_scale, got_total = _core.kernels.quantize_row_s8(isa, x, spread)
    assert np.array_equal(got, codes)
    assert np.array_equal(np.float32(got_scale), np.float32(scale), equal_nan=True)
    assert got_total == total


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(width=st.integers(0, 40), k=st.integers(0, 20), extra=st.integers(0, 3), seed=seeds)
def test_panel_columns(isa: str, width: int, k: int, extra: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 16, (k, width + extra), np.uint8)
    whole = np.zeros((k, -(-width // 16) * 16), np.uint8)
    whole[:, :width] = codes[:, :width]
    want = [oracle.pack_quads(whole[:, j : j + 16]) for j in range(0, width, 16)]
    assert np.array_equal(
        _core.kernels.panel_columns_u8(isa, codes, width), np.concatenate([codes[:0, 0:0].ravel(), *want])
    )


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(width=st.integers(0, 40), k=st.integers(0, 140), extra=st.integers(0, 3), seed=seeds)
def test_panel_rows(isa: str, width: int, k: int, extra: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 256, (width, k + extra), np.uint8)
    want = _core.kernels.panel_columns_u8("scalar", np.ascontiguousarray(codes[:, :k].T), width)
    assert np.array_equal(_core.kernels.panel_rows_u8(isa, codes, k), want)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [2, 4])
@settings(max_examples=40, deadline=None)
@given(width=st.integers(0, 40), blocks=st.integers(0, 3), extra=st.integers(0, 1), seed=seeds)
def test_panel_packed(isa: str, bits: int, width: int, blocks: int, extra: int, seed: int) -> None:
    k, unit = blocks * 256 // bits, 256 // bits
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (width, k + extra * unit), np.uint8)
    whole = np.zeros((k, -(-width // 16) * 16), np.uint8)
    whole[:, :width] = in_order(codes[:, :k], 8 // bits).T
    want = [oracle.pack_quads(whole[:, j : j + 16]) for j in range(0, width, 16)]
    got = _core.kernels.panel_packed_u8(isa, bits, pack(codes, bits), k)
    assert np.array_equal(got, np.concatenate([whole[:0].ravel(), *want]))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [2, 4])
@settings(max_examples=30, deadline=None)
@given(groups=st.integers(0, 20), seed=seeds)
def test_spread_panel(isa: str, bits: int, groups: int, seed: int) -> None:
    k = groups * 32 // bits
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (16, k), np.uint8)
    stored = np.frombuffer(stand_in_panels(codes, bits), np.uint8)
    assert np.array_equal(_core.kernels.spread_panel_u8(isa, bits, stored, k), oracle.pack_quads(codes.T))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(0, 14),
    n=st.integers(0, 40),
    quads=st.one_of(st.integers(0, 20), st.just(128)),
    adds=st.booleans(),
    extreme=st.booleans(),
    clip=bounds,
    seed=seeds,
)
def test_gemm(
    isa: str, bits: int, m: int, n: int, quads: int, adds: bool, extreme: bool, clip: tuple[float, float], seed: int
) -> None:
    random = np.random.default_rng(seed)
    columns, k = -(-n // 16) * 16, 4 * quads
    a = random.integers(-127, 128, (m, k + seed % 3)).astype(np.int8)
    b = random.integers(0, 1 << bits, (k, columns), np.uint8)
    if extreme:
        a[:], b[:] = 127 if seed % 2 else -127, (1 << bits) - 1
    panels = np.concatenate([b[:0].ravel(), *[oracle.pack_quads(b[:, j : j + 16]) for j in range(0, columns, 16)]])
    column_scales, row_scales = random.random(n, np.float32) / 100, random.random(m, np.float32) / 100
    c, starts = random.random((m, n + seed % 2), np.float32), random.random(m, np.float32)
    start = c[:, :n] if adds else starts[:, None]
    zeros = random.integers(0, 256, n).astype(np.int32)
    weights = b[:, :n].astype(np.int32) - zeros
    want = oracle.gemm(start, a[:, :k], weights, column_scales, row_scales, *clip)
    sums = a[:, :k].astype(np.int32).sum(1).astype(np.int32)
    got = c.copy()
    _core.kernels.gemm_u8s8(
        isa, n, quads, bits, a, sums, panels, zeros, column_scales, row_scales, None if adds else starts, got, *clip
    )
    assert np.array_equal(got[:, :n], want)
    assert np.array_equal(got[:, n:], c[:, n:])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("bits", "panels"), [(2, False), (4, False), (2, True), (4, True), (8, True)])
@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 35),
    units=st.integers(0, 9),
    block=st.integers(1, 4),
    extreme=st.booleans(),
    affine=st.booleans(),
    seed=seeds,
)
def test_dots(
    isa: str, bits: int, panels: bool, rows: int, units: int, block: int, extreme: bool, affine: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    unit = (32 if panels else 256) // bits
    rows = rows // 16 * 16 if panels else rows
    k, block = units * unit, block * unit
    x = random.integers(-127, 128, k).astype(np.int8)
    codes = random.integers(0, 1 << bits, (rows, k), np.uint8)
    if extreme:
        x[:], codes[:] = 127 if seed % 2 else -127, (1 << bits) - 1
    starts = list(range(0, k, block))
    sums = np.array([x[first : first + block].astype(int).sum() for first in starts], np.int32)
    x_scales, scales = random.random(len(starts), np.float32), random.random((rows, len(starts)), np.float32) / 100
    zeros = random.integers(0, 1 << bits, scales.shape, np.uint8)
    if not affine:
        zeros[:] = 1 << (bits - 1)
    y = random.random(rows, np.float32)
    want = y.copy()[None, :]
    for index, first in enumerate(starts):
        weights = codes[:, first : first + block].T.astype(np.int16) - zeros[:, index]
        part = x[None, first : first + block]
        want = oracle.gemm(want, part, weights, scales[:, index], x_scales[index : index + 1], -np.inf, np.inf)
    given_zeros = zeros if affine else None
    if panels:
        packed, order = np.frombuffer(stand_in_panels(codes, bits), np.uint8).reshape(rows, k * bits // 8), x
    else:
        packed, order = pack(codes, bits), in_order(x, 8 // bits)
    _core.kernels.dots_u8s8(isa, bits, packed, k, block, order, sums, x_scales, scales, given_zeros, y, panels)
    assert np.array_equal(y, want[0])
