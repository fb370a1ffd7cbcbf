"""safetensors files, whole or in shards, read without the safetensors package.

The format (huggingface/safetensors, README, "Format"): u64 N, little-endian; N bytes of JSON; then the elements, which
the JSON's ``data_offsets`` tile without holes.
"""

from __future__ import annotations

import json
import mmap
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..dtypes import DTYPES, numpy_dtype, stored_bytes
from ..errors import CorruptError, FormatError, UnsupportedError
from ..graph import Graph
from . import TensorSpec

__all__ = ["SafetensorsFile", "ShardedSafetensors"]

MAX_HEADER = 100_000_000  # bytes, safetensors' own limit
MAX_RANK = 8
OURS = "bitpress.manifest"


class SafetensorsFile:
    """A Source over one mapped file. The header is checked when it is opened, elements are read when asked for.

    Raises OSError where the file cannot be read, CorruptError where it ends early or contradicts itself, FormatError
    where it is another kind of file.
    """

    graph: Graph | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 8:
                raise CorruptError(f"{path}: {size} bytes are not a safetensors file")
            self._data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        length = int.from_bytes(self._data[:8], "little")
        if length > MAX_HEADER:
            raise FormatError(f"{path}: a header of {length} bytes; safetensors allows {MAX_HEADER}")
        if length > len(self._data) - 8:
            raise CorruptError(f"{path}: the header announces {length} bytes, the file has {len(self._data)}")
        header = parse_json(bytes(self._data[8 : 8 + length]), path)
        self._start = 8 + length
        self.metadata = self._metadata(header.pop("__metadata__", {}))
        self._tensors: dict[str, TensorSpec] = {}
        self._ranges: dict[str, tuple[int, int]] = {}
        for name, entry in header.items():
            self._add(name, entry)
        self._check_tiling()
        if OURS in self._tensors:
            raise FormatError(f"{path}: a bitpress file already; load it instead")

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """Every tensor by name, in the header's order."""
        return self._tensors

    def read(self, name: str) -> np.ndarray:
        """A read-only view of the mapped file: the tensor's array, or its bytes where numpy has no such dtype."""
        spec = self._tensors[name]
        begin, end = self._ranges[name]
        raw = np.frombuffer(self._data[self._start + begin : self._start + end], np.uint8)
        dtype = DTYPES[spec.dtype]
        if not dtype.numpy or dtype.name in ("BF16", "F8_E5M2", "F8_E4M3", "F8_E8M0"):
            return raw
        return raw.view(numpy_dtype(spec.dtype)).reshape(spec.shape)

    def _refuse(self, reason: str) -> NoReturn:
        raise CorruptError(f"{self._path}: {reason}")

    def _metadata(self, found: Any) -> dict[str, str]:
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            self._refuse("__metadata__ is not an object of texts")
        return found

    def _add(self, name: str, entry: Any) -> None:
        if not name or not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            self._refuse(f"the header's entry {name!r} is not a tensor's")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str):
            self._refuse(f"tensor {name!r} has no dtype")
        if dtype not in DTYPES:
            raise UnsupportedError(f"{self._path}: tensor {name!r} is of dtype {dtype!r}, which is not known")
        if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
            self._refuse(f"tensor {name!r} has a shape or offsets that are not whole numbers")
        if len(shape) > MAX_RANK:
            raise UnsupportedError(f"{self._path}: tensor {name!r} has {len(shape)} dimensions, at most {MAX_RANK}")
        begin, end = offsets
        needed = stored_bytes(dtype, tuple(shape))
        if begin > end or self._start + end > len(self._data):
            self._refuse(f"tensor {name!r} ends outside the file")
        if end - begin != needed:
            self._refuse(f"tensor {name!r} takes {needed} bytes, its offsets hold {end - begin}")
        self._tensors[name] = TensorSpec(dtype, tuple(shape))
        self._ranges[name] = (begin, end)

    def _check_tiling(self) -> None:
        at = 0
        for name, (begin, end) in sorted(self._ranges.items(), key=lambda item: item[1]):
            if begin != at:
                self._refuse(f"tensor {name!r} {'overlaps another' if begin < at else 'leaves a hole before it'}")
            at = end
        if self._start + at != len(self._data):
            self._refuse(f"{len(self._data) - self._start - at} bytes after the last tensor")


class ShardedSafetensors:
    """A Source over the shards that a ``*.safetensors.index.json`` names; they lie in the index's own folder."""

    graph: Graph | None = None

    def __init__(self, path: Path) -> None:
        if path.stat().st_size > MAX_HEADER:
            raise FormatError(f"{path}: too long for an index")
        index = parse_json(path.read_bytes(), path)
        places = index.get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
            raise FormatError(f"{path}: no weight_map of tensor names to files")
        for shard in places.values():
            if not shard or Path(shard).name != shard or "\0" in shard:
                raise FormatError(f"{path}: shard {shard!r} is not a file beside the index")
        self._shards = {shard: SafetensorsFile(path.parent / shard) for shard in dict.fromkeys(places.values())}
        self._places = places
        for name, shard in places.items():
            if name not in self._shards[shard].tensors:
                raise CorruptError(f"{path}: tensor {name!r} is not in {shard}")
        for shard, file in self._shards.items():
            self._all_named(path, shard, file.tensors)
        self.metadata = {key: value for file in self._shards.values() for key, value in file.metadata.items()}

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """Every tensor by name, in the index's order."""
        return {name: self._shards[shard].tensors[name] for name, shard in self._places.items()}

    def read(self, name: str) -> np.ndarray:
        """As a file's ``read``."""
        return self._shards[self._places[name]].read(name)

    def _all_named(self, path: Path, shard: str, names: Iterable[str]) -> None:
        for name in names:
            if self._places.get(name) != shard:
                raise CorruptError(f"{path}: {shard} holds tensor {name!r}, which the index does not place there")


def _sizes(found: Any) -> bool:
    return isinstance(found, list) and all(type(size) is int and 0 <= size < 2**63 for size in found)


def parse_json(text: bytes, path: Path) -> dict[str, Any]:
    """A JSON object from untrusted bytes: UTF-8, no name twice in an object, no NaN; CorruptError names the file."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            counts = Counter(name for name, _ in items)
            raise ValueError(f"the name {counts.most_common(1)[0][0]!r} stands twice")
        return found

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_constant=refuse)
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # no lone surrogates
    except RecursionError:
        raise CorruptError(f"{path}: its JSON is nested too deeply") from None
    except ValueError as error:
        raise CorruptError(f"{path}: its JSON is not valid: {error}") from None
    if not isinstance(found, dict):
        raise CorruptError(f"{path}: its JSON is not an object")
    return found
