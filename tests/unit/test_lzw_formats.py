"""LZW of TIFF and GIF: the oracle's bytes, others' encoders and decoders both ways, and hostile streams."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest
from test_codings_z import KINDS as Z_KINDS

import bitpress as bp
from bitpress.reference import lzw as reference

KINDS = {
    **Z_KINDS,
    "ramp": lambda n: np.arange(n).astype(np.uint8),
    "two symbols": lambda n: np.random.Generator(np.random.PCG64(5)).integers(0, 2, n).astype(np.uint8),
    "rows": lambda n: np.add.outer(np.arange(-(-n // 64)), np.arange(64)).astype(np.uint8).reshape(-1)[:n],
    "one odd byte": lambda n: np.concatenate([np.zeros(max(n - 1, 0)), np.full(min(n, 1), 200)]).astype(np.uint8),
}
SIZES = [0, 1, 2, 3, 255, 256, 257, 1000, 4096, 10_000]


@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_are_those_of_the_oracle(kind: str) -> None:
    for size in SIZES:
        data = KINDS[kind](size).tobytes()
        blob = bp.lzw.encode(data, format="tiff")
        assert blob == reference.encode_tiff(data), size
        assert bp.lzw.decode(blob, format="tiff") == reference.decode_tiff(blob) == data
        assert bp.lzw.decode(blob, format="tiff", size=size) == data
        for bits in (2, 5, 8):
            pixels = bytes(byte >> 8 - bits for byte in data)
            blob = bp.lzw.encode(pixels, format="gif", min_code_size=bits)
            assert blob == reference.encode_gif(pixels, bits), (size, bits)
            assert bp.lzw.decode(blob, format="gif") == reference.decode_gif(blob) == pixels


@pytest.mark.parametrize("kind", KINDS)
def test_tiff_before_1988(kind: str) -> None:
    for size in SIZES:
        data = KINDS[kind](size).tobytes()
        blob = reference.encode_tiff(data, old=True)
        assert bp.lzw.decode(blob, format="tiff") == bp.lzw.decode(blob, format="tiff", size=size) == data


def _files(sizes: list[int]) -> Iterator[tuple[str, int, bytes]]:
    for kind, make in KINDS.items():
        for size in sizes:
            yield kind, size, make(size).tobytes()


def _tiff(strip: bytes, size: int) -> bytes:
    """A TIFF file of one row of grey bytes."""
    fields = [(256, 4, size), (257, 4, 1), (258, 3, 8), (259, 3, 5), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    fields += [(278, 4, 1), (279, 4, len(strip))]
    strip += b"\0" * (len(strip) % 2)
    directory = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *f[:2], 1, f[2]) for f in fields)
    return struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + directory + bytes(4)


def _strips(file: bytes) -> list[bytes]:
    """The strips of a small TIFF file that Pillow wrote."""
    at = struct.unpack_from("<I", file, 4)[0]
    found: dict[int, list[int]] = {}
    for k in range(struct.unpack_from("<H", file, at)[0]):
        tag, kind, count, value = struct.unpack_from("<HHII", file, at + 2 + 12 * k)
        if tag in (273, 279):
            letter = {3: "H", 4: "I"}[kind]
            inside = struct.calcsize(f"<{count}{letter}") <= 4
            found[tag] = list(struct.unpack_from(f"<{count}{letter}", file, at + 2 + 12 * k + 8 if inside else value))
    return [file[start : start + size] for start, size in zip(found[273], found[279], strict=True)]


def _gif_data(file: bytes) -> bytes:
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


def _gif(image: bytes, width: int, height: int) -> bytes:
    grey = b"".join(bytes([i] * 3) for i in range(256))
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\xf7\0\0" + grey + b",\0\0\0\0" + size + b"\0" + image + b";"


def _through_pillow(data: bytes) -> None:
    image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    width = 1000 if len(data) % 1000 == 0 else len(data)
    if width > 65_000:
        return
    height = len(data) // width
    picture = image.frombytes("L", (width, height), data)
    ours = bp.lzw.encode(data, format="gif")
    with image.open(io.BytesIO(_gif(ours, width, height))) as read:
        assert read.convert("L").tobytes() == data
    file = io.BytesIO()
    picture.save(file, "GIF", optimize=False)
    with image.open(io.BytesIO(file.getvalue())) as read:
        codes = read.tobytes() if read.mode in ("L", "P") else b""
    theirs = _gif_data(file.getvalue())
    if not file.getvalue()[10 + 0] & 0x40 or codes:
        decoded = bp.lzw.decode(theirs, format="gif", max_size=len(data))
        assert sorted(decoded) == sorted(codes) and len(decoded) == len(data)
    file = io.BytesIO()
    picture.save(file, "TIFF", compression="tiff_lzw")
    strips = _strips(file.getvalue())
    rows = -(-height // len(strips)) if len(strips) > 1 else height
    got = b""
    for strip in strips:
        got += bp.lzw.decode(strip, format="tiff", max_size=max(rows, height) * width)
    assert got == data
    with image.open(io.BytesIO(_tiff(bp.lzw.encode(data, format="tiff"), len(data)))) as read:
        assert read.tobytes() == data


def _through_tifffile(data: bytes) -> None:
    tifffile = pytest.importorskip("tifffile", reason="pip install tifffile imagecodecs")
    imagecodecs = pytest.importorskip("imagecodecs", reason="pip install tifffile imagecodecs")
    assert imagecodecs.lzw_decode(bp.lzw.encode(data, format="tiff")) == data
    assert bp.lzw.decode(imagecodecs.lzw_encode(data), format="tiff") == data
    file = io.BytesIO()
    tifffile.imwrite(file, np.frombuffer(data, np.uint8).reshape(1, -1), compression="lzw", rowsperstrip=1)
    assert bp.lzw.decode(_strips(file.getvalue())[0], format="tiff", size=len(data)) == data
    assert tifffile.imread(io.BytesIO(_tiff(bp.lzw.encode(data, format="tiff"), len(data)))).tobytes() == data


def _through_ncompress(data: bytes) -> None:
    program = shutil.which("compress")
    if program is None:
        pytest.skip("needs compress: apt install ncompress")

    def run(given: bytes, *arguments: str) -> bytes:
        return subprocess.run([program, "-c", "-f", *arguments], input=given, capture_output=True, check=True).stdout

    theirs = run(data)
    assert bp.lzw.encode(data, format="z") == theirs
    assert bp.lzw.decode(theirs) == data == run(theirs, "-d")
    with bp.lzw.open(io.BytesIO(theirs)) as stream:
        assert stream.read() == data


PROGRAMS = {"pillow": _through_pillow, "tifffile": _through_tifffile, "ncompress": _through_ncompress}


@pytest.mark.parametrize("program", PROGRAMS)
def test_others_both_ways(program: str) -> None:
    """132 files; the large ones are below."""
    count = 0
    for _, size, data in _files([0, 1, 2, 3, 64, 255, 256, 257, 1000, 4093, 30_000, 64_000]):
        if size or program == "ncompress":
            PROGRAMS[program](data)
        count += 1
    assert count == 132


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", KINDS)
def test_others_both_ways_with_large_files(kind: str, program: str) -> None:
    """77 more, up to 8 MiB."""
    for size in (65_536, 99_999, 262_144, 262_145, 1_000_000, 3_000_000, 8 << 20):
        PROGRAMS[program](KINDS[kind](size).tobytes())


def _codes(*codes: int, width: int = 9, high_first: bool = True) -> bytes:
    return reference._pack([(code, width) for code in codes], high_first)


def _blocks(codes: bytes, size: int = 8) -> bytes:
    return bytes([size, len(codes)]) + codes + b"\0"


CLEAR, END = 256, 257
MALFORMED = {
    "nothing": b"",
    "no end": _codes(CLEAR, 97, 98),
    "half a code": b"\x80",
    "a code above the next": _codes(CLEAR, 97, 259, END),
    "a code above the next, later": _codes(CLEAR, 97, 98, 260, END),
    "a first code that is no byte": _codes(CLEAR, 258, END),
    "a first code after a clear that is no byte": _codes(CLEAR, 97, 98, CLEAR, 258, END),
    "no clear, and a first code that is no byte": _codes(300, END),
    "a clear last": _codes(CLEAR, 97, CLEAR),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed(what: str) -> None:
    for blob, format in ((MALFORMED[what], "tiff"), (_blocks(MALFORMED[what]), "gif")):
        if format == "gif" and what not in ("nothing", "half a code"):
            codes = [int(x) for x in _read(MALFORMED[what])]
            blob = _blocks(_codes(*codes, high_first=False))
        with pytest.raises(bp.CorruptError, match=rf"^{format}: "):
            bp.lzw.decode(blob, format=format)
        with pytest.raises(ValueError):
            (reference.decode_tiff if format == "tiff" else reference.decode_gif)(blob)


def _read(blob: bytes) -> list[int]:
    bits = "".join(f"{byte:08b}" for byte in blob)
    return [int(bits[i : i + 9], 2) for i in range(0, len(bits) - 8, 9)]


def test_well_formed_by_hand() -> None:
    for codes, data in (
        ((97, 98, END), b"ab"),  # no clear first
        ((CLEAR, CLEAR, CLEAR, 97, END), b"a"),
        ((CLEAR, 97, 258, END), b"aaa"),  # the newest
        ((CLEAR, 97, 98, 258, CLEAR, 99, 258, END), b"ababccc"),
        ((CLEAR, 97, CLEAR, END), b"a"),
        ((CLEAR, END), b""),
        ((END,), b""),
        ((CLEAR, 97, END, 98, 300), b"a"),  # what follows the end is not looked at
    ):
        assert bp.lzw.decode(_codes(*codes), format="tiff") == data
        assert bp.lzw.decode(_blocks(_codes(*codes, high_first=False)), format="gif") == data
    # Images know their size: no end is needed, a string may go beyond, and less is an error.
    strip = _codes(CLEAR, 97, 258, 259)
    assert bp.lzw.decode(strip, format="tiff", size=6) == b"aaaaaa"
    assert bp.lzw.decode(strip, format="tiff", size=5) == b"aaaaa"
    for short in (strip, _codes(CLEAR, 97, 258, 259, END)):
        with pytest.raises(bp.CorruptError):
            bp.lzw.decode(short, format="tiff", size=7)


def test_more_codes_than_words() -> None:
    """Thousands of codes without a clear: words stop at 4095, the width stays 12 (a deferred clear)."""
    data = np.random.Generator(np.random.PCG64(1)).integers(0, 256, 9000, dtype=np.uint8).tobytes()
    codes, width, newest = [(256, 9)], 9, 257
    for byte in data:
        codes.append((byte, width))
        newest = min(newest + 1, 4096)
        if width < 12 and newest > 2**width - 1:
            width += 1
    packed = reference._pack([*codes, (4095, 12), (257, 12)], False)
    blocks = [packed[i : i + 255] for i in range(0, len(packed), 255)]
    blob = b"\x08" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    want = data + data[4095 - 258 :][:2]  # word 258 + i is byte i and the next one
    assert bp.lzw.decode(blob, format="gif") == reference.decode_gif(blob) == want


@pytest.mark.parametrize("kind", ["words", "90% zeros", "uniform"])
def test_truncation(kind: str) -> None:
    data = KINDS[kind](900).tobytes()
    tiff, gif = bp.lzw.encode(data, format="tiff"), bp.lzw.encode(data, format="gif")
    for end in range(len(tiff) - 1):
        with pytest.raises(bp.CorruptError):
            bp.lzw.decode(tiff[:end], format="tiff")
    for end in range(len(gif)):
        with pytest.raises(bp.CorruptError):
            bp.lzw.decode(gif[:end], format="gif")
    with pytest.raises(bp.CorruptError):
        bp.lzw.decode(gif + b"\0", format="gif")


@pytest.mark.parametrize("format", ["tiff", "gif"])
def test_every_bit_flip_is_refused_or_bounded(format: str) -> None:
    data = KINDS["words"](400).tobytes()
    blob = bytearray(bp.lzw.encode(data, format=format))
    oracle = reference.decode_tiff if format == "tiff" else reference.decode_gif
    for bit in range(8 * len(blob)):
        blob[bit // 8] ^= 1 << bit % 8
        try:
            decoded = bp.lzw.decode(blob, format=format, max_size=1 << 16)
        except bp.FormatError:
            with pytest.raises(ValueError):
                oracle(bytes(blob))
        else:
            assert decoded == oracle(bytes(blob))
        blob[bit // 8] ^= 1 << bit % 8


def test_arguments() -> None:
    bomb = bp.lzw.encode(bytes(1 << 20), format="tiff")
    with pytest.raises(bp.FormatError, match="tiff: more than 1000 decoded bytes"):
        bp.lzw.decode(bomb, format="tiff", max_size=1000)
    with pytest.raises(bp.FormatError, match="tiff: more than 1000 decoded bytes"):
        bp.lzw.decode(bomb, format="tiff", size=2000, max_size=1000)
    for bits in (1, 9):
        with pytest.raises(ValueError, match="min_code_size"):
            bp.lzw.encode(b"", format="gif", min_code_size=bits)
    with pytest.raises(ValueError, match="a pixel has more than 3 bits"):
        bp.lzw.encode(b"\x07\x08", format="gif", min_code_size=3)
    for options in ({"min_code_size": 8}, {"max_bits": 12}):
        with pytest.raises(ValueError, match="is for format"):
            bp.lzw.encode(b"", format="tiff", **options)
    for options in ({"size": 3}, {"size": -1, "format": "gif"}):
        with pytest.raises(ValueError, match="size is for"):
            bp.lzw.decode(b"\0", **options)


def test_a_stream_of_a_z_file(tmp_path) -> None:
    for kind, make in KINDS.items():
        data = make(300_000).tobytes()
        path = tmp_path / "data.Z"
        path.write_bytes(bp.lzw.encode(data, format="z", max_bits=12 if kind == "words" else 16))
        with bp.lzw.open(path) as stream:
            assert stream.readable() and not stream.writable() and not stream.seekable()
            parts = [stream.read(size) for size in (0, 1, 7, 70_000)]
            assert b"".join([*parts, stream.read()]) == data
            assert stream.read() == b""
        assert stream.closed
    with pytest.raises(FileNotFoundError):
        bp.lzw.open(tmp_path / "none.Z")


def test_a_stream_takes_input_as_it_comes() -> None:
    class Drops(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.rest = data

        def read(self, size: int = -1) -> bytes:
            piece, self.rest = self.rest[:1], self.rest[1:]
            return piece

    for kind in ("words", "changing"):
        data = KINDS[kind](30_000).tobytes()
        for max_bits in (9, 10, 16):
            blob = bp.lzw.encode(data, format="z", max_bits=max_bits)
            assert bp.lzw.open(Drops(blob)).read() == data


def test_a_stream_refuses_what_decode_refuses(tmp_path) -> None:
    data = KINDS["90% zeros"](2000).tobytes()
    blob = bp.lzw.encode(data, format="z", max_bits=9)
    bad = [blob[:end] for end in range(len(blob))]
    for bit in range(0, 8 * len(blob), 3):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        bad.append(bytes(flipped))
    for k, given in enumerate(bad):
        try:
            want: bytes | None = bp.lzw.decode(given, format="z", max_size=1 << 20)
        except bp.FormatError:
            want = None
        stream = bp.lzw.open(io.BytesIO(given))
        if want is None:
            with pytest.raises(bp.FormatError, match=r"^\.Z: "):
                stream.read()
        else:
            assert stream.read() == want, k
    path = tmp_path / "bad.Z"
    path.write_bytes(b"\x1f\x9d\x90a")
    with bp.lzw.open(path) as stream, pytest.raises(bp.CorruptError, match=r"bad\.Z: \.Z: "):
        stream.read()
