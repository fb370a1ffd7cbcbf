"""Which elements of a sparse tensor are stored: the stream ``mask`` of a bitmap, N:M or blocks, both ways."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from .dtypes import Buffer
from .errors import SchemeError
from .scheme import Scheme, Structure

__all__ = ["check_groups", "pack_mask", "stored_mask", "unpack_mask"]


def pack_mask(wanted: npt.NDArray[np.bool_], scheme: Scheme, name: str = "tensor") -> memoryview:
    """The mask stream of a sparse scheme that stores each element of ``wanted``, in the tensor's shape.

    N:M adds the first places of a group that has fewer than N, a block all of its elements. SchemeError where N:M has
    no room for what is wanted, or does not divide the tensor.
    """
    check_groups(wanted, scheme, name)
    flags = np.ascontiguousarray(wanted, np.uint8)
    return memoryview(_core.pack_mask(flags, wanted.shape, scheme.numbers, name))


def unpack_mask(mask: Buffer, shape: tuple[int, ...], scheme: Scheme) -> npt.NDArray[np.bool_]:
    """Which elements a sparse scheme stores, in the tensor's shape. CorruptError where the mask is none of it."""
    flags = np.empty(math.prod(shape), np.uint8)
    _core.unpack_mask(mask, shape, scheme.numbers, "mask", flags)
    return flags.view(np.bool_).reshape(shape)


def stored_mask(x: npt.NDArray[Any], scheme: Scheme, name: str = "tensor") -> npt.NDArray[np.bool_] | None:
    """Which elements of an array a sparse scheme stores, in its shape: see `pack_mask`; None where it is dense."""
    return unpack_mask(pack_mask(x != 0, scheme, name), x.shape, scheme) if scheme.is_sparse else None


def check_groups(wanted: npt.NDArray[np.bool_], scheme: Scheme, name: str) -> None:
    """SchemeError where N:M does not divide a tensor, or has no room for what of it is ``wanted``."""
    if scheme.structure is not Structure.NM:
        return
    kept, group = scheme.pattern
    if wanted.size % group:
        raise SchemeError(f"{name}: {wanted.size} elements are no whole groups of {group}")
    most = int(np.count_nonzero(wanted.reshape(-1, group), axis=1).max(initial=0))
    if most > kept:
        raise SchemeError(f"{name}: {most} of {group} elements are not zero, {kept}:{group} holds {kept}: prune it")
