"""`.Z` files beside ncompress, both ways, and what the framing cannot or must refuse."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import numpy as np
import pytest

import bitpress as bp
from bitpress.reference import lzw as reference

COMPRESS = shutil.which("compress")
needs_ncompress = pytest.mark.skipif(COMPRESS is None, reason="needs compress: apt install ncompress")


def _rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(11))


def _changing(n: int) -> np.ndarray:
    """Blocks of 3000 bytes with alphabets of their own: the ratio goes up and down, so the dictionary is cleared."""
    tops = np.repeat(_rng().integers(1, 256, n // 3000 + 1), 3000)[:n]
    return (_rng().random(n) * tops).astype(np.uint8)


KINDS: dict[str, Callable[[int], np.ndarray]] = {
    "zeros": lambda n: np.zeros(n, np.uint8),
    "uniform": lambda n: _rng().integers(0, 256, n, dtype=np.uint8),
    "gaussian int4": lambda n: np.clip(np.round(_rng().normal(size=n) * 2) + 8, 0, 15).astype(np.uint8),
    "90% zeros": lambda n: np.where(_rng().random(n) < 0.9, 0, _rng().integers(0, 256, n)).astype(np.uint8),
    "words": lambda n: np.resize(np.frombuffer(b"the quick brown fox jumps over the lazy dog; ", np.uint8), n),
    "zeros, then noise": lambda n: np.concatenate(
        [np.zeros(n // 2, np.uint8), _rng().integers(0, 256, n - n // 2)]
    ).astype(np.uint8),
    "changing": _changing,
}
SIZES = [0, 1, 2, 3, 100, 255, 256, 257, 258, 259, 768, 769, 9_999, 10_000, 10_001, 65_536, 200_000, 1 << 20]


def _compress(data: bytes, *arguments: str) -> bytes:
    assert COMPRESS is not None
    return subprocess.run([COMPRESS, "-f", "-c", *arguments], input=data, capture_output=True, check=True).stdout


@needs_ncompress
@pytest.mark.parametrize("kind", KINDS)
def test_compress_reads_them(kind: str) -> None:
    """They are the bytes of compress until it may clear, and hardly ever longer than its own."""
    for size in SIZES:
        data = KINDS[kind](size).tobytes()
        for max_bits in range(10, 17) if size <= 70_000 else (10, 13, 16):
            blob, theirs = bp.lzw.encode(data, format="z", max_bits=max_bits), _compress(data, "-b", str(max_bits))
            assert bp.lzw.decode(blob) == data == _compress(blob, "-d"), (size, max_bits)
            assert blob == theirs if size < 10_000 else len(blob) < 1.06 * len(theirs), (size, max_bits)


@needs_ncompress
@pytest.mark.parametrize("kind", KINDS)
def test_nine_bits(kind: str) -> None:
    """With 9 bits compress reads what we write; what it writes itself is right up to 257 codes."""
    for size in SIZES:
        data = KINDS[kind](size).tobytes()
        blob = bp.lzw.encode(data, format="z", max_bits=9)
        assert bp.lzw.decode(blob) == data == _compress(blob, "-d"), size
        if size <= 257:
            assert blob == _compress(data, "-b", "9"), size


@pytest.mark.parametrize("kind", KINDS)
def test_clears_and_widths_equal_the_reference(kind: str) -> None:
    for size, max_bits in ((0, 9), (1, 16), (300, 9), (5_000, 9), (40_000, 11), (40_000, 16)):
        data = KINDS[kind](size).tobytes()
        blob = bp.lzw.encode(data, format="z", max_bits=max_bits)
        assert blob == reference.encode_z(data, max_bits)
        assert bp.lzw.decode(blob) == reference.decode_z(blob) == data


def test_the_dictionary_is_cleared() -> None:
    """A dictionary full of words is given up when other data follow: those cost about what they cost alone."""
    words, codes = KINDS["words"](50_000).tobytes(), KINDS["gaussian int4"](50_000).tobytes()
    together, *alone = (len(bp.lzw.encode(data, format="z", max_bits=10)) for data in (words + codes, words, codes))
    assert together < 1.5 * sum(alone)
    assert sum(alone) < 0.5 * len(codes) * 10 / 8  # what they would cost as single bytes


@pytest.mark.parametrize("kind", KINDS)
def test_full_dictionaries_equal_the_reference(kind: str) -> None:
    """What follows is searched from several places at once, where the strings can be laid out for that."""
    for size, max_bits in ((60_000, 9), (90_000, 11), (150_000, 12), (400_000, 14)):
        data = KINDS[kind](size).tobytes()
        assert bp.lzw.encode(data, format="z", max_bits=max_bits) == reference.encode_z(data, max_bits)


@pytest.mark.parametrize("kind", KINDS)
def test_files_without_block_mode(kind: str) -> None:
    """compress -C writes files that it cannot read; these follow its reader."""
    for size, max_bits in ((0, 16), (2, 9), (3_000, 9), (3_000, 12), (20_000, 16)):
        data = KINDS[kind](size).tobytes()
        blob = reference.encode_z(data, max_bits, block=False)
        assert bp.lzw.decode(blob) == reference.decode_z(blob) == data
        if COMPRESS is not None:
            assert _compress(blob, "-d") == data


@pytest.mark.parametrize("kind", KINDS)
def test_truncation(kind: str) -> None:
    """A file cut between two codes cannot be told from a whole one: then it decodes to less, and to nothing else."""
    data = KINDS[kind](1500).tobytes()
    blob = bp.lzw.encode(data, format="z")
    refused = 0
    for end in range(len(blob)):
        try:
            assert data.startswith(bp.lzw.decode(blob[:end], format="z", max_size=len(data)))
        except bp.CorruptError:
            refused += 1
    assert refused >= 3  # the header's bytes, and wherever a code is cut


def _codes(*codes: int, flags: int = 0x90) -> bytes:
    """A file of 9-bit codes."""
    bits = sum(code << 9 * k for k, code in enumerate(codes))
    return bytes([0x1F, 0x9D, flags]) + bits.to_bytes((9 * len(codes) + 7) // 8, "little")


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"", "ends before"),
        (b"\x1f\x9d", "ends before"),
        (b"\x1f\x8b\x90", "contradicts"),
        (b"\x1f\x9d\x88abc", "contradicts"),  # 8 bits
        (b"\x1f\x9d\x91abc", "does not know"),  # 17 bits
        (b"\x1f\x9d\xb0abc", "does not know"),  # a reserved flag
        (b"\x1f\x9d\x90a", "ends before"),  # half a code
        (b"\x1f\x9d\x90a\x80", "contradicts"),  # bits after the last code
        (_codes(256), "contradicts"),  # a clear before anything else
        (_codes(257), "contradicts"),  # a first code that no byte is
        (_codes(97, 258), "contradicts"),  # above the newest
        (_codes(97, 98, 259), "contradicts"),
        (_codes(97, 256, 0, 0, 0, 0, 0, 0, 257), "contradicts"),  # a first code after a clear that no byte is
        (_codes(97, 257, flags=0x10), "contradicts"),  # no block mode: 256 is the newest
    ],
)
def test_malformed(blob: bytes, reason: str) -> None:
    with pytest.raises(bp.FormatError, match=rf"^\.Z: .*{reason}"):
        bp.lzw.decode(blob, format="z")
    with pytest.raises(ValueError):
        reference.decode_z(blob)


def test_well_formed_by_hand() -> None:
    assert bp.lzw.decode(_codes(97, 98)) == b"ab"
    assert bp.lzw.decode(_codes(97, 257)) == b"aaa"  # KwKwK
    assert bp.lzw.decode(_codes(97, 256, flags=0x10)) == b"aaa"  # the same without block mode
    assert bp.lzw.decode(_codes(97, 98, 257, 256, 0, 0, 0, 0, 98, 257)) == b"abab" + b"bbb"  # a clear, then KwKwK
    assert bp.lzw.decode(_codes(97, 256)) == b"a"  # ends with a clear


def test_limits_and_arguments() -> None:
    bomb = bp.lzw.encode(bytes(1 << 20), format="z")
    assert len(bomb) < 2500
    with pytest.raises(bp.FormatError, match="more than 1000 decoded bytes"):
        bp.lzw.decode(bomb, max_size=1000)
    assert bp.lzw.decode(bomb, max_size=1 << 20) == bytes(1 << 20)
    for max_bits in (8, 17, -1):
        with pytest.raises(ValueError, match="max_bits"):
            bp.lzw.encode(b"", format="z", max_bits=max_bits)
    with pytest.raises(ValueError, match="max_bits"):
        bp.lzw.encode(b"", max_bits=12)
    for call in (bp.lzw.encode, bp.lzw.decode):
        with pytest.raises(ValueError, match="format must be one of bitpress, z, tiff, gif, not 'zip'"):
            call(b"", format="zip")


def test_a_file_is_told_from_a_frame() -> None:
    """No frame begins with .Z's magic: a frame of 31 bytes has another second byte."""
    for data in (bytes(31), bytes(range(31))):
        frame = bp.lzw.encode(data)
        assert frame[0] == 0x1F
        assert bp.lzw.decode(frame) == data
    with pytest.raises(bp.CorruptError):
        bp.lzw.decode(_codes(97), format="bitpress")
    with pytest.raises(bp.CorruptError):
        bp.lzw.decode(bp.lzw.encode(bytes(31)), format="z")
