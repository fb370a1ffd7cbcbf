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
from bitpress.methods import Layout, Settings, Statistics, feedback, rate

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
        assert once.codes().min() >= 1 and len(set(once.scales())) == 1


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
    for bad in (weights, np.full_like(weights, np.nan), np.full_like(weights, -np.inf)):
        codes = _core.rate_round(bad, factor, cost, prices, 1e-30)
        assert codes.dtype == np.int16 and np.abs(codes).max() <= 3
    with pytest.raises(ValueError, match="do not fit"):
        _core.rate_round(weights, factor[:, :2], cost, prices, 1.0)
    with pytest.raises(ValueError, match="do not fit"):
        _core.rate_round(weights, factor, cost, prices[:6], 1.0)
