"""Huffman, rANS and LZW beside their peers, over 4 MiB of what packed tensors hold.

Peers of Huffman and rANS: deflate without matches (zlib's Z_HUFFMAN_ONLY: a Huffman code a block, one stream), and
zstd -1, which on such data finds few matches and so is mostly its own Huffman coder with the search for matches on top.
The C coders behind them, huff0, FSE and htscodecs' rANS, and wuffs' decoder of LZW: tools/peers.sh builds them. They
fill buffers that are there, as ours do, but for .Z, TIFF and GIF; wuffs gets its codes without sub-blocks.
Peers of LZW: libtiff's (through Pillow, the file's frame included), imagecodecs' and ncompress (a process each time,
its start included; a row of its own says what the start costs). No peer is fed anything but the same bytes.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from peers import native
from rows import N, gaussian_codes, sparse_codes

import bitpress as bp

COPIES = 16
STRIP = 1 << 16


DATA: dict[str, Callable[[int], np.ndarray]] = {
    "gaussian int8": lambda seed: gaussian_codes(8, seed),
    "gaussian int4": lambda seed: gaussian_codes(4, seed),
    "gaussian int4, two a byte": lambda seed: gaussian_codes(4, seed) | gaussian_codes(4, seed + 100) << 4,
    "90% zeros int8": lambda seed: sparse_codes(14, seed),
}


@pytest.fixture(scope="module", params=DATA)
def kind(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """A name and 4 MiB, no two parts alike."""
    return request.param, np.concatenate([DATA[request.param](seed) for seed in range(1, COPIES + 1)]).tobytes()


def _deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(data) + coder.flush()


def _inflate(blob: bytes) -> bytes:
    return zlib.decompress(blob, -15, 1 << 22)


def _zstd() -> tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    zstandard = pytest.importorskip("zstandard", reason="pip install zstandard")
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    return f"zstd {version} -1", zstandard.ZstdCompressor(1).compress, zstandard.ZstdDecompressor().decompress


def _libtiff() -> tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    features = pytest.importorskip("PIL.features", reason="pip install pillow")

    def encode(data: bytes) -> bytes:
        file = io.BytesIO()
        picture = image.frombuffer("L", (4096, len(data) // 4096), data, "raw", "L", 0, 1)
        picture.save(file, "TIFF", compression="tiff_lzw")
        return file.getvalue()

    def decode(blob: bytes) -> bytes:
        return image.open(io.BytesIO(blob)).tobytes()

    return f"libtiff {features.version('libtiff')}", encode, decode


def _imagecodecs() -> tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    imagecodecs = pytest.importorskip("imagecodecs", reason="pip install imagecodecs")
    return f"imagecodecs {imagecodecs.__version__}", imagecodecs.lzw_encode, imagecodecs.lzw_decode


def _ncompress() -> tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    program = shutil.which("compress")
    if program is None:
        pytest.skip("needs compress: apt install ncompress")

    def run(*arguments: str) -> Callable[[bytes], bytes]:
        command = [program, *arguments]
        return lambda data: subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout

    return "ncompress, a process", run("-f", "-c"), run("-d", "-c")


def _gif_codes(data: bytes) -> bytes:
    """The codes of a GIF of 8 bits as a decoder finds them: without sub-blocks."""
    blob = bp.lzw.encode(data, format="gif")
    return b"".join(blob[at + 1 : at + 1 + blob[at]] for at in range(1, len(blob) - 1, 256))


def _strips_encode(data: bytes) -> bytes:
    """Strips of 64 KiB, as libtiff's are here, each after its length."""
    strips = bp.lzw.encode_many([data[at : at + STRIP] for at in range(0, len(data), STRIP)], format="tiff")
    return b"".join(len(strip).to_bytes(4, "little") + strip for strip in strips)


def _strips_decode(blob: bytes) -> bytes:
    strips, at = [], 0
    while at < len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4], "little")
        strips.append(bp.lzw.decode(blob[at + 4 : end], format="tiff", size=STRIP))
        at = end
    return b"".join(strips)


def _into(decode: Callable[..., bytes]) -> Callable[[bytes], bytes]:
    """Decodes into a buffer that is there, as the C coders do."""
    room = bytearray(COPIES * N)
    return lambda blob: decode(blob, out=room)


OURS = {
    "huffman": (bp.huffman.encode, _into(bp.huffman.decode)),
    "rans": (bp.rans.encode, _into(bp.rans.decode)),
    "lzw": (bp.lzw.encode, _into(bp.lzw.decode)),
    "lzw tiff": (
        lambda data: bp.lzw.encode(data, format="tiff"),
        lambda blob: bp.lzw.decode(blob, format="tiff", size=COPIES * N),
    ),
    "lzw tiff, many": (_strips_encode, _strips_decode),
    "lzw gif": (
        lambda data: bp.lzw.encode(data, format="gif"),
        lambda blob: bp.lzw.decode(blob, format="gif", size=COPIES * N),
    ),
    "lzw .Z": (lambda data: bp.lzw.encode(data, format="z"), bp.lzw.decode),
}
ENTROPY_PEERS = {
    "huff0": lambda: native("huff0", COPIES * N),
    "fse": lambda: native("fse", COPIES * N),
    "htscodecs": lambda: native("htscodecs", COPIES * N),
    "zlib": lambda: (f"zlib {zlib.ZLIB_RUNTIME_VERSION} Z_HUFFMAN_ONLY", _deflate, _inflate),
    "zstd": _zstd,
}
PEERS = {
    "huffman": ENTROPY_PEERS,
    "rans": ENTROPY_PEERS,
    "lzw": {"libtiff": _libtiff, "imagecodecs": _imagecodecs},
    "lzw tiff": {"libtiff": _libtiff, "imagecodecs": _imagecodecs},
    "lzw tiff, many": {"libtiff": _libtiff},
    "lzw gif": {"wuffs": lambda: native("wuffs", COPIES * N, _gif_codes)},
    "lzw .Z": {"ncompress": _ncompress},
}


def _measure(benchmark, group: str, work: Callable[[bytes], bytes], given: bytes, data: bytes, stored: int) -> None:
    benchmark.group = group
    benchmark.extra_info.update(bytes=len(data), bits_a_byte=round(8 * stored / len(data), 3))
    benchmark(work, given)


@pytest.mark.parametrize("way", ["encode", "decode"])
@pytest.mark.parametrize("coding", OURS)
def test_ours(benchmark, coding: str, way: str, kind: tuple[str, bytes]) -> None:
    name, data = kind
    encode, decode = OURS[coding]
    blob = encode(data)
    assert decode(blob) == data
    work, given = (encode, data) if way == "encode" else (decode, blob)
    _measure(benchmark, f"{coding} {way}, {name}", work, given, data, len(blob))


@pytest.mark.parametrize("way", ["encode", "decode"])
@pytest.mark.parametrize(("coding", "peer"), [(coding, peer) for coding in PEERS for peer in PEERS[coding]])
def test_peer(benchmark, coding: str, peer: str, way: str, kind: tuple[str, bytes]) -> None:
    name, data = kind
    label, encode, decode = PEERS[coding][peer]()
    blob = encode(data)
    assert decode(blob) == data
    benchmark.extra_info["peer"] = f"{label}: {8 * len(blob) / len(data):.3f} bits a byte"
    work, given = (encode, data) if way == "encode" else (decode, blob)
    _measure(benchmark, f"{coding} {way}, {name}", work, given, data, len(blob))


def test_start_of_a_process(benchmark) -> None:
    """What every figure of ncompress holds besides its work."""
    label, encode, _ = _ncompress()
    benchmark.group = "lzw .Z: nothing to do"
    benchmark.extra_info["peer"] = label
    assert len(benchmark(encode, b"")) == 3
