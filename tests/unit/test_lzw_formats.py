"""LZW of TIFF and GIF: the oracle's bytes and hostile streams; tests/conformance/test_lzw.py has others' programs."""

from __future__ import annotations

import io

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


@pytest.mark.parametrize("threads", [1, 3])
def test_many_are_coded_as_each_alone(threads: int) -> None:
    # Of every length and kind, so that lanes end, clear and start anew at different times.
    blocks = [make(size).tobytes() for size in (*SIZES, 70_000, 1) for make in KINDS.values()]
    for count in (0, 1, 2, 3, 4, 5, len(blocks)):
        some = blocks[:count]
        expected = [bp.lzw.encode(block, format="tiff") for block in some]
        assert bp.lzw.encode_many(some, format="tiff", threads=threads) == expected
    for bits in (2, 8):
        pixels = [bytes(byte >> 8 - bits for byte in block) for block in blocks]
        expected = [bp.lzw.encode(block, format="gif", min_code_size=bits) for block in pixels]
        assert bp.lzw.encode_many(pixels, format="gif", min_code_size=bits, threads=threads) == expected


def test_many_with_full_buckets_are_coded_as_each_alone() -> None:
    # Strings of a few words with every byte after them crowd the buckets of the lanes' dictionaries.
    rng = np.random.Generator(np.random.PCG64(9))
    blocks = [rng.integers(0, top, 200_000).astype(np.uint8) for top in (3, 7, 30, 100, 256)]
    expected = [bp.lzw.encode(block, format="tiff") for block in blocks]
    assert bp.lzw.encode_many(blocks, format="tiff") == expected
    assert [bp.lzw.decode(blob, format="tiff") for blob in expected] == [block.tobytes() for block in blocks]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "z"}, "tiff and gif, not 'z'"),
        ({"format": "tiff", "min_code_size": 4}, "min_code_size is for format 'gif'"),
        ({"format": "gif", "min_code_size": 9}, "2..8, not 9"),
        ({"format": "gif", "min_code_size": 4}, "more than 4 bits"),
        ({"format": "tiff", "threads": -1}, "threads"),
    ],
)
def test_many_with_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bp.lzw.encode_many([b"ab", b"\xff"], **options)


@pytest.mark.parametrize("kind", KINDS)
def test_tiff_before_1988(kind: str) -> None:
    for size in SIZES:
        data = KINDS[kind](size).tobytes()
        blob = reference.encode_tiff(data, old=True)
        assert bp.lzw.decode(blob, format="tiff") == bp.lzw.decode(blob, format="tiff", size=size) == data


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


@pytest.mark.parametrize("early", [0, 1])
@pytest.mark.parametrize("clear_first", [True, False])
def test_more_codes_than_words(clear_first: bool, early: int) -> None:
    """Thousands of codes without a clear: words stop at 4095, the width stays 12 (a deferred clear). GIF and TIFF."""
    data = np.random.Generator(np.random.PCG64(1)).integers(0, 256, 9000, dtype=np.uint8).tobytes()
    codes, width, newest = [(256, 9)] if clear_first else [], 9, 257
    for byte in data:
        codes.append((byte, width))
        newest = min(newest + 1, 4096)
        if width < 12 and newest > 2**width - 1 - early:
            width += 1
    packed = reference._pack([*codes, (4095, 12), (257, 12)], bool(early))
    want = data + data[4095 - 258 :][:2]  # word 258 + i is byte i and the next one
    if early:
        assert bp.lzw.decode(packed, format="tiff") == reference.decode_tiff(packed) == want
        return
    blocks = [packed[i : i + 255] for i in range(0, len(packed), 255)]
    blob = b"\x08" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
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
