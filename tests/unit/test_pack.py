"""bp.pack: odd inputs, what is refused and how, reports, and streams that lie."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import bitpress as bp
from bitpress.tensor import PackedTensor, Role, pack_bytes

rng = np.random.default_rng(3)
weights = rng.standard_normal((6, 10)).astype(np.float32)
INT4 = bp.Scheme.int(4, axis=0)
BOOK = bp.Scheme.codebook(4, vector=2, axis=0)


@pytest.mark.parametrize(
    "view",
    [
        weights[::2, ::-1],
        weights.T,
        np.asfortranarray(weights),
        weights.astype(">f4"),
        weights.astype(">f8"),
        np.broadcast_to(weights[0], (3, 10)),
        weights.tolist(),
    ],
    ids=["strided", "transposed", "fortran", "big-endian", "big-endian f8", "broadcast", "list"],
)
@pytest.mark.parametrize("scheme", [INT4, bp.Scheme(), bp.Scheme.lossless(sparse=True)], ids=str)
def test_any_layout_of_memory(view: object, scheme: bp.Scheme) -> None:
    array = np.array(view)
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="))
    assert bp.pack(view, scheme).streams == bp.pack(plain, scheme).streams
    back = bp.pack(view, scheme).unpack()
    assert back.shape == plain.shape and back.dtype == plain.dtype
    if scheme != INT4:
        np.testing.assert_array_equal(back, plain)


def test_the_result_owns_its_bytes() -> None:
    array = weights.copy()
    tensor = bp.pack(array)
    array[:] = 0
    np.testing.assert_array_equal(tensor.unpack(), weights)
    frozen = weights.copy()
    frozen.flags.writeable = False
    assert np.shares_memory(np.asarray(bp.pack(frozen).streams[Role.DATA]), frozen)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_not_finite_is_refused_by_name(bad: float, dtype: type) -> None:
    array = weights.astype(dtype)
    array[4, 7] = bad
    for scheme in (INT4, bp.Scheme.int(8, sparse=True), bp.Scheme.int(3, axis=1), bp.Scheme.int(2, group_size=3)):
        with pytest.raises(bp.SchemeError, match=r"^fc\.weight: NaN or infinity"):
            bp.pack(array, scheme, name="fc.weight")
    assert bp.pack(array, bp.Scheme.lossless(sparse=True)).unpack().tobytes() == array.tobytes()


def test_magnitudes_out_of_range() -> None:
    with pytest.raises(bp.SchemeError, match=r"^w: a magnitude is over float32's range"):
        bp.pack(np.array([1e39, 1.0]), INT4, name="w")
    for huge in (3e38, -3e38):
        with pytest.raises(bp.SchemeError, match=r"^w: a magnitude is too large for int2"):
            bp.pack(np.array([huge, 1.0], np.float32), bp.Scheme.int(2), name="w")
    with pytest.raises(bp.SchemeError, match="too large"):
        bp.pack(np.array([-1.7e38, 1.7e38], np.float32), bp.Scheme.int(4, symmetric=False))
    fine = np.array([1.6e38, -1.6e38, 0.0], np.float32)
    assert np.isfinite(bp.pack(fine, bp.Scheme.int(8)).unpack()).all()


def test_denormals_keep_half_a_step() -> None:
    tiny = np.array([1e-45, -3e-42, 1.1e-38, 0], np.float32)
    tensor = bp.pack(tiny, bp.Scheme.int(8))
    assert tensor.scales().tolist() == [2.0**-126]
    assert (np.abs(tensor.unpack().astype(np.float64) - tiny) <= 2.0**-127).all()


def test_half_floats_at_the_end_of_their_range_stay_finite() -> None:
    edge = np.array([65504, -65504, 65000, 0], np.float16)
    for bits in (2, 3, 5, 8, 12, 16):
        assert np.isfinite(bp.pack(edge, bp.Scheme.int(bits, symmetric=False)).unpack()).all()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "complex64", ml_dtypes.float8_e4m3fn])
def test_integer_values_are_for_floats(dtype: str) -> None:
    array = np.ones(4).astype(dtype)
    with pytest.raises(bp.SchemeError, match=r"^n: codes stand for F16, BF16, F32, F64, not"):
        bp.pack(array, INT4, name="n")
    assert bp.pack(array).unpack().tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array(["a"]), "^n: dtype <U1 cannot be stored"),
        (np.array([None]), "^n: dtype object cannot be stored"),
        (np.array([1 + 2j]), "^n: dtype complex128 cannot be stored"),
        (np.array(["2026-01-01"], "datetime64[D]"), "^n: dtype datetime64"),
        (np.zeros(2, [("x", "f4")]), "^n: dtype"),
    ],
)
def test_dtypes_that_cannot_be_stored(array: np.ndarray, reason: str) -> None:
    with pytest.raises(bp.UnsupportedError, match=reason):
        bp.pack(array, name="n")


def test_schemes_that_do_not_fit() -> None:
    with pytest.raises(bp.SchemeError, match=r"^n: no axis 2 in a tensor of 2 dimensions"):
        bp.pack(weights, bp.Scheme.int(axis=2), name="n")
    with pytest.raises(bp.SchemeError, match="no axis 0 in a tensor of 0 dimensions"):
        bp.pack(np.float32(1), INT4)
    with pytest.raises(bp.ShapeError, match=r"^n: 9 dimensions, at most 8"):
        bp.pack(np.zeros((1,) * 9), name="n")
    with pytest.raises(bp.ShapeError, match="3 bytes for F32"):
        pack_bytes(b"abc", "F32", (1,), bp.Scheme())
    for bits in (0, 17, -1):
        with pytest.raises(bp.SchemeError, match=r"bits must be 1\.\.16"):
            bp.Scheme.int(bits)
    for size in (0, -3, 2**32):
        with pytest.raises(bp.SchemeError, match="group_size"):
            bp.Scheme.int(group_size=size)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 5), (0, 2**40), (1,), (1, 1, 1)])
def test_shapes_without_or_with_one_element(shape: tuple[int, ...]) -> None:
    array = np.full(shape, -2.5, np.float32)
    for scheme in (bp.Scheme.int(5), bp.Scheme.int(8, group_size=7, sparse=True), bp.Scheme.lossless(sparse=True)):
        tensor = bp.pack(array, scheme)
        np.testing.assert_allclose(tensor.unpack(), array, rtol=1e-6)
        if array.size == 0:
            assert tensor.nbytes == 0 and tensor.report().bits_per_weight == 0


def test_one_bit() -> None:
    dense = bp.pack(np.array([2.0, -1.0, 0.5, -2.0], np.float32), bp.Scheme.int(1))
    assert dense.unpack().tolist() == [1.0, -1.0, 1.0, -1.0]
    ternary = bp.pack(np.array([2.0, 0.0, -0.0, -2.0], np.float32), bp.Scheme.int(1, sparse=True))
    assert ternary.unpack().tolist() == [1.0, 0.0, 0.0, -1.0]


def test_the_report_counts_every_byte() -> None:
    sparse = np.where(np.abs(weights) > 1, weights, 0).astype(np.float32)
    tensor = bp.pack(sparse, bp.Scheme.int(4, symmetric=False, axis=0, sparse=True))
    report = tensor.report(sparse)
    survivors = np.count_nonzero(sparse)
    assert report.streams == {"codes": -(-survivors // 2), "mask": 8, "scales": 24, "zeros": 6}
    assert report.nbytes == tensor.nbytes == sum(report.streams.values())
    assert report.bits_per_weight == 8 * report.nbytes / 60
    assert report.max_error == pytest.approx(float(np.abs(tensor.unpack() - sparse).max()))
    text = str(report)
    assert "F32 6x10 as bitmap + int4 affine axis 0" in text and f"{survivors} of 60 elements stored" in text
    assert all(f"{role:<7}" in text for role in report.streams)
    with pytest.raises(bp.ShapeError):
        tensor.report(sparse[0])


def test_unpack_into() -> None:
    tensor = bp.pack(weights, INT4)
    out = np.empty_like(weights)
    assert tensor.unpack(out) is out
    np.testing.assert_array_equal(out, tensor.unpack())
    for wrong in (np.empty((10, 6), np.float32), np.empty((6, 10))):
        with pytest.raises(bp.ShapeError):
            tensor.unpack(wrong)


SPARSE = np.where(np.abs(weights) > 1, weights, 0).astype(np.float32)
HOSTILE = {
    "scale 0": (Role.SCALES, lambda b: b"\0\0\0\0" + b[4:]),
    "scale negative": (Role.SCALES, lambda b: np.float32(-1).tobytes() + b[4:]),
    "scale NaN": (Role.SCALES, lambda b: np.float32(np.nan).tobytes() + b[4:]),
    "scale infinite": (Role.SCALES, lambda b: np.float32(np.inf).tobytes() + b[4:]),
    "scale too large": (Role.SCALES, lambda b: np.float32(3e38).tobytes() + b[4:]),
    "scales short": (Role.SCALES, lambda b: b[:-1]),
    "scales long": (Role.SCALES, lambda b: b + bytes(4)),
    "zero over its codes": (Role.ZEROS, lambda b: b"\x08" + b[1:]),
    "zeros short": (Role.ZEROS, lambda b: b[1:]),
    "codes short": (Role.CODES, lambda b: b[:-1]),
    "codes long": (Role.CODES, lambda b: b + b"\0"),
    "mask short": (Role.MASK, lambda b: b[:-1]),
    "mask of all": (Role.MASK, lambda b: b"\xff" * (len(b) - 1) + b"\x0f"),
    "mask past its end": (Role.MASK, lambda b: b[:-1] + bytes([b[-1] | 128])),
    "data as well": (Role.DATA, lambda b: b"x"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_streams_that_lie_are_refused(case: str) -> None:
    good = bp.pack(SPARSE, bp.Scheme.int(3, symmetric=False, axis=0, sparse=True))
    good.check()
    role, forge = HOSTILE[case]
    streams = {**good.streams, role: memoryview(forge(bytes(good.streams.get(role, b""))))}
    forged = PackedTensor(good.dtype, good.shape, good.scheme, streams)
    for use in (forged.check, forged.unpack, forged.codes, forged.floats, forged.mask):
        with pytest.raises(bp.CorruptError):
            use()


def test_unused_bits_must_be_zero() -> None:
    tensor = bp.pack(weights.reshape(-1)[:3], bp.Scheme.int(3))
    codes = bytes(tensor.streams[Role.CODES])
    forged = PackedTensor("F32", (3,), tensor.scheme, {**tensor.streams, Role.CODES: memoryview(codes[:1] + b"\xff")})
    with pytest.raises(bp.CorruptError):
        forged.unpack()


@pytest.mark.parametrize("shape", [(2**62, 4), (2**31, 2**31, 2), (2**60,), (2**61,), (2**40, 2**20)])
@pytest.mark.parametrize("scheme", [bp.Scheme(), INT4, bp.Scheme.lossless(sparse=True)], ids=str)
def test_sizes_that_cannot_be_are_refused_at_once(shape: tuple[int, ...], scheme: bp.Scheme) -> None:
    good = bp.pack(weights, scheme)
    forged = PackedTensor("F32", shape, scheme, good.streams)
    for use in (forged.unpack, forged.floats, forged.check, forged.mask):
        with pytest.raises((bp.FormatError, bp.ShapeError)):
            use()


def test_numbers_of_a_scheme() -> None:
    for scheme in (bp.Scheme(), INT4, bp.Scheme.int(1, symmetric=False, group_size=9, sparse=True), BOOK):
        assert bp.Scheme.from_numbers(scheme.numbers) == scheme
    for wrong in [
        (4, 0, 0, False, 0, 0, 0, 0, 0, 0),
        (2, 0, 0, False, 0, 0, 0, 0, 4, 4),
        (3, 0, 0, False, 0, 0, 0, 0, 1, 1),
        (3, 0, 0, False, 0, 0, 0, 0, 65, 64),
        (1, 0, 0, False, 0, 0, 0, 0, 2, 4),
        (2, 3, 1, False, 0, 0, 0, 0, 2, 4),
        (0, 1, 0, False, 0, 0, 0, 0, 0, 0),
        (0, 0, 3, False, 0, 0, 0, 0, 0, 0),
        (0, 3, 17, False, 0, 0, 0, 0, 0, 0),
        (0, 3, 8, False, 0, 0, 0, 1, 0, 0),
        (0, 4, 9, False, 0, 0, 0, 1, 0, 0),
        (0, 4, 4, False, 0, 0, 0, 0, 0, 0),
        (0, 4, 4, True, 0, 0, 0, 1, 0, 0),
        (1, 4, 4, False, 0, 0, 0, 2, 0, 0),
    ]:
        with pytest.raises(bp.SchemeError):
            bp.Scheme.from_numbers(wrong)


def test_codes_that_do_not_fit_are_refused() -> None:
    codes = np.ones((2, 3), np.uint8)
    scale = np.ones(1, np.float32)
    assert PackedTensor.from_codes(codes, scale, bp.Scheme.int(2)).unpack().tolist() == [[-1] * 3] * 2
    with pytest.raises(bp.SchemeError, match="codes of 2 bits"):
        PackedTensor.from_codes(codes * 4, scale, bp.Scheme.int(2))
    with pytest.raises(bp.FormatError):
        PackedTensor.from_codes(codes, np.ones(2, np.float32), bp.Scheme.int(2))
    with pytest.raises(bp.SchemeError, match="no codes"):
        PackedTensor.from_codes(codes, scale, bp.Scheme())
