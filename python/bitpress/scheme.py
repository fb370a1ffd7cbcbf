"""How one tensor is held: three orthogonal fields, structure x values x coding."""

from __future__ import annotations

import builtins
import enum
import math
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from .dtypes import DTYPES
from .errors import SchemeError

__all__ = [
    "Bounded",
    "Codebook",
    "Coded",
    "Coding",
    "Granularity",
    "Integer",
    "Keep",
    "Scheme",
    "Structure",
    "Values",
    "split_coding",
]


class Structure(enum.IntEnum):
    """Which elements are stored."""

    DENSE = 0
    BITMAP = 1
    NM = 2
    BLOCK = 3


class Granularity(enum.IntEnum):
    """Which elements share a scale (and a zero point)."""

    TENSOR = 0
    AXIS = 1
    GROUP = 2


Coding = str
"""One of ``CODINGS``, or ``auto:SPEED``: see `split_coding`."""
Numbers = tuple[int, int, int, bool, int, int, int, int, int, int]
Pattern = tuple[int, int]
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


class Coded:
    """What integers and codebooks share: values told by codes of so many bits and, in runs of elements, by scales."""

    bits: int
    granularity: Granularity
    axis: int
    group_size: int

    def _check(self, most_bits: int) -> None:
        if not 1 <= self.bits <= most_bits:
            raise SchemeError(f"bits must be 1..{most_bits}, not {self.bits}")
        if self.granularity is Granularity.GROUP and not 1 <= self.group_size < 2**32:
            raise SchemeError(f"group_size must be 1..2**32-1, not {self.group_size}")
        if self.granularity is Granularity.AXIS and not 0 <= self.axis < 8:
            raise SchemeError(f"axis must be 0..7, not {self.axis}")

    @property
    def code_dtype(self) -> type[np.uint8] | type[np.uint16]:
        """What codes and zeros are held in where they are not packed: uint8, or uint16 above 8 bits."""
        return np.uint8 if self.bits <= 8 else np.uint16

    @property
    def runs(self) -> tuple[int, int, int]:
        """Granularity, axis and group size as docs/format.md's numbers: 0 where the granularity has none."""
        on_axis = self.axis if self.granularity is Granularity.AXIS else 0
        return int(self.granularity), on_axis, self.group_size if self.granularity is Granularity.GROUP else 0

    def _where(self) -> str:
        match self.granularity:
            case Granularity.AXIS:
                return f" axis {self.axis}"
            case Granularity.GROUP:
                return f" group {self.group_size}"
        return ""


@dataclass(frozen=True)
class Integer(Coded):
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
        self._check(16)

    def __str__(self) -> str:
        return f"int{self.bits}{'' if self.symmetric else ' affine'}{self._where()}"


@dataclass(frozen=True)
class Codebook(Coded):
    """Shared values: a code of 1 to 8 bits names one of 2**bits entries of a table that the tensor brings along.

    An entry is ``vector`` consecutive elements (row-major, 1 to 8; product quantization where more than one, of which
    the tensor must hold a whole number). Where scales are per axis or group, as those of `Integer`, a value is
    ``scale * entry``; per tensor it is the entry. Entries and scales are float32.
    """

    bits: int = 4
    vector: int = 1
    granularity: Granularity = Granularity.TENSOR
    axis: int = 0
    group_size: int = 0

    def __post_init__(self) -> None:
        self._check(8)
        if not 1 <= self.vector <= 8:
            raise SchemeError(f"vector must be 1..8 elements, not {self.vector}")

    @property
    def has_scales(self) -> bool:
        """Whether entries are scaled."""
        return self.granularity is not Granularity.TENSOR

    def __str__(self) -> str:
        vectors = f" of {self.vector}" if self.vector > 1 else ""
        return f"codebook{self.bits}{vectors}{self._where()}"


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

    def __str__(self) -> str:
        return "bounded" if self.error is None else f"bounded {self.error:g} {self.kind}"


Values = Keep | Integer | Codebook | Bounded


@dataclass(frozen=True)
class Scheme:
    """How one tensor is held. The default holds it as it is.

    ``pattern``, of N:M: N and M, 1 <= N < M <= 16: of each M consecutive elements (row-major) N are stored, and the
    tensor holds a whole number of such groups. Of blocks: their rows and columns, where the tensor is a matrix of its
    first axis x all others, of 2 to 4096 elements; blocks at the ends may be smaller. Else (0, 0).
    """

    structure: Structure = Structure.DENSE
    values: Values = field(default_factory=Keep)
    coding: Coding = "raw"
    pattern: Pattern = (0, 0)

    def __post_init__(self) -> None:
        split_coding(self.coding)
        if isinstance(self.values, Bounded) and (self.is_sparse or self.coding not in ("rans", "raw")):
            raise SchemeError("bounded values are dense, and in frames of rans, whatever else is coded")
        if isinstance(self.values, Codebook) and self.values.vector > 1 and self.is_sparse:
            raise SchemeError("a codebook of vectors holds dense tensors only")
        self._check_pattern()

    def _check_pattern(self) -> None:
        first, second = self.pattern
        match self.structure:
            case Structure.NM:
                if not 1 <= first < second <= 16:
                    raise SchemeError(f"N:M must be 1 <= N < M <= 16, not {first}:{second}")
            case Structure.BLOCK:
                if not (first >= 1 and second >= 1 and 2 <= first * second <= 4096):
                    raise SchemeError(f"blocks must be of 2 to 4096 elements, not {first}x{second}")
            case _:
                if self.pattern != (0, 0):
                    raise SchemeError(f"{self.structure.name.lower()} has no pattern, such as {first}, {second}")
        values = self.values
        if self.pattern != (0, 0) and isinstance(values, Integer) and values.symmetric and values.bits == 1:
            raise SchemeError("one symmetric bit has no zero, which N:M and blocks may have to store")

    @property
    def is_sparse(self) -> bool:
        """Whether some elements may not be stored."""
        return self.structure is not Structure.DENSE

    def most_stored(self, elements: builtins.int) -> builtins.int:
        """The most of a tensor's elements that can be stored: of N:M the very number, of any other structure all."""
        return elements // self.pattern[1] * self.pattern[0] if self.structure is Structure.NM else elements

    @classmethod
    def int(
        cls,
        bits: int = 8,
        *,
        symmetric: bool = True,
        axis: int | None = None,
        group_size: int | None = None,
        sparse: bool = False,
        nm: Pattern | None = None,
        block: Pattern | None = None,
        coding: Coding = "raw",
    ) -> Scheme:
        """Integer codes: per tensor unless ``axis`` or ``group_size`` is given. ``sparse`` keeps zeros in a bitmap;
        ``nm=(2, 4)`` stores two of each four elements, ``block=(4, 4)`` blocks of that size that are not all zeros.
        """
        values = Integer(bits, symmetric, *_runs(axis, group_size))
        return cls(values=values, coding=coding, **_structure(sparse, nm, block))

    @classmethod
    def codebook(
        cls,
        bits: builtins.int = 4,
        *,
        vector: builtins.int = 1,
        axis: builtins.int | None = None,
        group_size: builtins.int | None = None,
        sparse: bool = False,
        nm: Pattern | None = None,
        block: Pattern | None = None,
        coding: Coding = "raw",
    ) -> Scheme:
        """Shared values, or vectors of them; scaled where ``axis`` or ``group_size`` is given: see `Codebook`."""
        values = Codebook(bits, vector, *_runs(axis, group_size))
        return cls(values=values, coding=coding, **_structure(sparse, nm, block))

    @classmethod
    def lossless(
        cls,
        kind: str | None = None,
        *,
        sparse: bool = False,
        nm: Pattern | None = None,
        block: Pattern | None = None,
        coding: Coding = "planes",
    ) -> Scheme:
        """Any dtype, bit for bit: by default its byte planes (a float's exponents first of all), entropy-coded.
        ``kind``: what the dtype must be (``"bf16"``, ``"f16"``, ``"f32"``, ``"f64"``, ``"fp8"``, ``"int8"`` ...); any
        where it is not given. Packing a tensor of another dtype raises SchemeError. ``sparse``, ``nm`` and ``block``
        are those of ``int``.
        """
        return cls(values=Keep(kind), coding=coding, **_structure(sparse, nm, block))

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
        """structure, values, bits, affine, granularity, axis, group size, vector, pattern: docs/format.md's numbers."""
        structure = builtins.int(self.structure)
        match self.values:
            case Integer(bits, symmetric) as values:
                return structure, 3, bits, not symmetric, *values.runs, 0, *self.pattern
            case Codebook(bits, vector) as values:
                return structure, 4, bits, False, *values.runs, vector, *self.pattern
            case Bounded():
                return structure, 5, 0, False, 0, 0, 0, 0, *self.pattern
        return structure, 0, 0, False, 0, 0, 0, 0, *self.pattern

    @classmethod
    def from_numbers(cls, numbers: Numbers, coding: Coding = "raw") -> Scheme:
        """The inverse of ``numbers``; SchemeError where they name none."""
        structure, values, bits, affine, granularity, axis, group_size, vector, *pattern = numbers
        held: Values | None = None
        try:
            if values in (0, 5) and numbers[2:8] == (0, False, 0, 0, 0, 0):
                held = Keep() if values == 0 else Bounded()
            elif values == 3 and vector == 0:
                held = Integer(bits, not affine, Granularity(granularity), axis, group_size)
            elif values == 4 and not affine:
                held = Codebook(bits, vector, Granularity(granularity), axis, group_size)
            if held is not None:
                return cls(Structure(structure), held, coding, (pattern[0], pattern[1]))
        except ValueError as error:
            raise SchemeError(str(error)) from None
        raise SchemeError(f"no scheme has the numbers {numbers}")

    def with_coding(self, coding: Coding) -> Scheme:
        """The same scheme under another coding."""
        return replace(self, coding=coding)

    def __str__(self) -> str:
        first, second = self.pattern
        names = {Structure.BITMAP: "bitmap", Structure.NM: f"{first}:{second}", Structure.BLOCK: f"{first}x{second}"}
        parts = [names[self.structure]] if self.is_sparse else []
        match self.values:
            case Keep(kind):
                parts.append("keep" if kind is None else f"keep {kind.lower()}")
            case values:
                parts.append(str(values))
        if self.coding != "raw":
            parts.append(self.coding)
        return " + ".join(parts)


def _structure(sparse: bool, nm: Pattern | None, block: Pattern | None) -> dict[str, Any]:
    """The words of a scheme's structure and pattern."""
    if sum((sparse, nm is not None, block is not None)) > 1:
        raise SchemeError("give one of sparse, nm and block")
    if nm is not None:
        return {"structure": Structure.NM, "pattern": tuple(nm)}
    if block is not None:
        return {"structure": Structure.BLOCK, "pattern": tuple(block)}
    return {"structure": Structure.BITMAP if sparse else Structure.DENSE}


def _runs(axis: int | None, group_size: int | None) -> tuple[Granularity, int, int]:
    """Which elements share a scale: granularity, axis, group size."""
    if axis is not None and group_size is not None:
        raise SchemeError("give axis or group_size, not both")
    if axis is not None:
        return Granularity.AXIS, axis, 0
    return (Granularity.TENSOR, 0, 0) if group_size is None else (Granularity.GROUP, 0, group_size)
