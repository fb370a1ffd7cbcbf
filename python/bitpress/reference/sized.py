"""Oracles of operators whose results have as many elements as their inputs' values say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SIZED"]

Array = npt.NDArray[Any]


def non_zero(x: Array) -> Array:
    """[rank, found]: the places of what is not 0."""
    return np.array(np.nonzero(x), np.int64)


def compress(x: Array, condition: Array, *, axis: int | None = None) -> Array:
    """What the condition picks along an axis, or of all elements in a row."""
    return np.compress(condition, x, axis=axis)


def unique(x: Array, *, axis: int | None = None, sorted: int = 1) -> tuple[Array, ...]:
    """The unique items along an axis (or elements), where each is first, which each item is, how many there are."""
    items, first, inverse, counts = np.unique(x, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first)
        items = np.take(items, order, axis=0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], np.argsort(order)[inverse]
    return items, *(np.asarray(part, np.int64) for part in (first, inverse, counts))


def _corners(box: Array, centred: int) -> tuple[float, float, float, float]:
    if centred:
        x, y, width, height = box
        return y - height / 2, x - width / 2, y + height / 2, x + width / 2
    return min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])


def _overlap(a: Array, b: Array, centred: int) -> float:
    """The part that two boxes share of what they cover together."""
    (a0, a1, a2, a3), (b0, b1, b2, b3) = _corners(a, centred), _corners(b, centred)
    shared = max(min(a2, b2) - max(a0, b0), 0) * max(min(a3, b3) - max(a1, b1), 0)
    together = (a2 - a0) * (a3 - a1) + (b2 - b0) * (b3 - b1) - shared
    return float(shared / together) if shared > 0 and together > 0 else 0.0


def non_max_suppression(
    boxes: Array, scores: Array, most: Array | None = None, overlap: Array | None = None, least: Array | None = None,
    *, center_point_box: int = 0, bound: int = 0,
) -> Array:  # fmt: skip
    """[kept, 3]: image, class and box of the best boxes, of those that overlap more than that the best alone."""
    limit = 0 if most is None else int(most.item())
    found = []
    for image in range(scores.shape[0]):
        for kind in range(scores.shape[1]):
            row, kept = scores[image, kind], list[int]()
            for place in sorted(range(len(row)), key=lambda i: (-row[i], i)):
                if len(kept) >= limit or (least is not None and not row[place] > least.item()):
                    break
                worst = max((_overlap(boxes[image, place], boxes[image, k], center_point_box) for k in kept), default=0)
                if worst <= (0.0 if overlap is None else overlap.item()):
                    kept.append(place)
            found += [(image, kind, place) for place in kept]
    return np.array(found, np.int64).reshape(-1, 3)


def range_(start: Array, limit: Array, step: Array, *, bound: int) -> Array:
    """start, start + step, ... while they are short of the limit."""
    return np.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


SIZED: dict[str, Callable[..., Any]] = {
    "NonZero": non_zero,
    "Compress": compress,
    "Unique": unique,
    "NonMaxSuppression": non_max_suppression,
    "Range": range_,
    "Shape": lambda x: np.array(x.shape, np.int64),
}
