"""PackedTensor: shape + dtype + Scheme + named byte streams."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from .scheme import Scheme

__all__ = ["PackedTensor", "Role"]


class Role(enum.IntEnum):
    """What a stream holds."""

    DATA = 0
    CODES = 1
    MASK = 2
    SCALES = 3
    ZEROS = 4


@dataclass(frozen=True)
class PackedTensor:
    """One tensor held by a scheme. ``streams`` have no coding applied: the container codes them when it writes.

    ``dtype`` is safetensors' name of the element type that ``unpack`` gives back.
    """

    dtype: str
    shape: tuple[int, ...]
    scheme: Scheme
    streams: Mapping[Role, memoryview] = field(repr=False)
