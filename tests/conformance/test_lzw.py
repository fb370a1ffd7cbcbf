"""LZW beside ncompress, Pillow, tifffile and imagecodecs, both ways, over 228 generated files of 0 to 8 MiB.

The smaller files go through all of them, those of 1 MiB or more through one each.
"""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
from lzw_files import KINDS, LARGE, files

import bitpress as bp

COMPRESS = shutil.which("compress")
GREY = b"".join(bytes([i] * 3) for i in range(256))


def tiff_file(strip: bytes, width: int, height: int) -> bytes:
    """A TIFF file of grey bytes in one strip."""
    fields = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 5), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    fields += [(278, 4, height), (279, 4, len(strip))]
    strip += b"\0" * (len(strip) % 2)
    directory = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *f[:2], 1, f[2]) for f in fields)
    return struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + directory + bytes(4)


def strips_of(file: bytes) -> list[bytes]:
    """The strips of a little-endian TIFF file."""
    at = struct.unpack_from("<I", file, 4)[0]
    found: dict[int, list[int]] = {}
    for k in range(struct.unpack_from("<H", file, at)[0]):
        tag, kind, count, value = struct.unpack_from("<HHII", file, at + 2 + 12 * k)
        if tag in (273, 279):
            letter = {3: "H", 4: "I"}[kind]
            inside = struct.calcsize(f"<{count}{letter}") <= 4
            found[tag] = list(struct.unpack_from(f"<{count}{letter}", file, at + 2 + 12 * k + 8 if inside else value))
    return [file[start : start + size] for start, size in zip(found[273], found[279], strict=True)]


def gif_file(image: bytes, width: int, height: int, bits: int) -> bytes:
    """A GIF file of one image with a grey palette of 2^bits colours."""
    size = struct.pack("<HH", width, height)
    head = b"GIF89a" + size + bytes([0xF0 | bits - 1, 0, 0]) + GREY[: 3 << bits]
    return head + b",\0\0\0\0" + size + b"\0" + image + b";"


def gif_data(file: bytes) -> bytes:
    """The image data of the first image of a GIF file."""
    at = 13 + (3 << (file[10] & 7) + 1 if file[10] & 128 else 0)
    while file[at] == 0x21:  # extensions
        at += 2
        while file[at]:
            at += 1 + file[at]
        at += 1
    assert file[at] == 0x2C
    at += 10 + (3 << (file[at + 9] & 7) + 1 if file[at + 9] & 128 else 0)
    end = at + 1
    while file[end]:
        end += 1 + file[end]
    return file[at : end + 1]


def sides(size: int) -> tuple[int, int]:
    """Width and height, each below 2^16."""
    width = next(w for w in (size, 1000, 2048, 4096) if w < 50_000 and size % w == 0)
    return width, size // width


def through_ncompress(data: bytes, bits: int) -> None:
    if COMPRESS is None:
        pytest.skip("needs compress: apt install ncompress")

    def run(given: bytes, *arguments: str) -> bytes:
        return subprocess.run([COMPRESS, "-c", "-f", *arguments], input=given, capture_output=True, check=True).stdout

    for max_bits in (16, 12):
        theirs, ours = run(data, "-b", str(max_bits)), bp.lzw.encode(data, format="z", max_bits=max_bits)
        assert run(ours, "-d") == bp.lzw.decode(ours) == bp.lzw.decode(theirs) == data
        assert len(ours) < 1.02 * len(theirs) + 1
        with bp.lzw.open(io.BytesIO(theirs)) as stream:
            assert stream.read() == data


def through_pillow_gif(data: bytes, bits: int) -> None:
    image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    if not data:
        assert bp.lzw.decode(bp.lzw.encode(data, format="gif"), format="gif") == data
        return
    width, height = sides(len(data))
    for code_size in {bits, 8}:
        ours = bp.lzw.encode(data, format="gif", min_code_size=code_size)
        with image.open(io.BytesIO(gif_file(ours, width, height, code_size))) as read:
            assert read.convert("L").tobytes() == data
    picture = image.frombytes("P", (width, height), data)
    picture.putpalette(GREY)
    file = io.BytesIO()
    picture.save(file, "GIF", optimize=False, interlace=0)
    assert bp.lzw.decode(gif_data(file.getvalue()), format="gif", size=len(data)) == data
    assert bp.lzw.decode(gif_data(file.getvalue()), format="gif") == data


def through_pillow_tiff(data: bytes, bits: int) -> None:
    image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    if not data:
        return
    width, height = sides(len(data))
    with image.open(io.BytesIO(tiff_file(bp.lzw.encode(data, format="tiff"), width, height))) as read:
        assert read.tobytes() == data
    file = io.BytesIO()
    image.frombytes("L", (width, height), data).save(file, "TIFF", compression="tiff_lzw")
    assert b"".join(bp.lzw.decode(strip, format="tiff") for strip in strips_of(file.getvalue())) == data


def through_tifffile(data: bytes, bits: int) -> None:
    tifffile = pytest.importorskip("tifffile", reason="pip install tifffile imagecodecs")
    pytest.importorskip("imagecodecs", reason="pip install tifffile imagecodecs")
    if not data:
        return
    width, height = sides(len(data))
    ours = tiff_file(bp.lzw.encode(data, format="tiff"), width, height)
    assert tifffile.imread(io.BytesIO(ours)).tobytes() == data
    file = io.BytesIO()
    rows = max(1, min(height, 65_536 // width))
    pixels = np.frombuffer(data, np.uint8).reshape(height, width)
    tifffile.imwrite(file, pixels, compression="lzw", rowsperstrip=rows)
    strips = strips_of(file.getvalue())
    pieces = [data[k : k + rows * width] for k in range(0, len(data), rows * width)]
    for strip, piece in zip(strips, pieces, strict=True):
        assert bp.lzw.decode(strip, format="tiff", size=len(piece)) == piece


def through_imagecodecs(data: bytes, bits: int) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="pip install imagecodecs")
    blob = bp.lzw.encode(data, format="tiff")
    if data:
        assert imagecodecs.lzw_decode(blob, out=len(data)) == data
        assert bp.lzw.decode(imagecodecs.lzw_encode(data), format="tiff") == data


PROGRAMS: dict[str, Callable[[bytes, int], None]] = {
    "ncompress": through_ncompress,
    "Pillow, GIF": through_pillow_gif,
    "Pillow, TIFF": through_pillow_tiff,
    "tifffile": through_tifffile,
    "imagecodecs": through_imagecodecs,
}
LARGEST = {f"{kind}, {size}": list(PROGRAMS)[k % len(PROGRAMS)] for k, (kind, size) in enumerate(LARGE)}


def test_there_are_two_hundred_files() -> None:
    made = list(files())
    assert len({name for name, _, _ in made}) == len(made) == 228
    assert max(len(data) for _, _, data in made) == 8 << 20
    assert all(not data or max(data) < 1 << bits for _, bits, data in made)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", KINDS)
def test_both_ways(kind: str, program: str) -> None:
    for name, bits, data in files(kind):
        if LARGEST.get(name, program) == program:
            PROGRAMS[program](data, bits)
