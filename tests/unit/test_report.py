"""The survey's sums, the statistics and the plots of the page."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpress.report.page import render
from bitpress.report.plots import bar, histogram, number
from bitpress.report.statistics import (
    Histogram,
    TensorStatistics,
    codes_histogram,
    entropy,
    values_histogram,
)
from bitpress.report.survey import GraphSummary, StreamLine, Survey, TensorLine


@pytest.fixture
def survey() -> Survey:
    codes = StreamLine("codes", "huffman", 300, 400)
    tensors = (
        TensorLine("a.weight", "F32", (20, 20), "int8 + huffman", (codes, StreamLine("scales", "raw", 4, 4))),
        TensorLine("<b>&'\"", "BF16", (3,), "keep", (StreamLine("data", "raw", 6, 6),)),
        TensorLine("none", "F4", (0, 5), "keep", (StreamLine("data", "raw", 0, 0),)),
    )
    graph = GraphSummary((("x", "F32", "? x 20"),), (("y", "F32", "? x 20"),), {"Gemm": 1, "Relu": 2})
    return Survey("folder/net.bp", 1024, 400, 226, tensors, graph, 30, {"from": "<script>alert(1)</script>"})


def test_survey_adds_up(survey: Survey) -> None:
    assert survey.tensor_nbytes == 310 and survey.source_nbytes == 1606 and survey.elements == 403
    assert survey.padding == 58
    assert (
        survey.header + survey.manifest + survey.graph_nbytes + survey.padding + survey.tensor_nbytes == survey.nbytes
    )
    assert sum(survey.by_role().values()) == survey.tensor_nbytes
    document = survey.as_json()
    assert sum(tensor["bytes"] for tensor in document["tensors"]) + document["overhead"]["bytes"] == 1024 - 30
    assert survey.tensors[0].bits_per_weight == pytest.approx(8 * 304 / 400)
    assert survey.tensors[2].bits_per_weight == 0


def test_entropy() -> None:
    assert entropy((5, 5)) == 1 and entropy((7,) * 8) == pytest.approx(3) and entropy((0, 9)) == 0 and entropy(()) == 0


@given(bits=st.integers(1, 8), codes=st.lists(st.integers(0, 255), max_size=70))
def test_codes_histogram_reads_packed_codes(bits: int, codes: list[int]) -> None:
    codes = [code & (1 << bits) - 1 for code in codes]
    packed = sum(code << bits * index for index, code in enumerate(codes)).to_bytes(
        -(-len(codes) * bits // 8), "little"
    )
    counted = codes_histogram(memoryview(packed), bits, len(codes))
    assert counted.counts == tuple(codes.count(value) for value in range(1 << bits))


@pytest.mark.parametrize("bits", [3, 5, 8])
def test_codes_histogram_in_slices(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitpress.report.statistics._SLICE", 64)
    codes = np.random.default_rng(bits).integers(0, 1 << bits, 1001)
    packed = sum(int(code) << bits * index for index, code in enumerate(codes)).to_bytes(-(-1001 * bits // 8), "little")
    counted = codes_histogram(memoryview(packed), bits, 1001)
    assert counted.counts == tuple(np.bincount(codes, minlength=1 << bits))


def test_values_histogram() -> None:
    array = np.random.default_rng(0).standard_normal((50, 40)).astype(np.float32)
    counted, moments, without = values_histogram(array)
    assert counted is not None and counted.total == 2000 and not without
    assert (counted.low, counted.high) == (array.min(), array.max())
    assert moments["mean"] == pytest.approx(array.mean(), abs=1e-6)
    assert moments["deviation"] == pytest.approx(array.std(), rel=1e-5)


def test_values_on_a_grid_get_a_bin_each() -> None:
    array = (np.arange(-7, 8) * 0.125).repeat(3)
    counted, _, _ = values_histogram(array)
    assert counted is not None and counted.counts == (3,) * 15


def test_many_zeros_are_counted_and_left_out() -> None:
    counted, moments, without = values_histogram(np.array([0] * 9 + [0.5], np.float32))
    assert without and moments["zeros"] == pytest.approx(0.9)
    assert counted is not None and counted.total == 1


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5, np.float32),
        np.full(3, 1e30, np.float32),
        np.array([1, 2, 3], np.int64),
        np.array([True, False]),
        np.array([1 + 2j, 3 - 1j], np.complex64),
        np.array(4.0),
        np.array([np.nan, 1, np.inf, 2], np.float32),
        np.array([2**63 - 1, 0], np.uint64),
    ],
)
def test_every_dtype_has_a_histogram(array: np.ndarray) -> None:
    counted, moments, _ = values_histogram(array)
    assert counted is not None and counted.total == np.isfinite(np.real(array)).sum()
    assert all(map(math.isfinite, moments.values()))


@pytest.mark.parametrize("array", [np.zeros(0, np.float32), np.full(2, np.nan), np.array([-1.7e308, 1.7e308])])
def test_nothing_to_draw(array: np.ndarray) -> None:
    assert values_histogram(array)[0] is None


def test_a_plot_draws_each_bin() -> None:
    text = histogram(Histogram((1, 0, 4), -1.0, 2.0), "values", "values")
    assert text.count("M") == 2  # empty bins are not drawn
    assert 'class="zero"' in text and "\N{MINUS SIGN}1" in text
    heights = [float(high) for high in re.findall(r"v-([\d.]+)", text)]
    assert heights == [18, 72]
    widths = [float(wide) for wide in re.findall(r'width="([\d.]+)" height', bar([("codes", 1), ("scales", 3)], 8, ""))]
    assert widths == [125, 375]
    assert number(-0.00012345) == "\N{MINUS SIGN}0.0001234" or number(-0.00012345) == "\N{MINUS SIGN}0.0001235"


class Page(HTMLParser):
    """Collects tags and refuses an end tag that closes nothing."""

    VOID = frozenset({"meta", "link", "input", "path", "line", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_alone(survey: Survey) -> None:
    statistics = TensorStatistics(
        Histogram((1, 2), -1, 1), Histogram((3, 1), 0, 1), "codes", 0.1, -1, 1, 0, 0.5, without_zeros=False
    )
    text = render(survey, {"a.weight": statistics, "<b>&'\"": statistics}, "0.1.0")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert [tag for tag, _ in page.tags].count("article") == 2
    assert [tag for tag, _ in page.tags].count("script") == 1 and "<b>" not in text.replace("<b>1", "").split("<h1>")[0]
    for _, attributes in page.tags:
        for name in ("src", "href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:"))
    assert "alert(1)</script>" not in text and "&lt;script&gt;" in text
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style and "prefers-color-scheme: dark" in style


def test_the_same_survey_gives_the_same_page(survey: Survey) -> None:
    assert render(survey, {}, "0.1.0") == render(survey, {}, "0.1.0")
