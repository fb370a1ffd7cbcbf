"""Model: a graph and/or a set of packed tensors, and metadata; saved to and loaded from one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from .container import Base, Container, open_container, write
from .graph import Graph
from .graph_bytes import encode
from .targets import orders_for
from .tensor import PackedTensor, TensorSpec

__all__ = ["Model", "load"]


@dataclass(frozen=True)
class Model:
    """What a file holds. ``tensors`` may be lazy: each is made when asked for.

    ``target``: which CPUs it is laid out for when it is saved: "generic", "x86-64-v3", "x86-64-v4" or "armv8"; None:
    as the file that it was loaded from, else generic.
    """

    tensors: Mapping[str, PackedTensor]
    graph: Graph | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None

    def specs(self) -> list[TensorSpec]:
        """What each tensor is, in order; lazy tensors are asked, not made. SchemeError for a target that is none."""
        if isinstance(self.tensors, _Announced):
            specs = self.tensors.specs()
        else:
            specs = [TensorSpec(name, t.dtype, t.shape, t.scheme) for name, t in self.tensors.items()]
        if self.target is None:
            return specs
        orders = orders_for(self.target, self.graph, specs)
        return [replace(spec, order=orders[spec.name]) for spec in specs]

    def save(self, path: str | os.PathLike[str], *, base: Any = None) -> None:
        """Write the model to one file: whole, or not at all. The same model gives the same bytes.

        ``base``: what kept tensors under a coding are held against where that is smaller, bit for bit: a mapping of
        arrays, or the path of a file of ours or of a safetensors file, with tensors of the same names. The file then
        needs it to be read.

        Raises OSError where the disk refuses, ValueError for names or metadata that cannot be stored.
        """
        specs = self.specs()
        encoded = None
        if self.graph is not None:
            encoded = encode(self.graph, {spec.name: index for index, spec in enumerate(specs)})
        write(
            path,
            specs,
            (self.tensors[spec.name] for spec in specs),
            graph=encoded,
            metadata=self.metadata,
            base=None if base is None else Base(base),
        )


@runtime_checkable
class _Announced(Protocol):
    """Lazy tensors that say what they will be without making them."""

    def specs(self) -> list[TensorSpec]: ...


class _Stored(Mapping[str, PackedTensor]):
    """The tensors of an opened file, each decoded when asked for."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def specs(self) -> list[TensorSpec]:
        return [
            TensorSpec(name, record.dtype, record.shape, self._container.scheme(name), record.order)
            for name, record in self._container.tensors.items()
        ]

    def __getitem__(self, name: str) -> PackedTensor:
        return self._container.packed(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._container.tensors)

    def __len__(self) -> int:
        return len(self._container.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._container.tensors


def load(
    path: str | os.PathLike[str], *, resaved: bool = False, max_bytes: int | None = None, base: Any = None
) -> Model:
    """Open a file of ours as a Model: every checksum is checked now, a tensor is decoded when it is asked for.

    ``resaved``: accept a file that another safetensors tool wrote again (it is put back in memory). ``max_bytes``:
    the most that all tensors may take when decoded, before they are unpacked. ``base``: what it was saved against, as
    for ``Model.save``.

    Raises OSError where the file cannot be read, FormatError where it is no bitpress file or a tensor needs another
    base, CorruptError where it
    contradicts itself or a checksum, UnsupportedError where its graph has an operator that this version does not know.
    """
    container = open_container(path, resaved=resaved, max_bytes=max_bytes, base=None if base is None else Base(base))
    return Model(_Stored(container), container.read_graph(), container.metadata)
