"""Wanda: weights ranked by magnitude times the strength of the input that they multiply, output by output.

The score of a weight is |w| times the root mean square of its input over the calibration data; of each output the same
number of weights goes (Sun et al. 2024, arXiv:2306.11695). Under N:M a group is ranked by it, in blocks the sum of its
square. Nothing is made good by the weights that stay: see `sparsegpt`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..scheme import Scheme, Structure
from .layer import Statistics
from .patterns import Flags, best, kept

__all__ = ["stays"]


def stays(w: npt.NDArray[np.float32], scheme: Scheme, share: float, statistics: Statistics, name: str) -> Flags:
    """Which weights of a tensor, in its shape, stay: of each output's n all but ``round(share * n)``."""
    scores = np.square(w.astype(np.float64)) * statistics.strength(w.shape)
    if scheme.structure in (Structure.NM, Structure.BLOCK):
        return kept(scores, scheme, share, name)
    layout = statistics.layout.whole
    matrices = layout.matrices(scores)
    inputs = matrices.shape[2]
    flags = best(matrices.reshape(-1, inputs), inputs - round(share * inputs)).reshape(matrices.shape)
    return layout.tensor(flags, w.shape)
