"""bp.pack and unpack against the oracles: exact sizes, exact scales and codes, half a step, exact zeros."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bitpress as bp
from bitpress.dtypes import DTYPES, numpy_dtype
from bitpress.reference import packing, quantize
from bitpress.tensor import PackedTensor, Role, pack_bytes

DTYPE_NAMES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float64": np.float64}
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
usual = st.floats(-100, 100, width=16)
extreme = st.one_of(
    usual,
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-40, 2.0**-126, 0.5, 1.5, 2.5, -2.5, 1e30]),
)


@st.composite
def schemes(draw: st.DrawFn, rank: int) -> bp.Scheme:
    per = draw(st.sampled_from(["tensor", "group"] + ["axis"] * (rank > 0)))
    return bp.Scheme.int(
        draw(st.integers(1, 16)),
        symmetric=draw(st.booleans()),
        axis=draw(st.integers(0, rank - 1)) if per == "axis" else None,
        group_size=draw(st.integers(1, 40)) if per == "group" else None,
        sparse=draw(st.booleans()),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, bp.Scheme]:
    shape = draw(st.one_of(shapes, st.sampled_from([(300,), (2, 257), (5, 64, 3)])))
    values = draw(hnp.arrays(np.float32, shape, elements=draw(st.sampled_from([usual, extreme])), fill=st.just(0.0)))
    return values, draw(schemes(len(shape)))


def oracle(values: np.ndarray, scheme: bp.Scheme) -> dict[Role, np.ndarray]:
    """The streams that docs/format.md, section 4, says, by plain numpy."""
    integer = scheme.values
    assert isinstance(integer, bp.scheme.Integer)
    axis = integer.axis if integer.granularity == 1 else None
    group = integer.group_size if integer.granularity == 2 else None
    index = quantize.scale_index(values.shape, axis=axis, group_size=group).reshape(-1)
    flat = values.reshape(-1)
    scales = np.empty(int(index.max()) + 1 if index.size else 0, np.float32)
    zeros = np.empty_like(scales)
    for s in range(scales.size):
        scales[s], zeros[s] = quantize.steps(flat[index == s], integer.bits, symmetric=integer.symmetric)
    low = 1 if integer.symmetric and integer.bits > 1 else 0
    codes = quantize.quantize(flat, scales[index], zeros[index], low, 2**integer.bits - 1)
    streams = {Role.SCALES: scales}
    if not integer.symmetric:
        streams[Role.ZEROS] = zeros.astype(np.uint8 if integer.bits <= 8 else "<u2")
    if scheme.structure == 1:
        streams[Role.MASK] = packing.mask_of(flat != 0)
        codes = codes[flat != 0]
    return streams | {Role.CODES: packing.pack_bits(codes, integer.bits)}


@given(case=cases())
@example(case=(np.zeros((3, 4), np.float32), bp.Scheme.int(1)))
@example(case=(np.full(9, 1e-45, np.float32), bp.Scheme.int(8)))
@example(case=(np.linspace(-1, 1, 256, dtype=np.float32), bp.Scheme.int(8, symmetric=False)))
def test_streams_are_the_oracles(case: tuple[np.ndarray, bp.Scheme]) -> None:
    values, scheme = case
    tensor = bp.pack(values, scheme)
    expected = oracle(values, scheme)
    assert tensor.streams.keys() == expected.keys()
    for role, stream in expected.items():
        assert bytes(tensor.streams[role]) == stream.tobytes(), role.name
    report = tensor.report()
    bits = scheme.numbers[2]
    assert report.streams["codes"] == -(-tensor.survivors * bits // 8)
    assert tensor.nbytes == report.nbytes == sum(stream.nbytes for stream in expected.values())
    assert PackedTensor.from_codes(
        tensor.codes(), tensor.scales(), scheme, zeros=tensor.zeros(), mask=tensor.mask()
    ).streams == dict(tensor.streams)


@given(case=cases())
def test_half_a_step_and_exact_zeros(case: tuple[np.ndarray, bp.Scheme]) -> None:
    values, scheme = case
    tensor = bp.pack(values, scheme)
    integer = scheme.values
    axis = integer.axis if integer.granularity == 1 else None
    group = integer.group_size if integer.granularity == 2 else None
    scale = tensor.scales()[quantize.scale_index(values.shape, axis=axis, group_size=group)].astype(np.float64)
    back = tensor.unpack()
    assert back.dtype == values.dtype and back.shape == values.shape and np.isfinite(back).all()
    kept = values != 0 if scheme.structure == 1 else np.ones(values.shape, bool)
    error = np.abs(back.astype(np.float64) - values.astype(np.float64))
    # Rounding in float32 adds at most this part of a step to the half (docs/format.md, "How a scale is picked").
    slack = 2.0 ** (max(integer.bits, 8) - 21)
    assert (error <= scale * (0.5 + slack))[kept].all()
    has_zero = scheme.structure == 1 or not (integer.symmetric and integer.bits == 1)
    if has_zero:
        assert not back[values == 0].view(np.uint32).any()  # +0, bit for bit


@pytest.mark.parametrize("name", DTYPE_NAMES)
@given(data=st.data())
def test_every_floating_dtype(name: str, data: st.DataObject) -> None:
    dtype = np.dtype(DTYPE_NAMES[name])
    most = float(ml_dtypes.finfo(dtype).max) if name in ("float16",) else 2.0**100
    values = data.draw(hnp.arrays(np.float64, shapes, elements=st.floats(-most, most), fill=st.just(0.0))).astype(dtype)
    scheme = data.draw(schemes(values.ndim))
    back = bp.pack(values, scheme).unpack()
    assert back.dtype == dtype and back.shape == values.shape and np.isfinite(back.astype(np.float64)).all()
    # What float32 gives, rounded once to the dtype.
    wide = bp.pack(values.astype(np.float32), scheme).unpack().astype(np.float64)
    limit = float(ml_dtypes.finfo(dtype).max)
    np.testing.assert_array_equal(back, np.clip(wide, -limit, limit).astype(np.float32).astype(dtype))


@given(data=st.data(), sparse=st.booleans())
def test_kept_values_come_back_bit_for_bit(data: st.DataObject, sparse: bool) -> None:
    name = data.draw(st.sampled_from(sorted(DTYPES)))
    bits = DTYPES[name].bits
    shape = data.draw(shapes)
    size = -(-math.prod(shape) * bits // 8)
    raw = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), np.uint8)
    if bits % 8 and size:
        used = math.prod(shape) * bits % 8 or 8
        raw = np.concatenate([raw[:-1], raw[-1:] & ((1 << used) - 1)])
    scheme = bp.Scheme.lossless(sparse=sparse)
    if sparse and bits % 8:
        with pytest.raises(bp.SchemeError, match="not whole bytes"):
            pack_bytes(raw.data, name, shape, scheme)
        return
    tensor = pack_bytes(raw.data, name, shape, scheme)
    assert bytes(tensor.to_bytes()) == raw.tobytes()
    if sparse:
        width = bits // 8
        assert tensor.survivors == int((raw.reshape(-1, width) != 0).any(axis=1).sum())
        assert tensor.nbytes == tensor.survivors * width + -(-math.prod(shape) // 8)
    if DTYPES[name].numpy:
        array = tensor.unpack()
        assert array.dtype == numpy_dtype(name) and array.shape == shape and array.tobytes() == raw.tobytes()


@given(case=cases(), data=st.data())
def test_any_range_of_elements(case: tuple[np.ndarray, bp.Scheme], data: st.DataObject) -> None:
    values, scheme = case
    tensor = bp.pack(values, scheme)
    whole = tensor.floats()
    first = data.draw(st.integers(0, values.size))
    count = data.draw(st.integers(0, values.size - first))
    assert tensor.floats(first, count).tobytes() == whole[first : first + count].tobytes()
    kept = bp.pack(values, bp.Scheme.lossless(sparse=scheme.structure == 1))
    part = values.reshape(-1)[first : first + count]
    assert kept.floats(first, count).tobytes() == part.tobytes()
