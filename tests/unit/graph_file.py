"""Files with a graph whose section is written from docs/format.md alone: to test the runtime, to forge bad ones."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bitpress import _core
from bitpress.container import write
from bitpress.dtypes import DTYPES
from bitpress.scheme import Scheme
from bitpress.tensor import PackedTensor, TensorSpec, pack

OPERATORS: dict[str, int] = _core.OPERATORS
ATTRIBUTES: dict[str, tuple[int, int]] = _core.ATTRIBUTES
NONE = 0xFFFFFFFF
F32, I64 = 11, 12


def plain(array: np.ndarray) -> PackedTensor:
    """A tensor as it is."""
    return pack(array, Scheme())


@dataclass
class NodeSpec:
    """``outputs`` and ``inputs`` are value names; "" is an absent input."""

    op: str | int
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str | int, Any] = field(default_factory=dict)
    name: str = ""


@dataclass
class GraphFile:
    """A network: graph inputs with their shapes (None: rank not known), output names, stored tensors, nodes."""

    inputs: dict[str, tuple[int, ...] | None]
    outputs: Sequence[str]
    nodes: Sequence[NodeSpec]
    tensors: dict[str, PackedTensor] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)  # of computed values that are not F32

    def section(self) -> bytes:
        """The graph section (docs/format.md, section 6)."""
        names = list(self.tensors) + list(self.inputs)
        names += [name for node in self.nodes for name in node.outputs if name not in names]
        names = list(dict.fromkeys(names))
        index = {name: i for i, name in enumerate(names)}
        strings, payload, attributes, links = bytearray(), bytearray(), [], []
        header = 32 + 24 * len(names) + 32 * len(self.nodes)
        link_count = len(self.inputs) + len(self.outputs) + sum(len(n.inputs) + len(n.outputs) for n in self.nodes)
        attribute_count = sum(len(n.attributes) for n in self.nodes)
        attributes_at = -(-(header + 4 * link_count) // 8) * 8
        payload_at = attributes_at + 16 * attribute_count

        def numbers(values: Sequence[int | float], code: str) -> int:
            at = payload_at + len(payload)
            payload.extend(struct.pack(f"<{len(values)}{code}", *values))
            return at

        def text(string: str) -> tuple[int, int]:
            at = len(strings)
            strings.extend(string.encode())
            return at, len(strings) - at

        values, nodes = [], []
        for i, name in enumerate(names):
            kind = 2 if name in self.tensors else 1 if name in self.inputs else 0
            shape = self.tensors[name].shape if kind == 2 else self.inputs.get(name)
            dims = numbers(shape, "q") if shape else 0
            dtype = DTYPES[self.tensors[name].dtype].number if kind == 2 else self.dtypes.get(name, F32)
            rank = 255 if shape is None else len(shape)
            values.append((*text(name), dtype, rank, kind, 0, i if kind == 2 else NONE, dims))
        links += [index[name] for name in self.inputs] + [index[name] for name in self.outputs]
        for node in self.nodes:
            op = OPERATORS[node.op] if isinstance(node.op, str) else node.op
            counts = (len(node.inputs), len(node.outputs), len(node.attributes))
            nodes.append((op, *counts, len(links), len(attributes), *text(node.name)))
            links += [index[name] if name else NONE for name in node.inputs] + [index[name] for name in node.outputs]
            for key, value in node.attributes.items():
                attributes.append(_attribute(key, value, numbers))
        strings_at = payload_at + len(payload)
        out = bytearray(
            struct.pack(
                "<8I",
                len(names),
                len(nodes),
                len(self.inputs),
                len(self.outputs),
                len(links),
                len(attributes),
                len(payload),
                len(strings),
            )
        )
        for offset, length, *rest in values:
            out += struct.pack("<IIBBBBIII", strings_at + offset, length, *rest, 0)
        for *rest, offset, length in nodes:
            out += struct.pack("<HHHHIIIIQ", *rest, strings_at + offset, length, 0)
        out += struct.pack(f"<{len(links)}I", *links)
        out += bytes(-len(out) % 8)
        for entry in attributes:
            out += entry
        return bytes(out + payload + strings)

    def bytes(self) -> bytes:
        """The whole file."""
        return pack_file(self.tensors, self.section())


def _attribute(key: str | int, value: Any, numbers: Callable[[Sequence[int | float], str], int]) -> bytes:
    number, kind = ATTRIBUTES[key] if isinstance(key, str) else (key, 0)
    if kind == 0:
        kind = 3 if isinstance(value, list | tuple) else 2 if isinstance(value, float) else 1
    if kind == 1:
        return struct.pack("<HBBIq", number, 1, 0, 1, value)
    if kind == 2:
        return struct.pack("<HBBId", number, 2, 0, 1, value)
    return struct.pack("<HBBIQ", number, kind, 0, len(value), numbers(value, "q" if kind == 3 else "d"))


def pack_file(tensors: Mapping[str, PackedTensor], graph: bytes | None) -> bytes:
    """A file of these tensors, coded as their schemes say, and this graph section."""
    specs = [TensorSpec(name, tensor.dtype, tensor.shape, tensor.scheme) for name, tensor in tensors.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bp"
        write(path, specs, tensors.values(), graph=graph)
        return path.read_bytes()
