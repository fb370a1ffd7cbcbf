"""Packing, unpacking and quantizing, each width, beside numpy's bit functions and a compiled loop (numba).

GB/s is of plain data: codes (one byte each) for packing kernels, float32 for whole tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from peers import unpacker

import bitpress as bp
from bitpress import _core
from bitpress.reference import packing

N = 1 << 18  # codes: 256 KiB, in L2
rng = np.random.default_rng(0)
WEIGHTS = rng.standard_normal((1024, 1024)).astype(np.float32)
widths = pytest.mark.parametrize("bits", range(1, 9))


def codes_of(bits: int) -> np.ndarray:
    return rng.integers(0, 2**bits, N, dtype=np.uint8)


def run(benchmark: Any, size: int, function: Callable[..., Any], *arguments: Any, peer: str | None = None) -> Any:
    benchmark.extra_info["bytes"] = size
    if peer is not None:
        benchmark.extra_info["peer"] = peer
    return benchmark(function, *arguments)


def numba_loops() -> tuple[Callable[..., Any], Callable[..., Any], str]:
    """The plain loops over codes and bytes, compiled."""
    numba = pytest.importorskip("numba", reason="pip install numba")

    @numba.njit
    def pack(codes: np.ndarray, bits: int) -> np.ndarray:
        packed = np.zeros((codes.size * bits + 7) // 8, np.uint8)
        pending, held, at = np.uint64(0), 0, 0
        for code in codes:
            pending |= np.uint64(code) << np.uint64(held)
            held += bits
            while held >= 8:
                packed[at] = pending & np.uint64(255)
                pending >>= np.uint64(8)
                held -= 8
                at += 1
        if held:
            packed[at] = pending & np.uint64(255)
        return packed

    @numba.njit
    def unpack(packed: np.ndarray, n: int, bits: int) -> np.ndarray:
        codes = np.empty(n, np.uint8)
        mask = (1 << bits) - 1
        last = packed.size - 1
        for i in range(n):
            bit = i * bits
            at = bit >> 3
            pair = int(packed[at]) | (int(packed[min(at + 1, last)]) << 8)
            codes[i] = (pair >> (bit & 7)) & mask
        return codes

    return pack, unpack, f"numba {numba.__version__}"


@widths
@pytest.mark.parametrize("isa", _core.isas())
def test_unpack(benchmark: Any, bits: int, isa: str) -> None:
    benchmark.group = f"unpack {bits} bits to bytes"
    codes = codes_of(bits)
    packed = packing.pack_bits(codes, bits)
    np.testing.assert_array_equal(run(benchmark, N, _core.kernels.unpack_bits, isa, packed, 0, N, bits), codes)


@widths
@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_unpack_lanes(benchmark: Any, bits: int, dtype: str) -> None:
    """Into a new array, as all of these."""
    benchmark.group = f"unpack {bits} bits to bytes" if dtype != "float32" else f"unpack {bits} bits to float32"
    codes = codes_of(bits)
    packed = bp.bitpack.pack(codes, bits, layout="lanes")
    benchmark.extra_info["bytes"] = N
    values = benchmark(lambda: bp.bitpack.unpack(packed, N, bits, layout="lanes", dtype=dtype))
    np.testing.assert_array_equal(values.astype(np.uint8), codes)


def lanes(bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, str, str]:
    """Packed codes, the codes, room for them; the group, and the build of FastLanes that has ours' instructions."""
    held = _core.isa() == "avx2"  # by BITPRESS_ISA
    codes = codes_of(bits)
    packed = np.frombuffer(bp.bitpack.pack(codes, bits, layout="lanes"), np.uint8)
    group = f"unpack {bits} bits from lanes{', AVX2' if held else ''}"
    return packed, codes, np.empty_like(codes), group, "avx2" if held else "native"


@widths
def test_lanes_in_place(benchmark: Any, bits: int) -> None:
    """Into the same 256 KiB, which stay in L2."""
    packed, codes, out, benchmark.group, _ = lanes(bits)
    run(benchmark, N, _core.bitunpack, packed, out, bits, True)
    np.testing.assert_array_equal(out, codes)


@widths
def test_lanes_in_place_fastlanes(benchmark: Any, bits: int) -> None:
    packed, codes, out, benchmark.group, build = lanes(bits)
    run(benchmark, N, unpacker(build, packed, bits, out), peer="FastLanes")
    np.testing.assert_array_equal(out, codes)


@widths
def test_unpack_numpy(benchmark: Any, bits: int) -> None:
    benchmark.group = f"unpack {bits} bits to bytes"
    packed = packing.pack_bits(codes_of(bits), bits)
    run(benchmark, N, packing.unpack_bits, packed, N, bits, peer=f"numpy {np.__version__}")


@widths
def test_unpack_numba(benchmark: Any, bits: int) -> None:
    benchmark.group = f"unpack {bits} bits to bytes"
    _, unpack, peer = numba_loops()
    codes = codes_of(bits)
    np.testing.assert_array_equal(run(benchmark, N, unpack, packing.pack_bits(codes, bits), N, bits, peer=peer), codes)


@widths
@pytest.mark.parametrize("isa", _core.isas())
def test_pack(benchmark: Any, bits: int, isa: str) -> None:
    benchmark.group = f"pack bytes to {bits} bits"
    run(benchmark, N, _core.kernels.pack_bits, isa, codes_of(bits), bits)


@widths
def test_pack_numba(benchmark: Any, bits: int) -> None:
    benchmark.group = f"pack bytes to {bits} bits"
    pack, _, peer = numba_loops()
    codes = codes_of(bits)
    np.testing.assert_array_equal(run(benchmark, N, pack, codes, bits, peer=peer), packing.pack_bits(codes, bits))


SCHEMES = {
    "int8 per tensor": bp.Scheme.int(8),
    "int8 axis 0": bp.Scheme.int(8, axis=0),
    "int8 axis 1": bp.Scheme.int(8, axis=1),
    "int4 affine groups of 32": bp.Scheme.int(4, symmetric=False, group_size=32),
    "int4 bitmap": bp.Scheme.int(4, axis=0, sparse=True),
    "lossless bitmap": bp.Scheme.lossless(sparse=True),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_pack_a_tensor(benchmark: Any, name: str) -> None:
    benchmark.group = f"pack 1024x1024 float32 as {name}"
    array = np.where(np.abs(WEIGHTS) > 1.28, WEIGHTS, 0).astype(np.float32) if "bitmap" in name else WEIGHTS
    run(benchmark, array.nbytes, bp.pack, array, SCHEMES[name])


@pytest.mark.parametrize("name", SCHEMES)
def test_unpack_a_tensor(benchmark: Any, name: str) -> None:
    benchmark.group = f"unpack 1024x1024 float32 from {name}"
    array = np.where(np.abs(WEIGHTS) > 1.28, WEIGHTS, 0).astype(np.float32) if "bitmap" in name else WEIGHTS
    run(benchmark, array.nbytes, bp.pack(array, SCHEMES[name]).unpack)


def test_quantize_numpy(benchmark: Any) -> None:
    benchmark.group = "pack 1024x1024 float32 as int8 axis 0"

    def quantize() -> np.ndarray:
        scale = np.abs(WEIGHTS).max(axis=1, keepdims=True) / np.float32(127)
        return np.rint(WEIGHTS / scale).astype(np.int8)

    run(benchmark, WEIGHTS.nbytes, quantize, peer=f"numpy {np.__version__}")


def test_dequantize_numpy(benchmark: Any) -> None:
    benchmark.group = "unpack 1024x1024 float32 from int8 axis 0"
    scale = np.abs(WEIGHTS).max(axis=1, keepdims=True) / np.float32(127)
    codes = np.rint(WEIGHTS / scale).astype(np.int8)
    run(benchmark, WEIGHTS.nbytes, lambda: codes * scale, peer=f"numpy {np.__version__}")
