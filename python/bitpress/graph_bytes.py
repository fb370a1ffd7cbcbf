"""The bytes of a Graph (docs/format.md, section 6)."""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterator, Mapping, Sequence

from .dtypes import DTYPES
from .errors import CorruptError, ShapeError, UnsupportedError
from .graph import MAX_RANK, Attribute, Body, Graph, Node, Value
from .operators import ATTRIBUTES, BODIES, FLOAT, INTEGER, OPERATORS

__all__ = ["decode", "encode"]

MAX_VALUES = MAX_NODES = 65536
MAX_NODE_ATTRIBUTES = 64
MAX_NODE_LINKS = 256
MAX_BODY_DEPTH = 8
_DTYPE_NAMES = {dtype.number: dtype.name for dtype in DTYPES.values()}
_OPERATOR_NAMES = {number: name for name, number in OPERATORS.items()}
_ATTRIBUTE_NAMES = {number: name for name, (number, _) in ATTRIBUTES.items()}


def encode(graph: Graph, tensor_index: Mapping[str, int]) -> bytes:
    """The bytes of a graph, as its section in the container. ``tensor_index``: each stored tensor's number in the file.

    Floating-point attributes are rounded to float32. Raises UnsupportedError for an operator or attribute that the
    format has no number for, ShapeError for a graph whose nodes cannot be run in their order or that reads a tensor the
    index lacks.
    """
    return _Encoder(graph, tensor_index).encode()


class _Encoder:
    def __init__(self, graph: Graph, tensor_index: Mapping[str, int]) -> None:
        self.graph = graph
        self.tensor_index = tensor_index
        self.known = {**graph.values, **{value.name: value for value in (*graph.outputs, *graph.inputs)}}
        self.indices: dict[str, int] = {}
        self.closed: set[str] = set()  # of bodies that have ended
        self.nodes = 0
        self.depth = 0
        self.out = bytearray()

    def encode(self) -> bytes:
        graph = self.graph
        self.number(len(graph.inputs))
        for value in graph.inputs:
            self.add_value(value.name)
        self.add_stored()
        self.add_nodes(graph.nodes)
        self.number(len(graph.outputs))
        for value in graph.outputs:
            self.number(self.find(value.name, None))
        if max(len(self.indices), self.nodes) > MAX_VALUES:
            raise UnsupportedError(f"the graph has more than {MAX_VALUES} values or nodes")
        if max(len(graph.inputs), len(graph.outputs)) > MAX_NODE_LINKS:
            raise UnsupportedError(f"the graph has more than {MAX_NODE_LINKS} inputs or outputs")
        return bytes(self.out)

    def add_stored(self) -> None:
        stored = self.graph.stored()
        for name in stored:
            if name not in self.tensor_index:
                raise ShapeError(f"the graph reads {name!r}, which no node writes and no stored tensor is called")
        self.number(len(stored))
        after = 0
        for name in sorted(stored, key=lambda name: self.tensor_index[name]):
            self.name_value(name)
            self.number(self.tensor_index[name] - after)
            after = self.tensor_index[name] + 1

    def add_nodes(self, nodes: Sequence[Node]) -> None:
        self.nodes += len(nodes)
        self.number(len(nodes))
        for node in nodes:
            self.add_node(node)

    def add_body(self, body: Body, node: Node) -> None:
        if self.depth == MAX_BODY_DEPTH:
            raise UnsupportedError(f'operator {node.op} (node "{node.name}") is more than {self.depth} bodies deep')
        self.depth += 1
        first = len(self.indices)
        self.known |= {**body.values} | {value.name: value for value in body.inputs}
        self.number(len(body.inputs))
        for value in body.inputs:
            self.add_value(value.name)
        self.add_nodes(body.nodes)
        self.number(len(body.outputs))
        for name in body.outputs:
            self.number(len(self.indices) - self.find(name, node))
        self.closed.update(list(self.indices)[first:])
        self.depth -= 1

    def add_node(self, node: Node) -> None:
        if node.op not in OPERATORS:
            raise UnsupportedError(f'operator {node.op} (node "{node.name}") is not supported')
        if max(len(node.inputs), len(node.outputs)) > MAX_NODE_LINKS:
            raise UnsupportedError(f'operator {node.op} (node "{node.name}") has more than {MAX_NODE_LINKS} inputs')
        if len(node.attributes) > MAX_NODE_ATTRIBUTES:
            raise UnsupportedError(f'operator {node.op} (node "{node.name}") has too many attributes')
        self.number(OPERATORS[node.op])
        self.string(node.name)
        self.number(len(node.inputs))
        made = len(self.indices)
        for name in node.inputs:
            self.number(made - self.find(name, node) if name else 0)
        if len(node.bodies) != BODIES.get(node.op, 0):
            raise ShapeError(f'operator {node.op} (node "{node.name}") has {len(node.bodies)} bodies')
        for body in node.bodies:
            self.add_body(body, node)
        self.number(len(node.outputs))
        for name in node.outputs:
            self.add_value(name)
        self.number(len(node.attributes))
        for key in sorted(node.attributes, key=lambda key: ATTRIBUTES.get(key, (0, 0))):
            self.attribute(node, key, node.attributes[key])

    def find(self, name: str, node: Node | None) -> int:
        if name not in self.indices or name in self.closed:
            where = f'node "{node.name}"' if node else "the graph's output"
            raise ShapeError(f"{where} reads {name!r} before it is written")
        return self.indices[name]

    def name_value(self, name: str) -> None:
        if not name or name in self.indices:
            raise ShapeError(f"value {name!r} is written twice" if name else "a node writes a value without a name")
        self.indices[name] = len(self.indices)

    def add_value(self, name: str) -> None:
        self.name_value(name)
        value = self.known.get(name, Value(name))
        self.string(name)
        self.out.append(DTYPES[value.dtype].number)
        if value.shape is None:
            self.number(0)
            return
        if len(value.shape) > MAX_RANK:
            raise UnsupportedError(f"value {name!r} has {len(value.shape)} dims, at most {MAX_RANK} can be stored")
        self.number(len(value.shape) + 1)
        for size in value.shape:
            self.number(size + 1)

    def number(self, number: int) -> None:
        while number >= 0x80:
            self.out.append(number & 0x7F | 0x80)
            number >>= 7
        self.out.append(number)

    def signed(self, number: int) -> None:
        if not -(2**63) <= number < 2**63:
            raise ValueError
        self.number(2 * number if number >= 0 else -2 * number - 1)

    def string(self, text: str) -> None:
        data = text.encode("utf-8")
        self.number(len(data))
        self.out += data

    def attribute(self, node: Node, key: str, value: Attribute) -> None:
        where = f'attribute {key} of operator {node.op} (node "{node.name}")'
        if key not in ATTRIBUTES:
            raise UnsupportedError(f"{where} is not supported")
        number, kind = ATTRIBUTES[key]
        self.number(number)
        try:
            if kind == FLOAT:
                self.out += struct.pack("<f", value)
            elif kind == INTEGER:
                self.signed(operator.index(value))  # type: ignore[arg-type]
            elif isinstance(value, tuple | list):
                self.number(len(value))
                for item in value:
                    self.signed(operator.index(item))
            else:
                raise TypeError
        except (struct.error, OverflowError, TypeError, ValueError):
            raise ShapeError(f"{where} cannot be {value!r}") from None


def decode(data: bytes | memoryview, tensors: Sequence[Value]) -> Graph:
    """The graph that ``encode`` wrote. ``tensors``: the file's, by number; a dimension of theirs is never -1.

    ``values`` of the result says what is known of every value, stored tensors included. Raises CorruptError where the
    bytes contradict themselves, UnsupportedError for an operator, attribute or element type without a known number.
    """
    return _Decoder(bytes(data), tensors).decode()


class _Decoder:
    def __init__(self, data: bytes, tensors: Sequence[Value]) -> None:
        self.data = data
        self.at = 0
        self.tensors = tensors
        self.values: list[Value] = []
        self.closed: set[int] = set()
        self.nodes = 0

    @staticmethod
    def require(condition: bool, what: str) -> None:
        if not condition:
            raise CorruptError(f"graph: {what}")

    def decode(self) -> Graph:
        inputs = [self.value() for _ in range(self.count(MAX_NODE_LINKS, "inputs"))]
        index = 0
        for _ in range(self.count(MAX_VALUES, "stored tensors")):
            index += self.number()
            self.require(index < len(self.tensors), f"it reads tensor {index} of {len(self.tensors)}")
            self.values.append(self.tensors[index])
            index += 1
        nodes = self.some_nodes(0)
        outputs = [self.number() for _ in range(self.count(MAX_NODE_LINKS, "outputs"))]
        self.require(all(index < len(self.values) for index in outputs), "an output is no value")
        self.require(not self.closed.intersection(outputs), "an output is inside a body")
        self.require(len(set(outputs)) == len(outputs), "an output is named twice")
        self.require(self.at == len(self.data), "bytes follow its end")
        values = {value.name: value for value in self.values}
        self.require(len(self.values) <= MAX_VALUES, "it has too many values")
        self.require(len(values) == len(self.values), "two values have one name")
        return Graph(tuple(inputs), tuple(self.values[index] for index in outputs), nodes, values)

    def some_nodes(self, depth: int) -> tuple[Node, ...]:
        count = self.count(MAX_NODES, "nodes")
        self.nodes += count
        self.require(self.nodes <= MAX_NODES, "it has too many nodes")
        return tuple(self.node(depth) for _ in range(count))

    def back(self) -> str:
        """The value so many values back; "" for 0."""
        distance = self.number()
        index = len(self.values) - distance
        self.require(index >= 0, "a node reads a value before the first")
        self.require(index not in self.closed, "a value is read after the body that it belongs to")
        return self.values[index].name if distance else ""

    def body(self, depth: int) -> Body:
        self.require(depth < MAX_BODY_DEPTH, f"bodies are more than {MAX_BODY_DEPTH} deep")
        first = len(self.values)
        inputs = tuple(self.value() for _ in range(self.count(MAX_NODE_LINKS, "inputs of a body")))
        nodes = self.some_nodes(depth + 1)
        outputs = tuple(self.back() for _ in range(self.count(MAX_NODE_LINKS, "outputs of a body")))
        self.require("" not in outputs, "an output of a body is absent")
        self.closed.update(range(first, len(self.values)))
        return Body(inputs, outputs, nodes, {value.name: value for value in self.values[first:]})

    def node(self, depth: int) -> Node:
        number = self.number()
        if number not in _OPERATOR_NAMES:
            raise UnsupportedError(f"graph: operator number {number} is not known")
        name = self.string()
        inputs = [self.back() for _ in range(self.count(MAX_NODE_LINKS, "inputs of a node"))]
        op = _OPERATOR_NAMES[number]
        bodies = tuple(self.body(depth) for _ in range(BODIES.get(op, 0)))
        outputs = [self.value().name for _ in range(self.count(MAX_NODE_LINKS, "outputs of a node"))]
        attributes = dict(self.attributes())
        return Node(op, name, tuple(inputs), tuple(outputs), attributes, bodies)

    def attributes(self) -> Iterator[tuple[str, Attribute]]:
        last = 0
        for _ in range(self.count(MAX_NODE_ATTRIBUTES, "attributes of a node")):
            key = self.number()
            if key not in _ATTRIBUTE_NAMES:
                raise UnsupportedError(f"graph: attribute number {key} is not known")
            self.require(key > last, "attributes of a node are not in order")
            last = key
            name = _ATTRIBUTE_NAMES[key]
            kind = ATTRIBUTES[name][1]
            if kind == FLOAT:
                yield name, float(struct.unpack("<f", self.take(4))[0])
            elif kind == INTEGER:
                yield name, self.signed()
            else:
                yield name, tuple(self.signed() for _ in range(self.count(MAX_VALUES, "entries of a list")))

    def value(self) -> Value:
        name = self.string()
        self.require(name != "", "a value has no name")
        dtype = self.take(1)[0]
        if dtype not in _DTYPE_NAMES:
            raise UnsupportedError(f"graph: element type {dtype} of {name!r} is not known")
        rank = self.number()
        self.require(rank <= MAX_RANK + 1, f"{name!r} has {rank - 1} dimensions")
        shape = tuple(self.number() - 1 for _ in range(rank - 1))
        self.require(all(size < 2**62 for size in shape), f"{name!r} has a size that cannot be")
        self.values.append(Value(name, _DTYPE_NAMES[dtype], shape if rank else None))
        return self.values[-1]

    def take(self, size: int) -> bytes:
        self.require(size <= len(self.data) - self.at, "it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def string(self) -> str:
        try:
            return str(self.take(self.number()), "utf-8")
        except UnicodeDecodeError:
            raise CorruptError("graph: a name is not valid UTF-8") from None

    def number(self) -> int:
        value = shift = 0
        while True:
            group = self.take(1)[0]
            self.require(shift == 0 or group > 0, "a number has a group too many")
            value |= (group & 0x7F) << shift
            self.require(value < 2**64, "a number is too large")
            if group < 0x80:
                return value
            shift += 7

    def count(self, most: int, what: str) -> int:
        number = self.number()
        self.require(number <= most, f"it has {number} {what}, at most {most}")
        return number

    def signed(self) -> int:
        value = self.number()
        return value >> 1 ^ -(value & 1)
