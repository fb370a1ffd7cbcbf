"""Rate-aware rounding: error feedback in which every code is paid for by the bits that it will take in the file.

The objective is the error of the layer's output over the calibration inputs, as a share of that output's variance, plus
``rate`` times the bits a weight: tr(dW H dW^T) / variance + rate * bits / weights (entropy-constrained quantization,
Chou, Lookabaugh and Gray 1989, inside the feedback of methods/feedback.py). Bits are those of an ideal coder for this
tensor's own histogram of codes, which is found by rounding, counting and rounding again. The candidates for each weight
are the nearest code, the next one toward zero, and zero. The step follows from the rate: at the best uniform step an
error's and a bit's slopes are equal, step^2 = 6 * price of a bit / (ln 2 * cost of an error).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .. import _core
from ..dtypes import FLOATS, Buffer, to_float32
from ..errors import SchemeError
from ..runs import scale_index
from ..scheme import Granularity, Integer, Scheme, Structure
from ..tensor import PackedTensor
from . import feedback, grids
from .layer import LEAST_VARIANCE, PLAIN, Settings, Statistics

__all__ = ["entropy", "pack", "share_of_chance", "variance"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int16]
PASSES = 2  # of rounding, each with the histogram of the one before
SEEN = 0.02  # how often a code counts as seen that was not


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

    Without statistics, or at rate 0, this is ``feedback``. SchemeError for other schemes.
    """
    values, statistics = scheme.values, settings.statistics
    if statistics is None or settings.rate == 0 or dtype not in FLOATS or not np.prod(shape):
        return feedback.pack(data, dtype, shape, scheme, name=name, settings=settings)
    if not isinstance(values, Integer) or not values.symmetric or values.bits < 2:
        raise SchemeError(f"{name}: rate-aware rounding takes symmetric integers of 2 bits or more, not {scheme}")
    if scheme.structure is not Structure.DENSE or values.granularity is Granularity.GROUP:
        raise SchemeError(f"{name}: rate-aware rounding takes dense tensors, and steps a tensor or an axis")
    layout = statistics.layout
    w = np.ascontiguousarray(layout.matrices(to_float32(data, dtype).reshape(shape)))
    if not np.isfinite(w).all():
        raise SchemeError(f"{name}: NaN or infinity cannot be an integer code")
    if (w.shape[0], w.shape[2]) != statistics.mean.shape:
        raise SchemeError(f"{name}: {w.shape} weights, but statistics of {statistics.mean.shape} inputs")
    problem = _Problem.of(w, statistics, settings, 2 ** (values.bits - 1) - 1)
    codes = problem.solve()
    scales = np.full(int(scale_index(shape, values).max()) + 1, problem.step, np.float32)
    middle = 2 ** (values.bits - 1)
    return PackedTensor.from_codes(
        layout.tensor((codes + middle).astype(values.code_dtype), shape), scales, scheme, dtype=dtype
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
class _Problem:
    w: Floats  # [groups, outputs, inputs]
    order: npt.NDArray[np.intp]  # of inputs, [groups, inputs]: that in which they are rounded
    factor: Floats  # [groups, inputs, inputs], in that order: what an error of one asks of each later one
    cost: Doubles  # [groups, inputs], in that order: of an error squared that is made good as far as can be
    price: float  # of a bit, in the unit of cost
    step: np.float32
    most: int  # codes are -most .. most

    @classmethod
    def of(cls, w: Floats, statistics: Statistics, settings: Settings, most: int) -> _Problem:
        order = np.argsort(-statistics.diagonal, axis=1, kind="stable")  # the strongest inputs first
        upper = feedback.factor(statistics, share_of_chance(statistics, settings.shrink), settings.damp, order)
        cost = 1 / np.diagonal(upper, axis1=1, axis2=2) ** 2
        root = np.linalg.inv(upper)
        unit = root / np.diagonal(root, axis1=1, axis2=2)[:, None, :]
        price = settings.rate * variance(w, statistics) / w.size
        step = math.sqrt(6 * price / (math.log(2) * float(cost.mean())))
        step = max(step, float(np.abs(w).max()) / most, float(grids.SMALLEST))
        return cls(w, order, unit.astype(np.float32), cost, price, np.float32(step), most)

    def solve(self) -> Codes:
        """Codes [groups, outputs, inputs]: the best of the passes' and plain rounding's in the objective."""
        nearest: Codes = np.rint(np.clip(self.w / self.step, -self.most, self.most)).astype(np.int16)
        best, least = nearest, self.objective(nearest)
        codes = nearest
        for _ in range(PASSES):
            codes = self.round(self.prices(codes))
            found = self.objective(codes)
            if found < least:
                best, least = codes, found
        return best

    def prices(self, codes: Codes) -> Floats:
        """What each code of -most .. most costs by a histogram, alike on both sides of zero."""
        counts = np.bincount((codes.reshape(-1).astype(np.int64) + self.most), minlength=2 * self.most + 1)
        both = (counts + counts[::-1]) / 2 + SEEN
        seen = int(np.abs(codes).max(initial=0)) + 1  # codes beyond are never candidates but in the last bit
        total = both[max(self.most - seen, 0) : self.most + seen + 1].sum()
        return np.asarray(self.price * np.log2(total / both), np.float32)

    def round(self, prices: Floats) -> Codes:
        weights = np.take_along_axis(self.w, self.order[:, None, :], 2).transpose(0, 2, 1)
        codes = _core.rate_round(
            np.ascontiguousarray(weights), self.factor, self.cost.astype(np.float32), prices, float(self.step)
        )
        back = np.argsort(self.order, axis=1)
        return np.asarray(np.take_along_axis(codes.transpose(0, 2, 1), back[:, None, :], 2))

    def objective(self, codes: Codes) -> float:
        """Output error by the shrunk and dampened H, plus the price of the codes' entropy."""
        error = np.take_along_axis(codes * self.step - self.w, self.order[:, None, :], 2).astype(np.float64)
        root = self.factor * np.sqrt(self.cost)[:, None, :]
        return float(np.square(error @ root).sum()) + self.price * entropy(codes)
