"""How one tensor is held: three orthogonal fields, structure x values x coding."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from .dtypes import DTYPES
from .errors import SchemeError

__all__ = ["Bounded", "Coding", "Granularity", "Integer", "Keep", "Scheme", "Structure", "Values", "split_coding"]


class Structure(enum.IntEnum):
    """Which elements are stored."""

    DENSE = 0
    BITMAP = 1


class Granularity(enum.IntEnum):
    """Which elements share a scale (and a zero point)."""

    TENSOR = 0
    AXIS = 1
    GROUP = 2


Coding = str
"""One of ``CODINGS``, or ``auto:SPEED``: see `split_coding`."""
Numbers = tuple[int, int, int, bool, int, int, int]
CODINGS: tuple[str, ...] = ("raw", "huffman", "rans", "lzw", "planes", "auto")
_KINDS: dict[str, str] = {f"{word}{bits}": f"{word[0]}{bits}" for word in ("int", "uint") for bits in (8, 16, 32, 64)}


def split_coding(coding: object) -> tuple[str, float]:
    """A coding's name and the speed, in GB/s of decoded bytes, that ``auto`` must keep; 0 where none is stated.

    ``auto`` takes the smallest coding, ``auto:2`` the smallest of those that decode 2 GB/s or more on a CPU with AVX2
    at about 3 GHz (`bitpress.codings.nominal_speed`). SchemeError for anything else.
    """
    if isinstance(coding, str):
        if coding in CODINGS:
            return coding, 0.0
        name, _, speed = coding.partition(":")
        if name == "auto" and re.fullmatch(r"[0-9]+(\.[0-9]+)?", speed):
            return name, float(speed)
    raise SchemeError(f"coding must be one of {', '.join(CODINGS)}, auto:GB/s, not {coding!r}")


@dataclass(frozen=True)
class Keep:
    """Values of any source dtype, bit for bit.

    ``kind``: the only dtype that is allowed, where given: ``"bf16"``, ``"f32"``, ``"i8"`` or ``"int8"`` ... (names of
    safetensors, in either case), ``"fp8"`` for each of the 8-bit floats.
    """

    kind: str | None = None

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind.lower() != "fp8" and self._dtype not in DTYPES:
            known = ", ".join(["fp8", *(name.lower() for name in DTYPES)])
            raise SchemeError(f"no kind of values {self.kind!r}: it is one of {known}")

    @property
    def _dtype(self) -> str:
        kind = (self.kind or "").lower()
        return _KINDS.get(kind, kind).upper()

    def check(self, dtype: str) -> None:
        """SchemeError where ``kind`` names another dtype than safetensors' ``dtype``."""
        if self.kind is None or dtype == self._dtype or (self.kind.lower() == "fp8" and dtype.startswith("F8_")):
            return
        raise SchemeError(f"{dtype} elements under a scheme for {self.kind}")


@dataclass(frozen=True)
class Integer:
    """Uniform quantization to ``bits``-bit codes, 1 to 16: ``value = scale * (code - zero)``.

    Codes are packed without waste; more than 8 bits pay under a coding, where codes near the middle take few bits and
    rare large ones more (docs/format.md, "Wide codes"): what rate-aware rounding gives.

    ``symmetric``: ``zero`` is the middle code and is not stored. Otherwise (affine) ``zero`` is a stored whole code and
    the range is widened to hold 0, which is then exact. Scales are float32, one a tensor, one an index of ``axis``, or
    one a group of ``group_size`` consecutive elements of a row (row: everything after the first axis).
    """

    bits: int = 8
    symmetric: bool = True
    granularity: Granularity = Granularity.TENSOR
    axis: int = 0
    group_size: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise SchemeError(f"bits must be 1..16, not {self.bits}")
        if self.granularity is Granularity.GROUP and not 1 <= self.group_size < 2**32:
            raise SchemeError(f"group_size must be 1..2**32-1, not {self.group_size}")
        if self.granularity is Granularity.AXIS and not 0 <= self.axis < 8:
            raise SchemeError(f"axis must be 0..7, not {self.axis}")

    @property
    def code_dtype(self) -> type[np.uint8] | type[np.uint16]:
        """What codes and zeros are held in where they are not packed: uint8, or uint16 above 8 bits."""
        return np.uint8 if self.bits <= 8 else np.uint16


Bound = Literal["absolute", "relative", "range"]


@dataclass(frozen=True)
class Bounded:
    """F32 or F64 elements, each within ``error`` of what it was (`bitpress.bounded`), for data rather than weights.

    ``kind``: the error is ``"absolute"``; ``"relative"`` to each element's magnitude; or, with ``"range"``, a share of
    the greatest less the least finite element of the tensor. NaN and infinities come back bit for bit. A file holds
    values in the bound, not the bound itself: ``error`` is None where a tensor was read from one.
    """

    error: float | None = None
    kind: Bound = "absolute"

    def __post_init__(self) -> None:
        if self.kind not in ("absolute", "relative", "range"):
            raise SchemeError(f"a bound is absolute, relative or range, not {self.kind!r}")
        if self.error is not None and not 0 < self.error < math.inf:
            raise SchemeError(f"a bound must be a positive number, not {self.error}")
        if self.kind == "relative" and self.error is not None and self.error >= 1:
            raise SchemeError(f"a relative bound must be below 1, not {self.error}")


Values = Keep | Integer | Bounded


@dataclass(frozen=True)
class Scheme:
    """How one tensor is held. The default holds it as it is."""

    structure: Structure = Structure.DENSE
    values: Values = field(default_factory=Keep)
    coding: Coding = "raw"

    def __post_init__(self) -> None:
        split_coding(self.coding)
        if isinstance(self.values, Bounded) and (self.structure or self.coding not in ("rans", "raw")):
            raise SchemeError("bounded values are dense, and in frames of rans, whatever else is coded")

    @classmethod
    def int(
        cls,
        bits: int = 8,
        *,
        symmetric: bool = True,
        axis: int | None = None,
        group_size: int | None = None,
        sparse: bool = False,
        coding: Coding = "raw",
    ) -> Scheme:
        """Integer codes: per tensor unless ``axis`` or ``group_size`` is given; ``sparse`` keeps zeros in a bitmap."""
        if axis is not None and group_size is not None:
            raise SchemeError("give axis or group_size, not both")
        granularity = Granularity.TENSOR
        if axis is not None:
            granularity = Granularity.AXIS
        elif group_size is not None:
            granularity = Granularity.GROUP
        values = Integer(bits, symmetric, granularity, axis or 0, group_size or 0)
        return cls(Structure.BITMAP if sparse else Structure.DENSE, values, coding)

    @classmethod
    def lossless(cls, kind: str | None = None, *, sparse: bool = False, coding: Coding = "planes") -> Scheme:
        """Any dtype, bit for bit: by default its byte planes (a float's exponents first of all), entropy-coded.

        ``kind``: what the dtype must be (``"bf16"``, ``"f16"``, ``"f32"``, ``"f64"``, ``"fp8"``, ``"int8"`` ...); any
        where it is not given. Packing a tensor of another dtype raises SchemeError. ``sparse`` keeps zeros in a bitmap.
        """
        return cls(Structure.BITMAP if sparse else Structure.DENSE, Keep(kind), coding)

    @classmethod
    def bounded(cls, error: float, kind: Bound = "absolute") -> Scheme:
        """F32 or F64 elements within ``error`` of what they were, each checked when it is encoded: see `Bounded`."""
        return cls(Structure.DENSE, Bounded(error, kind), "rans")

    @property
    def is_plain(self) -> bool:
        """True where a tensor is stored as it is, under its own name."""
        return self.structure is Structure.DENSE and isinstance(self.values, Keep) and self.coding == "raw"

    @property
    def numbers(self) -> Numbers:
        """structure, values, bits, affine, granularity, axis, group size: docs/format.md's numbers."""
        match self.values:
            case Integer(bits, symmetric, granularity, axis, group_size):
                on_axis = axis if granularity is Granularity.AXIS else 0
                grouped = group_size if granularity is Granularity.GROUP else 0
                return int(self.structure), 3, bits, not symmetric, int(granularity), on_axis, grouped
            case Bounded():
                return int(self.structure), 5, 0, False, 0, 0, 0
        return int(self.structure), 0, 0, False, 0, 0, 0

    @classmethod
    def from_numbers(cls, numbers: Numbers, coding: Coding = "raw") -> Scheme:
        """The inverse of ``numbers``; SchemeError where they name none."""
        structure, values, bits, affine, granularity, axis, group_size = numbers
        try:
            if values == 0 and numbers[2:] == (0, False, 0, 0, 0):
                return cls(Structure(structure), Keep(), coding)
            if values == 5 and numbers[2:] == (0, False, 0, 0, 0):
                return cls(Structure(structure), Bounded(), coding)
            if values == 3:
                chosen = Integer(bits, not affine, Granularity(granularity), axis, group_size)
                return cls(Structure(structure), chosen, coding)
        except ValueError as error:
            raise SchemeError(str(error)) from None
        raise SchemeError(f"no scheme has the numbers {numbers}")

    def with_coding(self, coding: Coding) -> Scheme:
        """The same scheme under another coding."""
        return replace(self, coding=coding)

    def __str__(self) -> str:
        parts = [] if self.structure is Structure.DENSE else [self.structure.name.lower()]
        match self.values:
            case Keep(kind):
                parts.append("keep" if kind is None else f"keep {kind.lower()}")
            case Integer(bits, symmetric, granularity, axis, group_size):
                where = {
                    Granularity.TENSOR: "",
                    Granularity.AXIS: f" axis {axis}",
                    Granularity.GROUP: f" group {group_size}",
                }[granularity]
                parts.append(f"int{bits}{'' if symmetric else ' affine'}{where}")
            case Bounded(error, kind):
                parts.append("bounded" if error is None else f"bounded {error:g} {kind}")
        if self.coding != "raw":
            parts.append(self.coding)
        return " + ".join(parts)
