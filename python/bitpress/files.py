"""safetensors' own three functions for our files: save_file, load_file, safe_open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from .compression import compress
from .container import Base, Container, open_container, write
from .errors import UnsupportedError
from .recipe import Recipe
from .tensor import PackedTensor, TensorSpec, pack

__all__ = ["Slice", "load_file", "safe_open", "save_file"]

Array = npt.NDArray[Any]


def save_file(
    tensors: Mapping[str, npt.ArrayLike],
    path: str | os.PathLike[str],
    recipe: Recipe | None = None,
    metadata: Mapping[str, str] | None = None,
    *,
    base: Any = None,
) -> None:
    """Write arrays to one file: whole, or not at all.

    Without a ``recipe`` every array is stored as it is, and any safetensors reader reads it by its name. With a
    ``base`` (a mapping of arrays, or the path of a file of ours or of a safetensors file) the recipe is by default
    ``Recipe.lossless()``, and a kept tensor that the base has too is held as a delta where that is smaller: a
    fine-tune, or the next checkpoint; the file then needs the base to be read.
    ``metadata``: strings by name. Dtypes are those of docs/format.md (bfloat16 and 8-bit floats from ml_dtypes).

    Raises UnsupportedError for a dtype that cannot be stored, ValueError for names or metadata that cannot, OSError
    where the disk refuses.
    """
    if recipe is not None or base is not None:
        model = compress(tensors, Recipe.lossless() if recipe is None else recipe)
        replace(model, metadata={**model.metadata, **(metadata or {})}).save(path, base=base)
        return
    packed = {name: pack(array, name=f"tensor {name!r}") for name, array in tensors.items()}
    specs = [TensorSpec(name, tensor.dtype, tensor.shape, tensor.scheme) for name, tensor in packed.items()]
    write(path, specs, packed.values(), metadata=metadata)


def load_file(path: str | os.PathLike[str], *, max_bytes: int | None = None, base: Any = None) -> dict[str, Array]:
    """Every tensor of a file by its name, unpacked to its own dtype and shape, in the file's order.

    ``max_bytes``: the most that all tensors may take when decoded, before they are unpacked. ``base``: what the file
    was saved against. Raises OSError where the file cannot be read, FormatError where it is no bitpress file or a
    tensor needs another base, CorruptError where it contradicts itself or a
    checksum, UnsupportedError for a dtype that neither numpy nor ml_dtypes has.
    """
    with open_container(path, max_bytes=max_bytes, base=_base(base)) as container:
        return {name: _array(container, name) for name in container.tensors}


def _base(source: Any) -> Base | None:
    return None if source is None else Base(source)


def _array(container: Container, name: str) -> Array:
    try:
        array = container.packed(name).unpack()
    except UnsupportedError as error:
        raise UnsupportedError(f"{container.name}: tensor {name!r}: {error}") from None
    return array if array.flags.writeable else array.copy()


class Slice:
    """A tensor that is read when it is indexed, as safetensors' ``get_slice``."""

    def __init__(self, container: Container, name: str) -> None:
        self._container = container
        self._name = name

    def get_shape(self) -> list[int]:
        """The tensor's shape."""
        return list(self._container.tensors[self._name].shape)

    def get_dtype(self) -> str:
        """The tensor's dtype, by safetensors' name."""
        return self._container.tensors[self._name].dtype

    def __getitem__(self, index: Any) -> Array:
        return np.array(self._container.packed(self._name).unpack()[index])


class safe_open:
    """A file whose tensors are read one at a time: ``with bp.safe_open(path) as f: f.get_tensor("w")``.

    The manifest is checked when the file is opened, a tensor's checksums when it is read. Raises as ``load_file`` does.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int | None = None, base: Any = None) -> None:
        self._container = open_container(path, full=False, max_bytes=max_bytes, base=_base(base))

    def keys(self) -> list[str]:
        """The tensors' names, in the file's order."""
        return list(self._container.tensors)

    def metadata(self) -> dict[str, str]:
        """The user's metadata."""
        return dict(self._container.metadata)

    def get_tensor(self, name: str) -> Array:
        """A tensor in its own dtype and shape; KeyError for an unknown name."""
        return _array(self._container, name)

    def get_packed(self, name: str) -> PackedTensor:
        """A tensor as it is held; KeyError for an unknown name."""
        return self._container.packed(name)

    def get_slice(self, name: str) -> Slice:
        """A tensor that is read when it is indexed; KeyError for an unknown name."""
        if name not in self._container.tensors:
            raise KeyError(name)
        return Slice(self._container, name)

    def __enter__(self) -> safe_open:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()
