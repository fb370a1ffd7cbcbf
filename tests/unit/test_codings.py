"""Every coding of the registry: round trips, stream fallback, limits and refusals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import pytest

import bitpress as bp
from bitpress import _core, codings

CODINGS = sorted(_core.CODINGS)
FRAMED = [name for name in CODINGS if name != "raw"]  # raw's bytes are the data: they claim nothing
SIZES = [0, 1, 2, 3, 7, 64, 255, 256, 1023, 1024, 1025, 4095, 16383, 16384, 131071, 131072, 131073, 262145, 400_000]


def _rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(7))


KINDS: dict[str, Callable[[int], np.ndarray]] = {
    "zeros": lambda n: np.zeros(n, np.uint8),
    "uniform": lambda n: _rng().integers(0, 256, n, dtype=np.uint8),
    "gaussian int8": lambda n: np.clip(np.round(_rng().normal(size=n) * 32), -127, 127).astype(np.int8),
    "gaussian int4": lambda n: np.clip(np.round(_rng().normal(size=n) * 2) + 8, 0, 15).astype(np.uint8),
    "90% zeros": lambda n: np.where(_rng().random(n) < 0.9, 0, _rng().integers(0, 256, n)).astype(np.uint8),
    "two symbols": lambda n: _rng().integers(0, 2, n, dtype=np.uint8) * 255,
    "one odd byte": lambda n: np.concatenate([np.zeros(max(n - 1, 0), np.uint8), np.full(min(n, 1), 9, np.uint8)]),
    "ramp": lambda n: np.arange(n).astype(np.uint8),
    "changing": lambda n: np.concatenate([np.zeros(n // 2, np.uint8), _rng().integers(0, 256, n - n // 2, np.uint8)]),
    "words": lambda n: np.resize(np.frombuffer(b"the quick brown fox jumps over the lazy dog; ", np.uint8), n),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coding", CODINGS)
def test_round_trip(coding: str, kind: str) -> None:
    for size in SIZES:
        data = KINDS[kind](size)
        blob = _core.encode(coding, data)
        assert _core.decoded_size(coding, blob) == size
        assert _core.decode(coding, blob) == data.tobytes(), size
        assert len(blob) <= size + 8 + 3 * (size // 131072 + 1), size
        assert _core.encode(coding, data.copy()) == blob


@pytest.mark.parametrize("coding", CODINGS)
def test_every_pair_of_bytes_round_trips(coding: str) -> None:
    data = bytes(range(256)) * 2 + bytes(i for pair in zip(range(256), reversed(range(256)), strict=True) for i in pair)
    for size in range(300):
        assert _core.decode(coding, _core.encode(coding, data[size:])) == data[size:]


def test_a_few_bytes_cost_a_few_bytes() -> None:
    for coding in (bp.huffman, bp.lzw):
        assert coding.encode(b"") == b"\0"
        assert len(coding.encode(b"x")) <= 6
        assert len(coding.encode(bytes(100_000))) <= 8


@pytest.mark.parametrize("coding", ["huffman", "lzw"])
def test_any_buffer(coding: str) -> None:
    coder = getattr(bp, coding)
    array = np.arange(6000, dtype=np.int32).reshape(30, 200) % 50
    want = coder.encode(array.tobytes())
    assert coder.encode(array) == coder.encode(bytearray(array.tobytes())) == coder.encode(memoryview(array)) == want
    assert coder.encode(np.asfortranarray(array)) == want  # row-major order, whatever the strides
    assert coder.encode(memoryview(array)[::2]) == coder.encode(array[::2]) == coder.encode(array[::2].tobytes())
    assert coder.decode(np.frombuffer(want, np.uint8)) == coder.decode(memoryview(want)) == array.tobytes()
    assert coder.encode(np.float32(1.5)) == coder.encode(np.float32(1.5).tobytes())
    for wrong in ("text", 3, None, np.array([object()])):
        with pytest.raises(TypeError):
            coder.encode(wrong)


@pytest.mark.parametrize("coding", ["huffman", "lzw"])
def test_max_size(coding: str) -> None:
    coder = getattr(bp, coding)
    blob = coder.encode(bytes(1000))
    assert coder.decode(blob, max_size=1000) == bytes(1000)
    with pytest.raises(bp.FormatError, match=rf"{coding}: 1000 decoded bytes, at most 999 allowed"):
        coder.decode(blob, max_size=999)
    with pytest.raises(ValueError, match="max_size"):
        coder.decode(blob, max_size=-1)


@pytest.mark.parametrize("coding", [*CODINGS, "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_streams_fall_back_to_raw(coding: str, kind: str) -> None:
    for size in (0, 1, 50, 5000):
        data = KINDS[kind](size)
        number, stored = codings.encode_stream(data, coding)
        size_of = {name: len(_core.encode(name, data)) for name in CODINGS}
        choices = {"raw", coding} if coding != "auto" else set(CODINGS)
        assert memoryview(stored).nbytes == min(size_of[name] for name in choices)
        if number != 0:
            assert memoryview(stored).nbytes < size  # a coding is only named where it pays
        assert codings.decode_stream(stored, number, size) == data.tobytes()


def test_streams_refuse() -> None:
    number, stored = codings.encode_stream(bytes(100), "huffman")
    with pytest.raises(bp.CorruptError, match="holds 100 bytes, not 99"):
        codings.decode_stream(stored, number, 99)
    with pytest.raises(bp.FormatError, match="coding number 99"):
        codings.decode_stream(stored, 99, 100)
    with pytest.raises(ValueError, match="zip"):
        codings.encode_stream(b"", "zip")
    with pytest.raises(ValueError, match="unknown coding"):
        _core.encode("zip", b"")


@pytest.mark.parametrize("coding", FRAMED)
@pytest.mark.parametrize("kind", KINDS)
def test_truncation_at_every_byte(coding: str, kind: str) -> None:
    blob = _core.encode(coding, KINDS[kind](2500))
    for end in range(len(blob)):
        with pytest.raises(bp.CorruptError):
            _core.decode(coding, blob[:end])
    with pytest.raises(bp.CorruptError):
        _core.decode(coding, blob + b"\0")


@pytest.mark.parametrize("coding", FRAMED)
@pytest.mark.parametrize("kind", ["gaussian int4", "90% zeros", "words", "uniform"])
def test_every_bit_flip_is_refused_or_gives_as_many_bytes(coding: str, kind: str) -> None:
    blob = bytearray(_core.encode(coding, KINDS[kind](1300)))
    for bit in range(8 * len(blob)):
        blob[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(bp.FormatError):
            assert len(_core.decode(coding, blob, 1 << 20)) == _core.decoded_size(coding, blob)
        blob[bit // 8] ^= 1 << bit % 8


def test_auto_keeps_a_stated_speed() -> None:
    rng = np.random.default_rng(1)
    codes = np.clip(np.rint(rng.standard_normal(200_000) * 20), -127, 127).astype(np.int8)
    smallest = codings.encode_stream(codes, "auto")
    assert codings.encode_stream(codes, "auto:0.1")[1] == smallest[1]
    number, stored = codings.encode_stream(codes, "auto:1000")
    assert (number, bytes(stored)) == (0, codes.tobytes())
    sizes = []
    for speed in ("0.5", "1.5", "2", "5"):
        number, stored = codings.encode_stream(codes, f"auto:{speed}")
        name = {number: name for name, number in codings.CODING_NUMBERS.items()}[number]
        size = memoryview(stored).nbytes
        assert codings.nominal_speed(name, codes.nbytes, size) >= float(speed)
        assert size <= codes.nbytes
        sizes.append(size)
    assert sizes == sorted(sizes)
    for wrong in ("auto:", "auto:-1", "auto:x", "huffman:2", "auto:1:2", "auto:nan"):
        with pytest.raises(ValueError, match="coding must be one of"):
            codings.encode_stream(b"", wrong)


@pytest.mark.parametrize("coding", CODINGS)
def test_decoding_needs_its_output_and_64_kib(coding: str) -> None:
    dictionary = 16 * 2**16 if coding == "lzw" else 0
    assert _core.decode_workspace(coding) <= 65536 + dictionary


@pytest.mark.parametrize("coding", CODINGS)
def test_encoding_needs_at_most_twice_the_chunk(coding: str) -> None:
    chunk = {"huffman": 1 << 18, "rans": 1 << 20, "lzw": 1 << 18, "planes": 1 << 18, "raw": 0}[coding]
    dictionary = 16 * 2**16 if coding == "lzw" else 0
    assert _core.encode_workspace(coding) <= 2 * chunk + dictionary
    counts = 24 * 2**16  # of wide codes, which take turns with the coding
    assert _core.wide_encode_workspace(coding) <= max(2 * chunk + dictionary, counts)


def test_every_coding_has_a_nominal_speed() -> None:
    for name in codings.CODING_NUMBERS:
        assert codings.nominal_speed(name, 1000, 500) > 0.1
        assert codings.nominal_speed(name, 0, 0) > 0.1
