"""How codes are picked and weights pruned: one file a method, found by its name.

A method is a module here with ``pack(data, dtype, shape, scheme, *, name, settings) -> PackedTensor`` (what
``Rule.method`` names): ``data`` is the tensor's little-endian bytes, ``settings`` what the rule says and calibration
knows, and the result must obey docs/format.md; how near its values come to the elements is the method's own affair.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol, cast

from ..dtypes import Buffer
from ..errors import SchemeError
from ..scheme import Scheme
from ..tensor import PackedTensor
from .layer import PLAIN, Layout, Sensitivity, Settings, Statistics

__all__ = ["Layout", "Method", "Sensitivity", "Settings", "Statistics", "method", "names"]


class Method(Protocol):
    """A module of this folder that packs tensors."""

    def pack(
        self,
        data: Buffer,
        dtype: str,
        shape: tuple[int, ...],
        scheme: Scheme,
        *,
        name: str = "tensor",
        settings: Settings = PLAIN,
    ) -> PackedTensor:
        """Hold a tensor by a scheme; SchemeError where that cannot be."""
        ...


def names() -> list[str]:
    """Every method that packs, by name."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in found if hasattr(importlib.import_module(f".{name}", __name__), "pack")]


def method(name: str) -> Method:
    """The method of this name; SchemeError lists those there are."""
    if name not in names():
        raise SchemeError(f"no method {name!r}; there are: {', '.join(names())}")
    return cast(Method, importlib.import_module(f".{name}", __name__))
