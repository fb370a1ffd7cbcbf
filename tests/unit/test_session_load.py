"""What becomes of weights in memory: read packed, decoded when they are read, or unpacked; the answers are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_file import GraphFile, NodeSpec, pack_file, plain
from test_session import floats

from bitpress.errors import CorruptError
from bitpress.scheme import Scheme
from bitpress.session import Session
from bitpress.tensor import PackedTensor, pack

LOADS: Any = ("map", "tile", "unpack")
SCHEMES = {
    "int8": Scheme.int(8, axis=0, coding="huffman"),
    "int3": Scheme.int(3, coding="rans"),
    "int12": Scheme.int(12, axis=0, coding="rans"),
    "sparse": Scheme.int(4, group_size=64, sparse=True, coding="rans"),
    "raw": Scheme.int(8, axis=0),
    "planes": Scheme.lossless("f32"),
    "kept": Scheme(),
}
W = floats(160, 144)
W[np.abs(W) < 0.7] = 0


def chain(scheme: Scheme) -> GraphFile:
    """Two layers of one weight, one of another, and a table that is read by row and is an output too."""
    tensors = {"w": pack(W, scheme), "v": pack(floats(144, 160), scheme), "b": plain(floats(160))}
    tensors["i"] = plain(np.array([5, 0, 143], np.int64))
    nodes = [
        NodeSpec("Gemm", ["x", "w", "b"], ["a"], {"transB": 1, "clip_low": 0.0}),
        NodeSpec("MatMul", ["a", "w"], ["h"]),
        NodeSpec("Conv", ["image", "v4"], ["c"]),
        NodeSpec("Gather", ["v", "i"], ["rows"]),
        NodeSpec("Add", ["w", "one"], ["sum"]),
    ]
    tensors |= {"v4": pack(floats(32, 16, 3, 3) / 9, scheme), "one": plain(np.ones(1, np.float32))}
    inputs = {"x": (3, 144), "image": (1, 16, 9, 8)}
    return GraphFile(inputs, ["h", "c", "rows", "sum", "v"], nodes, tensors)  # type: ignore[arg-type]


X = {"x": floats(3, 144), "image": floats(1, 16, 9, 8)}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
@pytest.mark.parametrize("activations", ["float32", "int16"])
def test_the_same_answers(scheme: Scheme, activations: Any) -> None:
    data = chain(scheme).bytes()
    sessions = {load: Session(data, load=load, activations=activations) for load in LOADS}
    for _ in range(2):
        results = {load: session.run(X) for load, session in sessions.items()}
        for name, want in results["map"].items():
            assert results["tile"][name].tobytes() == want.tobytes(), name
            if activations == "float32":
                assert results["unpack"][name].tobytes() == want.tobytes(), name
            else:
                np.testing.assert_allclose(results["unpack"][name], want, rtol=0, atol=2e-4 * np.abs(want).max())


def test_tiles_take_less_memory_and_floats_more() -> None:
    """Eight layers: decoded at once, one at a time, or as floats."""
    layers = {f"w{i}": pack(floats(256, 256), Scheme.int(8, axis=0, coding="huffman")) for i in range(8)}
    nodes = [NodeSpec("Gemm", [f"h{i}" if i else "x", f"w{i}"], [f"h{i + 1}"]) for i in range(8)]
    data = GraphFile({"x": (1, 256)}, ["h8"], nodes, layers).bytes()
    x = {"x": floats(1, 256)}
    memory = {}
    for load in LOADS:
        session = Session(data, load=load)
        session.run(x)
        memory[load] = session.memory
    codes = 256 * 256
    assert 8 * codes <= memory["map"].decoded < 9 * codes
    assert memory["tile"].decoded < 16 << 10
    assert codes < memory["tile"].tile < 4 * codes
    assert memory["tile"].tile <= memory["tile"].arena
    assert memory["unpack"].decoded >= 8 * 4 * codes
    assert memory["unpack"].tile == 0


def test_floats_that_can_be_read_in_place_are_not_copied() -> None:
    weight = plain(floats(256, 256))
    data = GraphFile({"x": (1, 256)}, ["y"], [NodeSpec("Gemm", ["x", "w"], ["y"])], {"w": weight}).bytes()
    plan = Session(data).memory.total
    assert Session(data, load="unpack").memory.total < plan + 1024
    assert Session(data, load="unpack").memory.decoded == 0


def test_what_is_corrupt_is_found_when_it_is_read() -> None:
    """With the checksums off, opening sees no coded weight; each flipped byte gives an error or numbers, no more."""
    tensor = pack(floats(96, 96), Scheme.int(8, axis=0, coding="rans"))
    nodes = [NodeSpec("Gemm", ["x", "w"], ["y"], {"transB": 1})]
    file = GraphFile({"x": (1, 96)}, ["y"], nodes, {"w": tensor})
    data = bytearray(pack_file({"w": tensor}, file.section()))
    x = {"x": floats(1, 96)}
    want = Session(bytes(data)).run(x)["y"]
    seen = 0
    for at in range(len(data) - 5000, len(data), 97):
        data[at] ^= 0x55
        with pytest.raises(CorruptError):
            Session(bytes(data), load="tile")  # checked in full
        try:
            got = Session(bytes(data), load="tile", check="none").run(x)["y"]
        except CorruptError as error:
            assert "\n" not in str(error)
            seen += 1
        else:
            assert got.shape == want.shape
        data[at] ^= 0x55
    assert seen > 0


def test_arguments() -> None:
    with pytest.raises(ValueError, match="load must be"):
        Session(chain(SCHEMES["raw"]).bytes(), load="swap")  # type: ignore[arg-type]


def test_the_tensors_are_coded() -> None:
    """Else the tests above would test nothing."""
    for name in ("int8", "int3", "int12", "sparse"):
        held: PackedTensor = pack(W, SCHEMES[name])
        assert held.streams
        assert Session(chain(SCHEMES[name]).bytes()).memory.decoded > 4096
