"""Every packing kernel of every instruction set that this CPU runs equals its oracle bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitpress import _core
from bitpress.reference import packing, quantize

kernels = _core.kernels
every_isa = pytest.mark.parametrize("isa", _core.isas())
sizes = st.integers(0, 400)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
moderate = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
vectors = hnp.arrays(np.float32, st.integers(1, 100), elements=finite)


def bytes_of(draw: st.DrawFn, size: int, below: int = 256) -> np.ndarray:
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(0, below, size, dtype=np.uint8)


@st.composite
def codes(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    bits = draw(st.integers(1, 8))
    return bytes_of(draw, draw(sizes), 2**bits), bits


@st.composite
def masked(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Elements and a mask of as many bits."""
    size = draw(sizes)
    density = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    stored = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(size) < density
    return bytes_of(draw, size), packing.mask_of(stored)


@every_isa
@given(case=codes())
def test_pack_bits(isa: str, case: tuple[np.ndarray, int]) -> None:
    values, bits = case
    packed = kernels.pack_bits(isa, values, bits)
    assert packed.size == -(-values.size * bits // 8)
    np.testing.assert_array_equal(packed, packing.pack_bits(values, bits))


@every_isa
@given(case=codes(), data=st.data())
def test_unpack_bits_from_anywhere(isa: str, case: tuple[np.ndarray, int], data: st.DataObject) -> None:
    values, bits = case
    packed = packing.pack_bits(values, bits)
    first = data.draw(st.integers(0, values.size))
    count = data.draw(st.integers(0, values.size - first))
    np.testing.assert_array_equal(packing.unpack_bits(packed, values.size, bits), values)
    np.testing.assert_array_equal(kernels.unpack_bits(isa, packed, first, count, bits), values[first : first + count])


@every_isa
@given(bits=st.integers(9, 16), size=sizes, seed=st.integers(0, 99), data=st.data())
def test_wide_codes(isa: str, bits: int, size: int, seed: int, data: st.DataObject) -> None:
    values = np.random.default_rng(seed).integers(0, 2**bits, size, dtype=np.uint16)
    packed = packing.pack_bits(values, bits)
    np.testing.assert_array_equal(kernels.pack_wide(isa, values, bits), packed)
    np.testing.assert_array_equal(packing.unpack_bits(packed, size, bits), values)
    first = data.draw(st.integers(0, size))
    count = data.draw(st.integers(0, size - first))
    np.testing.assert_array_equal(kernels.unpack_wide(isa, packed, first, count, bits), values[first : first + count])


@every_isa
@given(x=vectors, bits=st.integers(9, 16), symmetric=st.booleans())
def test_quantize_to_wide_codes(isa: str, x: np.ndarray, bits: int, symmetric: bool) -> None:
    with np.errstate(over="ignore"):
        scale, zero = quantize.steps(x, bits, symmetric=symmetric)
    if not np.isfinite(scale):
        return
    scales, zeros = np.full(x.size, scale), np.full(x.size, zero)
    expected = quantize.quantize(x, scale, zero, int(symmetric), 2**bits - 1)
    np.testing.assert_array_equal(kernels.quantize_wide(isa, x, scales, zeros, int(symmetric), 2**bits - 1), expected)
    values = kernels.dequantize_wide(isa, expected, scales, zeros)
    with np.errstate(over="ignore"):
        assert values.tobytes() == quantize.dequantize(expected, scale, zero).tobytes()


@every_isa
@given(
    bits=st.integers(9, 16),
    split=st.integers(1, 3),
    size=sizes,
    seed=st.integers(0, 99),
    large=st.sampled_from([0.0, 0.02, 1.0]),
)
def test_join_wide(isa: str, bits: int, split: int, size: int, seed: int, large: float) -> None:
    rng = np.random.default_rng(seed)
    limit = 128 + (bits - 7 << split)
    symbols = np.where(rng.random(size) < large, rng.integers(128, limit, size), rng.integers(0, 128, size))
    raw = rng.integers(0, 256, rng.integers(0, 2 * size + 1), dtype=np.uint8)  # often too few: zeros follow
    middle, position = int(rng.integers(0, 2**bits)), 3
    codes, end = kernels.join_wide(isa, bits, middle, split, symbols.astype(np.uint8), raw, position)
    stream = int.from_bytes(raw.tobytes(), "little")
    for symbol, code in zip(map(int, symbols), codes, strict=True):
        u, width = symbol, 0
        if symbol >= 128:
            width = 7 - split + (symbol - 128 >> split)
            u = (2**split + (symbol - 128) % 2**split << width) + (stream >> position) % 2**width
        position += width
        assert code == (middle + (u // 2 if u % 2 == 0 else -(u + 1) // 2)) % 2**bits
    assert end == position


@every_isa
@given(x=vectors, bits=st.integers(1, 8), symmetric=st.booleans(), each=st.booleans())
def test_quantize_and_back(isa: str, x: np.ndarray, bits: int, symmetric: bool, each: bool) -> None:
    with np.errstate(over="ignore"):
        scale, zero = quantize.steps(x, bits, symmetric=symmetric)
    if not np.isfinite(scale):
        return
    low, high = (0 if bits == 1 or not symmetric else 1), 2**bits - 1
    scales, zeros = np.full(x.size if each else 1, scale), np.full(x.size if each else 1, zero)
    expected = quantize.quantize(x, scale, zero, low, high)
    np.testing.assert_array_equal(kernels.quantize(isa, x, scales, zeros, low, high), expected)
    values = kernels.dequantize(isa, expected, scales, zeros)
    with np.errstate(over="ignore"):
        assert values.tobytes() == quantize.dequantize(expected, scale, zero).tobytes()


@every_isa
@given(bits=st.integers(1, 8), vector=st.integers(1, 8), size=sizes, seed=st.integers(0, 99))
def test_look_up(isa: str, bits: int, vector: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    book = rng.standard_normal((2**bits, vector)).astype(np.float32)
    codes = rng.integers(0, 2**bits, size, dtype=np.uint8)
    np.testing.assert_array_equal(kernels.look_up(isa, codes, bits, vector, book), book[codes].reshape(-1))


@every_isa
@given(x=vectors, poison=st.sampled_from([None, np.nan, np.inf, -np.inf]), data=st.data())
def test_min_max(isa: str, x: np.ndarray, poison: float | None, data: st.DataObject) -> None:
    if poison is None:
        low, high, finite = kernels.min_max(isa, x)
        assert finite
        assert np.float32(low).tobytes() == (x.min() + np.float32(0)).tobytes()
        assert np.float32(high).tobytes() == (x.max() + np.float32(0)).tobytes()
    else:
        x[data.draw(st.integers(0, x.size - 1))] = poison
        assert not kernels.min_max(isa, x)[2]


@every_isa
@given(x=vectors, data=st.data())
def test_min_max_each(isa: str, x: np.ndarray, data: st.DataObject) -> None:
    other = data.draw(hnp.arrays(np.float32, x.size, elements=finite))
    low, high, finite_all = kernels.min_max_each(isa, x, other, other)
    assert finite_all
    assert low.tobytes() == (np.minimum(x, other) + np.float32(0)).tobytes()
    assert high.tobytes() == (np.maximum(x, other) + np.float32(0)).tobytes()
    x[data.draw(st.integers(0, x.size - 1))] = np.nan
    assert not kernels.min_max_each(isa, x, other, other)[2]


@every_isa
@given(case=masked())
def test_bitmaps(isa: str, case: tuple[np.ndarray, np.ndarray]) -> None:
    elements, mask = case
    survivors = packing.compress(elements, mask)
    np.testing.assert_array_equal(kernels.compress_bytes(isa, elements, mask), survivors)
    expected = packing.expand(survivors, mask, elements.size)
    np.testing.assert_array_equal(kernels.expand_bytes(isa, survivors, mask, elements.size), expected)
    filled = np.where(np.unpackbits(mask, count=elements.size, bitorder="little"), expected, 77)
    np.testing.assert_array_equal(kernels.expand_bytes(isa, survivors, mask, elements.size, 77), filled)
    assert kernels.count_bits(isa, mask) == survivors.size
    floats = elements.astype(np.float32) - 7
    stored = np.unpackbits(mask, count=elements.size, bitorder="little").astype(bool)
    cleared = kernels.clear_unmasked(isa, mask, floats)
    assert cleared.tobytes() == np.where(stored, floats, np.float32(0)).tobytes()


@every_isa
@given(x=hnp.arrays(np.float32, sizes, elements=st.sampled_from([0.0, -0.0, 1.0, 1e-45, np.nan, -np.inf])))
def test_mask_of_what_is_not_zero(isa: str, x: np.ndarray) -> None:
    np.testing.assert_array_equal(kernels.mask_nonzero(isa, x), packing.mask_of(x != 0))


@every_isa
@given(x=hnp.arrays(np.uint8, sizes, elements=st.sampled_from([0, 1, 128, 255])), value=st.sampled_from([0, 128, 255]))
def test_mask_of_what_is_another_byte(isa: str, x: np.ndarray, value: int) -> None:
    np.testing.assert_array_equal(kernels.mask_other(isa, x, value), packing.mask_of(x != value))


@every_isa
def test_every_half_float(isa: str) -> None:
    bits = np.arange(2**16, dtype="<u2")
    brain = kernels.bf16_to_f32(isa, bits.view(np.uint8))
    assert brain.tobytes() == (bits.astype(np.uint32) << 16).tobytes()
    binary = kernels.f16_to_f32(isa, bits.view(np.uint8))
    numbers = ~np.isnan(bits.view(np.float16))
    assert binary[numbers].tobytes() == bits[numbers].view(np.float16).astype(np.float32).tobytes()
    # NaN keeps its sign and payload, and is quiet.
    payload = bits[~numbers].astype(np.uint32)
    expected = (payload & 0x8000) << 16 | 0x7FC00000 | (payload & 0x3FF) << 13
    assert binary[~numbers].tobytes() == expected.tobytes()
