"""Round to nearest: each element alone, to the code whose value is nearest; ties to the even code."""

from __future__ import annotations

from ..dtypes import Buffer
from ..scheme import Scheme
from ..tensor import PackedTensor, pack_bytes

__all__ = ["pack"]


def pack(data: Buffer, dtype: str, shape: tuple[int, ...], scheme: Scheme, *, name: str = "tensor") -> PackedTensor:
    """Hold a tensor by a scheme; the range of each run of elements sets its scale (docs/format.md, section 4)."""
    return pack_bytes(data, dtype, shape, scheme, name=name)
