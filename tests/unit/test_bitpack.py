"""Packed codes: both layouts against the oracle, every target dtype, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitpress as bp
from bitpress import _core
from bitpress.reference import packing

widths = pytest.mark.parametrize("bits", range(1, 9))


def codes_of(count: int, bits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**bits, count, dtype=np.uint8)


@given(count=st.integers(0, 3000), bits=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_both_layouts_equal_their_oracles(count: int, bits: int, seed: int) -> None:
    codes = codes_of(count, bits, seed)
    lanes, plain = bp.bitpack.pack(codes, bits, layout="lanes"), bp.bitpack.pack(codes, bits)
    np.testing.assert_array_equal(lanes, packing.pack_lanes(codes, bits))
    np.testing.assert_array_equal(plain, packing.pack_bits(codes, bits))
    np.testing.assert_array_equal(packing.unpack_lanes(lanes, count, bits), codes)
    np.testing.assert_array_equal(bp.bitpack.unpack(lanes, count, bits, layout="lanes"), codes)
    np.testing.assert_array_equal(bp.bitpack.unpack(plain.tobytes(), count, bits), codes)


@widths
@pytest.mark.parametrize("layout", bp.bitpack.LAYOUTS)
@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 9001])
def test_signed_and_float(bits: int, layout: bp.bitpack.Layout, count: int) -> None:
    codes = codes_of(count, bits)
    packed = bp.bitpack.pack(codes.astype(np.int64).reshape(-1, 1), bits, layout=layout)
    zero = 2 ** (bits - 1)
    signed = bp.bitpack.unpack(packed, count, bits, layout=layout, dtype=np.int8, zero=zero)
    assert signed.dtype == np.int8
    np.testing.assert_array_equal(signed, codes.astype(np.int16) - zero)
    scale = np.float32(0.37)
    floats = bp.bitpack.unpack(packed, count, bits, layout=layout, dtype="float32", scale=float(scale), zero=0.5)
    assert floats.tobytes() == (scale * (codes.astype(np.float32) - np.float32(0.5))).tobytes()


@pytest.mark.parametrize("isa", _core.isas())
def test_every_instruction_set_gives_the_same(isa: str) -> None:
    program = """if True:
        import hashlib, numpy as np, bitpress as bp
        from bitpress import _core
        digest = hashlib.sha256()
        for bits in range(1, 9):
            codes = np.random.default_rng(bits).integers(0, 2**bits, 5000, dtype=np.uint8)
            packed = bp.bitpack.pack(codes, bits, layout="lanes")
            digest.update(packed.tobytes())
            for dtype, scale, zero in (("uint8", 1.0, 0), ("int8", 1.0, 3), ("float32", 0.3, 1.5)):
                out = bp.bitpack.unpack(packed, 5000, bits, layout="lanes", dtype=dtype, scale=scale, zero=zero)
                digest.update(out.tobytes())
        print(_core.isa(), digest.hexdigest())
    """
    found = set()
    for name in ("scalar", isa):
        environment = {**os.environ, "BITPRESS_ISA": name}
        line = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        used, digest = line.stdout.split()
        assert used == name
        found.add(digest)
    assert len(found) == 1


def test_what_is_refused() -> None:
    codes = np.array([0, 1, 2, 3])
    for wrong in (np.array([4]), np.array([-1]), np.array([0, 2**40])):
        with pytest.raises(ValueError, match=r"codes of 2 bits are 0\.\.3"):
            bp.bitpack.pack(wrong, 2)
    with pytest.raises(TypeError, match="must be integers"):
        bp.bitpack.pack(np.ones(3), 2)
    for bits in (0, 9):
        with pytest.raises(ValueError, match=r"bits must be 1\.\.8"):
            bp.bitpack.pack(codes, bits)
        with pytest.raises(ValueError, match=r"bits must be 1\.\.8"):
            bp.bitpack.unpack(b"", 0, bits)
    with pytest.raises(ValueError, match="layout must be one of plain, lanes"):
        bp.bitpack.pack(codes, 2, layout="rows")  # type: ignore[arg-type]
    packed = bp.bitpack.pack(codes, 2)
    for count in (3 * 4, 0, 2**55, 2**63 - 1):
        with pytest.raises(ValueError):
            bp.bitpack.unpack(packed, count, 2)
    with pytest.raises(ValueError, match="count must be"):
        bp.bitpack.unpack(packed, -1, 2)
    with pytest.raises(ValueError, match="no codes of dtype float64"):
        bp.bitpack.unpack(packed, 4, 2, dtype=np.float64)
    with pytest.raises(ValueError, match="takes a scale"):
        bp.bitpack.unpack(packed, 4, 2, scale=2.0)
    with pytest.raises(ValueError, match="whole number from 0 to 255"):
        bp.bitpack.unpack(packed, 4, 2, dtype=np.int8, zero=0.5)
