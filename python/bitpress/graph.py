"""Graph: a network as a list of operators over named values, and its bytes (docs/format.md, section 6)."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .dtypes import DTYPES
from .errors import CorruptError, ShapeError, UnsupportedError
from .operators import ATTRIBUTES, FLOAT, INTEGER, INTEGERS, OPERATORS

__all__ = ["Attribute", "Graph", "Node", "Value", "decode", "encode"]

Attribute = int | float | tuple[int, ...] | tuple[float, ...]

MAX_RANK = 8
MAX_VALUES = MAX_NODES = 65536
MAX_NODE_ATTRIBUTES = 64
MAX_NODE_LINKS = 256
_UNKNOWN_RANK = 255
_ABSENT = 0xFFFFFFFF
_HEADER = struct.Struct("<8I")
_VALUE = struct.Struct("<IIBBBBIII")
_NODE = struct.Struct("<HHHHIIIIQ")
_ATTRIBUTE = struct.Struct("<HBBIQ")
_COMPUTED, _INPUT, _STORED = 0, 1, 2
_DTYPE_NAMES = {dtype.number: dtype.name for dtype in DTYPES.values()}
_OPERATOR_NAMES = {number: name for name, number in OPERATORS.items()}
_ATTRIBUTE_NAMES = {number: name for name, (number, _) in ATTRIBUTES.items()}


@dataclass(frozen=True)
class Value:
    """What flows between operators. ``shape`` has -1 where a size is not known; None where the rank is not."""

    name: str
    dtype: str = "F32"
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Node:
    """One operator: ONNX's meaning, with constant inputs (axes, shapes, bounds) turned into attributes.

    An absent optional input is the empty string. An activation fused into Conv, Gemm, MatMul, Add ... is the attributes
    ``clip_low`` and ``clip_high`` (either may be infinite).
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can be run. Stored tensors are the model's, by name."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value] = field(default_factory=dict)  # what is known of the values in between

    def stored(self) -> tuple[str, ...]:
        """Names of the stored tensors that the graph reads, each once, in the order of their first reader."""
        made = {value.name for value in self.inputs} | {output for node in self.nodes for output in node.outputs}
        read = [name for node in self.nodes for name in node.inputs if name] + [value.name for value in self.outputs]
        return tuple(dict.fromkeys(name for name in read if name not in made))

    def value(self, name: str) -> Value:
        """What is known of a value: its dtype and shape where the graph says them, else F32 of unknown rank."""
        for value in (*self.inputs, *self.outputs):
            if value.name == name:
                return value
        return self.values.get(name, Value(name))

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each value, in order; a node that reads it twice stands there twice."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name:
                    readers.setdefault(name, []).append(node)
        return readers


def encode(graph: Graph, tensor_index: Mapping[str, int]) -> bytes:
    """The bytes of a graph, as its section in the container. ``tensor_index``: each stored tensor's number in the file.

    Raises UnsupportedError for an operator or attribute that the format has no number for, ShapeError for a graph whose
    nodes cannot be run in their order or that reads a tensor the index lacks.
    """
    return _Encoder(graph, tensor_index).encode()


class _Encoder:
    def __init__(self, graph: Graph, tensor_index: Mapping[str, int]) -> None:
        self.graph = graph
        self.tensor_index = tensor_index
        self.known = {**graph.values, **{value.name: value for value in (*graph.outputs, *graph.inputs)}}
        self.indices: dict[str, int] = {}
        self.values, self.nodes, self.attributes = bytearray(), bytearray(), bytearray()
        self.payload, self.strings = bytearray(), bytearray()
        made = [value.name for value in graph.inputs]
        made += [*graph.stored(), *(name for node in graph.nodes for name in node.outputs)]
        self.link_count = len(graph.inputs) + len(graph.outputs)
        self.link_count += sum(len(node.inputs) + len(node.outputs) for node in graph.nodes)
        self.attribute_count = sum(len(node.attributes) for node in graph.nodes)
        if max(len(made), len(graph.nodes)) > MAX_VALUES:
            raise UnsupportedError(f"the graph has more than {MAX_VALUES} values or nodes")
        self.at_payload = _at_payload(len(made), len(graph.nodes), self.link_count, self.attribute_count)[-1]
        numbers = sum(len(self.known[name].shape or ()) for name in made if name in self.known)
        for node in graph.nodes:
            numbers += sum(len(item) for item in node.attributes.values() if isinstance(item, tuple | list))
        self.at_strings = self.at_payload + 8 * numbers

    def encode(self) -> bytes:
        graph = self.graph
        for value in graph.inputs:
            self.add_value(value.name, _INPUT)
        stored = graph.stored()
        for name in stored:
            if name not in self.tensor_index:
                raise ShapeError(f"the graph reads {name!r}, which no node writes and no stored tensor is called")
        for name in sorted(stored, key=lambda name: self.tensor_index[name]):
            self.add_value(name, _STORED)
        links = [self.indices[value.name] for value in graph.inputs]
        node_links = list[int]()
        for node in graph.nodes:
            node_links += self.add_node(node, len(graph.inputs) + len(graph.outputs) + len(node_links))
        links += [self.link(value.name, None) for value in graph.outputs] + node_links
        assert len(self.payload) == self.at_strings - self.at_payload and len(links) == self.link_count
        head = _HEADER.pack(
            len(self.indices), len(graph.nodes), len(graph.inputs), len(graph.outputs),
            len(links), self.attribute_count, len(self.payload), len(self.strings),
        )  # fmt: skip
        body = head + self.values + self.nodes + struct.pack(f"<{len(links)}I", *links)
        return body + bytes(-len(body) % 8) + self.attributes + self.payload + self.strings

    def add_node(self, node: Node, first_link: int) -> list[int]:
        if node.op not in OPERATORS:
            raise UnsupportedError(f'operator {node.op} (node "{node.name}") is not supported')
        if max(len(node.inputs), len(node.outputs), len(node.attributes)) > MAX_NODE_LINKS:
            raise UnsupportedError(f'operator {node.op} (node "{node.name}") has more than {MAX_NODE_LINKS} inputs')
        inputs = [self.link(name, node) if name else _ABSENT for name in node.inputs]
        outputs = [self.add_value(name, _COMPUTED) for name in node.outputs]
        first_attribute = len(self.attributes) // _ATTRIBUTE.size
        self.nodes += _NODE.pack(
            OPERATORS[node.op], len(inputs), len(outputs), len(node.attributes),
            first_link, first_attribute, *self.string(node.name), 0,
        )  # fmt: skip
        for key in sorted(node.attributes):
            self.attributes += self.attribute(node, key, node.attributes[key])
        return inputs + outputs

    def link(self, name: str, node: Node | None) -> int:
        if name not in self.indices:
            where = f'node "{node.name}"' if node else "the graph's output"
            raise ShapeError(f"{where} reads {name!r} before it is written")
        return self.indices[name]

    def add_value(self, name: str, kind: int) -> int:
        if not name or name in self.indices:
            raise ShapeError(f"value {name!r} is written twice" if name else "a node writes a value without a name")
        value = self.known.get(name, Value(name))
        rank, dims = _UNKNOWN_RANK, 0
        if value.shape is not None:
            rank = len(value.shape)
            if rank > MAX_RANK:
                raise UnsupportedError(f"value {name!r} has {rank} dimensions; at most {MAX_RANK} are supported")
            dims = self.numbers("q", value.shape) if rank else 0
        index = self.tensor_index[name] if kind == _STORED else _ABSENT
        self.values += _VALUE.pack(*self.string(name), DTYPES[value.dtype].number, rank, kind, 0, index, dims, 0)
        self.indices[name] = len(self.indices)
        return self.indices[name]

    def string(self, text: str) -> tuple[int, int]:
        data = text.encode("utf-8")
        self.strings += data
        return self.at_strings + len(self.strings) - len(data), len(data)

    def numbers(self, form: str, items: Sequence[float]) -> int:
        at = self.at_payload + len(self.payload)
        self.payload += struct.pack(f"<{len(items)}{form}", *items)
        return at

    def attribute(self, node: Node, key: str, value: Attribute) -> bytes:
        where = f'attribute {key} of operator {node.op} (node "{node.name}")'
        if key not in ATTRIBUTES:
            raise UnsupportedError(f"{where} is not supported")
        number, kind = ATTRIBUTES[key]
        form = "q" if kind in (INTEGER, INTEGERS) else "d"
        try:
            if kind in (INTEGER, FLOAT):
                raw = struct.pack(f"<{form}", value)
                return _ATTRIBUTE.pack(number, kind, 0, 1, *struct.unpack("<Q", raw))
            if not isinstance(value, tuple | list):
                raise TypeError
            return _ATTRIBUTE.pack(number, kind, 0, len(value), self.numbers(form, value))
        except (struct.error, TypeError):
            raise ShapeError(f"{where} cannot be {value!r}") from None


def _at_payload(values: int, nodes: int, links: int, attributes: int) -> tuple[int, int, int, int]:
    """Where nodes, links, attributes and payload begin."""
    at_nodes = _HEADER.size + _VALUE.size * values
    at_links = at_nodes + _NODE.size * nodes
    at_attributes = (at_links + 4 * links + 7) // 8 * 8
    return at_nodes, at_links, at_attributes, at_attributes + _ATTRIBUTE.size * attributes


def decode(data: bytes | memoryview, tensors: Sequence[str] | None = None) -> Graph:
    """The graph that ``encode`` wrote. ``tensors``: the file's tensor names by number, to check the stored values with.

    ``values`` of the result says what the bytes say of every value, stored tensors included. Raises CorruptError where
    the bytes contradict themselves, UnsupportedError for an operator, attribute or element type without a known number.
    """
    try:
        return _Decoder(memoryview(data).cast("B"), tensors).decode()
    except (struct.error, UnicodeDecodeError, IndexError, KeyError) as error:
        raise CorruptError(f"graph: {error}") from None


class _Decoder:
    def __init__(self, data: memoryview, tensors: Sequence[str] | None) -> None:
        self.data = data
        self.tensors = tensors
        self.require(len(data) >= _HEADER.size, "shorter than its header")
        counts = _HEADER.unpack_from(data)
        self.value_count, self.node_count, self.input_count, self.output_count = counts[:4]
        self.link_count, self.attribute_count, payload, strings = counts[4:]
        places = _at_payload(self.value_count, self.node_count, self.link_count, self.attribute_count)
        self.at_nodes, self.at_links, self.at_attributes, self.at_payload = places
        end_links = self.at_links + 4 * self.link_count
        self.at_strings = self.at_payload + payload
        self.require(payload % 8 == 0, "payload is not a multiple of 8 bytes")
        self.require(self.at_strings + strings == len(data), "sizes in the header do not add up to its length")
        self.require(not any(data[end_links : self.at_attributes]), "padding is not zero")

    @staticmethod
    def require(condition: bool, what: str) -> None:
        if not condition:
            raise CorruptError(f"graph: {what}")

    def decode(self) -> Graph:
        data = self.data
        self.require(self.value_count <= MAX_VALUES and self.node_count <= MAX_NODES, "it has too many values or nodes")
        kinds, values = list[int](), list[Value]()
        tensors = list[int]()
        for record in _VALUE.iter_unpack(data[_HEADER.size : self.at_nodes]):
            kinds.append(record[4])
            values.append(self.value(record))
            if record[4] == _STORED:
                tensors.append(record[6])
        self.require(all(a < b for a, b in itertools.pairwise(tensors)), "stored tensors are not in order")
        self.require(len({value.name for value in values}) == len(values), "two values have one name")
        links = iter(struct.unpack(f"<{self.link_count}I", data[self.at_links : self.at_links + 4 * self.link_count]))
        inputs, outputs = self.take(links, self.input_count), self.take(links, self.output_count)
        self.require(
            sorted(inputs) == [i for i, kind in enumerate(kinds) if kind == _INPUT], "inputs are not the input values"
        )
        written = [kind != _COMPUTED for kind in kinds]
        attributes = _ATTRIBUTE.iter_unpack(data[self.at_attributes : self.at_payload])
        next_link, next_attribute = self.input_count + self.output_count, 0
        nodes = []
        for record in _NODE.iter_unpack(data[self.at_nodes : self.at_links]):
            operator, reads, writes, named, first_link, first_attribute, name_at, name_length, zero = record
            self.require(zero == 0 and named <= MAX_NODE_ATTRIBUTES, "a node record is not valid")
            self.require(
                (first_link, first_attribute) == (next_link, next_attribute), "a node's links are out of order"
            )
            self.require(next_attribute + named <= self.attribute_count, "a node's attributes are out of range")
            if operator not in _OPERATOR_NAMES:
                raise UnsupportedError(f"graph: operator number {operator} is not known")
            arguments, results = self.take(links, reads), self.take(links, writes)
            self.require(
                all(i == _ABSENT or (i < len(values) and written[i]) for i in arguments),
                "a value is read before written",
            )
            for i in results:
                self.require(i < len(values) and not written[i], "a value is written twice")
                written[i] = True
            nodes.append(
                Node(
                    _OPERATOR_NAMES[operator],
                    self.string(name_at, name_length),
                    tuple(values[i].name if i != _ABSENT else "" for i in arguments),
                    tuple(values[i].name for i in results),
                    self.attributes(attributes, named),
                )
            )
            next_link += reads + writes
            next_attribute += named
        self.require(
            next_link == self.link_count and next_attribute == self.attribute_count, "spare links or attributes"
        )
        self.require(all(written), "a value is never written")
        self.require(all(i < len(values) for i in outputs), "an output is out of range")
        self.require(len(set(outputs)) == len(outputs), "an output is named twice")
        return Graph(
            tuple(values[i] for i in inputs),
            tuple(values[i] for i in outputs),
            tuple(nodes),
            {value.name: value for value in values},
        )

    def take(self, links: Iterator[int], count: int) -> list[int]:
        taken = [link for _, link in zip(range(count), links, strict=False)]
        self.require(len(taken) == count, "links are out of range")
        return taken

    def value(self, record: tuple[int, ...]) -> Value:
        name_at, name_length, dtype, rank, kind, zero, tensor, dims_at, zeros = record
        name = self.string(name_at, name_length)
        self.require(
            name != "" and (zero, zeros) == (0, 0) and kind in (_COMPUTED, _INPUT, _STORED),
            "a value record is not valid",
        )
        if dtype not in _DTYPE_NAMES:
            raise UnsupportedError(f"graph: element type {dtype} of {name!r} is not known")
        self.require((tensor != _ABSENT) == (kind == _STORED), f"{name!r} is stored and has no tensor, or the reverse")
        if self.tensors is not None and kind == _STORED:
            self.require(
                tensor < len(self.tensors) and self.tensors[tensor] == name, f"{name!r} is not the tensor of its number"
            )
        if rank == _UNKNOWN_RANK:
            return Value(name, _DTYPE_NAMES[dtype])
        self.require(rank <= MAX_RANK, f"{name!r} has {rank} dimensions")
        shape = self.numbers(dims_at, rank, "q") if rank else ()
        self.require(all(-1 <= size < 2**62 for size in shape), f"{name!r} has a size that cannot be")
        return Value(name, _DTYPE_NAMES[dtype], tuple(int(size) for size in shape))

    def string(self, at: int, length: int) -> str:
        self.require(self.at_strings <= at and at + length <= len(self.data), "a name is out of range")
        return str(self.data[at : at + length], "utf-8")

    def numbers(self, at: int, count: int, kind: str) -> tuple[int | float, ...]:
        end = at + 8 * count
        self.require(at % 8 == 0 and self.at_payload <= at and end <= self.at_strings, "a list is out of range")
        return struct.unpack(f"<{count}{kind}", self.data[at:end])

    def attributes(self, records: Iterator[tuple[int, ...]], count: int) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        for _ in range(count):
            key, kind, zero, length, bits = next(records)
            if key not in _ATTRIBUTE_NAMES:
                raise UnsupportedError(f"graph: attribute number {key} is not known")
            name = _ATTRIBUTE_NAMES[key]
            self.require(name not in found and zero == 0, "an attribute record is not valid")
            self.require(kind == ATTRIBUTES[name][1], f"attribute {name} is of another type")
            raw = struct.pack("<Q", bits)
            if kind in (INTEGER, FLOAT):
                self.require(length == 1, "an attribute's count is not 1")
                found[name] = struct.unpack("<q" if kind == INTEGER else "<d", raw)[0]
            else:
                found[name] = self.numbers(bits, length, "q" if kind == INTEGERS else "d")
        return found
