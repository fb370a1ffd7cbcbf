"""Graph bytes: round trips, the tables of numbers, and every way in which the bytes can be wrong."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpress.errors import BitpressError, CorruptError, ShapeError, UnsupportedError
from bitpress.graph import Graph, Node, Value, decode, encode
from bitpress.operators import ATTRIBUTES, FLOAT, INTEGER, INTEGERS, OPERATORS

I64 = st.integers(-(2**63), 2**63 - 1)
SHAPES = st.none() | st.lists(st.integers(-1, 2**40), max_size=8).map(tuple)


def test_numbers_are_those_of_the_core(root: Path) -> None:
    ops = re.findall(r"^BP_OP\((\w+), (\d+)\)", (root / "csrc/ops/ops.def").read_text(), re.MULTILINE)
    assert {name: int(number) for name, number in ops} == OPERATORS
    kinds = {"integer": INTEGER, "real": FLOAT, "integers": INTEGERS, "reals": 4}
    text = (root / "csrc/ops/attributes.def").read_text()
    found = re.findall(r"^BP_ATTRIBUTE\((\w+), (\d+), (\w+)\)", text, re.MULTILINE)
    assert {name: (int(number), kinds[kind]) for name, number, kind in found} == ATTRIBUTES


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, dict[str, int]]:
    names = iter(f"{draw(st.text(max_size=4))}{i}" for i in range(1000))
    value = lambda: Value(next(names), draw(st.sampled_from(["F32", "I64", "U8"])), draw(SHAPES))  # noqa: E731
    inputs = tuple(value() for _ in range(draw(st.integers(1, 3))))
    stored = [value() for _ in range(draw(st.integers(0, 3)))]
    values = {item.name: item for item in (*inputs, *stored)}
    nodes = []
    for i in range(draw(st.integers(0, 5))):
        results = [value() for _ in range(draw(st.integers(1, 2)))]
        attributes: dict[str, object] = {}
        for key in draw(st.sets(st.sampled_from(sorted(ATTRIBUTES)), max_size=4)):
            kind = ATTRIBUTES[key][1]
            made = {INTEGER: I64, FLOAT: st.floats(allow_nan=False), INTEGERS: st.lists(I64, max_size=4).map(tuple)}
            attributes[key] = draw(made[kind])
        reads = tuple(draw(st.lists(st.sampled_from(["", *values]), max_size=4)))
        op = draw(st.sampled_from(sorted(OPERATORS)))
        nodes.append(Node(op, f"n{i}", reads, tuple(item.name for item in results), attributes))
        values.update({item.name: item for item in results})
    outputs = tuple(values[name] for name in draw(st.lists(st.sampled_from(sorted(values)), unique=True, max_size=3)))
    graph = Graph(inputs, outputs, tuple(nodes), values)
    numbers = draw(st.permutations(range(len(stored) + 2)))
    return graph, {item.name: number for item, number in zip(stored, numbers, strict=False)}


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_round_trip(case: tuple[Graph, dict[str, int]]) -> None:
    graph, index = case
    data = encode(graph, index)
    again = decode(data)
    assert (again.inputs, again.outputs, again.nodes) == (graph.inputs, graph.outputs, graph.nodes)
    read = set(graph.stored()) | {value.name for value in graph.inputs}
    read |= {name for node in graph.nodes for name in node.outputs}
    assert again.values == {name: graph.values[name] for name in read}
    assert encode(again, index) == data


@given(graphs(), st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_are_refused_or_a_graph(case: tuple[Graph, dict[str, int]], data: st.DataObject) -> None:
    """Never another exception: the container's checksum is what says that bytes are those that were written."""
    good = bytearray(encode(*case))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(good))
    except BitpressError as error:
        assert "\n" not in str(error)


def example() -> bytes:
    x, y = Value("x", shape=(1, -1)), Value("y", shape=(1, 4))
    node = Node("Gemm", "n", ("x", "w", ""), ("y",), {"alpha": 1.0, "transB": 1})
    values = {"x": x, "y": y, "w": Value("w", "F32", (4, 3))}
    return encode(Graph((x,), (y,), (node,), values), {"w": 5})


def test_every_truncation_is_refused() -> None:
    data = example()
    for length in range(len(data)):
        with pytest.raises(CorruptError):
            decode(data[:length])
    with pytest.raises(CorruptError):
        decode(data + b"\0")


def patched(at: int, form: str, *numbers: int) -> bytes:
    data = bytearray(example())
    struct.pack_into(form, data, at, *numbers)
    return bytes(data)


VALUES, NODES = 32, 32 + 3 * 24
LINKS = NODES + 32
ATTRS = LINKS + 6 * 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched(0, "<I", 2**16), "do not add up"),
        (patched(24, "<I", 4), "multiple of 8"),
        (patched(VALUES, "<I", 2**31), "name is out of range"),
        (patched(VALUES + 9, "<B", 9), "9 dimensions"),
        (patched(VALUES + 10, "<B", 3), "record is not valid"),
        (patched(VALUES + 12, "<I", 0), "stored and has no tensor, or the reverse"),
        (patched(VALUES + 16, "<I", 2**20), "list is out of range"),
        (patched(NODES + 8, "<I", 7), "links are out of order"),
        (patched(NODES + 24, "<Q", 1), "node record is not valid"),
        (patched(NODES + 2, "<H", 60000), "links are out of range"),
        (patched(NODES + 6, "<H", 3), "attributes are out of range"),
        (patched(NODES + 6, "<H", 1), "spare links or attributes"),
        (patched(LINKS, "<I", 1), "inputs are not the input values"),
        (patched(LINKS + 4, "<I", 99), "output is out of range"),
        (patched(LINKS + 8, "<I", 2), "read before written"),
        (patched(LINKS + 20, "<I", 0), "written twice"),
        (patched(ATTRS + 2, "<B", 3), "of another type"),
        (patched(ATTRS + 4, "<I", 2), "count is not 1"),
        (patched(ATTRS + 16, "<H", 9), "attribute record is not valid"),
    ],
)
def test_hostile_records(data: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        decode(data)


def test_unknown_numbers_and_names() -> None:
    with pytest.raises(UnsupportedError, match="operator number 999"):
        decode(patched(NODES, "<H", 999))
    with pytest.raises(UnsupportedError, match="attribute number 999"):
        decode(patched(ATTRS, "<H", 999))
    with pytest.raises(CorruptError, match="'w' is not the tensor of its number"):
        decode(example(), ["a", "b", "c", "d", "e", "f"])
    assert decode(example(), ["a", "b", "c", "d", "e", "w"]).stored() == ("w",)


def test_what_cannot_be_encoded() -> None:
    x = Value("x")
    with pytest.raises(UnsupportedError, match=r'operator Foo \(node "n"\) is not supported'):
        encode(Graph((x,), (Value("y"),), (Node("Foo", "n", ("x",), ("y",)),)), {})
    with pytest.raises(ShapeError, match="reads 'w'"):
        encode(Graph((x,), (Value("y"),), (Node("Add", "n", ("x", "w"), ("y",)),)), {})
    with pytest.raises(ShapeError, match="written twice"):
        encode(Graph((x,), (x,), (Node("Relu", "n", ("x",), ("x",)),)), {})
    loop = (Node("Relu", "a", ("q",), ("p",)), Node("Relu", "b", ("p",), ("q",)))
    with pytest.raises(ShapeError, match="node \"a\" reads 'q' before it is written"):
        encode(Graph((x,), (Value("q"),), loop), {})
    with pytest.raises(ShapeError, match="cannot be"):
        encode(Graph((x,), (Value("y"),), (Node("Flatten", "n", ("x",), ("y",), {"axis": 1.5}),)), {})
