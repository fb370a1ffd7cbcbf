"""What a packed tensor takes, told byte by byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .scheme import Scheme

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """What a packed tensor takes, before any coding: every byte, by the stream that holds it."""

    dtype: str
    shape: tuple[int, ...]
    scheme: Scheme
    elements: int
    survivors: int  # elements stored: all of them where dense
    streams: Mapping[str, int]  # bytes by role
    source_bytes: int
    max_error: float | None = None  # against the original, where report() was given it
    rms_error: float | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all streams."""
        return sum(self.streams.values())

    @property
    def bits_per_weight(self) -> float:
        """Bits an element, scales and mask included; 0 for a tensor without elements."""
        return 8 * self.nbytes / self.elements if self.elements else 0.0

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        ratio = f", {self.source_bytes / self.nbytes:.2f}x smaller" if self.nbytes else ""
        lines = [
            f"{self.dtype} {shape} as {self.scheme}: {self.nbytes} of {self.source_bytes} bytes{ratio}, "
            f"{self.bits_per_weight:.3f} bits a weight, {self.survivors} of {self.elements} elements stored"
        ]
        lines += [f"  {role:<7} {size:>12} bytes" for role, size in self.streams.items()]
        if self.max_error is not None and self.rms_error is not None:
            lines.append(f"  error: at most {self.max_error:.4g}, rms {self.rms_error:.4g}")
        return "\n".join(lines)
