"""Layers that are pressed already, kept in a folder, so that a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..container import open_container, write
from ..errors import BitpressError
from ..graph import Graph
from ..methods import Sensitivity
from ..plans import LazyTensors
from ..tensor import PackedTensor, TensorSpec, pack
from .data import Data

__all__ = ["Kept"]

Offsets = dict[str, npt.NDArray[np.float64]]
OFFSET = "offset "  # before a bias's name


class Kept:
    """A file a weight in ``folder``, named by all that decides it: network, rules, calibration, sensitivity, seed."""

    def __init__(
        self,
        folder: Path,
        graph: Graph,
        tensors: LazyTensors,
        data: Data,
        sensitivity: Mapping[str, Sensitivity],
        seed: int,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        found = hashlib.sha256(repr((graph.nodes, graph.inputs, graph.outputs, seed)).encode())
        for name, plan in tensors.plans.items():
            found.update(repr((plan.spec, plan.rule, plan.border)).encode())
            for stream in tensors.exact(name).streams.values():
                found.update(stream)
        for batch in data:
            for name, array in batch.items():
                _add(found, name, array)
        for name, known in sorted(sensitivity.items()):
            for part in (known.outputs, known.inputs):
                _add(found, f"{name} {known.weights}", np.zeros(0) if part is None else part)
        self.key = found.hexdigest()[:24]

    def _path(self, weight: str) -> Path:
        return self.folder / f"{self.key}-{hashlib.sha256(weight.encode()).hexdigest()[:16]}.bp"

    def load(self, weight: str) -> tuple[PackedTensor, Offsets] | None:
        """The packed weight and the offsets of its layers' biases; None where it is not kept, or damaged."""
        try:
            with open_container(self._path(weight)) as file:
                packed = {name: _own(file.packed(name)) for name in file.tensors}
        except (BitpressError, OSError):
            return None
        if weight not in packed:
            return None
        offsets = {name.removeprefix(OFFSET): each.unpack() for name, each in packed.items() if name != weight}
        return packed[weight], offsets

    def keep(self, weight: str, packed: PackedTensor, offsets: Offsets) -> None:
        """Write them: whole, or not at all."""
        held = {weight: packed, **{OFFSET + name: pack(offset) for name, offset in offsets.items()}}
        specs = [TensorSpec(name, each.dtype, each.shape, each.scheme) for name, each in held.items()]
        write(self._path(weight), specs, held.values())


def _own(tensor: PackedTensor) -> PackedTensor:
    """The same without views of a file that will be closed."""
    streams = {role: memoryview(bytes(stream)) for role, stream in tensor.streams.items()}
    return PackedTensor(tensor.dtype, tensor.shape, tensor.scheme, streams)


def _add(found: Any, name: str, array: npt.NDArray[Any]) -> None:
    found.update(repr((name, array.dtype.str, array.shape)).encode())
    found.update(np.ascontiguousarray(array))
