"""Codes of 9 to 16 bits: packed, under each coding against the oracle, in a file, in a session, and what is refused."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress import _core, codings
from bitpress.container import Container, write
from bitpress.graph import Graph, Node, Value
from bitpress.model import Model
from bitpress.reference import wide
from bitpress.reference.frame import write_varint
from bitpress.tensor import PackedTensor, Role, TensorSpec

FRAMED = sorted(name for name in _core.CODINGS if name != "raw")


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(6))


def laplace(bits: int, n: int, scale: float = 3, outliers: float = 0.002) -> np.ndarray:
    """Codes near the middle, and some anywhere: what rate-aware rounding leaves."""
    values = np.round(rng().laplace(size=n, scale=scale))
    values = np.where(rng().random(n) < outliers, np.round(rng().uniform(-1, 1, n) * 2 ** (bits - 1)), values)
    return np.clip(values + 2 ** (bits - 1), 0, 2**bits - 1).astype(np.uint16)


KINDS = {
    "laplace": lambda bits, n: laplace(bits, n),
    "wide laplace": lambda bits, n: laplace(bits, n, 2 ** (bits - 4)),
    "uniform": lambda bits, n: rng().integers(0, 2**bits, n, dtype=np.uint16),
    "equal": lambda bits, n: np.full(n, 2**bits - 2, np.uint16),
    "the two ends": lambda bits, n: (rng().integers(0, 2, n) * (2**bits - 1)).astype(np.uint16),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coding", FRAMED)
def test_streams_are_the_oracles(coding: str, kind: str) -> None:
    for bits, n in [*itertools.product((9, 12, 16), (0, 1, 7, 700)), (11, 3000), (14, 66_000)]:
        codes = KINDS[kind](bits, n if coding == "huffman" or n < 60_000 else 4096)
        packed = _core.pack_codes(codes, bits)
        stream = _core.encode_packed(coding, packed, bits, codes.size)
        assert stream == wide.encode(codes.tolist(), coding, bits)
        assert wide.decode(stream, coding, bits) == codes.tolist()
        assert _core.decode_packed(coding, stream, bits, codes.size) == packed


@pytest.mark.parametrize("bits", range(9, 17))
def test_symbols_stand_for_every_code_once(bits: int) -> None:
    middle = 2**bits // 3
    values = [wide.value_of(code, middle, bits) for code in range(2**bits)]
    assert sorted(values) == list(range(2**bits))
    for split in (1, 2, 3):
        assert max(wide.symbol_of(u, split)[0] for u in values) == 127 + (bits - 7 << split) < 256
        assert max(wide.symbol_of(u, split)[1] for u in values) <= 14


@pytest.mark.parametrize(("bits", "scale"), [(12, 1.5), (12, 20), (12, 150), (14, 2), (16, 2000)])
def test_it_is_near_the_entropy_of_the_wide_alphabet(bits: int, scale: float) -> None:
    codes = laplace(bits, 1 << 20, scale, 0)
    counts = np.bincount(codes)
    share = counts[counts > 0] / codes.size
    entropy = float(-(share * np.log2(share)).sum()) * codes.size / 8
    stream = _core.encode_packed("rans", _core.pack_codes(codes, bits), bits, codes.size)
    assert len(stream) < 1.01 * entropy


@pytest.mark.parametrize("coding", [*FRAMED, "auto", "auto:0.5", "raw"])
def test_a_file_holds_them(coding: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    items = {}
    for bits, n, symmetric, sparse in itertools.product((9, 13, 16), (1, 5000), (True, False), (True, False)):
        values = (laplace(16, n).astype(np.float32) - 2**15).reshape(1, n)
        scheme = bp.Scheme.int(bits, symmetric=symmetric, sparse=sparse, group_size=3000, coding=coding)
        items[f"{bits} {n} {symmetric} {sparse}"] = bp.pack(values, scheme)
    write(path, [TensorSpec(k, "F32", item.shape, item.scheme) for k, item in items.items()], list(items.values()))
    with Container.open(path) as file:
        for name, item in items.items():
            back, stream = file.packed(name), file.tensors[name].streams[0]
            assert back.streams == item.streams and np.array_equal(back.unpack(), item.unpack())
            assert stream.layout == (2 if stream.coding else 0)
            if coding in FRAMED and " 5000 " in name and coding != "lzw":
                assert stream.coding == codings.CODING_NUMBERS[coding]
                assert stream.stored < 0.75 * stream.decoded


def test_codes_and_zeros_are_words() -> None:
    values = rng().normal(size=(6, 50)).astype(np.float32)
    tensor = bp.pack(values, bp.Scheme.int(12, axis=0, symmetric=False))
    assert tensor.codes().dtype == tensor.zeros().dtype == np.uint16 and tensor.codes().max() == 4095
    assert tensor.report().streams == {"codes": 450, "scales": 24, "zeros": 12}
    step = tensor.scales().reshape(6, 1)
    assert (np.abs(tensor.unpack() - values) <= step * (0.5 + 2.0**-9)).all()
    assert np.array_equal(step * (tensor.codes() - tensor.zeros().reshape(6, 1).astype(np.float32)), tensor.unpack())
    forged = {**tensor.streams, Role.ZEROS: memoryview(b"\0\x10" + bytes(10))}
    with pytest.raises(bp.CorruptError):
        PackedTensor("F32", (6, 50), tensor.scheme, forged).check()
    with pytest.raises(bp.SchemeError, match="codes of 12 bits"):
        PackedTensor.from_codes(np.full((1, 2), 4096, np.uint16), np.ones(1, np.float32), bp.Scheme.int(12))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("coding", ["huffman", "rans", "planes"])
def test_a_session_runs_from_them(coding: str, sparse: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.bp"
    values = rng().normal(size=(64, 80)).astype(np.float32)
    w = bp.pack(values, bp.Scheme.int(11, axis=0, sparse=sparse, coding=coding))
    graph = Graph(
        inputs=(Value("x", "F32", (-1, 80)),),
        outputs=(Value("y", "F32", (-1, 64)),),
        nodes=(Node("Gemm", "only", ("x", "w"), ("y",), {"transB": 1}),),
    )
    Model({"w": w}, graph).save(path)
    with Container.open(path) as file:
        assert file.tensors["w"].streams[0].layout == 2
    x = rng().normal(size=(2, 80)).astype(np.float32)
    assert np.allclose(bp.Session(path).run({"x": x})["y"], x @ w.unpack().T, rtol=1e-4, atol=1e-4)


# ---- hostile streams: of 12 bits, split 1, middle 5


def stream(symbols: bytes, *blocks: bytes, sizes: list[int] | None = None, head: bytes = b"\1\5\0") -> bytes:
    frame = _core.encode("huffman", symbols)
    entries = [len(block) for block in blocks] if sizes is None else sizes
    table = b"".join(size.to_bytes(3, "little") for size in entries)
    return head + write_varint(len(frame)) + frame + table + b"".join(blocks)


def decode(blob: bytes, count: int, bits: int = 12) -> list[int]:
    packed = _core.decode_packed("huffman", blob, bits, count)
    whole = int.from_bytes(packed, "little")
    return [whole >> bits * i & (1 << bits) - 1 for i in range(count)]


def test_the_builder_builds_what_is_accepted() -> None:
    # 128 is 128..191 and 6 raw bits.
    assert decode(stream(bytes([0, 1, 2, 127, 128, 128]), b"\x01\x08"), 6) == [5, 4, 6, 4037, 4036, 85]
    assert decode(stream(bytes([0]) * 65_537, b"", b""), 65_537) == [5] * 65_537
    assert decode(stream(b""), 0) == []


HOSTILE = {
    "nothing": (b"", 0),
    "no frame": (b"\1\5\0", 0),
    "split 0": (stream(b"abc", b"", head=b"\0\5\0"), 3),
    "split 4": (stream(b"abc", b"", head=b"\4\5\0"), 3),
    "a flag beside the split": (stream(b"abc", b"", head=b"\x11\5\0"), 3),
    "a middle of 13 bits": (stream(b"abc", b"", head=b"\1\0\x10"), 3),
    "fewer codes": (stream(b"abc", b""), 4),
    "more codes": (stream(b"abc", b""), 2),
    "a frame beyond the end": (b"\1\5\0\x7f" + stream(b"abc", b"")[4:], 3),
    "a frame too short": (b"\1\5\0\3" + stream(b"abc", b"")[4:], 3),
    "no table": (stream(b"abc"), 3),
    "a cut table": (stream(b"abc", b"")[:-1], 3),
    "a table too many": (stream(b"abc", b"", b""), 3),
    "a table too few": (stream(bytes(65_537), b""), 65_537),
    "a symbol for no code": (stream(bytes([138]), b"\0\0"), 1),
    "the last symbol": (stream(bytes([255]), b"\0\0"), 1),
    "no raw bits": (stream(bytes([128]), b""), 1),
    "too few raw bits": (stream(bytes([128, 128]), b"\0"), 2),
    "too many raw bits": (stream(bytes([128]), b"\0\0"), 1),
    "raw bits of none": (stream(bytes([127]), b"\0"), 1),
    "raw bits after the last": (stream(bytes([128]), b"\x40"), 1),
    "raw bits beyond the end": (stream(bytes([128]), b"\0", sizes=[2]), 1),
    "a huge block": (stream(bytes([128]), b"\0", sizes=[0xFFFFFF]), 1),
    "bytes after the raw bits": (stream(bytes([128]), b"\0") + b"\0", 1),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_streams_are_refused(case: str) -> None:
    blob, count = HOSTILE[case]
    with pytest.raises(bp.CorruptError):
        decode(blob, count)
    if case not in ("fewer codes", "more codes"):
        with pytest.raises(ValueError):
            wide.decode(blob, "huffman", 12)


@pytest.mark.parametrize("coding", FRAMED)
def test_truncation_is_refused_at_every_byte_and_flips_never_crash(coding: str) -> None:
    codes = laplace(13, 600, 100)
    packed = _core.pack_codes(codes, 13)
    whole = _core.encode_packed(coding, packed, 13, 600)
    for end in range(len(whole)):
        with pytest.raises(bp.FormatError):
            _core.decode_packed(coding, whole[:end], 13, 600)
    for at in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        try:
            assert len(_core.decode_packed(coding, bytes(flipped), 13, 600)) == len(packed)
        except bp.FormatError:
            continue


def test_arguments() -> None:
    with pytest.raises(ValueError, match="as many bytes"):
        _core.encode_packed("rans", bytes(50), 12, 34)
    for bits in (8, 17):
        with pytest.raises(ValueError, match="bits"):
            _core.decode_packed("rans", b"", bits, 0)
    assert (
        importlib.import_module("bitpress.report.statistics")
        .codes_histogram(memoryview(_core.pack_codes(np.array([1, 4000, 1], np.uint16), 12)), 12, 3)
        .counts[4000]
        == 1
    )
