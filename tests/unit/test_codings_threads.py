"""Threads of the lossless codings: the same bytes, the same errors, for any number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_codings import KINDS

import bitpress as bp

CODERS: dict[str, Any] = {"huffman": bp.huffman, "rans": bp.rans, "lzw": bp.lzw, "planes": bp.planes}
MIXED = np.concatenate(
    [make(400_000 + 70_000 * i) for i, make in enumerate(KINDS.values())], dtype=np.uint8, casting="unsafe"
)


@pytest.mark.parametrize("threads", [2, 3, 64, 1000, 0])
@pytest.mark.parametrize("name", CODERS)
def test_any_number_gives_the_same_bytes(name: str, threads: int) -> None:
    coder = CODERS[name]
    blob = coder.encode(MIXED)
    assert coder.encode(MIXED, threads=threads) == blob
    assert coder.decode(blob, threads=threads) == MIXED.tobytes()
    out = np.zeros_like(MIXED)
    assert coder.decode(blob, out=out, threads=threads) is out
    assert np.array_equal(out, MIXED)


@pytest.mark.parametrize("name", CODERS)
def test_a_table_that_does_not_pay_is_left_out_by_any_number(name: str) -> None:
    # Unlike halves: chunks refer to the shared table, or have their own, in one part of the work and not in another.
    data = np.concatenate([KINDS["gaussian int4"](1_500_000), KINDS["uniform"](1_500_000), KINDS["zeros"](700_000)])
    blob = CODERS[name].encode(data.astype(np.uint8))
    for threads in (2, 5):
        assert CODERS[name].encode(data.astype(np.uint8), threads=threads) == blob


def test_whoever_takes_the_first_chunk() -> None:
    # What rANS found out about it, for the shared tables, is in the first worker's memory alone.
    rng = np.random.Generator(np.random.PCG64(6))
    data = np.where(rng.random(3_500_000) < 0.9, 0, rng.integers(0, 256, 3_500_000)).astype(np.uint8)
    blob = bp.rans.encode(data)
    for threads in (2, 3, 4) * 5:
        assert bp.rans.encode(data, threads=threads) == blob


@pytest.mark.parametrize("dtype", ["BF16", "F32", "F64"])
def test_planes_of_wide_elements(dtype: str) -> None:
    data = np.random.default_rng(3).standard_normal(500_000).tobytes()
    blob = bp.planes.encode(data, dtype=dtype)
    assert bp.planes.encode(data, dtype=dtype, threads=3) == blob
    assert bp.planes.decode(blob, threads=3) == data


@pytest.mark.parametrize("name", CODERS)
def test_damage_is_told_as_by_one_thread(name: str) -> None:
    coder = CODERS[name]
    blob = bytearray(coder.encode(MIXED))

    def told(decode: Callable[[], Any]) -> str:
        try:
            return "decoded" if decode() is not None else ""
        except bp.CorruptError as error:
            return str(error)

    rng = np.random.default_rng(5)
    cut = [bytes(blob[:size]) for size in rng.integers(0, len(blob), 20)]
    flipped = []
    for at in rng.integers(8, len(blob), 40):
        damaged = bytearray(blob)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        flipped.append(bytes(damaged))
    for bad in [*cut, *flipped, bytes(blob) + b"\0"]:
        assert told(lambda bad=bad: coder.decode(bad, threads=3)) == told(lambda bad=bad: coder.decode(bad))


@pytest.mark.parametrize("name", CODERS)
def test_a_negative_number_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="threads must not be negative, not -1"):
        CODERS[name].encode(b"x", threads=-1)
    with pytest.raises(ValueError, match="threads must not be negative, not -1"):
        CODERS[name].decode(CODERS[name].encode(b"x"), threads=-1)


def test_planes_fill_a_buffer() -> None:
    data = np.arange(3000, dtype=np.float32)
    blob = bp.planes.encode(data)
    out = np.empty_like(data)
    assert bp.planes.decode(blob, out=out) is out
    assert np.array_equal(out, data)
    with pytest.raises(ValueError, match="of 12000 bytes"):
        bp.planes.decode(blob, out=np.empty(2999, np.float32))
