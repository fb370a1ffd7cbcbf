"""Byte planes: every dtype comes back bit for bit, in frames that are the oracle's; malformed frames are refused."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from third_reader import read

import bitpress as bp
from bitpress import _core
from bitpress.dtypes import DTYPES, array_bytes, stored_bytes
from bitpress.reference import planes as oracle
from bitpress.tensor import pack_bytes

FLOATS = {"bf16": ml_dtypes.bfloat16, "f16": np.float16, "f32": np.float32, "f64": np.float64}
CHUNK = 1 << 18


def weights(count: int, seed: int = 1) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).normal(scale=0.05, size=count)


def special(kind: str) -> np.ndarray:
    """Every pattern of the high 16 bits over some low ones: NaN with payloads, -0, denormals, infinities."""
    width = np.dtype(FLOATS[kind]).itemsize
    high = np.arange(65536, dtype=np.uint64) << np.uint64(8 * width - 16)
    low = np.resize(np.array([0, 1, 0x80, 0xFF7F], np.uint64), 65536)
    return (high | (low if width > 2 else np.uint64(0))).astype(f"<u{width}").view(FLOATS[kind])


@pytest.mark.parametrize("isa", _core.isas())
@pytest.mark.parametrize("kind", range(10))
def test_kernels_are_the_oracles(isa: str, kind: int) -> None:
    rng = np.random.Generator(np.random.PCG64(kind))
    width = oracle.WIDTHS[kind]
    for count in (0, 1, 31, 32, 33, 100, 161):
        data = rng.integers(0, 256, count * width, np.uint8)
        split = _core.kernels.split_planes(isa, kind, data)
        assert split.tobytes() == b"".join(oracle.split(data.tobytes(), kind))
        assert _core.kernels.join_planes(isa, kind, split).tobytes() == data.tobytes()


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000, 4099])
@pytest.mark.parametrize("kind", FLOATS)
def test_floats_are_the_oracles(kind: str, count: int) -> None:
    array = weights(count).astype(FLOATS[kind])
    frame = bp.planes.encode(array)
    number = {"bf16": 4, "f16": 1, "f32": 5, "f64": 6}[kind]
    assert frame == oracle.encode(array.tobytes(), number)
    assert bp.planes.decode(frame) == oracle.decode(frame) == array.tobytes()


@pytest.mark.parametrize("kind", FLOATS)
def test_every_bit_pattern_comes_back(kind: str) -> None:
    array = special(kind)
    assert bp.planes.decode(bp.planes.encode(array)) == array.tobytes()


@pytest.mark.parametrize("kind", FLOATS)
def test_several_chunks_and_an_odd_rest(kind: str) -> None:
    array = weights(3 * CHUNK // np.dtype(FLOATS[kind]).itemsize + 17).astype(FLOATS[kind])
    frame = bp.planes.encode(array)
    assert bp.planes.decode(frame) == array.tobytes()
    assert len(frame) < array.nbytes * {"bf16": 0.70, "f16": 0.88, "f32": 0.85, "f64": 0.93}[kind]
    out = np.empty_like(array)
    _core.decode_into("planes", frame, out.view(np.uint8))
    assert out.tobytes() == array.tobytes()


@pytest.mark.parametrize("count", [1000, 2048, 2049, 3 * 2048, 5 * 2048 + 31, CHUNK // 8 + 4000])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
def test_any_number_of_coded_planes(dtype: type, count: int) -> None:
    """Several are decoded into the output and sorted there, piece by piece: all of them, or with others between."""
    rng = np.random.Generator(np.random.PCG64(count))
    width = np.dtype(dtype).itemsize
    for kinds in ({0, 1}, {0, width - 1}, set(range(width)), set(range(1, width)), set(range(0, width, 2))):
        planes = rng.integers(0, 256, (count, width), np.uint8)
        planes[:, -2] = 7
        for k in kinds:
            planes[:, k] = rng.binomial(20, 0.5, count) + k
        array = planes.view(dtype).ravel()
        frame = bp.planes.encode(array)
        out = np.empty_like(array)
        _core.decode_into("planes", frame, out.view(np.uint8))
        assert out.tobytes() == oracle.decode(frame) == array.tobytes()


def test_floats_that_were_narrower_have_empty_planes() -> None:
    for narrow, share in (("bf16", 0.36), ("f16", 0.46)):
        array = weights(1 << 17).astype(FLOATS[narrow]).astype(np.float32)
        assert len(bp.planes.encode(array)) < share * array.nbytes
    doubles = weights(1 << 16).astype(np.float32).astype(np.float64)
    assert len(bp.planes.encode(doubles)) < 0.5 * doubles.nbytes


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64])
def test_small_integers_of_either_sign(dtype: type) -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    signed = np.issubdtype(dtype, np.signedinteger)
    small = rng.integers(-100 if signed else 0, 100, 20_000).astype(dtype)
    info = np.iinfo(dtype)
    for array in (small, np.abs(small), np.array([info.min, info.max, 0, info.max - 1], dtype)):
        frame = bp.planes.encode(array)
        assert bp.planes.decode(frame) == array.tobytes()
    assert len(bp.planes.encode(small)) < 20_100


def test_any_strides_and_byte_orders() -> None:
    array = weights(600).astype(np.float32).reshape(20, 30)
    assert bp.planes.decode(bp.planes.encode(array.T)) == array.T.tobytes()
    assert bp.planes.encode(array.astype(">f4")) == bp.planes.encode(array)
    assert bp.planes.encode(array.tobytes(), dtype="F32") == bp.planes.encode(array)


def test_what_encode_refuses() -> None:
    with pytest.raises(bp.ShapeError, match="7 bytes are not a whole number of F32 elements"):
        bp.planes.encode(bytes(7), dtype="F32")
    with pytest.raises(ValueError, match="dtype must be one of"):
        bp.planes.encode(bytes(8), dtype="float32")
    with pytest.raises(bp.UnsupportedError):
        bp.planes.encode(np.array(["a"]))
    with pytest.raises(ValueError, match="unknown kind"):
        _core.encode_planes(10, b"")
    with pytest.raises(ValueError, match="whole number"):
        _core.encode_planes(5, b"abc")


def entry(how: int, size: int, zero: int = 0) -> bytes:
    return (how | zero << 2 | size - 1 << 4).to_bytes(3, "little")


HUFFMAN = bp.huffman.encode(bytes(range(4)) * 40)
GOOD = b"\xc0\x02" + b"\x10" + entry(0, 160) + entry(2, len(HUFFMAN)) + bytes(160) + HUFFMAN  # 160 elements of 2 bytes
HOSTILE: dict[str, bytes] = {
    "no head": b"\x04",
    "no table": b"\x04\x10",
    "a kind that is none": b"\x08\xa0" + entry(1, 1) * 8 + bytes(8),
    "chunks of 2^19": b"\x01\x07" + entry(0, 1) + b"x",
    "half an element": b"\x03\x10" + entry(1, 1) * 2 + b"ab",
    "a bit that is zero": b"\x04\x10" + entry(1, 1, 1) + entry(1, 1) + b"ab",
    "a plane cut off": b"\x04\x10" + entry(0, 2) + entry(0, 2) + b"abc",
    "bytes after the planes": b"\x04\x10" + entry(0, 2) + entry(0, 2) + b"abcde",
    "bytes after an empty frame": b"\x00\x10",
    "a stored plane too long": b"\x04\x10" + entry(0, 3) + entry(1, 1) + b"abcd",
    "a filled plane too long": b"\x04\x10" + entry(1, 2) + entry(1, 1) + b"abc",
    "a frame of another length": GOOD[:1] + b"\x04" + GOOD[2:],
    "a coded plane no shorter": b"\x08\x10" + entry(2, 6) + entry(1, 1) + bp.huffman.encode(b"abcd") + b"x",
    "an empty coded plane": b"\x10\x10" + entry(2, 1) + entry(1, 1) + b"\x00x",
    "a frame under the wrong coding": GOOD[:6] + entry(3, len(HUFFMAN)) + GOOD[9:],
    "a claim of 2^47": b"\x80\x80\x80\x80\x80\x80\x20\x16" + entry(1, 1) * 2 + b"ab",
}


def test_a_frame_put_together_by_hand() -> None:
    assert bp.planes.decode(GOOD) == oracle.decode(GOOD) == bytes(b for k in range(160) for b in (0, k % 4))


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_frames_are_refused(what: str) -> None:
    with pytest.raises(bp.FormatError):
        bp.planes.decode(HOSTILE[what])
    with pytest.raises(ValueError):
        oracle.decode(HOSTILE[what])


def test_truncation_is_refused_at_every_byte() -> None:
    frame = bp.planes.encode(weights(300).astype(np.float32))
    for size in range(len(frame)):
        with pytest.raises(bp.FormatError):
            bp.planes.decode(frame[:size])


def test_changed_frames_never_give_another_length() -> None:
    array = weights(400).astype(ml_dtypes.bfloat16)
    frame = bp.planes.encode(array)
    for bit in range(8 * len(frame)):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            wanted: bytes | None = oracle.decode(bytes(changed)) if bit >= 16 else None
        except ValueError:
            with pytest.raises(bp.FormatError):
                bp.planes.decode(bytes(changed))
            continue
        if wanted is not None:
            assert bp.planes.decode(bytes(changed)) == wanted and len(wanted) == array.nbytes


@pytest.mark.parametrize("sparse", [False, True])
def test_every_dtype_in_a_file(tmp_path: Path, sparse: bool) -> None:
    rng = np.random.Generator(np.random.PCG64(4))
    tensors, sources = {}, {}
    for name, dtype in DTYPES.items():
        if sparse and dtype.bits % 8:
            continue
        data = rng.integers(0, 3, stored_bytes(name, (5, 333, 4)), np.uint8).tobytes()
        sources[name] = data
        tensors[name] = pack_bytes(data, name, (5, 333, 4), bp.Scheme.lossless(name.lower(), sparse=sparse))
    path = tmp_path / "all.safetensors"
    bp.Model(tensors).save(path)
    opened, third = bp.load(path), read(path.read_bytes())
    for name, data in sources.items():
        assert opened.tensors[name].to_bytes() == data, name
        assert third.tensors[name].data == data, name
        assert opened.tensors[name].scheme.coding == "planes"


def test_the_kind_is_checked() -> None:
    array = weights(8).astype(np.float32)
    for kind in (None, "f32", "F32"):
        assert bp.pack(array, bp.Scheme.lossless(kind)).unpack().tobytes() == array.tobytes()
    with pytest.raises(bp.SchemeError, match="w: F32 elements under a scheme for bf16"):
        bp.pack(array, bp.Scheme.lossless("bf16"), name="w")
    with pytest.raises(bp.SchemeError, match="no kind of values 'float': it is one of fp8, bool"):
        bp.Scheme.lossless("float")
    bp.pack(array.astype(ml_dtypes.float8_e5m2), bp.Scheme.lossless("fp8"))
    bp.pack(array.astype(np.int64), bp.Scheme.lossless("int64"))
    assert str(bp.Scheme.lossless("bf16")) == "keep bf16 + planes"


@pytest.mark.parametrize("kind", FLOATS)
def test_bytes_as_array_bytes_say(kind: str) -> None:
    array = weights(64).astype(FLOATS[kind])
    assert bp.planes.decode(bp.planes.encode(array)) == bytes(array_bytes(array))
