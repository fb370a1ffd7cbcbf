"""The codings against plain Python: the same frames byte for byte, the same data back, optimal code lengths."""

from __future__ import annotations

import heapq
import importlib
import itertools
from collections.abc import Callable
from fractions import Fraction
from types import ModuleType

import numpy as np
import pytest

from bitpress import _core
from bitpress.reference import huffman

FRAMED = sorted(name for name in _core.CODINGS if name != "raw")
SIZES = [0, 1, 2, 3, 5, 255, 256, 257, 258, 600, 1023, 1024, 1031, 5_000, 16_400]
LARGE = 2**18 + 700  # two chunks of Huffman's


def _rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(5))


KINDS: dict[str, Callable[[int], np.ndarray]] = {
    "zeros": lambda n: np.zeros(n, np.uint8),
    "uniform": lambda n: _rng().integers(0, 256, n, dtype=np.uint8),
    "gaussian int8": lambda n: np.clip(np.round(_rng().normal(size=n) * 32), -127, 127).astype(np.int8).view(np.uint8),
    "90% zeros": lambda n: np.where(_rng().random(n) < 0.9, 0, _rng().integers(0, 256, n)).astype(np.uint8),
    "geometric": lambda n: np.minimum(_rng().geometric(0.5, n), 255).astype(np.uint8),  # codes that hit the limit
    "words": lambda n: np.resize(np.frombuffer(b"the quick brown fox jumps over the lazy dog; ", np.uint8), n),
    "far apart": lambda n: _rng().choice(np.array([0, 1, 128, 250, 255], np.uint8), n),
}


@pytest.fixture(params=FRAMED)
def coding(request: pytest.FixtureRequest) -> tuple[str, ModuleType]:
    """A coding's name and its oracle: every entry of codings.def has one."""
    return request.param, importlib.import_module(f"bitpress.reference.{request.param}")


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_the_oracles(coding: tuple[str, ModuleType], kind: str) -> None:
    name, oracle = coding
    for size in SIZES:
        data = KINDS[kind](size).tobytes()
        frame = _core.encode(name, data)
        assert frame == oracle.encode(data), size
        assert oracle.decode(frame) == data, size


def test_several_chunks_are_the_oracles(coding: tuple[str, ModuleType]) -> None:
    """Chunks alike share a table; chunks unlike bring their own; noise is stored; equal bytes are filled."""
    name, oracle = coding
    alike = KINDS["far apart"](LARGE).tobytes()
    half = 2**18
    unlike = KINDS["words"](half).tobytes() + KINDS["zeros"](half).tobytes() + KINDS["uniform"](700).tobytes()
    for data in (alike, unlike):
        frame = _core.encode(name, data)
        assert frame == oracle.encode(data)
        assert oracle.decode(frame) == data


@pytest.mark.parametrize(("every", "has_table"), [(220, True), (250, False)])
def test_a_shared_table_is_there_where_it_pays(every: int, has_table: bool) -> None:
    """Noise with one byte a little more frequent: the chunks become shorter by less, or more, than the table takes."""
    data = bytearray(KINDS["uniform"](2 * 2**18).tobytes())
    data[::every] = bytes([7]) * len(data[::every])
    frame = _core.encode("huffman", data)
    assert frame == huffman.encode(bytes(data))
    assert bool(frame[3] & 16) == has_table
    assert (len(frame) < len(data)) == has_table
    assert len(frame) <= len(data) + 10


# ---- code lengths


def _cost(counts: dict[int, int], lengths: dict[int, int]) -> int:
    return sum(count * lengths[symbol] for symbol, count in counts.items())


def _kraft(lengths: dict[int, int]) -> Fraction:
    return sum((Fraction(1, 2**length) for length in lengths.values()), Fraction(0))


def _unlimited_cost(counts: dict[int, int]) -> int:
    """Huffman's own construction: the sum of all merged weights."""
    heap, total = sorted(counts.values()), 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


@pytest.mark.parametrize("limit", [2, 3, 4, 5])
def test_package_merge_is_optimal(limit: int) -> None:
    """Against every assignment of lengths that a prefix code can have."""
    rng = _rng()
    for symbols in range(2, min(2**limit, 6) + 1):
        assignments = [
            lengths
            for lengths in itertools.product(range(1, limit + 1), repeat=symbols)
            if sum(Fraction(1, 2**length) for length in lengths) <= 1
        ]
        for spread in (2, 10, 1000):
            counts = {k: int(count) for k, count in enumerate(rng.integers(1, spread + 1, symbols))}
            lengths = huffman.code_lengths(counts, limit)
            best = min(sum(c * n for c, n in zip(counts.values(), option, strict=True)) for option in assignments)
            assert _cost(counts, lengths) == best
            assert _kraft(lengths) == 1


def test_lengths_equal_huffmans_where_the_limit_is_far() -> None:
    rng = _rng()
    for symbols in (2, 3, 17, 64, 256):
        counts = {k: int(count) for k, count in enumerate(rng.integers(100, 200, symbols))}
        lengths = huffman.code_lengths(counts)
        assert _kraft(lengths) == 1
        assert _cost(counts, lengths) == _unlimited_cost(counts)


def test_lengths_under_the_limit() -> None:
    """Fibonacci counts want one more bit a symbol; the limit holds, at little cost, and the code is complete."""
    counts, a, b = {}, 1, 1
    for symbol in range(30):
        counts[symbol], a, b = a, b, a + b
    lengths = huffman.code_lengths(counts)
    assert max(lengths.values()) == huffman.MAX_BITS
    assert _kraft(lengths) == 1
    assert _unlimited_cost(counts) < _cost(counts, lengths) < 1.01 * _unlimited_cost(counts)


def test_tables_are_small() -> None:
    """What a code's lengths cost: a dozen bytes for int4's sixteen symbols, some fifty for int8's."""
    rng = _rng()
    int4 = np.clip(np.round(rng.normal(size=100_000) * 2) + 8, 0, 15).astype(int)
    int8 = np.clip(np.round(rng.normal(size=100_000) * 32) + 128, 1, 255).astype(int)
    for data, most in ((int4, 10), (int8, 64)):
        counts = {k: int(c) for k, c in enumerate(np.bincount(data)) if c}
        table = huffman.write_table(huffman.code_lengths(counts))
        assert len(table) <= most
        assert huffman.read_table(table + b"rest") == (huffman.code_lengths(counts), len(table))
