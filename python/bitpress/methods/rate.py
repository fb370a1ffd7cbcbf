"""Rate-aware rounding: error feedback in which every code is paid for by the bits that it will take in the file.

The objective is the error of the layer's output over the calibration inputs, as a share of that output's variance, plus
``rate`` times the bits a weight: tr(dW H dW^T) / variance + rate * bits / weights (entropy-constrained quantization,
Chou, Lookabaugh and Gray 1989, inside the feedback of methods/feedback.py). Bits are those of an ideal coder for this
tensor's own histogram of codes, which is found by rounding, counting and rounding again. The candidates for each weight
are the nearest code, the next one toward zero, and zero. The step follows from the rate: at the best uniform step an
error's and a bit's slopes are equal, step^2 = 6 * price of a bit / (ln 2 * cost of an error).

Where it is known what the network's outputs feel of the layer's (``Statistics.sensitivity``), the error is theirs,
tr(G dW H dW^T), and the weights are those of the network: errors are made good along the outputs as along the inputs
(the Cholesky factors of G and H are those of the whole problem's Kronecker product), and there is a step for each index
of the axis along which costs differ most, in proportion to their root.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .. import _core
from ..dtypes import FLOATS, Buffer, to_float32
from ..errors import SchemeError
from ..runs import scale_index
from ..scheme import Granularity, Integer, Scheme
from ..tensor import PackedTensor
from . import feedback, grids
from .layer import LEAST_VARIANCE, PLAIN, Layout, Sensitivity, Settings, Statistics

__all__ = ["entropy", "pack", "share_of_chance", "variance"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int16]
PASSES = 2  # of rounding, each with the histogram of the one before
SEEN = 0.02  # how often a code counts as seen that was not
STEP_BITS = 8  # that a step takes in the file, about
GRADIENTS = 0.5  # how much of H is taken from gradients


def pack(
    data: Buffer,
    dtype: str,
    shape: tuple[int, ...],
    scheme: Scheme,
    *,
    name: str = "tensor",
    settings: Settings = PLAIN,
) -> PackedTensor:
    """Hold a tensor by a dense symmetric scheme of one step, or one an index of an axis.

    Without statistics, or at rate 0, this is ``feedback``. Where sensitivity is known the scheme's granularity is
    picked. SchemeError for other schemes.
    """
    values, statistics = scheme.values, settings.statistics
    if statistics is None or settings.rate == 0 or dtype not in FLOATS or not np.prod(shape):
        return feedback.pack(data, dtype, shape, scheme, name=name, settings=settings)
    if not isinstance(values, Integer) or not values.symmetric or values.bits < 2:
        raise SchemeError(f"{name}: rate-aware rounding takes symmetric integers of 2 bits or more, not {scheme}")
    if scheme.is_sparse or values.granularity is Granularity.GROUP:
        raise SchemeError(f"{name}: rate-aware rounding takes dense tensors, and steps a tensor or an axis")
    layout = statistics.layout
    w = np.ascontiguousarray(layout.matrices(to_float32(data, dtype).reshape(shape)))
    if not np.isfinite(w).all():
        raise SchemeError(f"{name}: NaN or infinity cannot be an integer code")
    if (w.shape[0], w.shape[2]) != statistics.mean.shape:
        raise SchemeError(f"{name}: {w.shape} weights, but statistics of {statistics.mean.shape} inputs")
    inputs, outputs, price = _sides(w, statistics, settings)
    cost = outputs.cost[:, :, None] * inputs.cost[:, None, :]
    if statistics.sensitivity is not None:
        values = _granularity(shape, values, layout.tensor(cost, shape))
    index = layout.matrices(scale_index(shape, values))
    most = 2 ** (values.bits - 1) - 1
    scales = _scales(w, cost, index, price, most)
    problem = _Problem.of(w, inputs, outputs, scales[index], price, most)
    codes = problem.solve()
    return PackedTensor.from_codes(
        layout.tensor((codes + most + 1).astype(values.code_dtype), shape),
        scales,
        replace(scheme, values=values),
        dtype=dtype,
    )


def share_of_chance(statistics: Statistics, shrink: float) -> float:
    """How far H is taken toward its diagonal: of few samples more than ``shrink``."""
    count, inputs = statistics.count, int(statistics.diagonal.shape[1])
    return 1 - (1 - shrink) * count / (count + inputs)


def variance(w: Floats, statistics: Statistics) -> float:
    """Of a layer's outputs over the calibration inputs, summed over outputs; more than 0 where w is not all zero."""
    exact = w.astype(np.float64)
    second = statistics.error(w)
    first = (exact @ statistics.mean[:, :, None])[:, :, 0]
    total = float(np.maximum(second - first**2, LEAST_VARIANCE * second).sum())
    return total if total > 0 else float((exact**2).sum())  # inputs that are all 0 count as ones of variance 1


def entropy(codes: npt.NDArray[np.integer]) -> float:
    """Bits that these codes take, in all, at the frequencies that they have."""
    counts = np.unique(codes, return_counts=True)[1].astype(np.float64)
    return float((counts * np.log2(codes.size / counts)).sum()) if codes.size else 0.0


@dataclass(frozen=True)
class _Side:
    """The inputs of a layer, or its outputs: how errors of one are made good by others."""

    order: npt.NDArray[np.intp]  # that in which they are rounded, [groups, n]
    factor: Doubles | None  # [groups, n, n], in that order: what an error of one asks of each later one; None: nothing
    cost: Doubles  # [groups, n], as they come: of an error squared that is made good as far as can be

    @classmethod
    def of(cls, known: Statistics, shrink: float, damp: float) -> _Side:
        order = np.argsort(-known.diagonal, axis=1, kind="stable")  # the strongest first
        back = np.argsort(order, axis=1)
        if known.hessian is None:
            mean = known.diagonal.mean(1, keepdims=True)
            return cls(order, None, np.maximum(known.diagonal, 1e-8 * np.where(mean > 0, mean, 1.0)))
        upper = feedback.factor(known, shrink, damp, order)
        root = np.linalg.inv(upper)
        unit = root / np.diagonal(root, axis1=1, axis2=2)[:, None, :]
        cost = 1 / np.diagonal(upper, axis1=1, axis2=2) ** 2 / (1 + damp)  # so that a rate is worth as much at any damp
        return cls(order, unit, np.take_along_axis(cost, back, 1))

    def repeated(self, blocks: int) -> _Side:
        """That of each part, where each group has so many."""
        if blocks == 1:
            return self
        factor = None if self.factor is None else np.repeat(self.factor, blocks, 0)
        return _Side(np.repeat(self.order, blocks, 0), factor, np.repeat(self.cost, blocks, 0))


def _sides(w: Floats, statistics: Statistics, settings: Settings) -> tuple[_Side, _Side, float]:
    """Inputs, outputs, and the price of a bit in the unit of their costs' product."""
    inputs = _Side.of(statistics, share_of_chance(statistics, settings.shrink), settings.damp)
    known = statistics.sensitivity
    if known is None:
        groups, rows = w.shape[:2]
        order = np.broadcast_to(np.arange(rows), (groups, rows))
        outputs = _Side(order, None, np.ones((groups, rows)))
        # weights that are all 0 have no variance
        return inputs, outputs, settings.rate * (variance(w, statistics) or 1.0) / w.size
    if inputs.factor is not None and known.inputs is not None:
        mixed = _mixed(statistics.shrunk(share_of_chance(statistics, settings.shrink)), known.inputs)
        inputs = _Side.of(mixed, 0.0, settings.damp)
    outputs = _Side.of(_tempered(known, statistics.layout, settings.temper), 0.0, settings.damp)
    outputs = outputs.repeated(statistics.layout.blocks)
    return inputs, outputs, settings.rate / known.weights


def _mixed(statistics: Statistics, seen: Doubles) -> Statistics:
    """H as the inputs' moments and as the gradients see it, half and half."""
    assert statistics.hessian is not None
    share = GRADIENTS
    hessian = (1 - share) * statistics.hessian + share * seen
    return replace(statistics, hessian=hessian, diagonal=np.diagonal(hessian, axis1=1, axis2=2).copy())


def _tempered(known: Sensitivity, layout: Layout, power: float) -> Statistics:
    """G as moments, with its diagonal taken nearer to its mean."""
    diagonal = np.diagonal(known.outputs, axis1=1, axis2=2)
    mean = diagonal.mean() or 1.0
    share = np.maximum(diagonal / mean, 1e-6)
    by = share ** ((power - 1) / 2)
    by *= np.sqrt(mean / max(float((diagonal * by**2).mean()), 1e-300))
    gram = known.outputs * by[:, :, None] * by[:, None, :]
    felt = np.diagonal(gram, axis1=1, axis2=2).copy()
    return Statistics(layout, felt, np.zeros_like(felt), 0, gram)


def _granularity(shape: tuple[int, ...], values: Integer, cost: Doubles) -> Integer:
    """One step, or one for each index of the axis that saves most bits: those of unequal mean costs, less the steps'.

    ``cost``: of an error squared, in the tensor's shape.
    """
    best, most = replace(values, granularity=Granularity.TENSOR, axis=0), 0.0
    for axis, size in enumerate(shape):
        means = cost.mean(axis=tuple(k for k in range(len(shape)) if k != axis))
        saved = 0.5 * cost.size * (math.log2(means.mean()) - float(np.log2(means).mean())) - STEP_BITS * size
        if saved > most:
            best, most = replace(values, granularity=Granularity.AXIS, axis=axis), saved
    return best


def _scales(w: Floats, cost: Doubles, index: npt.NDArray[np.intp], price: float, most: int) -> Floats:
    """The steps, of which each is best for its weights' mean cost; all but one of three significant bits."""
    flat = np.ascontiguousarray(index).reshape(-1)
    count = int(flat.max()) + 1
    means = np.bincount(flat, np.broadcast_to(cost, index.shape).reshape(-1), count) / np.bincount(
        flat, minlength=count
    )
    steps = np.sqrt(6 * price / (math.log(2) * means))
    if count > 1:
        mantissa, exponent = np.frexp(steps)
        steps = np.ldexp(np.rint(mantissa * 8) / 8, exponent)
    greatest = np.zeros(count)
    np.maximum.at(greatest, flat, np.abs(w).reshape(-1))
    return np.maximum(steps, np.maximum(greatest / most, float(grids.SMALLEST))).astype(np.float32)


@dataclass(frozen=True)
class _Problem:
    """A matrix in steps and in the order of rounding, [groups, rows, columns], with costs in bits."""

    w: Doubles  # float32 would lose a part of a large code's error
    rows: _Side
    columns: _Side  # it has a factor
    swapped: bool  # columns are the outputs
    most: int  # codes are -most .. most

    @classmethod
    def of(cls, w: Floats, inputs: _Side, outputs: _Side, steps: Floats, price: float, most: int) -> _Problem:
        """``steps``: of each weight; their matrix is a product of a row and a column."""
        rows, columns, swapped = outputs, inputs, inputs.factor is None
        wide = steps.astype(np.float64)
        along_columns, along_rows = wide[:, :1, :] / wide[:, :1, :1], wide[:, :, :1]
        exact = w / wide
        by_column, by_row = along_columns[:, 0], along_rows[:, :, 0]
        if swapped:
            rows, columns, by_row, by_column = inputs, outputs, by_column, by_row
            exact = exact.transpose(0, 2, 1)
        columns = _in_steps(columns, by_column, 1.0)
        if columns.factor is None:
            groups, _, n = exact.shape
            columns = replace(columns, factor=np.broadcast_to(np.eye(n), (groups, n, n)))
        rows = _in_steps(rows, by_row, price)
        exact = np.take_along_axis(np.take_along_axis(exact, rows.order[:, :, None], 1), columns.order[:, None, :], 2)
        return cls(exact, rows, columns, swapped, most)

    def solve(self) -> Codes:
        """Codes [groups, outputs, inputs]: the best of the passes' and plain rounding's in the objective."""
        nearest: Codes = np.rint(np.clip(self.w, -self.most, self.most)).astype(np.int16)
        best, least = nearest, self.objective(nearest)
        codes = nearest
        for _ in range(PASSES):
            codes = self.round(self.prices(codes))
            found = self.objective(codes)
            if found < least:
                best, least = codes, found
        for axis, side in ((1, self.rows), (2, self.columns)):
            back = np.argsort(side.order, axis=1)
            best = np.take_along_axis(best, back[:, :, None] if axis == 1 else back[:, None, :], axis)
        return best.transpose(0, 2, 1) if self.swapped else best

    def prices(self, codes: Codes) -> Floats:
        """What each code of -most .. most costs by a histogram, alike on both sides of zero."""
        counts = np.bincount((codes.reshape(-1).astype(np.int64) + self.most), minlength=2 * self.most + 1)
        both = (counts + counts[::-1]) / 2 + SEEN
        seen = int(np.abs(codes).max(initial=0)) + 1  # codes beyond are never candidates but in the last bit
        total = both[max(self.most - seen, 0) : self.most + seen + 1].sum()
        return np.asarray(np.log2(total / both), np.float32)

    def round(self, prices: Floats) -> Codes:
        linked = None if self.rows.factor is None else np.ascontiguousarray(self.rows.factor, np.float32)
        codes = _core.rate_round(
            np.ascontiguousarray(self.w.transpose(0, 2, 1), np.float32),
            np.ascontiguousarray(self.columns.factor, np.float32),
            self.columns.cost.astype(np.float32),
            prices,
            self.rows.cost.astype(np.float32),
            linked,
        )
        return np.asarray(codes.transpose(0, 2, 1))

    def objective(self, codes: Codes) -> float:
        """Output error by the shrunk and dampened moments, plus the codes' entropy, in bits."""
        error = (codes - self.w) @ (self.columns.factor * np.sqrt(self.columns.cost)[:, None, :])
        if self.rows.factor is not None:
            error = self.rows.factor.transpose(0, 2, 1) @ error
        return float((np.square(error) * self.rows.cost[:, :, None]).sum()) + entropy(codes)


def _in_steps(side: _Side, steps: Doubles, price: float) -> _Side:
    """A side for errors in steps [groups, n], with costs over ``price``, in its order."""
    sorted_steps = np.take_along_axis(steps, side.order, 1)
    factor = side.factor
    if factor is not None:
        factor = factor * sorted_steps[:, :, None] / sorted_steps[:, None, :]
    return _Side(side.order, factor, np.take_along_axis(side.cost, side.order, 1) * sorted_steps**2 / price)
