"""The codecs for numcodecs and zarr: round trips, configurations, the shared tests of numcodecs, other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp

numcodecs = pytest.importorskip("numcodecs", reason="install numcodecs")
from numcodecs.tests.common import check_config, check_encode_decode, check_err_decode_object_buffer  # noqa: E402

from bitpress.codecs.numcodecs import (  # noqa: E402
    BitpressBitpack,
    BitpressHuffman,
    BitpressLzw,
    BitpressPlanes,
    BitpressRans,
)

ROOT = Path(__file__).resolve().parents[2]
CODERS = [BitpressHuffman(), BitpressRans(), BitpressLzw(), BitpressPlanes(), BitpressBitpack(8)]
ARRAYS = [
    np.arange(1000, dtype="i4"),
    np.linspace(1000, 1001, 1000, dtype="f8"),
    np.random.default_rng(1).normal(loc=1000, scale=1, size=(100, 10)),
    np.random.default_rng(2).integers(0, 2, 1000).astype(bool).reshape(100, 10, order="F"),
    np.random.default_rng(3).choice([b"a", b"bb", b"ccc"], size=1000).reshape(10, 10, 10),
    np.random.default_rng(4).integers(0, 2**60, 1000, dtype="u8").view("M8[ns]"),
    np.random.default_rng(5).integers(0, 2**60, 1000, dtype="u8").view("m8[m]"),
    np.zeros((0, 3), "f4"),
]


@pytest.mark.parametrize("codec", CODERS, ids=lambda codec: codec.codec_id)
def test_what_numcodecs_asks_of_every_codec(codec: numcodecs.abc.Codec) -> None:
    for array in ARRAYS:
        if array.size:
            check_encode_decode(array, codec)
    check_config(codec)
    check_err_decode_object_buffer(codec)
    assert numcodecs.get_codec({"id": codec.codec_id}).codec_id == codec.codec_id
    assert codec == type(codec).from_config({k: v for k, v in codec.get_config().items() if k != "id"})


def test_repr() -> None:
    assert repr(BitpressHuffman()) == "BitpressHuffman()"
    assert repr(BitpressBitpack(3)) == "BitpressBitpack(bits=3)"


@pytest.mark.parametrize("codec", CODERS, ids=lambda codec: codec.codec_id)
def test_damage_and_wrong_outputs_are_refused(codec: numcodecs.abc.Codec) -> None:
    blob = codec.encode(bytes(range(200)) * 3)
    for size in (599, 601):
        with pytest.raises(ValueError, match="out"):
            codec.decode(blob, out=bytearray(size))
    with pytest.raises(ValueError, match=r"read-only|writable"):
        codec.decode(blob, out=bytes(600))
    for cut in range(0, len(blob) - 1, 7):
        if codec.codec_id != "bitpress_bitpack":  # a shorter one is a valid one
            with pytest.raises(bp.CorruptError):
                codec.decode(blob[:cut])
    with pytest.raises(bp.CorruptError):
        codec.decode(b"")


def test_bits_take_their_share_and_no_more() -> None:
    for bits in range(1, 9):
        codec = BitpressBitpack(bits)
        for n in (0, 1, 7, 8, 9, 100, 1001):
            codes = np.random.default_rng(n).integers(0, 2**bits, n).astype(np.uint8)
            blob = codec.encode(codes)
            assert len(blob) == 1 + (n * bits + 7) // 8
            assert np.array_equal(codec.decode(blob), codes)
        if bits < 8:
            with pytest.raises(ValueError, match="codes of"):
                codec.encode(np.full(9, 2**bits, np.uint8))
        with pytest.raises(bp.CorruptError):
            codec.decode(b"\x08" + bytes(bits))
        if bits > 1:
            with pytest.raises(bp.CorruptError):
                codec.decode(b"\x00" + bytes(bits + 1))
    with pytest.raises(ValueError, match="bits must be"):
        BitpressBitpack(9)


def _installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which Python finds the project's entry points as if it were installed."""
    tomllib = pytest.importorskip("tomllib")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    info = tmp_path / "bitpress-0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bitpress\nVersion: 0.0\n")
    lines = [
        line for group, names in groups.items() for line in [f"[{group}]", *(f"{k} = {v}" for k, v in names.items())]
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    package = str(Path(bp.__file__).resolve().parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), package])}


def _python(code: str, tmp_path: Path) -> str:
    run = subprocess.run([sys.executable, "-c", code], env=_installed(tmp_path), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_numcodecs_finds_them_without_an_import(tmp_path: Path) -> None:
    names = [codec.codec_id for codec in CODERS]
    code = f"import numcodecs\nfor name in {names!r}: print(type(numcodecs.get_codec(dict(id=name))).__name__)"
    assert _python(code, tmp_path).split() == [type(codec).__name__ for codec in CODERS]


def test_zarr_arrays_reopen_in_another_process(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="install zarr")
    from bitpress.codecs import zarr as codecs

    data = np.random.default_rng(1).integers(0, 16, (300, 70)).astype(np.uint8)
    codings = {
        "h": codecs.HuffmanCodec(),
        "r": codecs.RansCodec(),
        "l": codecs.LzwCodec(),
        "b": codecs.BitpackCodec(bits=4),
        "p": codecs.PlanesCodec(),
    }
    for name, codec in codings.items():
        array = zarr.create_array(
            tmp_path / f"{name}.zarr", shape=data.shape, chunks=(64, 32), dtype=data.dtype, compressors=[codec]
        )
        array[:] = data
        assert np.array_equal(zarr.open_array(tmp_path / f"{name}.zarr", mode="r")[:], data)
        described = json.loads((tmp_path / f"{name}.zarr" / "zarr.json").read_text())["codecs"][-1]
        assert described["name"] == codec.name
        assert type(codec).from_dict(codec.to_dict()) == codec
    np.save(tmp_path / "data.npy", data)
    code = (
        f"import zarr, numpy\nfor n in {list(codings)!r}:\n"
        f"  a = zarr.open_array({str(tmp_path)!r} + f'/{{n}}.zarr', mode='r')\n"
        f"  assert numpy.array_equal(a[:], numpy.load({str(tmp_path / 'data.npy')!r}))\n"
        "  assert numpy.array_equal(a[70:90, 40], numpy.load(%r)[70:90, 40])" % str(tmp_path / "data.npy")
    )
    _python(code, tmp_path)


def test_out_is_filled_and_must_fit() -> None:
    data = np.arange(5000, dtype=np.float32).reshape(50, 100)
    for coding in (bp.huffman, bp.rans, bp.lzw):
        blob = coding.encode(data)
        out = np.empty_like(data)
        assert coding.decode(blob, out=out) is out
        assert np.array_equal(out, data)
        assert coding.decode(memoryview(blob), out=bytearray(data.nbytes)) == data.tobytes()
        for wrong in (
            np.empty(4999, np.float32),
            bytearray(data.nbytes + 1),
            bytes(data.nbytes),
            np.empty((100, 50), np.float32).T,
        ):
            with pytest.raises(ValueError, match="out must be"):
                coding.decode(blob, out=wrong)
        with pytest.raises(bp.FormatError):
            coding.decode(blob, out=out, max_size=100)


def test_planes_know_what_the_elements_are(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(50, 400)).astype(np.float32)
    blob = BitpressPlanes().encode(values)
    assert blob == bp.planes.encode(values)
    assert len(blob) < 0.95 * len(bp.planes.encode(values.tobytes()))  # as floats, not as bytes
    assert BitpressPlanes("F32").encode(values.tobytes()) == blob
    big = values.astype(">f4")
    assert np.array_equal(np.frombuffer(BitpressPlanes().decode(BitpressPlanes().encode(big)), ">f4"), big.ravel())
    with pytest.raises(ValueError, match="dtype must be one of"):
        BitpressPlanes("float32")
    with pytest.raises(ValueError, match="whole number of BF16"):
        BitpressPlanes("BF16").encode(b"abc")

    zarr = pytest.importorskip("zarr", reason="install zarr")
    for name, options in (("a", {}), ("b", {"configuration": {"dtype": "BF16"}})):
        array = zarr.create_array(
            tmp_path / f"{name}.zarr",
            shape=values.shape,
            chunks=values.shape,
            dtype=values.dtype,
            compressors=[{"name": "bitpress_planes"} | options],
        )
        array[:] = values
        assert np.array_equal(zarr.open_array(tmp_path / f"{name}.zarr", mode="r")[:], values)
    assert array.compressors[0].dtype == "BF16"
    assert next((tmp_path / "a.zarr" / "c").rglob("*/0")).stat().st_size == len(blob)


def test_bounded_in_numcodecs_and_zarr(tmp_path: Path) -> None:
    from bitpress.codecs.numcodecs import BitpressBounded

    values = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    codec = BitpressBounded(absolute=1e-3)
    check_config(codec)
    blob = codec.encode(values)
    assert np.abs(codec.decode(blob) - values).max() <= 1e-3
    out = np.empty_like(values)
    codec.decode(blob, out=out)
    assert np.array_equal(out, codec.decode(blob))
    with pytest.raises(ValueError, match="give one"):
        BitpressBounded()
    with pytest.raises(ValueError, match="out has"):
        codec.decode(blob, out=bytearray(5))

    zarr = pytest.importorskip("zarr", reason="install zarr")
    from bitpress.codecs.zarr import BoundedCodec

    array = zarr.create_array(
        tmp_path / "b.zarr",
        shape=(40, 50),
        chunks=(16, 16),
        dtype="f4",
        serializer=BoundedCodec(relative=1e-2),
        compressors=None,
    )
    array[:] = values
    saved = str(tmp_path / "out.npy")
    code = f"import zarr, numpy\nnumpy.save({saved!r}, zarr.open_array({str(tmp_path / 'b.zarr')!r}, mode='r')[:])"
    _python(code, tmp_path)
    assert np.all(np.abs(np.load(tmp_path / "out.npy") - values) <= 1e-2 * np.abs(values))
    with pytest.raises(ValueError, match="float32"):
        zarr.create_array(
            tmp_path / "c.zarr", shape=(4,), dtype="i4", serializer=BoundedCodec(absolute=1), compressors=None
        )
