"""Forged graphs and files: refused with one clear line, or run; never a crash, a hang or a giant allocation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graph_file import BodySpec, GraphFile, NodeSpec, number, pack_file, plain, string

from bitpress.errors import BitpressError, CorruptError, FormatError, ShapeError, UnsupportedError
from bitpress.scheme import Scheme
from bitpress.session import Session
from bitpress.tensor import PackedTensor, pack

W = np.ones((4, 3, 3, 3), np.float32)
X = np.ones((1, 3, 8, 8), np.float32)
HUGE = (2**31, 2**40, 2**62, 2**63 - 1)


def one(op: str, attributes: dict[str, Any], inputs: tuple[str, ...] = ("x",), **changes: Any) -> GraphFile:
    fields = {
        "inputs": {"x": X.shape},
        "outputs": ["y"],
        "nodes": [NodeSpec(op, inputs, ["y"], attributes, "the node")],
        "tensors": {"w": plain(W)} if "w" in inputs else {},
    }
    return GraphFile(**{**fields, **changes})  # type: ignore[arg-type]


def refuse(file: GraphFile | bytes, kind: type[Exception] | tuple[type[Exception], ...] = BitpressError) -> str:
    """The one line with which opening or planning refuses it, quickly."""
    data = file if isinstance(file, bytes) else file.bytes()
    started = time.process_time()
    with pytest.raises(kind) as caught:
        Session(data, memory_limit=1 << 24).run({"x": X})
    assert time.process_time() - started < 0.5
    text = str(caught.value)
    assert text and "\n" not in text
    return text


BAD_ATTRIBUTES: list[tuple[str, dict[str, Any]]] = [
    ("Conv", {"strides": [0, 1]}),
    ("Conv", {"strides": [-1, 1]}),
    ("Conv", {"strides": [1]}),
    ("Conv", {"pads": [-1, 0, 0, 0]}),
    ("Conv", {"pads": [0, 0, 0]}),
    ("Conv", {"dilations": [0, 1]}),
    ("Conv", {"dilations": [100, 1]}),
    ("Conv", {"group": 0}),
    ("Conv", {"group": -3}),
    ("Conv", {"group": 2}),
    ("Conv", {"kernel_shape": [3, 4]}),
    ("Conv", {"auto_pad": 7}),
    ("Conv", {"clip_low": float("nan")}),
    ("MaxPool", {}),
    ("MaxPool", {"kernel_shape": [0, 1]}),
    ("MaxPool", {"kernel_shape": [9, 9]}),
    ("MaxPool", {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}),
    ("AveragePool", {"kernel_shape": [2, 2], "strides": [0, 0]}),
    ("Reshape", {"shape": [-1, -1]}),
    ("Reshape", {"shape": [-2]}),
    ("Reshape", {"shape": [5]}),
    ("Reshape", {"shape": [7, -1]}),
    ("Reshape", {"shape": [1] * 9}),
    ("Reshape", {"shape": [1, 1, 1, 1, 0]}),
    ("Flatten", {"axis": 5}),
    ("Transpose", {"perm": [0, 0, 1, 2]}),
    ("Transpose", {"perm": [0, 1, 2, 4]}),
    ("Transpose", {"perm": [0, 1]}),
    ("Unsqueeze", {"axes": [0, 0]}),
    ("Unsqueeze", {"axes": [0, 1, 2, 3, 4]}),
    ("Unsqueeze", {"axes": [9]}),
    ("Squeeze", {"axes": [1]}),
    ("Squeeze", {"axes": [-9]}),
    ("Concat", {}),
    ("Concat", {"axis": 4}),
    ("Pad", {"pads": [0] * 7}),
    ("Pad", {"pads": [-1] + [0] * 7}),
    ("ReduceMean", {"axes": [4]}),
    ("ReduceMean", {"axes": [1, 1]}),
    ("Softmax", {"axis": -5}),
    ("ArgMax", {"axis": 4}),
    ("Gelu", {"approximate": 2}),
    ("Relu", {"axis": 1}),  # not one of its own
]


@pytest.mark.parametrize(("op", "attributes"), BAD_ATTRIBUTES, ids=lambda value: str(value)[:40])
def test_bad_attributes_name_the_node(op: str, attributes: dict[str, Any]) -> None:
    inputs = ("x", "w") if op == "Conv" else ("x",)
    file = one(op, attributes, inputs, dtypes={"y": 12} if op == "ArgMax" else {})
    assert f"node 'the node' ({op})" in refuse(file)


@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Conv", lambda n: {"strides": [n, 1]}),
        ("Conv", lambda n: {"pads": [n, n, n, n]}),
        ("Conv", lambda n: {"pads": [0, 0, n, 0]}),
        ("Conv", lambda n: {"dilations": [n, n]}),
        ("Conv", lambda n: {"group": n}),
        ("MaxPool", lambda n: {"kernel_shape": [n, n]}),
        ("AveragePool", lambda n: {"kernel_shape": [n, 1], "pads": [n - 1, 0, n - 1, 0]}),
        ("Reshape", lambda n: {"shape": [n, n]}),
        ("Pad", lambda n: {"pads": [n] * 8}),
        ("Pad", lambda n: {"pads": [0] * 7 + [n]}),
        ("Flatten", lambda n: {"axis": n}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_huge_numbers(op: str, attributes: Callable[[int], dict[str, Any]], size: int) -> None:
    file = one(op, attributes(size), ("x", "w") if op == "Conv" else ("x",))
    try:
        Session(file.bytes(), memory_limit=1 << 24).run({"x": X})
    except (BitpressError, ValueError, MemoryError) as error:
        assert "\n" not in str(error)
    else:  # a stride beyond the input is legal: one output
        assert op == "Conv" and "strides" in attributes(size) and size <= 2**31


def test_wrong_operands() -> None:
    assert "node" in refuse(one("Conv", {}, ("x", "")))
    assert "node" in refuse(one("Conv", {}, ("x",)))
    assert "node" in refuse(one("Relu", {}, ("x", "x")))
    assert "node" in refuse(one("Gemm", {}, ("x", "w")), ShapeError)
    assert "node" in refuse(one("Concat", {"axis": 0}, ("x", "")))
    assert "node" in refuse(
        one("Conv", {}, ("x", "w"), tensors={"w": plain(np.ones((4, 2, 3, 3), np.float32))}), ShapeError
    )
    two = one("Relu", {}, nodes=[NodeSpec("Relu", ["x"], ["y", "z"], {}, "the node")])
    assert "node" in refuse(two, UnsupportedError)


def test_stored_integers_are_no_weights() -> None:
    refuse(one("Conv", {}, ("x", "w"), tensors={"w": plain(np.ones((4, 3, 3, 3), np.int64))}), UnsupportedError)


def test_order_cycles_and_links() -> None:
    cycle = [NodeSpec("Add", ["x", "b"], ["a"]), NodeSpec("Relu", ["a"], ["b"]), NodeSpec("Relu", ["b"], ["y"])]
    refuse(one("Relu", {}, nodes=cycle), CorruptError)
    refuse(one("Relu", {}, nodes=[NodeSpec("Relu", ["y"], ["y"])]), CorruptError)
    refuse(one("Relu", {}, outputs=["y", "y"]), CorruptError)
    refuse(one("Relu", {}, outputs=["z"]), CorruptError)
    refuse(one("Relu", {}, nodes=[NodeSpec("Relu", ["x"], [""])]), CorruptError)  # a value without a name


def test_unknown_operator_and_attribute() -> None:
    refuse(one("Relu", {}, nodes=[NodeSpec(999, ["x"], ["y"])]), UnsupportedError)
    refuse(one("Relu", {}, nodes=[NodeSpec("Relu", ["x"], ["y"], {60: 1})]), UnsupportedError)
    refuse(one("Relu", {}, nodes=[NodeSpec("Relu", ["x"], ["y"], {0: 1})]), UnsupportedError)


def test_every_truncation_and_every_flipped_byte_of_the_section() -> None:
    tensors: dict[str, PackedTensor] = {"w": pack(W, Scheme.int(4))}
    section = one("Conv", {"pads": [1, 1, 1, 1], "clip_low": 0.0}, ("x", "w"), tensors=tensors).section()
    for cut in range(1, len(section)):
        refuse(pack_file(tensors, section[:cut]), FormatError)
    data = bytearray(pack_file(tensors, section))
    begin = data.index(section)
    for at, value in itertools.product(range(begin, begin + len(section)), (0x00, 0x01, 0x02, 0x7F, 0x80, 0xFF)):
        kept, data[at] = data[at], value
        try:
            Session(data, check="none", memory_limit=1 << 24).run({"x": X})
        except (BitpressError, ValueError, TypeError) as error:
            assert "\n" not in str(error)
        data[at] = kept


@pytest.mark.parametrize("count", [300, 2**16 + 1, 2**31, 2**64 - 1, 2**64, 2**70])
def test_counts_that_the_section_cannot_hold(count: int) -> None:
    parts = [b"\1", string("x") + b"\x0b\0", b"\0", b"\1", b"\x08", b"\0", b"\1", b"\1", b"\1"]
    parts += [string("y") + b"\x0b\0", b"\0", b"\1", b"\1"]
    assert b"".join(parts) == GraphFile({"x": None}, ["y"], [NodeSpec("Relu", ["x"], ["y"])]).section()
    counts = [i for i, part in enumerate(parts) if len(part) == 1 and i != 5]  # 5: the length of a name
    for i in counts:
        refuse(pack_file({}, b"".join([*parts[:i], number(count), *parts[i + 1 :]])), (FormatError, UnsupportedError))
    refuse(pack_file({}, b"".join([*parts[:5], number(count), *parts[6:]])), FormatError)


def test_numbers_are_written_one_way_only() -> None:
    section = one("Relu", {}).section()
    assert section[0] == 1
    refuse(pack_file({}, b"\x81\0" + section[1:]), CorruptError)


def test_a_long_chain_is_planned_in_linear_time() -> None:
    def seconds(n: int) -> float:
        nodes = [NodeSpec("Relu" if i % 2 else "Transpose", [f"v{i}" if i else "x"], [f"v{i + 1}"]) for i in range(n)]
        data = GraphFile({"x": (2, 2)}, [f"v{n}"], nodes).bytes()
        started = time.process_time()
        Session(data).run({"x": np.ones((2, 2), np.float32)})
        return time.process_time() - started

    assert seconds(20000) < 10 * seconds(4000) + 0.5


def nested(*bounds: int) -> GraphFile:
    """A loop in a loop for each bound, the first outermost."""
    nodes, types = [NodeSpec("Neg", [f"v{len(bounds)}"], [f"w{len(bounds)}"])], {}
    for k in range(len(bounds), 0, -1):
        nodes.append(NodeSpec("Identity", [f"g{k}"], [f"on{k}"]))
        body = BodySpec([f"i{k}", f"g{k}", f"v{k}"], nodes, [f"on{k}", f"w{k}"])
        nodes = [NodeSpec("Loop", ["", "", f"v{k - 1}"], [f"w{k - 1}"], {"bound": bounds[k - 1]}, "a loop", [body])]
        types |= {f"i{k}": 12, f"g{k}": 0, f"on{k}": 0}
    return GraphFile({"v0": (2,)}, ["w0"], nodes, {}, types)


@pytest.mark.parametrize("bounds", [(1 << 20, 1 << 20), (1 << 11, 1 << 10, 1 << 10), (1 << 20,) * 3, (1 << 20,) * 4])
def test_loops_in_loops_of_too_many_turns_together_are_refused(bounds: tuple[int, ...]) -> None:
    with pytest.raises(BitpressError, match="over the limit"):
        Session(nested(*bounds).bytes()).plan({"v0": (2,)})
    Session(nested(1 << 10, 1 << 10, 1 << 10).bytes()).plan({"v0": (2,)})  # the limit itself
