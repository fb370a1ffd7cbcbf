"""The only places that see onnx, torch and safetensors files. Each gives a Source: tensors to be read one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..graph import Graph

__all__ = ["Source", "TensorSpec"]


@dataclass(frozen=True)
class TensorSpec:
    """What is known of a tensor before it is read: safetensors' name of its element type, and its shape."""

    dtype: str
    shape: tuple[int, ...]


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

    @property
    def consumers(self) -> Mapping[str, str]:
        """The operator (its type) that reads a tensor first, where there is a graph."""
        ...

    def read(self, name: str) -> np.ndarray:
        """One tensor's elements; a view of a mapped file where the source allows it."""
        ...
