"""Files with a graph whose section is written from docs/format.md alone: to test the runtime, to forge bad ones."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bitpress import _core
from bitpress.container import write
from bitpress.scheme import Scheme
from bitpress.tensor import PackedTensor, TensorSpec, pack

OPERATORS: dict[str, int] = _core.OPERATORS
ATTRIBUTES: dict[str, tuple[int, int]] = _core.ATTRIBUTES
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
    bodies: Sequence[BodySpec] = ()


@dataclass
class BodySpec:
    """A part of a graph that a node owns: all by name."""

    inputs: Sequence[str]
    nodes: Sequence[NodeSpec]
    outputs: Sequence[str]


@dataclass
class GraphFile:
    """A network: graph inputs with their shapes (None: rank not known), output names, stored tensors, nodes."""

    inputs: dict[str, tuple[int, ...] | None]
    outputs: Sequence[str]
    nodes: Sequence[NodeSpec]
    tensors: dict[str, PackedTensor] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)  # of computed values that are not F32

    def section(self) -> bytes:
        """The graph section (docs/format.md, section 6). A name that no value has (yet) becomes a link to nowhere."""
        made: list[str] = []

        def value(name: str, shape: tuple[int, ...] | None) -> bytes:
            made.append(name)
            dims = number(0) if shape is None else number(len(shape) + 1) + b"".join(number(d + 1) for d in shape)
            return string(name) + bytes([self.dtypes.get(name, F32)]) + dims

        def link(name: str, now: int) -> bytes:
            known = name in made[:now]
            return number(0 if not name else now - made[:now].index(name) if known else now + 1)

        out = number(len(self.inputs)) + b"".join(value(name, shape) for name, shape in self.inputs.items())
        out += number(len(self.tensors)) + bytes(len(self.tensors))
        made += self.tensors

        def nodes(specs: Sequence[NodeSpec]) -> bytes:
            return number(len(specs)) + b"".join(node(spec) for spec in specs)

        def body(spec: BodySpec) -> bytes:
            text = number(len(spec.inputs)) + b"".join(value(name, None) for name in spec.inputs)
            text += nodes(spec.nodes)
            return text + number(len(spec.outputs)) + b"".join(link(name, len(made)) for name in spec.outputs)

        def node(spec: NodeSpec) -> bytes:
            now = len(made)
            text = number(OPERATORS[spec.op] if isinstance(spec.op, str) else spec.op) + string(spec.name)
            text += number(len(spec.inputs)) + b"".join(link(name, now) for name in spec.inputs)
            text += b"".join(body(inner) for inner in spec.bodies)
            text += number(len(spec.outputs)) + b"".join(value(name, None) for name in spec.outputs)
            numbered = {ATTRIBUTES[key][0] if isinstance(key, str) else key: v for key, v in spec.attributes.items()}
            text += number(len(numbered))
            for key in sorted(numbered):
                text += number(key) + _attribute(numbered[key])
            return text

        out += nodes(self.nodes)
        out += number(len(self.outputs))
        return out + b"".join(number(made.index(name) if name in made else len(made)) for name in self.outputs)

    def bytes(self) -> bytes:
        """The whole file."""
        return pack_file(self.tensors, self.section())


def number(value: int) -> bytes:
    """A varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def string(text: str) -> bytes:
    """A name."""
    return number(len(text.encode())) + text.encode()


def signed(value: int) -> bytes:
    """A number with its sign in the lowest bit."""
    return number(2 * value if value >= 0 else -2 * value - 1)


def _attribute(value: Any) -> bytes:
    if isinstance(value, float):
        return struct.pack("<f", value)
    if isinstance(value, list | tuple):
        return number(len(value)) + b"".join(signed(item) for item in value)
    return signed(value)


def pack_file(tensors: Mapping[str, PackedTensor], graph: bytes | None) -> bytes:
    """A file of these tensors, coded as their schemes say, and this graph section."""
    specs = [TensorSpec(name, tensor.dtype, tensor.shape, tensor.scheme) for name, tensor in tensors.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bp"
        write(path, specs, tensors.values(), graph=graph)
        return path.read_bytes()
