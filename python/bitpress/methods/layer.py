"""What a method may know of a tensor beyond its elements: which matrix it is, and what its layer's inputs look like."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..recipe import Rule

__all__ = ["PLAIN", "Layout", "Sensitivity", "Settings", "Statistics"]

Floats = npt.NDArray[np.floating[Any]]
LEAST_VARIANCE = 1e-3  # as a share of the mean square


@dataclass(frozen=True)
class Layout:
    """How a weighted layer reads its weights: as ``parts`` matrices of [outputs, inputs].

    A convolution is [outputs, input channels of the group x kernel] for each of its ``groups``. ``transposed``: the
    tensor is [inputs, outputs], as MatMul and Gemm without transB have it (then there is one group). ``blocks``: into
    how many parts of consecutive inputs each group is cut, since all of its Hessian would be too large; what an error
    in one asks of another is then left out.
    """

    groups: int = 1
    transposed: bool = False
    blocks: int = 1

    @property
    def parts(self) -> int:
        """How many matrices there are: a group's blocks stand together."""
        return self.groups * self.blocks

    @property
    def whole(self) -> Layout:
        """The same without blocks."""
        return replace(self, blocks=1)

    def matrices(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """[parts, outputs of a group, inputs of a block], a view where it can be one."""
        if self.transposed:
            found = array.T[None]
        else:
            rows = array.shape[0] if array.ndim > 1 else 1
            found = array.reshape(self.groups, rows // self.groups, array.size // max(rows, 1))
        if self.blocks == 1:
            return found
        _, rows, columns = found.shape
        cut = found.reshape(self.groups, rows, self.blocks, columns // self.blocks)
        return cut.transpose(0, 2, 1, 3).reshape(self.parts, rows, columns // self.blocks)

    def tensor(self, matrices: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The inverse of ``matrices``: C-contiguous, in the tensor's shape."""
        if self.blocks > 1:
            _, rows, columns = matrices.shape
            cut = matrices.reshape(self.groups, self.blocks, rows, columns).transpose(0, 2, 1, 3)
            matrices = cut.reshape(self.groups, rows, self.blocks * columns)
        flat = matrices[0].T if self.transposed else matrices
        return np.ascontiguousarray(flat).reshape(shape)

    def summed(self, parts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """[groups, ...]: the sum over the blocks of each group of something [parts, ...]."""
        return np.asarray(parts.reshape(self.groups, self.blocks, *parts.shape[1:]).sum(1))

    def columns(self, shape: tuple[int, ...]) -> int:
        """How many inputs an output has, over all blocks."""
        return shape[0] if self.transposed else math.prod(shape[1:])


@dataclass(frozen=True)
class Sensitivity:
    """What a network's outputs feel of an error in one layer's: tr(G dW H dW^T) is the mean square of what it moves
    them by, as a share of their variance, for H the second moments of the layer's inputs (K-FAC's two factors, Martens
    and Grosse 2015, arXiv:1503.05671, for squared error of the outputs).

    ``outputs``: G, float64 [groups, outputs, outputs]. ``inputs``: of the trace of H, how errors go together along the
    inputs as gradients see it, where positions that share weights add up, float64 [parts, inputs, inputs] (`Layout`);
    None where that was not kept. ``weights``: of all layers of the network.
    """

    outputs: npt.NDArray[np.float64]
    inputs: npt.NDArray[np.float64] | None
    weights: int


@dataclass(frozen=True)
class Statistics:
    """Second and first moments of the inputs x of one layer, over the calibration data.

    ``hessian``: mean of x x^T, float64 [parts, inputs, inputs], where a part is a group or a block of its inputs
    (`Layout`); None for a layer of which only the ``diagonal``, float64 [parts, inputs], was kept. ``mean``: of x,
    float64 [parts, inputs].
    ``target_mean``: the same with every earlier layer exact, where ``mean`` is that of a pressed network. ``count``:
    samples. ``sensitivity``: what is known of the layer's outputs.
    """

    layout: Layout
    diagonal: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    count: int
    hessian: npt.NDArray[np.float64] | None = None
    target_mean: npt.NDArray[np.float64] | None = None
    sensitivity: Sensitivity | None = None

    def error(self, difference: Floats) -> npt.NDArray[np.float64]:
        """Each output's mean squared error, [parts, outputs]: diag(dW H dW^T) for dW [parts, outputs, inputs]."""
        exact = difference.astype(np.float64)
        product = exact * self.diagonal[:, None, :] if self.hessian is None else exact @ self.hessian
        return np.asarray((product * exact).sum(2))

    def strength(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """The mean square of the input that each weight multiplies, in the tensor's ``shape``."""
        like = self.layout.matrices(np.broadcast_to(np.zeros((), np.float64), shape))
        return self.layout.tensor(np.broadcast_to(self.diagonal[:, None, :], like.shape), shape)

    def centred(self) -> Statistics:
        """Moments about the mean: what is left to a layer's weights where its bias takes all that the mean makes."""
        least = LEAST_VARIANCE * self.diagonal  # of an input that hardly varies
        diagonal = np.maximum(self.diagonal - self.mean**2, least)
        hessian = self.hessian
        if hessian is not None:
            hessian = hessian - self.mean[:, :, None] * self.mean[:, None, :]
            at = np.arange(hessian.shape[1])
            hessian[:, at, at] = diagonal
        return replace(self, diagonal=diagonal, hessian=hessian, mean=np.zeros_like(self.mean))

    def shrunk(self, share: float) -> Statistics:
        """With this share of how inputs go together taken away: what inputs not seen yet are expected to be like."""
        if self.hessian is None:
            return self
        hessian = self.hessian * (1 - share)
        at = np.arange(hessian.shape[1])
        hessian[:, at, at] = self.diagonal
        return replace(self, hessian=hessian)

    def shift(self, packed: Floats, exact: Floats) -> npt.NDArray[np.float64]:
        """By how much the mean of each output has moved, [outputs]: packed and exact weights as ``Layout.matrices``."""
        target = self.mean if self.target_mean is None else self.target_mean
        moved = packed.astype(np.float64) @ self.mean[:, :, None] - exact.astype(np.float64) @ target[:, :, None]
        return self.layout.summed(moved).reshape(-1)


@dataclass(frozen=True)
class Settings:
    """What a rule says about picking codes, and what calibration knows of the layer (None: nothing)."""

    range: str = "minmax"
    shrink: float = 0.0
    damp: float = 0.01
    statistics: Statistics | None = None
    rate: float = 0.0
    temper: float = 0.5
    percentile: float = 99.9
    book: npt.NDArray[np.float32] | None = None  # [entries, vector], where the rule's tensors share one

    @classmethod
    def of(cls, rule: Rule, statistics: Statistics | None = None) -> Settings:
        """Those of a rule."""
        return cls(rule.range, rule.shrink, rule.damp, statistics, rule.rate, rule.temper, rule.percentile)


PLAIN = Settings()
