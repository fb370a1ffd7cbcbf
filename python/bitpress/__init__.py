"""Press a trained network into the fewest bits that keep its accuracy, store it safely, run it without torch."""

from __future__ import annotations

from .codings import huffman, lzw
from .errors import BitpressError, CorruptError, FormatError, SchemeError, ShapeError, TrainingError, UnsupportedError
from .scheme import Scheme
from .tensor import PackedTensor, pack

__all__ = [
    "BitpressError",
    "CorruptError",
    "FormatError",
    "PackedTensor",
    "Scheme",
    "SchemeError",
    "ShapeError",
    "TrainingError",
    "UnsupportedError",
    "huffman",
    "lzw",
    "pack",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "torch":  # imports torch, so only when asked for
        import importlib

        return importlib.import_module(".torch", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
