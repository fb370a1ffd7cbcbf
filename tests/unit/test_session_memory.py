"""What a session takes of memory: weights stay packed, limits are kept, lifetimes bound the arena."""

from __future__ import annotations

import numpy as np
import pytest
from graph_file import GraphFile, NodeSpec, plain
from test_session import B1, W1, W2, floats, mlp

from bitpress.errors import MemoryLimitError
from bitpress.scheme import Scheme
from bitpress.session import Session
from bitpress.tensor import pack


@pytest.mark.parametrize("coding", ["raw", "huffman"])
def test_a_memory_limit_is_kept_or_refused_before_it_is_taken(coding: str) -> None:
    packed = pack(W1, Scheme.int(8, coding=coding))
    file = mlp(tensors={"w1": packed, "b1": plain(B1), "w2": plain(W2)})
    x = floats(2, 33)
    session = Session(file.bytes())
    result = session.run({"x": x})
    need = session.memory.total + sum(y.nbytes for y in result.values())
    limited = Session(file.bytes(), memory_limit=need)
    assert limited.run({"x": x})["y"].tobytes() == result["y"].tobytes()
    with pytest.raises(MemoryLimitError, match=rf"arena and results need \d+ bytes, the limit is {need}"):
        limited.run({"x": floats(200, 33)})
    assert limited.run({"x": x})["y"].tobytes() == result["y"].tobytes()  # it can go on
    with pytest.raises(MemoryLimitError, match=rf"results need {need} bytes, the limit is {need - 1}$"):
        Session(file.bytes(), memory_limit=need - 1).run({"x": x})
    weights = Session(file.bytes()).memory.total
    with pytest.raises(MemoryError, match=rf"the weights need {weights} bytes, the limit is {weights - 1}$"):
        Session(file.bytes(), memory_limit=weights - 1)


def test_weights_stay_packed() -> None:
    """Resident weights: the packed bytes, and one tile; a coded stream is held decoded, never dequantized."""
    w = floats(512, 512)
    x = floats(3, 512)
    for coding in ("raw", "huffman"):
        packed = {f"w{i}": pack(w, Scheme.int(4, axis=0, coding=coding)) for i in range(8)}  # type: ignore[arg-type]
        nodes = [NodeSpec("Gemm", [f"h{i}" if i else "x", f"w{i}"], [f"h{i + 1}"], {"transB": 1}) for i in range(8)]
        session = Session(GraphFile({"x": (3, 512)}, ["h8"], nodes, packed).bytes())
        session.run({"x": x})
        memory = session.memory
        streams = sum(sum(stream.nbytes for stream in tensor.streams.values()) for tensor in packed.values())
        assert memory.weights == streams
        assert memory.decoded <= streams
        assert (memory.decoded == 0) == (coding == "raw")
        assert 0 < memory.tile <= 65536
        # Two activations of 3 x 512 floats, and scratch: panels and tile.
        assert memory.arena < 2 * 3 * 512 * 4 + 65536 + 4096


def test_plain_weights_need_no_tile() -> None:
    session = Session(mlp().bytes())
    session.run({"x": floats(1, 33)})
    assert session.memory.tile == 0
    assert session.memory.weights == W1.nbytes + B1.nbytes + W2.nbytes
    assert session.memory.decoded == 0


def test_resident_memory_stays_near_the_packed_bytes(python) -> None:
    """Measured: 64 MB of weights as floats, 8 MB packed; running adds less than 4 MB to the process."""
    code = """
import resource, sys
sys.path.insert(0, "tests/unit")
import numpy as np
from bitpress.session import Session
from graph_file import GraphFile, NodeSpec
from bitpress.tensor import pack
from bitpress.scheme import Scheme
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
packed = pack(np.random.default_rng(0).standard_normal((4096, 4096), np.float32), Scheme.int(4, axis=0))
data = GraphFile({"x": (1, 4096)}, ["y"], [NodeSpec("Gemm", ["x", "w"], ["y"], {"transB": 1})], {"w": packed}).bytes()
del packed
hold = np.ones(peak() // 8)   # what was freed meanwhile must not hide what is taken now
before = peak()
session = Session(data)
y = session.run({"x": np.ones((1, 4096), np.float32)})["y"]
print(peak() - before, session.memory.weights)
"""
    added, weights = map(int, python(code).stdout.split())
    assert weights < 4096 * 4096 // 2 + 4096 * 4 + 1
    assert added < 4 << 20


def test_lifetimes_bound_the_arena() -> None:
    """A chain of 50 values needs the memory of two, whatever its length."""
    nodes = [NodeSpec("Add", ["x" if i == 0 else f"h{i}", "one"], [f"h{i + 1}"]) for i in range(49)]
    nodes.append(NodeSpec("Conv", ["h49", "w"], ["y"], {"pads": [1, 1, 1, 1]}))
    tensors = {"one": plain(np.ones(1, np.float32)), "w": plain(floats(4, 4, 3, 3))}
    file = GraphFile({"x": (1, 4, 64, 64)}, ["y"], nodes, tensors)
    session = Session(file.bytes())
    x = floats(1, 4, 64, 64)
    session.run({"x": x})
    assert session.memory.arena < 2 * x.nbytes + (300 << 10)
