"""Press a trained network into the fewest bits that keep its accuracy, store it safely, run it without torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import bitpack as bitpack
    from . import bounded as bounded
    from . import torch as torch
    from .allocation import allocate as allocate
    from .codings import huffman as huffman
    from .codings import planes as planes
    from .codings import rans as rans
    from .compression import compress as compress
    from .errors import BitpressError as BitpressError
    from .errors import CalibrationError as CalibrationError
    from .errors import CorruptError as CorruptError
    from .errors import FormatError as FormatError
    from .errors import MemoryLimitError as MemoryLimitError
    from .errors import SchemeError as SchemeError
    from .errors import ShapeError as ShapeError
    from .errors import TrainingError as TrainingError
    from .errors import UnsupportedError as UnsupportedError
    from .files import load_file as load_file
    from .files import safe_open as safe_open
    from .files import save_file as save_file
    from .lzw_formats import lzw as lzw
    from .methods.magnitude import prune as prune
    from .model import Model as Model
    from .model import load as load
    from .recipe import Recipe as Recipe
    from .recipe import Rule as Rule
    from .scheme import Scheme as Scheme
    from .session import Session as Session
    from .session import SessionMemory as SessionMemory
    from .tensor import PackedTensor as PackedTensor
    from .tensor import pack as pack

# Where each name comes from: a module is imported when the first of its names is asked for, so that a program that
# runs a network does not wait for what presses one. test_package.py holds this table to the imports above.
_HOMES = {
    "allocation": ("allocate",),
    "codings": ("huffman", "planes", "rans"),
    "compression": ("compress",),
    "errors": (
        "BitpressError",
        "CalibrationError",
        "CorruptError",
        "FormatError",
        "MemoryLimitError",
        "SchemeError",
        "ShapeError",
        "TrainingError",
        "UnsupportedError",
    ),
    "files": ("load_file", "safe_open", "save_file"),
    "lzw_formats": ("lzw",),
    "methods.magnitude": ("prune",),
    "model": ("Model", "load"),
    "recipe": ("Recipe", "Rule"),
    "scheme": ("Scheme",),
    "session": ("Session", "SessionMemory"),
    "tensor": ("PackedTensor", "pack"),
}
_MODULES = ("bitpack", "bounded")
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted((*_HOME_OF, *_MODULES))
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _MODULES or name == "torch":  # torch is imported for those alone who ask for it by name
        return import_module(f".{name}", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
