"""Press a trained network into the fewest bits that keep its accuracy, store it safely, run it without torch."""

from __future__ import annotations

from typing import Any

from . import bitpack, bounded
from .allocate import allocate
from .codings import huffman, planes, rans
from .compress import compress
from .errors import (
    BitpressError,
    CalibrationError,
    CorruptError,
    FormatError,
    SchemeError,
    ShapeError,
    TrainingError,
    UnsupportedError,
)
from .files import load_file, safe_open, save_file
from .lzw_formats import lzw
from .methods.magnitude import prune
from .model import Model, load
from .recipe import Recipe, Rule
from .scheme import Scheme
from .session import Session, SessionMemory
from .tensor import PackedTensor, pack

__all__ = [
    "BitpressError",
    "CalibrationError",
    "CorruptError",
    "FormatError",
    "Model",
    "PackedTensor",
    "Recipe",
    "Rule",
    "Scheme",
    "SchemeError",
    "Session",
    "SessionMemory",
    "ShapeError",
    "TrainingError",
    "UnsupportedError",
    "allocate",
    "bitpack",
    "bounded",
    "compress",
    "huffman",
    "load",
    "load_file",
    "lzw",
    "pack",
    "planes",
    "prune",
    "rans",
    "safe_open",
    "save_file",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "torch":  # imports torch, so only when asked for
        import importlib

        return importlib.import_module(".torch", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
