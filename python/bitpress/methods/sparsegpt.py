"""SparseGPT: weights go a few columns at a time, and what each took is made good by the columns after it.

Error feedback (`feedback`) under masks: before a block of columns is passed, its weights are ranked by what their loss
costs when the later columns have made good what they can, w^2 / [H^-1]_jj (Frantar and Alistarh 2023,
arXiv:2301.00774). The number of zeros is exact, in each block of columns its share. Under N:M each group is ranked when
its first column is reached; blocks, and groups that lie across outputs, are ranked at the start. Each output keeps the
better, in the objective of `feedback`, of this and of the same weights simply dropped. Where H's diagonal alone is
known, all weights are ranked together by w^2 H_jj and dropped.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..scheme import Scheme, Structure
from . import feedback
from .layer import Settings, Statistics
from .patterns import Flags, best, kept

__all__ = ["pruned"]

Floats = npt.NDArray[np.float64]
Mask = Callable[[int, Floats], Flags]  # of the columns from this one on, by their scores [groups, outputs, columns]
COLUMNS = 32  # ranked together, and in one product with those after them


def pruned(
    w: npt.NDArray[np.float32], scheme: Scheme, share: float, statistics: Statistics, settings: Settings, name: str
) -> tuple[npt.NDArray[np.float32], Flags]:
    """The weights of a tensor with zeros, and which of them stay, both in its shape."""
    if statistics.hessian is None:  # no error can be made good
        stays = kept(np.square(w.astype(np.float64)) * statistics.strength(w.shape), scheme, share, name)
        return np.where(stays, w, np.float32(0)), stays
    layout = statistics.layout
    matrices = np.ascontiguousarray(layout.matrices(w), np.float64)
    groups, _, columns = matrices.shape
    order = np.broadcast_to(np.arange(columns), (groups, columns))
    upper = feedback.factor(statistics, settings.shrink, settings.damp, order)
    costs = 1 / np.square(np.diagonal(upper, axis1=1, axis2=2))[:, None, :]
    width = COLUMNS
    fixed: Flags | None = None
    if scheme.structure is Structure.NM and not layout.transposed and columns % scheme.pattern[1] == 0:
        width = -(-COLUMNS // scheme.pattern[1]) * scheme.pattern[1]
    elif scheme.structure in (Structure.NM, Structure.BLOCK):
        fixed = layout.matrices(kept(layout.tensor(matrices**2 * costs, w.shape), scheme, share, name))
    total = round(share * matrices.size)

    def choose(start: int, scores: Floats) -> Flags:
        end = start + scores.shape[2]
        if fixed is not None:
            return fixed[:, :, start:end]
        if scheme.structure is Structure.NM:
            return best(scores.reshape(-1, scheme.pattern[1]), scheme.pattern[0]).reshape(scores.shape)
        gone = total * end // columns - total * start // columns
        return best(scores.reshape(1, -1), scores.size - gone).reshape(scores.shape)

    flags, fed = _feed(matrices, upper, costs, width, choose)
    dropped = matrices * flags
    better = statistics.error(fed - matrices) < statistics.error(dropped - matrices)
    values = np.where(better[:, :, None], fed, dropped)
    return layout.tensor(values.astype(np.float32), w.shape), layout.tensor(flags, w.shape)


def _feed(w: Floats, upper: Floats, costs: Floats, width: int, choose: Mask) -> tuple[Flags, Floats]:
    """Which weights stay, and their values: [groups, outputs, inputs], column after column."""
    left = w.copy()
    flags = np.ones(w.shape, np.bool_)
    columns = w.shape[2]
    for start in range(0, columns, width):
        end = min(start + width, columns)
        part = left[:, :, start:end]
        flags[:, :, start:end] = choose(start, np.square(part) * costs[:, :, start:end])
        errors = np.zeros(part.shape)
        for j in range(start, end):
            gone = np.where(flags[:, :, j], 0, left[:, :, j])
            errors[:, :, j - start] = gone / upper[:, None, j, j]
            left[:, :, j] -= gone
            left[:, :, j + 1 : end] -= errors[:, :, j - start, None] * upper[:, None, j, j + 1 : end]
        left[:, :, end:] -= errors @ upper[:, start:end, end:]
    return flags, left
