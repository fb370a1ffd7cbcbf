"""Codebooks by k-means: the entries, and which one each element (or vector of elements) has.

A book of b bits grows from that of b - 1: each entry is joined by a neighbour, then Lloyd's rounds (Linde, Buzo and
Gray 1980, IEEE Transactions on Communications 28(1)). Scalars also begin with equal distances from least to greatest
(which Han, Mao and Dally 2016, arXiv:1510.00149, found best), and keep the better of the two; so their error never
rises with the bits. Entries of vectors: product quantization (Jegou, Douze and Schmid 2011, IEEE PAMI 33(1)).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import SchemeError
from .runs import scale_index
from .scheme import Codebook

__all__ = ["Clusters", "cluster", "learned"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
ROUNDS = 30  # of Lloyd, for each size of the book
SAMPLE = 1 << 16  # vectors that the entries of longer tensors are learned from
SHARED = 1 << 22  # vectors that the entries of a shared book are learned from
PIECE = 1 << 14  # vectors that look for their entries at a time: 32 MiB of distances
SMALLEST = np.float32(2.0**-126)


@dataclass(frozen=True)
class Clusters:
    """A tensor by a codebook: ``book`` float32 [2**bits, vector], ``codes`` uint8 [codes], ``scales`` float32."""

    book: Floats
    codes: npt.NDArray[np.uint8]
    scales: Floats


def cluster(
    x: Floats,
    values: Codebook,
    *,
    weight: npt.NDArray[np.floating] | None = None,
    mask: npt.NDArray[np.bool_] | None = None,
    book: Floats | None = None,
    name: str = "tensor",
) -> Clusters:
    """The codebook of a tensor (any shape, finite): of least sum of ``weight * error**2``, as far as k-means finds it.

    ``weight``: what an error costs, in the tensor's shape (or broadcast to it), 0 or more; all ones by default.
    ``mask``: the elements that are stored, where not all are; the others' code is 0. ``book``: to be taken as it is,
    one that ``learned`` gave. A run's scale is its greatest magnitude. SchemeError for NaN or infinity, and where
    vectors do not divide the elements.
    """
    scales, flat, costs = _vectors_of(x, values, weight, name)
    chosen = slice(None) if mask is None else mask.reshape(-1)
    kept, kept_costs = flat[chosen], None if costs is None else costs[chosen]
    codes = np.zeros(len(flat), np.uint8)
    if not len(kept):
        none = np.zeros((2**values.bits, values.vector), np.float32)
        return Clusters(none if book is None or not x.size else book, codes, scales)
    entries = _book(kept, kept_costs, values) if book is None else book
    if values.vector == 1:
        codes[chosen] = _nearest_scalars(kept[:, 0], entries)
    else:
        codes[chosen] = _nearest(kept, kept_costs, entries.astype(np.float64))[0]
    return Clusters(entries, codes, scales)


def learned(
    tensors: Iterable[tuple[str, Floats, npt.NDArray[np.bool_] | None]], values: Codebook, elements: int
) -> Floats | None:
    """One book for several tensors: names, elements, and which of them are stored (None: all); None for no elements.

    Of more than ``SHARED`` vectors (``elements`` in all) so many are drawn, from each tensor its share, by a fixed
    seed. Errors cost what they are in the elements, scales undone.
    """
    share = min(1.0, SHARED * values.vector / max(elements, 1))
    random = np.random.default_rng(0)
    parts: list[tuple[Doubles, Doubles | None]] = []
    for name, x, mask in tensors:
        _, flat, costs = _vectors_of(x, values, None, name)
        places = np.arange(len(flat)) if mask is None else np.flatnonzero(mask.reshape(-1))
        if share < 1:
            places = np.sort(random.choice(places, int(np.ceil(share * len(places))), replace=False))
        parts.append((flat[places], None if costs is None else costs[places]))
    if not sum(len(flat) for flat, _ in parts):
        return None
    found = [costs for _, costs in parts if costs is not None]
    return _book(np.concatenate([flat for flat, _ in parts]), np.concatenate(found) if found else None, values)


def _vectors_of(
    x: Floats, values: Codebook, weight: npt.NDArray[np.floating] | None, name: str
) -> tuple[Floats, Doubles, Doubles | None]:
    """Scales; the elements over them as vectors [n, vector]; and what an error of each costs (None: one)."""
    if not np.isfinite(x).all():
        raise SchemeError(f"{name}: NaN or infinity cannot be in a codebook")
    if x.size % values.vector:
        raise SchemeError(f"{name}: {x.size} elements are no whole number of vectors of {values.vector}")
    scales, scaled, cost = np.zeros(0, np.float32), x.astype(np.float64), weight
    if values.has_scales:
        index = np.ascontiguousarray(scale_index(x.shape, values)).reshape(-1)
        scales = np.zeros(int(index.max(initial=-1)) + 1, np.float32)
        np.maximum.at(scales, index, np.abs(x).reshape(-1))
        scales = np.maximum(scales, SMALLEST)
        spread = scales[index].astype(np.float64).reshape(x.shape)
        scaled = scaled / spread
        cost = spread**2 if weight is None else weight * spread**2
    flat = scaled.reshape(-1, values.vector)
    costs = None if cost is None else np.broadcast_to(cost, x.shape).astype(np.float64).reshape(flat.shape)
    return scales, flat, costs


def _book(x: Doubles, cost: Doubles | None, values: Codebook) -> Floats:
    """The entries for vectors [n, vector]."""
    if values.vector == 1:
        return _scalars(x[:, 0], None if cost is None else cost[:, 0], values.bits)
    return _vectors(x, cost, values.bits)


class _Line:
    """Sorted numbers whose sums between any two places are known: a round of Lloyd costs a search an entry."""

    def __init__(self, x: Doubles, cost: Doubles | None) -> None:
        order = np.argsort(x, kind="stable")
        self.x = x[order]
        weight = np.ones(x.size) if cost is None else cost[order]
        self.weight = np.concatenate([[0.0], np.cumsum(weight)])
        self.first = np.concatenate([[0.0], np.cumsum(weight * self.x)])
        self.second = float((weight * self.x**2).sum())

    def rounds(self, book: Doubles) -> tuple[Doubles, float]:
        """The book after Lloyd's rounds, and its error."""
        best, least = book, np.inf
        for _ in range(ROUNDS):
            ends = np.searchsorted(self.x, (book[1:] + book[:-1]) / 2)
            places = np.concatenate([[0], ends, [self.x.size]])
            weight, first = np.diff(self.weight[places]), np.diff(self.first[places])
            # sum of w (x - c)^2 = sum w x^2 - 2 c sum w x + c^2 sum w
            error = self.second + float((book * (book * weight - 2 * first)).sum())
            if not error < least:
                break
            best, least = book, error
            book = np.sort(np.where(weight > 0, first / np.where(weight > 0, weight, 1), book))
        return best, least


def _scalars(x: Doubles, cost: Doubles | None, bits: int) -> Floats:
    line = _Line(x, cost)
    low, high = line.x[0], line.x[-1]
    book, _ = line.rounds(np.array([x.mean()]))
    for size in (2**bit for bit in range(1, bits + 1)):
        edges = np.concatenate([[low], (book[1:] + book[:-1]) / 2, [high]])
        beside = (book + edges[1:]) / 2  # halfway to where its members end
        grown = line.rounds(np.sort(np.concatenate([book, beside])))
        linear = line.rounds(np.linspace(low, high, size))
        book = min(grown, linear, key=lambda found: found[1])[0]
    return np.asarray(book[:, None], np.float32)


def _nearest_scalars(x: Doubles, book: Floats) -> npt.NDArray[np.uint8]:
    """Each number's entry in a book that rises."""
    entries = book[:, 0].astype(np.float64)
    return np.asarray(np.searchsorted((entries[1:] + entries[:-1]) / 2, x), np.uint8)


def _vectors(x: Doubles, cost: Doubles | None, bits: int) -> Floats:
    some: Any = slice(None)
    if len(x) > SAMPLE:
        some = np.sort(np.random.default_rng(0).choice(len(x), SAMPLE, replace=False))
    sample, costs = x[some], None if cost is None else cost[some]
    book = sample.mean(0, keepdims=True)
    codes = np.zeros(len(sample), np.uint8)
    for _ in range(bits):
        apart = np.sqrt(_means(np.square(sample - book[codes]), None, codes, np.zeros_like(book)))
        book = np.concatenate([book, book + apart])
        book, codes = _lloyd(sample, costs, book)
    if len(x) > SAMPLE:
        book = _means(x, cost, _nearest(x, cost, book)[0], book)
    return np.asarray(book, np.float32)


def _lloyd(x: Doubles, cost: Doubles | None, book: Doubles) -> tuple[Doubles, npt.NDArray[np.uint8]]:
    best, least = (book, np.zeros(len(x), np.uint8)), np.inf
    for _ in range(ROUNDS):
        codes, error = _nearest(x, cost, book)
        if not error < least * (1 - 1e-4):
            break
        best, least = (book, codes), error
        book = _means(x, cost, codes, book)
    return best


def _nearest(x: Doubles, cost: Doubles | None, book: Doubles) -> tuple[npt.NDArray[np.uint8], float]:
    """Each vector's entry, and the sum of what that costs, but for the part that no book changes."""
    codes, error = np.empty(len(x), np.uint8), 0.0
    for start in range(0, len(x), PIECE):
        piece = x[start : start + PIECE]
        if cost is None:
            distance = (book**2).sum(1) - 2 * piece @ book.T
        else:
            weight = cost[start : start + PIECE]
            distance = weight @ (book**2).T - 2 * (weight * piece) @ book.T
        codes[start : start + PIECE] = distance.argmin(1)
        error += float(distance.min(1).sum())
    shared = (x**2).sum() if cost is None else (cost * x**2).sum()
    return codes, error + float(shared)


def _means(x: Doubles, cost: Doubles | None, codes: npt.NDArray[np.uint8], book: Doubles) -> Doubles:
    """The weighted mean of each entry's members; an entry without any stays as it is."""
    moved = book.copy()
    for j in range(x.shape[1]):
        weight = np.ones(len(x)) if cost is None else cost[:, j]
        total = np.bincount(codes, weight, len(book))
        sums = np.bincount(codes, weight * x[:, j], len(book))
        moved[:, j] = np.where(total > 0, sums / np.where(total > 0, total, 1), book[:, j])
    return moved
