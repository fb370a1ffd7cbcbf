"""Deltas (docs/format.md, section 2, "Base"): tensors held as what they differ by from those of another file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from ..dtypes import DTYPES, array_bytes, dtype_of, stored_bytes
from ..errors import CorruptError, FormatError
from ..tensor import PackedTensor
from .layout import MANIFEST, MAX_JSON, METADATA

__all__ = ["DIFFERENCE", "XOR", "Base", "Delta", "differ", "restore"]

XOR, DIFFERENCE = 1, 2
_INTEGERS = {1: "U8", 2: "I16", 4: "I32", 8: "I64"}  # of which dtype a difference is coded, by bytes an element
Tensor = tuple[str, tuple[int, ...], Callable[[], Any]]  # dtype, shape, and the bytes when asked for


@dataclass(frozen=True)
class Delta:
    """How a tensor is held: ``how`` is XOR or DIFFERENCE, ``checksum`` the XXH64 of the base's elements."""

    how: int
    checksum: int


def _unit(dtype: str) -> int:
    """Bytes of what is subtracted: an element, half of a complex one, a byte of packed ones."""
    return 4 if dtype == "C64" else max(DTYPES[dtype].bits // 8, 1)


def differ(data: Any, base: Any, dtype: str) -> list[tuple[int, str, memoryview]]:
    """Each way in which ``data`` can be held against ``base``: its number, the dtype that it is coded as, its bytes."""
    unit = _unit(dtype)
    minuend, subtrahend = (np.frombuffer(part, f"<u{unit}") for part in (data, base))
    return [
        (XOR, dtype, array_bytes(minuend ^ subtrahend)),
        (DIFFERENCE, _INTEGERS[unit], array_bytes(minuend - subtrahend)),
    ]


def restore(held: Any, base: Any, dtype: str, how: int) -> memoryview:
    """The elements that ``differ`` was given, from what it gave."""
    first, second = (np.frombuffer(part, f"<u{_unit(dtype)}") for part in (held, base))
    return array_bytes(first ^ second if how == XOR else first + second)


class Base:
    """The tensors that deltas refer to, by name; each is read when it is asked for.

    ``source``: a mapping of arrays or PackedTensors, or the path of a file: one of ours (its values as they come out of
    it), or any safetensors file. Raises OSError where it cannot be read, FormatError where it is neither, or itself
    holds deltas (then give ``bp.load_file(path, base=...)``).
    """

    def __init__(self, source: Any) -> None:
        self._name = "the base"
        if isinstance(source, Mapping):
            self._find: Callable[[str], Tensor] = lambda name: _held(source[name])
            return
        self._name = os.fspath(source)
        self._find = _tensors_of(source)

    def bytes_of(self, name: str, dtype: str, shape: tuple[int, ...]) -> Any:
        """The elements of the tensor of this name, little-endian; None where there is none of this dtype and shape."""
        try:
            found, dims, data = self._find(name)
        except KeyError:
            return None
        return data() if (found, tuple(dims)) == (dtype, tuple(shape)) else None

    def restored(self, name: str, dtype: str, shape: tuple[int, ...], delta: Delta, held: Any) -> memoryview:
        """The elements of a delta. FormatError where this is not the base that it was made against."""
        base = self.bytes_of(name, dtype, shape)
        if base is None:
            raise FormatError(f"{self._name} has no tensor {name!r} of {dtype} {list(shape)}: it is another base")
        if _core.checksum(base) != delta.checksum:
            raise FormatError(
                f"{self._name}: tensor {name!r} is not what this one was made against: it is another base"
            )
        return restore(held, base, dtype, delta.how)


def _held(value: Any) -> Tensor:
    if isinstance(value, PackedTensor):
        return value.dtype, value.shape, value.to_bytes
    array = np.asarray(value)
    return dtype_of(array), array.shape, lambda: array_bytes(array)


def _tensors_of(path: str | os.PathLike[str]) -> Callable[[str], Tensor]:
    from .reader import Container, is_plain_safetensors, map_file

    data = map_file(path)
    if is_plain_safetensors(data):
        return _safetensors(data, os.fspath(path))
    container = Container(data, os.fspath(path))
    if container.deltas:
        raise FormatError(f"{os.fspath(path)}: holds deltas itself: load it with its own base first")

    def find(name: str) -> Tensor:
        record = container.tensors[name]
        return record.dtype, record.shape, lambda: container.packed(name).to_bytes()

    return find


def _safetensors(data: memoryview, path: str) -> Callable[[str], Tensor]:
    """The tensors of a plain safetensors file."""
    from .reader import parse_json

    size = int.from_bytes(data[:8], "little")
    if size > min(MAX_JSON, data.nbytes - 8):
        raise FormatError(f"{path}: no safetensors file")
    table = parse_json(bytes(data[8 : 8 + size]), path)
    table.pop(METADATA, None)

    def find(name: str) -> Tensor:
        if name == MANIFEST:
            raise KeyError(name)
        entry = table[name]
        try:
            dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            fits = 0 <= begin <= end <= data.nbytes - 8 - size and end - begin == stored_bytes(dtype, shape)
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise CorruptError(f"{path}: tensor {name!r} has no place in the file")
        return dtype, shape, lambda: data[8 + size + begin : 8 + size + end]

    return find
