"""Error feedback's own properties, over every granularity, symmetric and affine, dense and by bitmap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitpress as bp
from bitpress.methods import Layout, Settings, Statistics, feedback, grids
from bitpress.methods import round as nearest
from bitpress.reference import quantize as oracle
from bitpress.runs import scale_index

LAYOUTS = {
    "conv": (Layout(), (6, 3, 2, 2)),
    "grouped": (Layout(2), (6, 4, 3, 1)),
    "depthwise": (Layout(5), (5, 1, 3, 3)),
    "dense": (Layout(), (7, 40)),
    "transposed": (Layout(transposed=True), (40, 7)),
    "blocks": (Layout(blocks=3), (6, 3, 2, 2)),
    "grouped blocks": (Layout(2, blocks=2), (6, 4, 3, 1)),
    "transposed blocks": (Layout(transposed=True, blocks=4), (40, 7)),
    "one row": (Layout(), (1, 33)),
    "one column": (Layout(), (9, 1)),
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, bp.Scheme, Statistics]:
    layout, shape = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))]
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    w = random.standard_normal(shape).astype(np.float32)
    kind = draw(st.sampled_from(["normal", "constant", "zero", "sparse", "outlier"]))
    if kind in ("constant", "zero"):
        w[...] = 0.3 if kind == "constant" else 0
    elif kind == "sparse":
        w[random.random(shape) < 0.7] = 0
    elif kind == "outlier":
        w.flat[0] = 1e4
    where = draw(st.sampled_from([{}, {"axis": 0}, {"axis": 1}, {"group_size": 4}, {"group_size": 1000}]))
    scheme = bp.Scheme.int(draw(st.integers(1, 16)), symmetric=draw(st.booleans()), sparse=draw(st.booleans()), **where)
    return w, scheme, moments(layout, shape, random, draw(st.sampled_from(["few", "many", "dead", "none"])))


def moments(layout: Layout, shape: tuple[int, ...], random: np.random.Generator, kind: str = "many") -> Statistics:
    """Of correlated inputs: fewer than there are columns, more, some of them always 0, or all."""
    columns = layout.columns(shape) // layout.blocks
    count = {"few": max(1, columns // 3), "none": 4}.get(kind, 4 * columns)
    mix = random.standard_normal((layout.parts, columns, columns))
    x = mix @ random.standard_normal((layout.parts, columns, count)) + 1
    if kind == "dead":
        x[:, ::2] = 0
    elif kind == "none":
        x[...] = 0
    hessian = x @ x.transpose(0, 2, 1) / count
    return Statistics(layout, np.diagonal(hessian, axis1=1, axis2=2).copy(), x.mean(2), count, hessian)


def packed(w: np.ndarray, scheme: bp.Scheme, method: object = feedback, **settings: object) -> bp.PackedTensor:
    tensor = method.pack(w.tobytes(), "F32", w.shape, scheme, settings=Settings(**settings))  # type: ignore[attr-defined]
    tensor.check()
    assert tensor.shape == w.shape and tensor.scheme == scheme
    return tensor


def objective(tensor: bp.PackedTensor, w: np.ndarray, statistics: Statistics) -> np.ndarray:
    matrices = statistics.layout.matrices
    return statistics.error(matrices(tensor.unpack()).astype(np.float64) - matrices(w))


@given(cases(), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.01, 1.0]))
def test_never_worse_than_rounding_in_its_own_objective(case: tuple, shrink: float, damp: float) -> None:
    w, scheme, statistics = case
    fed = packed(w, scheme, statistics=statistics, shrink=shrink, damp=damp)
    rounded = packed(w, scheme, nearest)
    np.testing.assert_array_equal(fed.scales(), rounded.scales())
    np.testing.assert_array_equal(fed.zeros(), rounded.zeros())
    np.testing.assert_array_equal(fed.mask(), rounded.mask())
    a, b = objective(fed, w, statistics), objective(rounded, w, statistics)
    assert (a <= b * (1 + 1e-9) + 1e-300).all()


@given(cases())
def test_equals_rounding_where_the_hessian_is_diagonal(case: tuple) -> None:
    w, scheme, statistics = case
    rounded = packed(w, scheme, nearest)
    diagonal = replace(statistics, hessian=statistics.diagonal[:, :, None] * np.eye(statistics.diagonal.shape[1]))
    for settings in ({"statistics": diagonal}, {"statistics": replace(statistics, hessian=None)}, {"statistics": None}):
        assert packed(w, scheme, **settings).streams == rounded.streams
    if scheme.structure == 0:  # else what was cut off a bitmap's zeros would be made good
        assert packed(w, scheme, statistics=statistics, shrink=1.0).streams == rounded.streams


@given(cases(), st.sampled_from(["minmax", "percentile", "mse", "output"]))
def test_deterministic_and_on_the_grid(case: tuple, how: str) -> None:
    w, scheme, statistics = case
    once = packed(w, scheme, statistics=statistics, range=how, shrink=0.3)
    assert once.streams == packed(w, scheme, statistics=statistics, range=how, shrink=0.3).streams
    if scheme.values.bits > 1 and scheme.values.symmetric:
        codes = once.codes()[once.mask()]
        assert codes.size == 0 or codes.min() >= 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_weights_on_the_grid_come_back(name: str) -> None:
    layout, shape = LAYOUTS[name]
    random = np.random.default_rng(7)
    w = random.integers(-7, 8, shape).astype(np.float32) * np.float32(0.25)
    w.flat[0] = 7 * 0.25
    for scheme in (bp.Scheme.int(4), bp.Scheme.int(4, sparse=True)):
        np.testing.assert_array_equal(packed(w, scheme, statistics=moments(layout, shape, random)).unpack(), w)


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "one column"])
def test_it_helps_where_inputs_go_together(name: str) -> None:
    layout, shape = LAYOUTS[name]
    random = np.random.default_rng(8)
    w, statistics = random.standard_normal(shape).astype(np.float32), moments(layout, shape, random)
    scheme = bp.Scheme.int(3)
    fed = objective(packed(w, scheme, statistics=statistics), w, statistics).sum()
    assert fed < 0.9 * objective(packed(w, scheme, nearest), w, statistics).sum()


@given(cases())
def test_grids_are_the_formats(case: tuple) -> None:
    w, scheme, _ = case
    values = scheme.values
    where = {1: {"axis": values.axis}, 2: {"group_size": values.group_size}}.get(int(values.granularity), {})
    index = scale_index(w.shape, values)
    np.testing.assert_array_equal(index, oracle.scale_index(w.shape, **where))
    rounded, grid = packed(w, scheme, nearest), grids.min_max(w, index, values)
    np.testing.assert_array_equal(grid.scales, rounded.scales())
    codes = grid.codes(w, grid.scales[index], grid.zeros[index])
    np.testing.assert_array_equal(np.where(rounded.mask(), codes, 0), rounded.codes())


@given(cases(), st.sampled_from([0.01, 50, 90, 99.9, 100]))
def test_a_percentile_leaves_outliers_out(case: tuple, percent: float) -> None:
    w, scheme, statistics = case
    values = scheme.values
    index = scale_index(w.shape, values)
    found = packed(w, scheme, nearest, range="percentile", percentile=percent)
    mask = found.mask()
    for number in np.unique(index):
        chosen = w[(index == number) & mask]
        if chosen.size:
            inside = oracle.without_outliers(chosen, percent, symmetric=values.symmetric)
            scale, zero = oracle.steps(inside, values.bits, symmetric=values.symmetric)
            assert found.scales().reshape(-1)[number] == scale
            if not values.symmetric:
                assert found.zeros().reshape(-1)[number] == zero
    if percent == 100:
        assert found.streams == packed(w, scheme, nearest).streams
    fed = packed(w, scheme, range="percentile", percentile=percent, statistics=statistics)
    np.testing.assert_array_equal(fed.scales(), found.scales())


@given(cases())
def test_a_searched_range_is_never_worse_than_the_whole(case: tuple) -> None:
    w, scheme, statistics = case
    matrices = statistics.layout.matrices
    for how, weight in (("mse", 1.0), ("output", statistics.diagonal[:, None, :])):
        tensors = [packed(w, scheme, nearest, range=each, statistics=statistics) for each in (how, "minmax")]
        errors = [(weight * matrices(tensor.unpack() - w) ** 2).sum() for tensor in tensors]
        assert errors[0] <= errors[1] * (1 + 1e-6)


def test_every_float_and_what_is_refused() -> None:
    random = np.random.default_rng(9)
    w = random.standard_normal((8, 12))
    statistics = moments(Layout(), w.shape, random)
    scheme = bp.Scheme.int(4, axis=0)
    known = Settings(statistics=statistics)
    for name, dtype in (("F16", np.float16), ("F64", np.float64)):
        tensor = feedback.pack(w.astype(dtype).tobytes(), name, w.shape, scheme, settings=known)
        assert tensor.unpack().dtype == dtype
    wrong = np.full((8, 12), np.nan, np.float32)
    for settings in (known, Settings(range="mse"), Settings(range="percentile"), replace(known, range="output")):
        with pytest.raises(bp.SchemeError, match="w: NaN or infinity"):
            feedback.pack(wrong.tobytes(), "F32", wrong.shape, scheme, name="w", settings=settings)
    with pytest.raises(bp.SchemeError, match="statistics of"):
        feedback.pack(bytes(4 * 8 * 13), "F32", (8, 13), scheme, name="w", settings=known)
    assert feedback.pack(b"", "F32", (0, 3), scheme, settings=known).unpack().shape == (0, 3)
