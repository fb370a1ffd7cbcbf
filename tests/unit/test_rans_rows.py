"""rANS of rows: unlike rows have unlike tables; the same bytes as the oracle; what lies is refused."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import bitpress as bp
from bitpress import _core
from bitpress.reference import frame, rans_rows
from bitpress.reference import rans as reference


def _third() -> ModuleType:
    spec = importlib.util.spec_from_file_location("third", Path(__file__).parents[1] / "third_codings.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = """
import numpy as np
def rows(count, row, levels=(2, 9, 40), seed=3):
    rng = np.random.Generator(np.random.PCG64(seed))
    spread = rng.choice(np.array(levels, np.float64), count)[:, None]
    codes = np.rint(rng.normal(size=(count, row)) * spread) + 128
    return np.clip(codes, 0, 255).astype(np.uint8).tobytes()
CASES = [(1024, 64, (2, 9, 40)), (300, 300, (3, 30)), (80, 999, (1, 5, 20, 60)), (1500, 50, (2, 20)),
         (7000, 10, (9, 9)), (400, 200, (.3, 2))]
"""
namespace: dict = {}
exec(GENERATE, namespace)
rows, CASES = namespace["rows"], namespace["CASES"]


def tables(blob: bytes) -> list[int]:
    """How many tables each of its chunks of rows has."""
    read = frame.read_frame(blob, may_split=True)
    at = 0
    for _ in range(read.has_table + 2 * read.has_pair):
        at += reference.read_table(read.body[at:])[1]
    chunks = [chunk.stored for chunk in read.chunks(at) if chunk.kind == frame.FILL and len(chunk.stored) > 1]
    return [stored[0] for stored in chunks if stored[1] == rans_rows.HOW]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_oracle_and_the_page(case: tuple[int, int, tuple[float, ...]]) -> None:
    data = rows(*case)
    blob = bp.rans.encode(data, row=case[1])
    assert blob == reference.encode(data, case[1])
    assert bp.rans.decode(blob) == reference.decode(blob) == _third().frame(blob, 2) == data
    assert len(blob) <= len(bp.rans.encode(data))
    assert bool(tables(blob)) == (case[1] > 10), "only rows that are alike share one table"


def test_chunks_cut_rows_anywhere() -> None:
    """A row of 999 bytes does not divide a chunk; the second chunk is small and has a plain table."""
    data = rows(1100, 999)
    blob = bp.rans.encode(data, row=999)
    assert len(tables(blob)) == 1 and len(blob) < 0.97 * len(bp.rans.encode(data))
    assert blob == bp.rans.encode(data, row=999, threads=2)
    assert bp.rans.decode(blob) == data
    more = data + rows(90, 999, seed=5)
    blob = bp.rans.encode(more, row=999)
    assert len(tables(blob)) == 2 and bp.rans.decode(blob, threads=2) == _third().frame(blob, 2) == more


def test_what_has_no_rows_is_as_it_was() -> None:
    data = rows(1024, 64)
    assert bp.rans.encode(data, row=0) == bp.rans.encode(data, row=1 << 21) == bp.rans.encode(data)
    small = data[:65535]
    assert bp.rans.encode(small, row=64) == bp.rans.encode(small)
    for n in (0, 1, 2, 100, 65536):
        assert bp.rans.decode(bp.rans.encode(bytes(n), row=7)) == bytes(n)
    with pytest.raises(ValueError, match="negative"):
        bp.rans.encode(b"", row=-1)


@pytest.mark.parametrize("isa", _core.isas())
def test_every_instruction_set_agrees(isa: str) -> None:
    program = f"""{GENERATE}
import hashlib
from bitpress import _core
digest = hashlib.sha256()
for case in [*CASES, (3000, 768, (2, 9, 40)), (64, 5000, (3, 30))]:
    data = rows(*case)
    blob = _core.encode("rans", data, 1, case[1])
    assert _core.decode("rans", blob) == data
    digest.update(blob)
print(digest.hexdigest())
"""
    results = []
    for name in (isa, ""):
        environment = {**os.environ, "BITPRESS_ISA": name}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        results.append(done.stdout)
    assert results[0] == results[1]


@pytest.mark.parametrize("bits", [4, 5, 8, 12])
def test_a_file_takes_rows_of_its_tensors(bits: int, tmp_path: Path) -> None:
    """Rows of unlike spread under one step; the same codes without rows take more."""
    rng = np.random.Generator(np.random.PCG64(1))
    weights = (rng.normal(size=(512, 512)) * rng.choice([0.02, 0.1, 0.5], 512)[:, None]).astype(np.float32)
    scheme = bp.Scheme.int(bits, coding="rans")
    files = []
    for name, shape in (("rows", (512, 512)), ("flat", (512 * 512,))):
        path = tmp_path / name
        bp.save_file({"w": weights.reshape(shape)}, path, bp.Recipe((bp.Rule("*", scheme, min_rank=1),)))
        files.append(path.stat().st_size)
        assert bp.load_file(path)["w"].reshape(512, 512).tobytes() == bp.pack(weights, scheme).unpack().tobytes()
    assert files[0] < 0.97 * files[1]


N, R = 1000, 100
FLAT, TWO = {0: 4095, 1: 1}, {0: 2048, 1: 1024, 255: 1024}


def chunk(
    count: int = 2,
    row: int = R,
    first: int = 60,
    where: bytes = bytes([0, 1] * 5 + [0]),
    more: bytes = b"",
    log: int = 0,
) -> bytes:
    """A frame of one chunk of rows: N bytes, all 0."""
    f = {0: 2048, 1: 1024, 2: 1024}
    head = bytes([count, rans_rows.HOW]) + frame.write_varint(row) + frame.write_varint(first)
    head += reference.write_table(f) + reference.write_table(TWO) + reference.write_table(FLAT)
    sizes = [0, 0, 0]
    spans = rans_rows.spans(N, max(row, 1), max(first, 1))
    for (a, b), table in zip(spans, where, strict=False):
        sizes[table] += b - a
    sequences = [(where, f), *((bytes(size), table) for size, table in zip(sizes, (TWO, FLAT, FLAT), strict=True))]
    stored = head + reference._write(sequences, log) + more
    entry = (frame.FILL + 4 * log + 16 * (len(stored) - 1)).to_bytes(3, "little")
    return frame.write_varint(N) + bytes([8]) + entry + stored


HOSTILE = {
    "one table": chunk(1),
    "nine tables": chunk(9),
    "more tables than there are": chunk(3),
    "a row that is too short": chunk(row=63, first=60),
    "no first row": chunk(first=0),
    "a first row longer than a row": chunk(first=101),
    "a row's table that is not there": chunk(where=bytes([0, 1] * 5 + [2])),
    "fewer rows in the map": chunk(where=bytes([0, 1] * 5)),
    "more rows in the map": chunk(where=bytes([0, 1] * 6)),
    "a word too many": chunk(more=bytes(2)),
    "a byte too many": chunk(more=bytes(1)),
    "a row above 2^20": chunk(row=(1 << 20) + 1, first=N, where=bytes(1)),
}


@pytest.mark.parametrize("blob", HOSTILE.values(), ids=HOSTILE)
def test_hostile_chunks_are_refused(blob: bytes) -> None:
    with pytest.raises(bp.FormatError):
        bp.rans.decode(blob)
    with pytest.raises(ValueError, match=r"\w"):
        reference.decode(blob)
    third = _third()
    with pytest.raises(third.Refused):
        third.frame(blob, 2)


def test_what_the_hostile_ones_are_made_from_is_accepted() -> None:
    for blob in (chunk(), chunk(log=1), chunk(row=1 << 20, first=N, where=bytes(1)), chunk(where=bytes(11))):
        assert bp.rans.decode(blob) == reference.decode(blob) == _third().frame(blob, 2) == bytes(N)
    for coding in ("huffman", "lzw"):
        with pytest.raises(bp.CorruptError):
            _core.decode(coding, chunk())


def test_truncation_and_flips_are_refused_or_harmless() -> None:
    blob = chunk(log=1)
    for cut in range(len(blob)):
        with pytest.raises(bp.FormatError):
            bp.rans.decode(blob[:cut])
    for bit in range(8 * len(blob)):
        broken = bytearray(blob)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            theirs = reference.decode(bytes(broken))
        except ValueError:
            with pytest.raises(bp.FormatError):
                bp.rans.decode(bytes(broken), max_size=10_000)
        else:
            assert bp.rans.decode(bytes(broken)) == theirs
