"""Which weights stay, by a score of each: of a whole tensor, of each group of N:M, in whole blocks; counts are exact.

Of n weights (or blocks) ``round(share * n)`` go, those of the lowest scores; of equal scores the earlier one goes
first. N:M keeps N of each M consecutive elements, whatever the share (Zhou et al. 2021, arXiv:2102.04010). A block's
score is the sum of its weights' (Narang et al. 2017, arXiv:1711.02782, prune by blocks).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SchemeError
from ..scheme import Scheme, Structure

__all__ = ["best", "kept"]

Scores = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]


def best(scores: Scores, count: int) -> Flags:
    """The ``count`` highest of each row of scores [rows, columns]; of equal ones the later."""
    order = np.argsort(scores, axis=1, kind="stable")
    stays = np.ones(scores.shape, np.bool_)
    np.put_along_axis(stays, order[:, : scores.shape[1] - count], False, 1)
    return stays


def kept(scores: Scores, scheme: Scheme, share: float, name: str) -> Flags:
    """Which weights stay, in the shape of ``scores``. ``share``: of those that go; of N:M's groups of each, 1 - N/M in
    the end.

    SchemeError where N:M does not divide the tensor.
    """
    if scheme.structure is Structure.NM:
        group = scheme.pattern[1]
        if scores.size % group:
            raise SchemeError(f"{name}: {scores.size} elements are no whole groups of {group}")
        return best(scores.reshape(-1, group), group - round(share * group)).reshape(scores.shape)
    if scheme.structure is Structure.BLOCK:
        rows = scores.shape[0] if scores.ndim > 1 else 1
        matrix = scores.reshape(rows, -1)
        height, width = scheme.pattern
        sums = np.add.reduceat(np.add.reduceat(matrix, np.arange(0, rows, height), 0), _cuts(matrix, width), 1)
        stays = best(sums.reshape(1, -1), sums.size - round(share * sums.size)).reshape(sums.shape)
        whole = stays.repeat(height, 0).repeat(width, 1)[:rows, : matrix.shape[1]]
        return np.ascontiguousarray(whole).reshape(scores.shape)
    return best(scores.reshape(1, -1), scores.size - round(share * scores.size)).reshape(scores.shape)


def _cuts(matrix: Scores, width: int) -> npt.NDArray[np.intp]:
    return np.arange(0, matrix.shape[1], width)
