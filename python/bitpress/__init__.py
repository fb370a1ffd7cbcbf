"""Press a trained network into the fewest bits that keep its accuracy, store it safely, run it without torch."""

from __future__ import annotations

from .errors import BitpressError, CorruptError, FormatError, SchemeError, ShapeError, UnsupportedError
from .scheme import Scheme
from .tensor import PackedTensor

__all__ = [
    "BitpressError",
    "CorruptError",
    "FormatError",
    "PackedTensor",
    "Scheme",
    "SchemeError",
    "ShapeError",
    "UnsupportedError",
]
__version__ = "0.1.0"
