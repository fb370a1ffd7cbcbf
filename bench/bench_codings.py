"""Huffman, rANS and LZW beside their peers, over the codes of real networks and of known distributions (datasets.py).

Peers of Huffman and rANS: deflate without matches (zlib's Z_HUFFMAN_ONLY: a Huffman code a block, one stream), and
zstd -1, which on such data finds few matches and so is mostly its own Huffman coder with the search for matches on top.
The C coders behind them, huff0, FSE and htscodecs' rANS, and wuffs' decoder of LZW: tools/peers.sh builds them. They
fill buffers that are there, as ours do, but for .Z, TIFF and GIF; wuffs gets its codes without sub-blocks.
Peers of LZW: libtiff's (through Pillow, the file's frame included), imagecodecs' and ncompress (a process each time,
its start included; a row of its own says what the start costs). No peer is fed anything but the same bytes.
"""

from __future__ import annotations

import io
import math
import shutil
import subprocess
import zlib
from collections.abc import Callable

import pytest
from datasets import CODES, STRINGS, entropy
from peers import native
from sizes import record

import bitpress as bp

STRIP = 1 << 16
Coder = tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes | memoryview]]


@pytest.fixture(scope="module", params=CODES)
def codes(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """A name and codes, a byte each; their entropy goes to bench/ratios.csv."""
    data = CODES[request.param]()
    record(f"{request.param}, order-0 entropy of the whole", math.ceil(entropy(data) * data.size / 8), data.size)
    return request.param, data.tobytes()


@pytest.fixture(scope="module", params=STRINGS)
def strings(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """A name and bytes for LZW."""
    return request.param, STRINGS[request.param]().tobytes()


def _deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(data) + coder.flush()


def _inflate(blob: bytes) -> bytes:
    return zlib.decompress(blob, -15, 1 << 24)


def _zstd() -> Coder:
    zstandard = pytest.importorskip("zstandard", reason="pip install zstandard")
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    return f"zstd {version} -1", zstandard.ZstdCompressor(1).compress, zstandard.ZstdDecompressor().decompress


def _libtiff() -> Coder:
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


def _imagecodecs() -> Coder:
    imagecodecs = pytest.importorskip("imagecodecs", reason="pip install imagecodecs")
    return f"imagecodecs {imagecodecs.__version__}", imagecodecs.lzw_encode, imagecodecs.lzw_decode


def _ncompress() -> Coder:
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


def _into(decode: Callable[..., bytes], size: int) -> Callable[[bytes], bytes]:
    """Decodes into a buffer that is there, as the C coders do."""
    room = bytearray(size)
    return lambda blob: decode(blob, out=room)


def _ours(coding: str, size: int) -> Coder:
    """Label, encoder and decoder of a coding of ours for ``size`` bytes."""
    coder = getattr(bp, coding.split()[0])
    if coding in ("huffman", "rans", "lzw"):
        return coding, coder.encode, _into(coder.decode, size)
    if coding == "lzw .Z":
        return coding, lambda data: coder.encode(data, format="z"), coder.decode
    if coding == "lzw tiff, many":
        return coding, _strips_encode, _strips_decode
    name = coding.split()[1]
    return (
        coding,
        lambda data: coder.encode(data, format=name),
        lambda blob: coder.decode(blob, format=name, size=size),
    )


PEERS: dict[str, Callable[[int], Coder]] = {
    "huff0": lambda size: native("huff0", size),
    "fse": lambda size: native("fse", size),
    "htscodecs": lambda size: native("htscodecs", size),
    "wuffs": lambda size: native("wuffs", size, _gif_codes),
    "zlib": lambda _: (f"zlib {zlib.ZLIB_RUNTIME_VERSION} Z_HUFFMAN_ONLY", _deflate, _inflate),
    "zstd": lambda _: _zstd(),
    "libtiff": lambda _: _libtiff(),
    "imagecodecs": lambda _: _imagecodecs(),
    "ncompress": lambda _: _ncompress(),
}
ENTROPY = ("huff0", "fse", "htscodecs", "zlib", "zstd")
LZW = {
    "lzw": ("libtiff", "imagecodecs"),
    "lzw tiff": ("libtiff", "imagecodecs"),
    "lzw tiff, many": ("libtiff",),
    "lzw gif": ("wuffs",),
    "lzw .Z": ("ncompress",),
}


def _measure(benchmark, coding: str, coder: Coder, way: str, kind: tuple[str, bytes], ours: bool) -> None:
    """One bench; huff0's encoder is the one that others are held to, so it stands in every group of encoders."""
    name, data = kind
    label, encode, decode = coder
    blob = encode(data)
    assert decode(blob) == data
    benchmark.group = f"{way} {name}: {coding}"
    benchmark.extra_info.update(bytes=len(data), bits_a_byte=round(8 * len(blob) / len(data), 3))
    benchmark.extra_info["ours" if ours else "peer"] = label
    if coding in ("huffman", "rans"):
        record(f"{name}, {label.split()[0] if ours else label}, whole", len(blob), len(data))
    benchmark(encode, data) if way == "encode" else benchmark(decode, blob)


@pytest.mark.parametrize("way", ["encode", "decode"])
@pytest.mark.parametrize("coding", ["huffman", "rans"])
def test_entropy(benchmark, coding: str, way: str, codes: tuple[str, bytes]) -> None:
    _measure(benchmark, coding, _ours(coding, len(codes[1])), way, codes, True)


@pytest.mark.parametrize("way", ["encode", "decode"])
@pytest.mark.parametrize("peer", ENTROPY)
@pytest.mark.parametrize("coding", ["huffman", "rans"])
def test_entropy_peer(benchmark, coding: str, peer: str, way: str, codes: tuple[str, bytes]) -> None:
    _measure(benchmark, coding, PEERS[peer](len(codes[1])), way, codes, False)


@pytest.mark.parametrize("way", ["encode", "decode"])
@pytest.mark.parametrize("coding", LZW)
def test_lzw(benchmark, coding: str, way: str, strings: tuple[str, bytes]) -> None:
    _measure(benchmark, coding, _ours(coding, len(strings[1])), way, strings, True)


@pytest.mark.parametrize("way", ["encode", "decode"])
@pytest.mark.parametrize(("coding", "peer"), [(coding, peer) for coding, peers in LZW.items() for peer in peers])
def test_lzw_peer(benchmark, coding: str, peer: str, way: str, strings: tuple[str, bytes]) -> None:
    if way == "encode" and peer == "wuffs":
        pytest.skip("wuffs has no encoder: the bench gives it our codes")
    _measure(benchmark, coding, PEERS[peer](len(strings[1])), way, strings, False)


def test_start_of_a_process(benchmark) -> None:
    """What every figure of ncompress holds besides its work."""
    label, encode, _ = _ncompress()
    benchmark.group = "lzw .Z: nothing to do"
    benchmark.extra_info["peer"] = label
    assert len(benchmark(encode, b"")) == 3
