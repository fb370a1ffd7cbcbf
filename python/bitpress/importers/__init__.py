"""The only places that see onnx, torch and safetensors files. Each gives a Source: tensors to be read one at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..dtypes import dtype_of
from ..errors import FormatError, UnsupportedError
from ..graph import Graph

__all__ = ["ArraySource", "Source", "TensorSpec", "open_source"]

# What a folder of a model is looked through for, in this order.
FOLDER_FILES = ("model.safetensors.index.json", "model.safetensors")


@dataclass(frozen=True)
class TensorSpec:
    """What is known of a tensor before it is read: safetensors' name of its element type, and its shape."""

    dtype: str
    shape: tuple[int, ...]


@runtime_checkable
class Source(Protocol):
    """Where tensors come from. Nothing is read before ``read`` is called, and nothing that was read is kept."""

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """Every tensor by name, in the source's own order."""
        ...

    @property
    def graph(self) -> Graph | None:
        """The network that reads the tensors, where the source holds one."""
        ...

    def read(self, name: str) -> np.ndarray:
        """One tensor's elements; a view of a mapped file where the source allows it.

        Either an array of the tensor's dtype, or its little-endian bytes as uint8 [bytes]: what a source gives for a
        dtype that numpy lacks (BF16, F8, F4, F6).
        """
        ...


class ArraySource:
    """A Source over arrays or torch tensors that are in memory already."""

    graph: Graph | None = None

    def __init__(self, arrays: Mapping[Any, Any]) -> None:
        self._arrays: dict[str, Any] = {}
        self._tensors: dict[str, TensorSpec] = {}
        for name, value in arrays.items():
            if not isinstance(name, str) or not name:
                raise UnsupportedError(f"a tensor's name must be a text that is not empty, not {name!r}")
            self._tensors[name] = _spec_of(name, value)
            self._arrays[name] = value

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """Every tensor by name, in the mapping's order."""
        return self._tensors

    def read(self, name: str) -> np.ndarray:
        """One array; a torch tensor as the array that shares its memory."""
        value = self._arrays[name]
        if _is_torch(value):
            from .torch import to_array

            return to_array(name, value)
        return np.asarray(value)


def open_source(source: Any, example_inputs: Any = None) -> Source:
    """The Source behind what a caller may give: see ``bitpress.compress``."""
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source))
    if isinstance(source, Mapping):
        return ArraySource(source)
    if _is_torch(source, "nn.Module"):
        from .torch import of_module

        return of_module(source, example_inputs)
    if type(source).__name__ == "ModelProto":
        from .onnx import load

        return load(source)
    if isinstance(source, Source):
        return source
    raise UnsupportedError(f"cannot compress a {type(source).__name__}: give a path, a mapping of arrays or a module")


def _open_path(path: Path) -> Source:
    if path.is_dir():
        found = [path / name for name in FOLDER_FILES if (path / name).exists()]
        if not found:
            raise FormatError(f"{path}: a folder without {' or '.join(FOLDER_FILES)}")
        path = found[0]
    name = path.name.lower()
    if name.endswith(".safetensors"):
        from .safetensors import SafetensorsFile

        return SafetensorsFile(path)
    if name.endswith(".index.json"):
        from .safetensors import ShardedSafetensors

        return ShardedSafetensors(path)
    if name.endswith((".pt", ".pth", ".bin", ".ckpt")):
        from .torch import load as load_torch

        return load_torch(path)
    if name.endswith(".onnx"):
        from .onnx import load as load_onnx

        return load_onnx(path)
    kinds = ".safetensors, .safetensors.index.json, .onnx, .pt, .pth, .bin or .ckpt"
    raise FormatError(f"{path}: not a kind of file that can be compressed: {kinds}")


def _is_torch(value: Any, kind: str = "Tensor") -> bool:
    """Whether a value is one of torch's, without importing torch: nothing can be before torch was."""
    found: Any = sys.modules.get("torch")
    for part in kind.split("."):
        found = getattr(found, part, None)
    return isinstance(found, type) and isinstance(value, found)


def _spec_of(name: str, value: Any) -> TensorSpec:
    if _is_torch(value):
        from .torch import spec_of

        return spec_of(name, value)
    array = np.asarray(value)
    try:
        return TensorSpec(dtype_of(array), array.shape)
    except UnsupportedError as error:
        raise UnsupportedError(f"{name}: {error}") from None
