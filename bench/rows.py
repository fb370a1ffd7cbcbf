"""The rows of bench/ratios.csv that are cheap enough for a test: data from seeds, sizes exact on every machine."""

from __future__ import annotations

import math

import numpy as np
from sizes import row

import bitpress as bp
from bitpress import _core

N = 1 << 18


def gaussian_codes(bits: int, seed: int = 1) -> np.ndarray:
    """N codes of a near-Gaussian over +-4 standard deviations: what a dense layer's weights look like, quantized.

    Sums of twelve uniform bytes, in whole numbers alone, so that every machine makes the same.
    """
    top = 2 ** (bits - 1) - 1
    total = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (N, 12)).sum(axis=1) - 1530
    return (np.clip((2 * total * top + 1024) // 2048, -top, top) + top + 1).astype(np.uint8)


def sparse_codes(zeros_of_16: int, seed: int = 1) -> np.ndarray:
    """8-bit Gaussian codes of which a share ``zeros_of_16 / 16`` is the middle one: what pruning leaves."""
    codes = gaussian_codes(8, seed)
    codes[np.random.Generator(np.random.PCG64(seed + 1)).integers(0, 16, N) < zeros_of_16] = 128
    return codes


def laplace_codes(bits: int, of_16: int, one_in: int, seed: int = 1) -> np.ndarray:
    """N codes of a two-sided geometric distribution, each magnitude ``of_16 / 16`` as likely as the one before, of
    which one in ``one_in`` (0: none) may be any: what rate-aware rounding leaves. In whole numbers alone.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = [1 << 40]
    while len(weights) < 2 ** (bits - 1) - 1 and weights[-1]:
        weights.append(weights[-1] * of_16 // 16)
    ends = np.cumsum(weights)
    magnitudes = np.searchsorted(ends, rng.integers(0, ends[-1], N), side="right")
    codes = 2 ** (bits - 1) + magnitudes * (2 * rng.integers(0, 2, N) - 1)
    if one_in:
        codes = np.where(rng.integers(0, one_in, N) == 0, rng.integers(0, 2**bits, N), codes)
    return codes.astype(np.uint16)


WIDE = {
    "laplace int12": (12, lambda seed=1: laplace_codes(12, 15, 0, seed)),
    "laplace int14, 1/1024 anywhere": (14, lambda seed=1: laplace_codes(14, 11, 1024, seed)),
}
DATA = {
    "gaussian int8": lambda: gaussian_codes(8),
    "gaussian int4": lambda: gaussian_codes(4),
    "sparse 15/16 int8": lambda: sparse_codes(15),
}


def entropy_bytes(codes: np.ndarray) -> int:
    """The order-0 entropy of the whole set in bytes: what no code of single symbols with one table goes below."""
    counts = [int(count) for count in np.bincount(codes) if count]
    return math.ceil(sum(count * math.log2(len(codes) / count) for count in counts) / 8)


for _name, _make in DATA.items():

    @row(f"{_name}, order-0 entropy")
    def _entropy(make=_make) -> tuple[int, int]:
        codes = make()
        return entropy_bytes(codes), codes.size

    @row(f"{_name}, huffman")
    def _huffman(make=_make) -> tuple[int, int]:
        codes = make()
        return len(bp.huffman.encode(codes)), codes.size

    @row(f"{_name}, rans")
    def _rans(make=_make) -> tuple[int, int]:
        codes = make()
        return len(bp.rans.encode(codes)), codes.size

    @row(f"{_name}, planes")
    def _planes(make=_make) -> tuple[int, int]:
        codes = make()
        return len(bp.planes.encode(codes)), codes.size

    @row(f"{_name}, lzw")
    def _lzw(make=_make) -> tuple[int, int]:
        codes = make()
        return len(bp.lzw.encode(codes)), codes.size


for _name, (_bits, _make) in WIDE.items():

    @row(f"{_name}, order-0 entropy")
    def _wide_entropy(make=_make) -> tuple[int, int]:
        return entropy_bytes(make()), 2 * N

    for _coding in ("huffman", "rans", "planes", "lzw"):

        @row(f"{_name}, {_coding}")
        def _wide(make=_make, bits=_bits, coding=_coding) -> tuple[int, int]:
            return len(_core.encode_packed(coding, _core.pack_codes(make(), bits), bits, N)), 2 * N


def spread_rows(seed: int = 1) -> np.ndarray:
    """8-bit Gaussian codes in 512 rows of four spreads: those of a matrix with one scale, whose rows are unlike."""
    spread = np.random.Generator(np.random.PCG64(seed + 1)).choice(np.array([2, 5, 12, 32]), (512, 1))
    codes = gaussian_codes(8, seed).reshape(512, 512).astype(np.int64) - 128
    return (codes * spread // 32 + 128).astype(np.uint8)


for _coding in ("huffman", "rans"):
    for _row, _how in ((0, "one table"), (512, "tables by rows")):

        @row(f"512 x 512 int8, rows of four spreads, {_coding}, {_how}")
        def _rows(coding=_coding, length=_row) -> tuple[int, int]:
            codes = spread_rows()
            return len(getattr(bp, coding).encode(codes, row=length)), codes.size


for _scheme in (
    bp.Scheme.int(8, axis=0),
    bp.Scheme.int(4, group_size=64),
    bp.Scheme.int(4, symmetric=False, group_size=64),
    bp.Scheme.int(1),
    bp.Scheme.int(4, axis=0, sparse=True),
    bp.Scheme.lossless(sparse=True, coding="huffman"),
):

    @row(f"512 x 512 float32, 7/8 zeros, {_scheme}, streams before coding")
    def _packed(scheme=_scheme) -> tuple[int, int]:
        values = (gaussian_codes(8).astype(np.float32) - 128) / 128
        values[np.random.Generator(np.random.PCG64(3)).integers(0, 8, N) > 0] = 0
        return bp.pack(values.reshape(512, 512), scheme).nbytes, values.nbytes


def activations(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """float32 noise that neighbours along every axis share a part of, with a third of each row cut off at zero.

    Whole numbers over 2^20, so that every machine makes the same.
    """
    values = np.random.Generator(np.random.PCG64(seed)).integers(-(2**20), 2**20, shape).astype(np.float64)
    for axis in range(len(shape)):
        values = values + np.roll(values, 1, axis)
    values[..., : shape[-1] // 3] = np.maximum(values[..., : shape[-1] // 3], 0)
    return (values / 2**20).astype(np.float32)


for _bound in (1e-2, 1e-3, 1e-4):

    @row(f"32 x 64 x 64 float32, like activations, bounded by {_bound:.0e} of the range")
    def _bounded(bound=_bound) -> tuple[int, int]:
        values = activations((32, 64, 64))
        return len(bp.bounded.encode(values, value_range=bound)), values.nbytes
