"""Error feedback: column by column, the error of rounding is made good by the columns that are not rounded yet.

The objective is the layer's output error over the calibration inputs, tr(dW H dW^T) with H = mean of x x^T (Optimal
Brain Quantization, Frantar and Alistarh 2022, arXiv:2208.11580; in one fixed order by the Cholesky factor of the
inverse: GPTQ, Frantar et al. 2022, arXiv:2210.17323). H is shrunk toward its diagonal, since few calibration inputs
overstate how inputs go together (Ledoit and Wolf 2004), and dampened. Each output keeps the better of feedback and
plain rounding on the same grid, so the result is never worse than that in the objective.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..dtypes import FLOATS, Buffer, to_float32
from ..errors import SchemeError
from ..masks import stored_mask
from ..runs import scale_index
from ..scheme import Integer, Scheme
from ..tensor import PackedTensor
from . import grids
from . import round as nearest
from .layer import PLAIN, Settings, Statistics

__all__ = ["factor", "pack"]

Floats = npt.NDArray[np.float32]
BLOCK = 32  # columns whose errors reach the rest in one matrix product


def pack(
    data: Buffer,
    dtype: str,
    shape: tuple[int, ...],
    scheme: Scheme,
    *,
    name: str = "tensor",
    settings: Settings = PLAIN,
) -> PackedTensor:
    """Hold a tensor by a scheme; without ``settings.statistics`` it is rounded to nearest.

    A sparse scheme keeps its mask; what a zero would have gained is made good by the others.
    """
    values, statistics = scheme.values, settings.statistics
    if not isinstance(values, Integer) or statistics is None or dtype not in FLOATS or not np.prod(shape):
        return nearest.pack(data, dtype, shape, scheme, name=name, settings=settings)
    if statistics.hessian is None:  # no error can be made good
        return nearest.pack(data, dtype, shape, scheme, name=name, settings=settings)
    x = to_float32(data, dtype).reshape(shape)
    layout = statistics.layout
    index = layout.matrices(scale_index(shape, values))
    w = np.ascontiguousarray(layout.matrices(x))
    if (w.shape[0], w.shape[2]) != statistics.mean.shape:
        raise SchemeError(f"{name}: {w.shape} weights, but statistics of {statistics.mean.shape} inputs")
    order = np.argsort(-statistics.diagonal, axis=1, kind="stable")  # the strongest inputs first
    upper = factor(statistics, settings.shrink, settings.damp, order)
    stored = stored_mask(x, scheme, name)
    mask = None if stored is None else layout.matrices(stored)
    if settings.range == "minmax":
        grid = grids.min_max(w, index, values, name)
    elif settings.range == "percentile":
        grid = grids.percentile(w, index, values, settings.percentile, mask, name)
    else:
        weight = None
        if settings.range == "output":  # what an error costs when the columns after it have made good what they can
            costs = 1 / np.diagonal(upper, axis1=1, axis2=2) ** 2
            weight = np.take_along_axis(costs, np.argsort(order, axis=1), 1)[:, None, :]
        grid = grids.search(w, index, values, weight, mask, name)
    codes = _feed_back(w, upper, grid, index, mask, order)
    rounded = grid.codes(w, grid.scales[index], grid.zeros[index])
    codes = _better(w, codes, rounded, grid, index, mask, statistics)
    return PackedTensor.from_codes(
        layout.tensor(codes.astype(values.code_dtype), shape),
        grid.scales,
        scheme,
        zeros=grid.stored_zeros,
        mask=stored,
        dtype=dtype,
    )


def factor(statistics: Statistics, shrink: float, damp: float, order: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """U, upper triangular with U^T U = H^-1, float64 [groups, inputs, inputs]; of the shrunk and dampened H.

    ``order``: of the inputs, [groups, inputs], in which H is taken.
    ``shrink`` (0..1): the share of each off-diagonal entry that is taken away. ``damp``: the share of the mean diagonal
    that is added to it. An input that is always 0 gets the mean diagonal, so that its weights are rounded alone.
    """
    diagonal = statistics.diagonal
    columns = diagonal.shape[1]
    mean = diagonal.mean(1, keepdims=True)
    mean = np.where(mean > 0, mean, 1.0)
    strength = np.where(diagonal > 0, diagonal, mean) + max(damp, 1e-8) * mean
    strength = np.take_along_axis(strength, order, 1)
    if statistics.hessian is None:
        return np.asarray(np.eye(columns) / np.sqrt(strength)[:, None, :])
    groups = np.arange(len(order))[:, None, None]
    hessian = statistics.hessian[groups, order[:, :, None], order[:, None, :]] * (1 - shrink)
    at = np.arange(columns)
    hessian[:, at, at] = strength
    # H = R R^T with R upper triangular, by the Cholesky factor of H with its axes reversed; U = R^-1.
    root = np.linalg.cholesky(hessian[:, ::-1, ::-1])[:, ::-1, ::-1]
    return np.linalg.inv(root)


def _feed_back(
    w: Floats,
    upper: npt.NDArray[np.float64],
    grid: grids.Grid,
    index: npt.NDArray[np.intp],
    mask: npt.NDArray[np.bool_] | None,
    order: npt.NDArray[np.intp],
) -> Floats:
    """Codes [groups, outputs, inputs] as whole float32; ``upper`` is in ``order``, the rest is not."""
    groups, rows, columns = w.shape
    # Column after column, in their order: each is contiguous in [inputs, groups, outputs].
    left = np.take_along_axis(w, order[:, None, :], 2).transpose(2, 0, 1).copy()
    group = np.arange(groups)
    codes = np.empty_like(left)
    upper32 = upper.astype(np.float32)
    for start in range(0, columns, BLOCK):
        end = min(start + BLOCK, columns)
        errors = np.empty((end - start, groups, rows), np.float32)
        for j in range(start, end):
            column = order[:, j]
            which = index[group, :, column]
            scale, zero = grid.scales[which], grid.zeros[which]
            codes[j] = grid.codes(left[j], scale, zero)
            value = scale * (codes[j] - zero)
            if mask is not None:
                value = value * mask[group, :, column]
            error = (left[j] - value) / upper32[:, j, j, None]
            errors[j - start] = error
            if j + 1 < end:
                left[j + 1 : end] -= upper32[:, j, j + 1 : end].T[:, :, None] * error
        if end < columns:
            reach = upper32[:, start:end, end:].transpose(0, 2, 1) @ errors.transpose(1, 0, 2)
            left[end:] -= reach.transpose(1, 0, 2)
    back = np.argsort(order, axis=1)
    return np.take_along_axis(codes.transpose(1, 2, 0), back[:, None, :], 2)


def _better(
    w: Floats,
    codes: Floats,
    rounded: Floats,
    grid: grids.Grid,
    index: npt.NDArray[np.intp],
    mask: npt.NDArray[np.bool_] | None,
    statistics: Statistics,
) -> Floats:
    """Of two sets of codes, each output's better one in the objective; ties go to rounding."""

    def error(candidate: Floats) -> npt.NDArray[np.float64]:
        value = grid.scales[index] * (candidate - grid.zeros[index])
        return statistics.error((value if mask is None else value * mask) - w)

    return np.asarray(np.where((error(codes) < error(rounded))[:, :, None], codes, rounded), np.float32)
