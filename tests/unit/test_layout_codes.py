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
            if name.endswith(" 40000") and name[0] in "3567":
                assert layout == (coding != "lzw")


@pytest.mark.parametrize("bits", [3, 5, 6, 7])
def test_it_is_smaller(bits: int) -> None:
    item = bp.pack(values(1 << 16), bp.Scheme.int(bits))
    packed = item.streams[Role.CODES]
    for coding in ("huffman", "rans"):
        plain = codings.encode_stream(packed, coding)[1]
        number, layout, stored = codings.encode_codes(packed, coding, bits, 1 << 16)
        assert layout == 1 and len(stored) < 0.97 * memoryview(plain).nbytes
        assert codings.decode_codes(stored, number, bits, 1 << 16) == bytes(packed)


def _streams_of_codes() -> dict[str, np.ndarray]:
    """Codes below 2^7 of every form that a chunk can have, over several chunks, ends inside bytes."""
    rng = np.random.Generator(np.random.PCG64(9))
    n = (1 << 20) + 262_144 + 77_773
    spread = rng.integers(0, 6, n) + rng.integers(0, 6, n) + rng.integers(0, 2, n)
    sparse = np.where(rng.integers(0, 10, n) > 0, 5, spread)
    rows = np.where(np.arange(n) // 320 % 3 == 0, spread, 3 + spread % 3)
    return {
        "spread": spread,
        "two": rng.integers(0, 2, n),
        "bitmap": np.where(rng.integers(0, 3, n) > 0, 5, spread),
        "gaps": sparse,
        "few": np.where(rng.integers(0, 3000, n) > 0, 5, spread),
        "half": np.where(rng.integers(0, 2, n) > 0, 5, 4 + spread % 3),
        "equal": np.full(n, 7),
        "noise": rng.integers(0, 128, n),
        "changing": np.concatenate([spread[: n // 2], np.full(n // 4, 3), rng.integers(0, 128, n - n // 2 - n // 4)]),
        "rows": rows,
        "one stream": spread[:1000],
        "few bytes": spread[:13],
    }


@pytest.mark.parametrize("kind", _streams_of_codes())
@pytest.mark.parametrize("coding", ["huffman", "rans"])
def test_every_form_of_chunk_is_packed_as_its_bytes_are(coding: str, kind: str) -> None:
    codes = _streams_of_codes()[kind].astype(np.uint8)
    frame = _core.encode(coding, codes, 1, 320 if kind == "rows" else 0)
    assert _core.decode(coding, frame) == codes.tobytes()
    least = int(codes.max()).bit_length()
    for bits in range(least, 8):
        want = _core.kernels.pack_bits("scalar", codes, bits)
        assert _core.decode_packed(coding, frame, bits, codes.size) == want.tobytes(), bits
    if least > 1:
        with pytest.raises(bp.CorruptError):
            _core.decode_packed(coding, frame, least - 1, codes.size)


@pytest.mark.parametrize("kind", ["spread", "gaps", "bitmap", "rows", "changing"])
@pytest.mark.parametrize("coding", ["huffman", "rans"])
def test_damage_is_refused_as_without_packing(coding: str, kind: str) -> None:
    """A frame that decodes to bytes is packed where all have few bits; any other is refused."""
    codes = _streams_of_codes()[kind].astype(np.uint8)[-70_000:]
    frame = bytearray(_core.encode(coding, codes, 1, 320 if kind == "rows" else 0))
    for bit in np.random.Generator(np.random.PCG64(3)).integers(0, 8 * len(frame), 60):
        frame[bit // 8] ^= 1 << bit % 8
        try:
            plain = np.frombuffer(_core.decode(coding, bytes(frame), codes.size), np.uint8)
        except bp.FormatError:
            plain = None
        if plain is not None and plain.size == codes.size and plain.max() < 16:
            want = _core.kernels.pack_bits("scalar", plain, 4).tobytes()
            assert _core.decode_packed(coding, bytes(frame), 4, codes.size) == want
        else:
            with pytest.raises(bp.FormatError):
                _core.decode_packed(coding, bytes(frame), 4, codes.size)
        frame[bit // 8] ^= 1 << bit % 8


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
    for coding in ("lzw", "planes"):
        with pytest.raises(ValueError, match="does not hold codes"):
            _core.encode_packed(coding, bytes(50), 4, 100)
        with pytest.raises(bp.CorruptError):
            _core.decode_packed(coding, _core.encode(coding, bytes(100)), 4, 100)
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
