"""Rate-aware rounding's own properties, over every layout that feedback is tested on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_feedback import LAYOUTS, cases, moments, objective, packed

import bitpress as bp
from bitpress import _core
from bitpress.methods import Layout, Sensitivity, Settings, Statistics, feedback, rate
from bitpress.runs import scale_index
from bitpress.scheme import Granularity

RATES = st.sampled_from([1e-6, 1e-3, 0.1, 10.0])


@given(cases())
def test_at_rate_0_it_is_feedback(case: tuple) -> None:
    w, scheme, statistics = case
    for known in ({"statistics": statistics}, {"statistics": None, "rate": 0.1}):
        assert packed(w, scheme, rate, **known).streams == packed(w, scheme, feedback, **known).streams


def whole(tensor: bp.PackedTensor, w: np.ndarray, statistics: Statistics, price: float) -> float:
    """Output error as a share of the output's variance, and the price of the codes' bits."""
    variance = rate.variance(statistics.layout.matrices(w), statistics) or 1.0  # weights that are all 0
    share = objective(tensor, w, statistics).sum() / variance
    return float(share + price * rate.entropy(tensor.codes()) / w.size)


@given(cases(), RATES)
def test_never_worse_than_rounding_in_its_own_objective(case: tuple, price: float) -> None:
    w, _, statistics = case
    # Where H is taken whole and not dampened, the objective is that of the statistics.
    diagonal = statistics.diagonal.copy()
    diagonal[diagonal == 0] = diagonal.mean() or 1.0
    statistics = replace(statistics, diagonal=diagonal, hessian=None)
    tensor = packed(w, bp.Scheme.int(12), rate, statistics=statistics, rate=price, damp=0.0)
    step = tensor.scales()[0]
    nearest = np.clip(np.rint(w / step), -2047, 2047) + 2048
    rounded = bp.PackedTensor.from_codes(nearest.astype(np.uint16), tensor.scales(), tensor.scheme)
    found, plain = (whole(each, w, statistics, price) for each in (tensor, rounded))
    assert found <= plain * (1 + 1e-4) + 1e-12


@given(cases(), RATES)
def test_deterministic_and_within_the_codes(case: tuple, price: float) -> None:
    w, _, statistics = case
    for scheme in (bp.Scheme.int(4), bp.Scheme.int(15, coding="rans"), bp.Scheme.int(9, axis=1)):
        once = packed(w, scheme, rate, statistics=statistics, rate=price, shrink=0.3)
        assert once.streams == packed(w, scheme, rate, statistics=statistics, rate=price, shrink=0.3).streams
        assert once.codes().min() >= 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_higher_rate_takes_fewer_bits_and_errs_more(name: str) -> None:
    layout, shape = LAYOUTS[name]
    random = np.random.default_rng(11)
    w, statistics = random.standard_normal(shape).astype(np.float32), moments(layout, shape, random)
    found = [packed(w, bp.Scheme.int(15), rate, statistics=statistics, rate=each) for each in (1e-5, 1e-3, 1e-1, 10.0)]
    bits = [rate.entropy(tensor.codes()) for tensor in found]
    errors = [objective(tensor, w, statistics).sum() for tensor in found]
    assert bits == sorted(bits, reverse=True) and bits[-1] == 0
    assert errors == sorted(errors)


def test_it_takes_fewer_bits_than_feedback_at_the_same_error() -> None:
    random = np.random.default_rng(12)
    shape = (48, 64)
    w = (random.laplace(size=shape) ** 3).astype(np.float32)
    statistics = replace(moments(Layout(), shape, random), count=10**6).shrunk(0.9)
    fed = packed(w, bp.Scheme.int(4), feedback, statistics=statistics)
    limit = objective(fed, w, statistics).sum()
    tried = [packed(w, bp.Scheme.int(12), rate, statistics=statistics, rate=each) for each in np.geomspace(1e-3, 1, 65)]
    bits = [rate.entropy(each.codes()) for each in tried if objective(each, w, statistics).sum() <= limit]
    assert min(bits) < 0.92 * rate.entropy(fed.codes())


def test_what_is_refused() -> None:
    random = np.random.default_rng(9)
    w = random.standard_normal((8, 12)).astype(np.float32)
    known = Settings(statistics=moments(Layout(), w.shape, random), rate=0.01)

    def pack(w: np.ndarray, scheme: bp.Scheme) -> bp.PackedTensor:
        return rate.pack(w.tobytes(), "F32", w.shape, scheme, name="w", settings=known)

    for scheme, match in (
        (bp.Scheme.int(4, symmetric=False), "symmetric integers"),
        (bp.Scheme.int(1), "2 bits or more"),
        (bp.Scheme.lossless(), "symmetric integers"),
        (bp.Scheme.int(4, sparse=True), "dense tensors"),
        (bp.Scheme.int(4, group_size=4), "a tensor or an axis"),
    ):
        with pytest.raises(bp.SchemeError, match=f"w: .*{match}"):
            pack(w, scheme)
    with pytest.raises(bp.SchemeError, match="w: NaN or infinity"):
        pack(np.full((8, 12), np.nan, np.float32), bp.Scheme.int(4))
    with pytest.raises(bp.SchemeError, match="statistics of"):
        pack(np.ones((8, 13), np.float32), bp.Scheme.int(4))
    assert not pack(np.zeros((8, 12), np.float32), bp.Scheme.int(4)).unpack().any()


def test_the_loop_keeps_its_bounds_whatever_it_is_given() -> None:
    """Sums that leave the floats give some code, never a price from beside the table."""
    weights = np.full((1, 3, 2), 3e38, np.float32)
    factor = np.full((1, 3, 3), -3e38, np.float32)
    cost, prices = np.ones((1, 3), np.float32), np.zeros(7, np.float32)
    rows, linked = np.ones((1, 2), np.float32), np.full((1, 2, 2), 3e38, np.float32)
    for bad in (weights, np.full_like(weights, np.nan), np.full_like(weights, -np.inf)):
        codes = _core.rate_round(bad, factor, cost, prices, rows, linked)
        assert codes.dtype == np.int16 and np.abs(codes).max() <= 3
    with pytest.raises(ValueError, match="do not fit"):
        _core.rate_round(weights, factor[:, :2], cost, prices, rows)
    with pytest.raises(ValueError, match="do not fit"):
        _core.rate_round(weights, factor, cost, prices[:6], rows)
    with pytest.raises(ValueError, match="do not fit"):
        _core.rate_round(weights, factor, cost, prices, rows, factor)


def unit(random: np.random.Generator, n: int) -> np.ndarray:
    """Upper triangular, of ones on the diagonal."""
    upper = np.triu(random.uniform(-0.9, 0.9, (n, n)), 1) + np.eye(n)
    return np.asarray(upper, np.float32)


@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 2**32 - 1))
def test_errors_are_made_good_along_both_axes(rows: int, columns: int, linked: bool, seed: int) -> None:
    """Where bits are free, what is left of S^T E R is at most half a step in every entry, as in a plain rounding."""
    random = np.random.default_rng(seed)
    w = random.normal(0, 5, (1, columns, rows)).astype(np.float32)
    along, across = unit(random, columns), unit(random, rows) if linked else np.eye(rows, dtype=np.float32)
    cost, row_cost = (random.uniform(0.1, 9, (1, n)).astype(np.float32) for n in (columns, rows))
    codes = _core.rate_round(
        w, along[None], cost, np.zeros(20001, np.float32), row_cost, across[None] if linked else None
    )
    errors = (w[0].astype(np.float64) - codes[0]).T
    assert np.abs(across.T @ errors @ along).max() <= 0.5 + 1e-3


def felt(layout: Layout, shape: tuple[int, ...], random: np.random.Generator, weights: int) -> Sensitivity:
    outputs = np.prod(shape) // layout.columns(shape) // layout.groups
    mix = random.standard_normal((layout.groups, int(outputs), int(outputs)))
    return Sensitivity(mix @ mix.transpose(0, 2, 1), None, weights)


@given(cases(), RATES)
def test_with_sensitivity_never_worse_than_rounding_on_its_own_grid(case: tuple, price: float) -> None:
    w, _, statistics = case
    layout, matrices = statistics.layout, statistics.layout.matrices
    known = felt(layout, w.shape, np.random.default_rng(3), w.size)
    # A metric of equal diagonal is not tempered.
    scale = 1 / np.sqrt(np.diagonal(known.outputs, axis1=1, axis2=2))
    gram = known.outputs * scale[:, :, None] * scale[:, None, :]
    diagonal = np.where(statistics.diagonal > 0, statistics.diagonal, statistics.diagonal.mean() or 1.0)
    lookup = replace(statistics, diagonal=diagonal, hessian=None, sensitivity=replace(known, outputs=gram))
    tensor = rate.pack(
        w.tobytes(), "F32", w.shape, bp.Scheme.int(12), settings=Settings(statistics=lookup, rate=price, damp=0.0)
    )
    tensor.check()
    steps = np.asarray(tensor.scales())[scale_index(w.shape, tensor.scheme.values)]
    nearest = np.clip(np.rint(w / steps), -2047, 2047)

    def whole(codes: np.ndarray) -> float:
        error = matrices(codes.astype(np.float64) * steps - w)  # in float32 a large code's error would be lost
        share = np.einsum("gij,gjc,gic,gc->", np.repeat(gram, layout.blocks, 0), error, error, diagonal)
        return float(share * w.size + price * rate.entropy(codes))

    found = whole(tensor.codes().astype(np.int32) - 2048)
    assert found <= whole(nearest) * (1 + 1e-4) + 1e-9


def test_steps_follow_the_axis_whose_costs_differ() -> None:
    random = np.random.default_rng(4)
    shape = (200, 50)
    w = random.standard_normal(shape).astype(np.float32)
    often = np.geomspace(1, 1e-4, 200)[None]
    statistics = Statistics(
        Layout(transposed=True), often / often.sum(), often / often.sum(), 1000,
        sensitivity=Sensitivity(np.eye(50)[None], None, w.size),
    )  # fmt: skip
    tensor = rate.pack(
        w.tobytes(), "F32", shape, bp.Scheme.int(15), settings=Settings(statistics=statistics, rate=0.01)
    )
    assert tensor.scheme.values.granularity is Granularity.AXIS and tensor.scheme.values.axis == 0
    scales = tensor.scales()
    assert (np.diff(scales) >= 0).all() and 60 < scales[-1] / scales[0] < 160  # the root of 1e4
    error = np.square(tensor.unpack() - w).mean(1)
    assert error[:20].mean() < 0.01 * error[-20:].mean()
