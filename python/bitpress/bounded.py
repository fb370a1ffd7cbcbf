"""Error-bounded arrays: every element within a stated distance of what it was; docs/format.md, "Bounded frames".

Sources: dual quantization and prediction from quantized neighbours, Tian and others, "cuSZ" (2020), and Lorenzo
prediction, Ibarria and others (2003); predictors by reweighted least squares and contexts by the neighbours'
residuals are from lossless image coding (Wu and Memon, "CALIC", 1997).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import FormatError, ShapeError
from .threads import check_threads

__all__ = ["Info", "decode", "encode", "info"]

_DTYPES = (np.dtype("<f4"), np.dtype("<f8"))


@dataclass(frozen=True)
class Info:
    """What a frame says of itself; ``step``: the distance of neighbouring values, None under a relative bound."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    relative: bool
    step: float | None
    chunks: int


def _finite_range(array: npt.NDArray[Any]) -> float:
    finite = array[np.isfinite(array)] if array.size else array
    return float(finite.max()) - float(finite.min()) if finite.size else 0.0


def encode(
    array: Any,
    *,
    absolute: float | None = None,
    relative: float | None = None,
    value_range: float | None = None,
    threads: int = 1,
) -> bytes:
    """A frame of a float32 or float64 array of up to 8 dimensions, in the given bound (give one); deterministic.

    ``absolute``: |decoded - x| < absolute. ``relative``: |decoded - x| < relative * |x|, 0 stays 0; below 1.
    ``value_range``: ``absolute`` of value_range * (greatest - least), over the finite elements. Differences are taken
    in float64. NaN and infinities come back bit for bit; -0 comes back as +0. Each element is checked while it is
    encoded, and stored exactly where the bound would not hold. ``threads``: up to so many (0: one a core) code chunks
    side by side; the bytes are the same for any number.

    ValueError: none or several bounds, one that is not positive, another dtype or rank, or threads below 0.
    """
    bounds = [bound for bound in (absolute, relative, value_range) if bound is not None]
    if len(bounds) != 1:
        raise ValueError("give one of absolute, relative and value_range")
    if not 0 < bounds[0] < math.inf:
        raise ValueError(f"a bound must be a positive number, not {bounds[0]}")
    values = np.asarray(array)
    if values.dtype.newbyteorder("=") not in (np.float32, np.float64) or values.ndim > 8:
        raise ValueError(f"bounded takes float32 or float64 of at most 8 dimensions, not {values.dtype} {values.shape}")
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(values.shape)
    limit = bounds[0]
    if value_range is not None:
        # Where all finite elements are equal, a bound that nothing but exact values keep.
        limit = min(max(limit * _finite_range(values), 2.0**-999), 2.0**997)
    element = _DTYPES.index(values.dtype)
    return _core.bounded_encode(
        values.reshape(-1).view(np.uint8), element, values.shape, relative is not None, limit, check_threads(threads)
    )


def info(blob: Any) -> Info:
    """What a frame says of itself, checked against its length. CorruptError: not a frame, or a truncated one."""
    element, shape, relative, step, chunks = _core.bounded_info(blob)
    return Info(_DTYPES[element].newbyteorder("="), tuple(shape), relative, None if relative else step, chunks)


def decode(
    blob: Any, *, max_size: int | None = None, out: npt.NDArray[Any] | None = None, threads: int = 1
) -> npt.NDArray[Any]:
    """The array of a frame, in its dtype and shape; in ``out`` where given (same dtype and shape, contiguous).

    ``threads``: how many decode at once, each its share of the chunks (262,144 elements or fewer); 0: one a core.
    CorruptError: truncated or malformed. FormatError: more than ``max_size`` decoded bytes, found before anything is
    allocated. ShapeError: ``out`` does not fit.
    """
    what = info(blob)
    nbytes = math.prod(what.shape) * what.dtype.itemsize
    if max_size is not None and nbytes > max_size:
        raise FormatError(f"bounded: {nbytes} decoded bytes, at most {max_size} allowed")
    values = np.empty(what.shape, what.dtype) if out is None else out
    if values.shape != what.shape or values.dtype != what.dtype or not values.flags.c_contiguous:
        raise ShapeError(f"out is {values.dtype} {values.shape}, the array {what.dtype} {what.shape}")
    flat = values.reshape(-1)
    parts = min(what.chunks, check_threads(threads))
    if parts <= 1:
        _core.bounded_decode_into(blob, 0, what.chunks, flat)
    else:
        from concurrent.futures import ThreadPoolExecutor  # here: importing it takes as long as much of bitpress

        cuts = [what.chunks * k // parts for k in range(parts + 1)]
        starts = [_core.bounded_chunk_start(blob, cut) for cut in cuts]
        with ThreadPoolExecutor(parts) as pool:
            jobs = [
                pool.submit(_core.bounded_decode_into, blob, cuts[k], cuts[k + 1], flat[starts[k] : starts[k + 1]])
                for k in range(parts)
            ]
        for job in jobs:
            job.result()
    if not np.little_endian:
        values.byteswap(inplace=True)
    return values
