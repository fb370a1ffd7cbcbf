"""Shared weights: each element takes the nearest entry of a codebook that k-means finds (`bitpress.codebooks`).

Where a rule's tensors share a book, it is learned from all of them beforehand (``shared``), and stored once. Else, with
``range`` "output" an error costs what its input's strength makes of it in the layer's output, the Hessian's
diagonal (Choi, El-Khamy and Lee 2017, arXiv:1612.01543), for which calibration is needed; else all cost the same.
"""

from __future__ import annotations

from ..codebooks import cluster
from ..dtypes import FLOATS, Buffer, to_float32
from ..masks import stored_mask
from ..scheme import Codebook, Scheme
from ..tensor import PackedTensor, pack_bytes
from .layer import PLAIN, Settings

__all__ = ["pack"]


def pack(
    data: Buffer,
    dtype: str,
    shape: tuple[int, ...],
    scheme: Scheme,
    *,
    name: str = "tensor",
    settings: Settings = PLAIN,
) -> PackedTensor:
    """Hold a tensor by a codebook (any other values as ``bitpress.pack`` does)."""
    values, statistics = scheme.values, settings.statistics
    weighted = settings.range == "output" and statistics is not None
    plain = not weighted and settings.book is None
    if plain or not isinstance(values, Codebook) or dtype not in FLOATS:
        return pack_bytes(data, dtype, shape, scheme, name=name)
    x = to_float32(data, dtype).reshape(shape)
    mask = stored_mask(x, scheme, name)
    weight = statistics.strength(shape) if weighted and statistics is not None else None
    found = cluster(x, values, weight=weight, mask=mask, book=settings.book, name=name)
    return PackedTensor.from_codes(
        found.codes, found.scales, scheme, mask=mask, book=found.book, shape=tuple(shape), dtype=dtype
    )
