"""Graph bytes: round trips, the tables of numbers, and every way in which the bytes can be wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpress.errors import BitpressError, CorruptError, ShapeError, UnsupportedError
from bitpress.graph import Body, Graph, Node, Value
from bitpress.graph_bytes import decode, encode
from bitpress.operators import ATTRIBUTES, BODIES, FLOAT, INTEGER, INTEGERS, OPERATORS

I64 = st.integers(-(2**63), 2**63 - 1)
SHAPES = st.none() | st.lists(st.integers(-1, 2**40), max_size=8).map(tuple)


def test_numbers_are_those_of_the_core(root: Path) -> None:
    ops = re.findall(r"^BP_OP\((\w+), (\d+)\)", (root / "csrc/ops/ops.def").read_text(), re.MULTILINE)
    assert {name: int(number) for name, number in ops} == OPERATORS
    kinds = {"integer": INTEGER, "real": FLOAT, "integers": INTEGERS}
    text = (root / "csrc/ops/attributes.def").read_text()
    found = re.findall(r"^BP_ATTRIBUTE\((\w+), (\d+), (\w+)\)", text, re.MULTILINE)
    assert {name: (int(number), kinds[kind]) for name, number, kind in found} == ATTRIBUTES


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, list[Value]]:
    """A graph, and the tensors of its file by number: those it reads, and two that it does not."""
    names = iter(f"{draw(st.text(max_size=4))}{i}" for i in range(1000))
    value = lambda: Value(next(names), draw(st.sampled_from(["F32", "I64", "U8"])), draw(SHAPES))  # noqa: E731
    inputs = tuple(value() for _ in range(draw(st.integers(1, 3))))
    stored = [Value(item.name, item.dtype, tuple(map(abs, item.shape or ()))) for item in (value(), value(), value())]
    values = {item.name: item for item in (*inputs, *stored)}
    everything = dict(values)

    def node(around: dict[str, Value], depth: int) -> Node:
        attributes: dict[str, object] = {}
        for key in draw(st.sets(st.sampled_from(sorted(ATTRIBUTES)), max_size=4)):
            kind = ATTRIBUTES[key][1]
            made = {
                INTEGER: I64,
                FLOAT: st.floats(allow_nan=False, width=32),
                INTEGERS: st.lists(I64, max_size=4).map(tuple),
            }
            attributes[key] = draw(made[kind])
        reads = tuple(draw(st.lists(st.sampled_from(["", *around]), max_size=4)))
        op = draw(st.sampled_from(sorted(OPERATORS if depth < 2 else set(OPERATORS) - set(BODIES))))
        bodies = tuple(body(around, depth + 1) for _ in range(BODIES.get(op, 0)))
        results = [value() for _ in range(draw(st.integers(1, 2)))]
        around.update({item.name: item for item in results})
        everything.update({item.name: item for item in results})
        return Node(op, draw(st.text(max_size=3)), reads, tuple(item.name for item in results), attributes, bodies)

    def body(around: dict[str, Value], depth: int) -> Body:
        before, given = set(everything), tuple(value() for _ in range(draw(st.integers(0, 2))))
        inside = around | {item.name: item for item in given}
        everything.update({item.name: item for item in given})
        inner = tuple(node(inside, depth) for _ in range(draw(st.integers(0, 2))))
        results = tuple(draw(st.lists(st.sampled_from(sorted(inside)), max_size=2)))
        return Body(given, results, inner, {k: v for k, v in everything.items() if k not in before})

    nodes = [node(values, 0) for _ in range(draw(st.integers(0, 4)))]
    outputs = tuple(values[name] for name in draw(st.lists(st.sampled_from(sorted(values)), unique=True, max_size=3)))
    graph = Graph(inputs, outputs, tuple(nodes), everything)
    return graph, draw(st.permutations([*stored, Value("unread 1"), Value("unread 2", "U8", (3,))]))


def index_of(tensors: list[Value]) -> dict[str, int]:
    return {value.name: number for number, value in enumerate(tensors)}


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_round_trip(case: tuple[Graph, list[Value]]) -> None:
    graph, tensors = case
    data = encode(graph, index_of(tensors))
    again = decode(data, tensors)
    assert (again.inputs, again.outputs, again.nodes) == (graph.inputs, graph.outputs, graph.nodes)
    read = set(graph.stored()) | {value.name for value in graph.inputs}
    read |= {name for node in graph.nodes for name in node.outputs}
    read |= {name for node in graph.nodes for body in node.bodies for name in body.values}
    assert again.values == {name: graph.values[name] for name in read}
    assert encode(again, index_of(tensors)) == data


@given(graphs(), st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_are_refused_or_a_graph(case: tuple[Graph, list[Value]], data: st.DataObject) -> None:
    """Never another exception: the container's checksum is what says that bytes are those that were written."""
    graph, tensors = case
    good = bytearray(encode(graph, index_of(tensors)))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(good), tensors)
    except BitpressError as error:
        assert "\n" not in str(error)


TENSORS = [Value("a"), Value("w", "F32", (4, 3))]


def example() -> list[bytes]:
    """The parts of a section, as docs/format.md says them."""
    return [
        b"\x01", b"\x01x", b"\x0b", b"\x03\x02\x00",  # one input: x, F32, 1 x ?
        b"\x01", b"\x01",  # one stored tensor: number 1
        b"\x01", b"\x02", b"\x01n", b"\x03", b"\x02\x01\x00",  # one node: Gemm, n, inputs x, w and an absent one
        b"\x01", b"\x01y", b"\x0b", b"\x03\x02\x05",  # one output: y, F32, 1 x 4
        b"\x02", b"\x09", b"\0\0\x80\x3f", b"\x0c", b"\x02",  # alpha 1, transB 1
        b"\x01", b"\x02",  # one output: value 2
    ]  # fmt: skip


def test_the_bytes_are_those_of_the_page() -> None:
    x, y = Value("x", shape=(1, -1)), Value("y", shape=(1, 4))
    node = Node("Gemm", "n", ("x", "w", ""), ("y",), {"transB": 1, "alpha": 1.0})
    graph = Graph((x,), (y,), (node,), {"x": x, "y": y, "w": TENSORS[1]})
    assert encode(graph, {"a": 0, "w": 1}) == b"".join(example())
    assert decode(b"".join(example()), TENSORS) == graph


def test_every_truncation_is_refused() -> None:
    data = b"".join(example())
    for length in range(len(data)):
        with pytest.raises(CorruptError, match="ends too early"):
            decode(data[:length], TENSORS)
    with pytest.raises(CorruptError, match="bytes follow its end"):
        decode(data + b"\0", TENSORS)


def patched(part: int, data: bytes) -> bytes:
    parts = example()
    parts[part] = data
    return b"".join(parts)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched(0, b"\x81\0"), "a group too many"),
        (patched(0, b"\xff" * 9 + b"\x03"), "too large"),
        (patched(0, b"\x81\x02"), "257 inputs, at most 256"),
        (patched(1, b"\0"), "no name"),
        (patched(1, b"\x01\xff"), "not valid UTF-8"),
        (patched(1, b"\x01w"), "two values have one name"),
        (patched(3, b"\x0a" + b"\1" * 9), "9 dimensions"),
        (patched(3, b"\x02" + b"\xff" * 8 + b"\x7f"), "a size that cannot be"),
        (patched(5, b"\x02"), "reads tensor 2 of 2"),
        (patched(10, b"\x03\x01\x00"), "before the first"),
        (patched(9, b"\x81\x02"), "inputs of a node"),
        (patched(15, b"\x41"), "attributes of a node"),
        (patched(18, b"\x09"), "not in order"),
        (patched(21, b"\x03"), "an output is no value"),
        (patched(20, b"\x02") + b"\x02", "named twice"),
    ],
)
def test_hostile_parts(data: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        decode(data, TENSORS)


def test_unknown_numbers() -> None:
    with pytest.raises(UnsupportedError, match="operator number 999"):
        decode(patched(7, b"\xe7\x07"), TENSORS)
    with pytest.raises(UnsupportedError, match="attribute number 999"):
        decode(patched(16, b"\xe7\x07"), TENSORS)
    with pytest.raises(UnsupportedError, match="element type 99"):
        decode(patched(2, b"\x63"), TENSORS)


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
