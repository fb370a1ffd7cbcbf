"""Which elements of a tensor share a scale (docs/format.md, "Scales")."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .scheme import Coded, Granularity

__all__ = ["scale_index"]


def scale_index(shape: tuple[int, ...], values: Coded) -> npt.NDArray[np.intp]:
    """Which scale each element has, in the tensor's shape."""
    if values.granularity is Granularity.AXIS:
        along = [1] * len(shape)
        along[values.axis] = shape[values.axis]
        return np.broadcast_to(np.arange(shape[values.axis]).reshape(along), shape)
    if values.granularity is Granularity.TENSOR:
        return np.broadcast_to(np.zeros((), np.intp), shape)
    rows = shape[0] if len(shape) > 1 else 1
    size = int(np.prod(shape, dtype=np.int64))
    columns = size // rows if rows else 0
    groups = -(-columns // values.group_size)
    index = np.arange(rows)[:, None] * groups + np.arange(columns)[None, :] // values.group_size
    return index.reshape(shape)
