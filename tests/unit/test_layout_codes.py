"""Layout 1: codes that lie across bytes are coded one a byte, and packed when the coding is undone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress import _core, codings
from bitpress.container import Container, write
from bitpress.graph import Graph, Node, Value
from bitpress.model import Model
from bitpress.tensor import Role, TensorSpec


def values(n: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(4)).normal(size=n).astype(np.float32)


@pytest.mark.parametrize("coding", ["huffman", "rans", "lzw", "auto"])
@pytest.mark.parametrize("sparse", [False, True])
def test_round_trip(coding: str, sparse: bool, tmp_path: Path) -> None:
    path = tmp_path / "x"
    items = {
        f"{bits} {n}": bp.pack(values(n).reshape(1, n), bp.Scheme.int(bits, sparse=sparse, coding=coding))
        for bits in range(1, 9)
        for n in (1, 7, 4097, 40_000)
    }
    write(
        path, [TensorSpec(name, "F32", item.shape, item.scheme) for name, item in items.items()], list(items.values())
    )
    with Container.open(path) as file:
        for name, item in items.items():
            assert np.array_equal(file.packed(name).unpack(), item.unpack())
            layout = file.tensors[name].streams[0].layout
            assert layout == 0 or name[0] in "3567"
            if coding != "lzw" and name.endswith(" 40000") and name[0] in "3567":
                assert layout == 1


@pytest.mark.parametrize("bits", [3, 5, 6, 7])
def test_it_is_smaller(bits: int) -> None:
    item = bp.pack(values(1 << 16), bp.Scheme.int(bits))
    packed = item.streams[Role.CODES]
    for coding in ("huffman", "rans"):
        plain = codings.encode_stream(packed, coding)[1]
        number, layout, stored = codings.encode_codes(packed, coding, bits, 1 << 16)
        assert layout == 1 and len(stored) < 0.97 * memoryview(plain).nbytes
        assert codings.decode_codes(stored, number, bits, 1 << 16) == bytes(packed)


def test_refusals() -> None:
    frame = _core.encode("huffman", bytes([7, 8] * 50))
    assert _core.decode_packed("huffman", frame, 4, 100) == bytes([0x87] * 50)
    with pytest.raises(bp.CorruptError):
        _core.decode_packed("huffman", frame, 3, 100)  # 8 has four bits
    for count in (99, 101):
        with pytest.raises(bp.CorruptError):
            _core.decode_packed("huffman", frame, 4, count)
    with pytest.raises(bp.CorruptError):
        codings.decode_codes(frame[:-1], codings.CODING_NUMBERS["huffman"], 4, 100)
    with pytest.raises(bp.FormatError, match="99"):
        codings.decode_codes(frame, 99, 4, 100)
    for bits in (0, 8):
        with pytest.raises(ValueError, match="bits"):
            _core.decode_packed("huffman", frame, bits, 100)
        with pytest.raises(ValueError, match="bits"):
            _core.encode_packed("huffman", b"", bits, 0)
    with pytest.raises(ValueError, match="as many bytes"):
        _core.encode_packed("huffman", bytes(50), 4, 101)


@pytest.mark.parametrize("coding", ["huffman", "rans"])
def test_a_session_runs_from_it(coding: str, tmp_path: Path) -> None:
    path = tmp_path / "net.bp"
    w = bp.pack(values(64 * 80).reshape(64, 80), bp.Scheme.int(5, axis=0, coding=coding))
    graph = Graph(
        inputs=(Value("x", "F32", (-1, 80)),),
        outputs=(Value("y", "F32", (-1, 64)),),
        nodes=(Node("Gemm", "only", ("x", "w"), ("y",), {"transB": 1}),),
    )
    Model({"w": w}, graph).save(path)
    with Container.open(path) as file:
        assert file.tensors["w"].streams[0].layout == 1
    x = values(160).reshape(2, 80)
    assert np.allclose(bp.Session(path).run({"x": x})["y"], x @ w.unpack().T, rtol=1e-4, atol=1e-4)
