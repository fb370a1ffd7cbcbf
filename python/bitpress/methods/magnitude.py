"""Magnitude pruning: the smallest weights become zero (Han et al. 2015, arXiv:1506.02626).

Counts are exact: of n elements, ``round(sparsity * n)`` (ties to even) become zero, those that were zero before
included. Among equal magnitudes at the border, the one with the lowest index (row-major; over a model: of the earliest
tensor) goes first. A threshold sets every magnitude *below* it to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ..dtypes import FLOATS, array_bytes, dtype_of, to_float32
from ..errors import SchemeError

__all__ = ["Border", "below", "find_border", "prune", "prune_elements"]

CHUNK = 1 << 20  # elements looked at in one go
Magnitudes = npt.NDArray[np.uint32]  # bits of float32 magnitudes: they sort as the magnitudes do


class Border:
    """Which magnitudes go: all whose bits are below ``bits``, and so many of those that are equal to it."""

    def __init__(self, bits: int, equal: Mapping[str, int]) -> None:
        self.bits = bits
        self.equal = equal  # by tensor


def prune_elements(
    elements: npt.NDArray[Any],
    dtype: str,
    *,
    sparsity: float | None = None,
    threshold: float | None = None,
    border: Border | None = None,
    name: str = "tensor",
) -> npt.NDArray[Any]:
    """A copy of the elements (any shape; or little-endian bytes of ``dtype``) with the smallest magnitudes set to +0.

    Give one of ``sparsity`` (0..1), ``threshold`` (0 or more) and ``border`` (from ``find_border``). Magnitudes are
    compared as float32. SchemeError for NaN, infinity and dtypes that are not floating.
    """
    if threshold is not None:
        if not threshold >= 0:
            raise SchemeError(f"{name}: the threshold must be 0 or more, not {threshold}")
        gone = _magnitudes(array_bytes(elements), dtype, name).view(np.float32) < np.float32(threshold)
    else:
        if border is None:
            assert sparsity is not None
            border = find_border([name], lambda _: (elements, dtype), sparsity)
        gone = below(border, elements, dtype, name)
    pruned = np.array(elements, copy=True, order="C")
    _by_element(pruned, gone.size)[gone] = 0
    return pruned


def below(border: Border, elements: npt.NDArray[Any], dtype: str, name: str) -> npt.NDArray[np.bool_]:
    """Which elements of one of ``find_border``'s tensors are to go: one bool an element, flat, in row-major order."""
    bits = _magnitudes(array_bytes(elements), dtype, name)
    gone: npt.NDArray[np.bool_] = bits < border.bits
    gone[np.flatnonzero(bits == border.bits)[: border.equal.get(name, 0)]] = True
    return gone


def find_border(names: Iterable[str], read: Callable[[str], tuple[npt.NDArray[Any], str]], sparsity: float) -> Border:
    """Where the smallest ``round(sparsity * n)`` of all n elements of these tensors end, over all of them together.

    ``read`` gives elements and dtype of one tensor; each is read two or three times, one at a time: a select by
    histograms of 2**16 buckets, so that no more than one tensor is in memory.
    """
    if not 0 <= sparsity <= 1:
        raise SchemeError(f"sparsity must be 0..1, not {sparsity}")
    names = list(names)
    upper = np.zeros(1 << 16, np.int64)
    for name in names:
        for bits in _chunks(name, read):
            upper += np.bincount(bits >> 16, minlength=1 << 16)
    count = round(sparsity * int(upper.sum()))
    if count == 0:
        return Border(0, {})
    bucket = int(np.searchsorted(np.cumsum(upper), count))
    left = count - int(upper[:bucket].sum())
    lower = np.zeros(1 << 16, np.int64)
    for name in names:
        for bits in _chunks(name, read):
            lower += np.bincount(bits[bits >> 16 == bucket] & 0xFFFF, minlength=1 << 16)
    low = int(np.searchsorted(np.cumsum(lower), left))
    left -= int(lower[:low].sum())
    border = bucket << 16 | low
    equal = {}
    for name in names:
        if left == 0:
            break
        equal[name] = min(left, sum(int((bits == border).sum()) for bits in _chunks(name, read)))
        left -= equal[name]
    return Border(border, equal)


@overload
def prune(
    tensors: Mapping[str, npt.ArrayLike], *, sparsity: float | None = None, threshold: float | None = None
) -> dict[str, npt.NDArray[Any]]: ...
@overload
def prune(
    tensors: npt.ArrayLike, *, sparsity: float | None = None, threshold: float | None = None
) -> npt.NDArray[Any]: ...
def prune(
    tensors: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
    *,
    sparsity: float | None = None,
    threshold: float | None = None,
) -> dict[str, npt.NDArray[Any]] | npt.NDArray[Any]:
    """Copies in which the smallest magnitudes are zero: of one array, or of a mapping of them, ranked all together.

    Give ``sparsity``, the share of all elements that is zero afterwards (exact, see the module), or ``threshold``,
    below which a magnitude becomes zero. SchemeError for NaN, infinity and dtypes that are not floating.
    """
    if (sparsity is None) == (threshold is None):
        raise SchemeError("give sparsity or threshold, one of them")
    arrays = {name: np.asarray(array) for name, array in tensors.items()} if isinstance(tensors, Mapping) else None
    if arrays is None:
        array = np.asarray(tensors)
        return prune_elements(array, dtype_of(array), sparsity=sparsity, threshold=threshold, name="array")
    border = None
    if sparsity is not None:
        border = find_border(arrays, lambda name: (arrays[name], dtype_of(arrays[name])), sparsity)
    return {
        name: prune_elements(array, dtype_of(array), threshold=threshold, border=border, name=name)
        for name, array in arrays.items()
    }


def _magnitudes(data: memoryview, dtype: str, name: str) -> Magnitudes:
    if dtype not in FLOATS:
        raise SchemeError(f"{name}: pruning takes {', '.join(FLOATS)}, not {dtype}")
    bits = to_float32(data, dtype).view(np.uint32) & np.uint32(0x7FFFFFFF)
    if bits.size and int(bits.max()) >= 0x7F800000:
        raise SchemeError(f"{name}: NaN or infinity cannot be ranked by magnitude")
    return bits


def _chunks(name: str, read: Callable[[str], tuple[npt.NDArray[Any], str]]) -> Iterable[Magnitudes]:
    elements, dtype = read(name)
    data = array_bytes(elements)
    step = CHUNK * (8 if dtype == "F64" else 4 if dtype == "F32" else 2)
    for at in range(0, len(data), step):
        yield _magnitudes(data[at : at + step], dtype, name)


def _by_element(array: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """A flat view with one item an element, whether the array holds elements or their bytes."""
    flat = array.reshape(-1)
    if flat.size != count and count:
        flat = flat.view(f"u{flat.size // count}")
    return flat
