"""Writes the seeds of the fuzzers of codings, tests/fuzz/corpus: small frames that between them hold every kind of
chunk, table and map (rans/rows is of tests/unit/test_rans_rows.py: groups of rows do not pay in so few bytes).

Run it after a change of the format: PYTHONPATH=python python tests/fuzz/make_codings_corpus.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

import bitpress as bp
from bitpress.reference import huffman, lzw, planes, rans, wide
from bitpress.reference.frame import CODED, CODED_SHARED, write_frame

CORPUS = Path(__file__).parent / "corpus"
RNG = np.random.default_rng(7)
CODINGS = {"huffman": huffman, "rans": rans, "lzw": lzw, "planes": planes}
ITSELF, OTHERS = 0, 8  # what the first byte of an input holds the result to


def chunks_of_4_kib() -> None:
    """The least chunks that there are, so that small frames have more than one."""
    modules: tuple[ModuleType, ...] = (huffman, rans, lzw, planes)
    for module in modules:
        module.CHUNK_LOG = 12  # type: ignore[attr-defined]


def draw(n: int, alphabet: int, zeros: float = 0.0) -> bytes:
    """Bytes below ``alphabet``, the low ones more frequent; ``zeros``: the part that is zero at least."""
    values = np.minimum(RNG.geometric(2 / alphabet, n) - 1, alphabet - 1)
    values[RNG.random(n) < zeros] = 0
    return values.astype(np.uint8).tobytes()


def samples() -> Iterator[tuple[str, bytes]]:
    """Data of every kind that coders tell apart."""
    yield "empty", b""
    yield "one", b"a"
    yield "equal", b"\5" * 300
    yield "noise", RNG.bytes(40)
    yield "short", draw(60, 4)
    yield "codes", draw(300, 16)
    yield "bytes", draw(400, 100)
    yield "streams", draw(1100, 3)
    yield "gaps", draw(1500, 9, 0.98)
    yield "bitmap", draw(700, 6, 0.85)
    yield "shared", draw(4400, 2, 0.9)
    yield "shared_gaps", draw(4490, 30, 0.99)
    yield "runs", b"".join(bytes([k]) * (3 * k + 1) for k in range(30))
    yield "words", b"the quick brown fox, " * 6


def streams_of_huffman() -> Iterator[tuple[str, bytes]]:
    """Every number of streams, with tables of one symbol an entry, two and six: a shared one serves many bytes, most
    of them of filled chunks."""
    for most, filled, tail in ((1, 0, draw(1100, 12)), (2, 4, draw(1030, 60)), (6, 4, draw(1500, 4))):
        lengths = huffman.best_code(Counter(tail))
        data = b"".join(bytes([k]) * 4096 for k in range(filled)) + tail
        for log in range(4):

            def encode_chunk(
                start: int, chunk: bytes, may_share: bool, log: int = log, lengths: dict[int, int] = lengths
            ) -> tuple[int, int, bytes]:
                coded = huffman._encode_with(chunk, log, lengths)
                return (CODED_SHARED, log, coded) if may_share else (CODED, log, huffman.write_table(lengths) + coded)

            table = huffman.write_table(lengths) if filled else b""
            first = 248 if filled else OTHERS + 16 * 3
            yield f"streams{most}_{log}", bytes([first]) + write_frame(data, 12, table, encode_chunk)


def states_of_rans() -> Iterator[tuple[str, bytes]]:
    """Every number of states, plain and split: at these sizes neither many of them nor a map would pay."""
    states_log, splits = rans.states_log, rans._Analysis.splits
    for log in range(4):
        rans.states_log = lambda _, log=log: log
        rans._Analysis.splits = lambda self, *_: self.split is not None
        for name, data in (
            ("bitmap", draw(1500, 6, 0.8)),
            ("gaps", draw(2500, 9, 0.98)),
            ("pair", draw(4500, 3, 0.97)),
        ):
            yield f"{name}{log}", bytes([OTHERS + 16 * 3]) + rans.encode(data)
        rans._Analysis.splits = lambda *_: False
        yield f"plain{log}", bytes([OTHERS + 16 * 3]) + rans.encode(draw(1300, 6))
    rans.states_log, rans._Analysis.splits = states_log, splits


def frames(name: str) -> Iterator[tuple[str, bytes]]:
    """Of one coding; the first byte is the fuzzer's."""
    for kind, data in samples():
        yield kind, bytes([OTHERS + 16 * 3]) + CODINGS[name].encode(data)
    if name == "huffman":
        yield from streams_of_huffman()
    if name == "rans":
        yield from states_of_rans()
    if name == "planes":
        floats = RNG.normal(0, 0.02, 70)
        for number, width in enumerate(planes.WIDTHS):
            data = floats.astype("<f8" if width == 8 else "<f4").tobytes()
            yield f"kind{number}", bytes([ITSELF]) + planes.encode(data[:256], number)


def wide_streams() -> Iterator[tuple[str, bytes]]:
    """Of every coding and several widths."""
    for k, name in enumerate(CODINGS):
        for bits in (9, 12, 16):
            codes = (RNG.laplace(2 ** (bits - 1), 2 ** (bits - 5), 90)).clip(0, 2**bits - 1).astype(int).tolist()
            yield f"{name}{bits}", bytes([k + 4 * (bits - 9), 0]) + wide.encode(codes, name, bits)


def bounded_frames() -> Iterator[tuple[str, bytes]]:
    """Of both element types and both bounds, of one to three dimensions, with and without exceptions."""
    for dtype in ("<f4", "<f8"):
        for shape in ((150,), (9, 14), (3, 5, 8)):
            values = RNG.normal(0, 1, shape).cumsum(-1).astype(dtype)
            yield f"absolute{dtype[-1]}{len(shape)}", bytes([ITSELF]) + bp.bounded.encode(values, absolute=0.02)
            values.flat[::17] = [np.nan, np.inf, 1e30, 0.0][len(shape)]
            yield f"relative{dtype[-1]}{len(shape)}", bytes([OTHERS]) + bp.bounded.encode(values, relative=0.05)
    yield "raw", bytes([ITSELF]) + bp.bounded.encode(RNG.normal(0, 1, 12).astype("<f4"), absolute=1e-9)


def z_files() -> Iterator[tuple[str, bytes]]:
    """`.Z` files, as the fuzzer takes them with a head of their own."""
    for kind, data in samples():
        yield kind, b"\0" + lzw.encode_z(data, 9 + len(data) % 8)
    yield "full", b"\0" + lzw.encode_z(RNG.bytes(700), 9)
    yield "unblocked", b"\0" + lzw.encode_z(draw(300, 16), 10, block=False)


def z_pieces() -> Iterator[tuple[str, bytes]]:
    """The same behind the head, after the widths of pieces."""
    for kind, file in z_files():
        blob = file[1:]
        if len(blob) > 3:
            yield kind, bytes([(blob[2] & 0x80) | (blob[2] - 9 & 7), 0x35]) + blob[3:]


def images() -> Iterator[tuple[str, bytes]]:
    """Strips of TIFF, new and old, and a GIF's image data."""
    for kind, data in samples():
        if 0 < len(data) < 1200:
            yield f"tiff_{kind}", b"\0" + lzw.encode_tiff(data)
            yield f"gif_{kind}", bytes([8 + 16]) + lzw.encode_gif(data, 8)
    yield "old", b"\0" + lzw.encode_tiff(draw(300, 16), old=True)
    for bits in range(2, 8):
        yield f"gif{bits}", bytes([8 + 16]) + lzw.encode_gif(draw(200, 2**bits), bits)


def main() -> None:
    """See the module."""
    chunks_of_4_kib()
    corpora = {name: frames(name) for name in CODINGS} | {
        "wide": wide_streams(), "bounded": bounded_frames(), "lzw_z": z_files(), "lzw_z_stream": z_pieces(),
        "lzw_image": images(),
    }  # fmt: skip
    for name, seeds in corpora.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for kind, seed in seeds:
            (folder / kind).write_bytes(seed)
        print(f"{name}: {sum(file.stat().st_size for file in folder.iterdir())} bytes")


if __name__ == "__main__":
    main()
