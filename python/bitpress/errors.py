"""What bitpress raises. Every class is also one that callers already catch."""

from __future__ import annotations

__all__ = [
    "BitpressError",
    "CalibrationError",
    "CorruptError",
    "FormatError",
    "MemoryLimitError",
    "SchemeError",
    "ShapeError",
    "TrainingError",
    "UnsupportedError",
]


class BitpressError(Exception):
    """Base of every error that bitpress raises on purpose."""


class FormatError(BitpressError, ValueError):
    """The bytes are not a bitpress file or stream, or are one of a version this build does not know."""


class CorruptError(FormatError, OSError):
    """The bytes contradict themselves or their checksum: truncated, flipped or forged."""


class MemoryLimitError(BitpressError, MemoryError):
    """A network that needs more memory than the session was allowed; the message says how much."""


class SchemeError(BitpressError, ValueError):
    """A scheme or recipe that cannot be, or cannot hold this tensor (NaN, infinity, a dtype it does not take)."""


class ShapeError(BitpressError, ValueError):
    """Shapes that do not fit an operator, a graph or a session."""


class UnsupportedError(BitpressError, NotImplementedError):
    """A well-formed model that uses something bitpress does not have; the message names it."""


class TrainingError(BitpressError, ArithmeticError):
    """Training left the finite numbers: the message names the model, the epoch and the step."""


class CalibrationError(BitpressError, ValueError):
    """Calibration data that cannot be: none at all, NaN, names or shapes that the network does not have."""
