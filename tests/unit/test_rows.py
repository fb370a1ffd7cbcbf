"""Huffman and rANS of rows: unlike rows have unlike tables; the same bytes as the oracle, and as the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from forged_frames import third

import bitpress as bp
from bitpress import _core
from bitpress.reference import frame, huffman, rans, rans_rows

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


ORACLES: dict[str, ModuleType] = {"huffman": huffman, "rans": rans}
both = pytest.mark.parametrize("coding", ORACLES)


def encode(coding: str, data: bytes, row: int = 0, threads: int = 1) -> bytes:
    blob: bytes = getattr(bp, coding).encode(data, row=row, threads=threads)
    assert getattr(bp, coding).decode(blob, threads=threads) == data
    return blob


def tables(coding: str, blob: bytes) -> list[int]:
    """How many tables each of its chunks of rows has."""
    read = frame.read_frame(blob, may_split=True, may_pair=coding == "rans")
    at = 0
    for _ in range(read.has_table + 2 * read.has_pair):
        at += ORACLES[coding].read_table(read.body[at:])[1]
    chunks = [chunk.stored for chunk in read.chunks(at) if chunk.kind == frame.FILL and len(chunk.stored) > 1]
    return [stored[0] for stored in chunks if stored[1] == rans_rows.HOW]


@both
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_oracle_and_the_page(case: tuple[int, int, tuple[float, ...]], coding: str) -> None:
    data = rows(*case)
    blob = encode(coding, data, case[1])
    assert blob == ORACLES[coding].encode(data, case[1])
    assert ORACLES[coding].decode(blob) == third().frame(blob, list(ORACLES).index(coding) + 1) == data
    assert len(blob) <= len(encode(coding, data))
    assert bool(tables(coding, blob)) == (case[1] > 10), "only rows that are alike share one table"


@both
def test_chunks_cut_rows_anywhere(coding: str) -> None:
    """A row of 999 bytes does not divide a chunk; what is left for a last, small chunk has a plain table."""
    data = rows(1100, 999)
    blob = encode(coding, data, 999)
    full = len(data) >> (20 if coding == "rans" else 18)
    assert len(tables(coding, blob)) == full and len(blob) < 0.97 * len(encode(coding, data))
    assert blob == encode(coding, data, 999, threads=2)
    more = data + rows(90, 999, seed=5)
    blob = encode(coding, more, 999)
    assert len(tables(coding, blob)) == full + 1
    assert third().frame(blob, list(ORACLES).index(coding) + 1) == more


@both
def test_what_has_no_rows_is_as_it_was(coding: str) -> None:
    data = rows(1024, 64)
    plain = encode(coding, data)
    assert encode(coding, data, 0) == encode(coding, data, 1 << 21) == plain
    small = data[:65535]
    assert encode(coding, small, 64) == encode(coding, small)
    for n in (0, 1, 2, 100, 65536):
        encode(coding, bytes(n), 7)
    with pytest.raises(ValueError, match="negative"):
        getattr(bp, coding).encode(b"", row=-1)


def test_rows_of_one_value_each() -> None:
    """No code has one symbol: each table of Huffman's gets a second one."""
    data = np.repeat(np.arange(4, dtype=np.uint8), [10_000, 20_000, 30_000, 40_000]).tobytes()
    blob = encode("huffman", data, 100)
    assert blob == huffman.encode(data, 100) and tables("huffman", blob) == [4]
    assert len(blob) < 0.6 * len(encode("huffman", data))


@both
@pytest.mark.parametrize("isa", _core.isas())
def test_every_instruction_set_agrees(isa: str, coding: str) -> None:
    program = f"""{GENERATE}
import hashlib
from bitpress import _core
digest = hashlib.sha256()
for case in [*CASES, (3000, 768, (2, 9, 40)), (64, 5000, (3, 30))]:
    data = rows(*case)
    blob = _core.encode({coding!r}, data, 1, case[1])
    assert _core.decode({coding!r}, blob) == data
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


@both
@pytest.mark.parametrize("bits", [4, 5, 8, 12])
def test_a_file_takes_rows_of_its_tensors(bits: int, coding: str, tmp_path: Path) -> None:
    """Rows of unlike spread under one step; the same codes without rows take more."""
    rng = np.random.Generator(np.random.PCG64(1))
    weights = (rng.normal(size=(512, 512)) * rng.choice([0.02, 0.1, 0.5], 512)[:, None]).astype(np.float32)
    scheme = bp.Scheme.int(bits, coding=coding)
    files = []
    for name, shape in (("rows", (512, 512)), ("flat", (512 * 512,))):
        path = tmp_path / name
        bp.save_file({"w": weights.reshape(shape)}, path, bp.Recipe((bp.Rule("*", scheme, min_rank=1),)))
        files.append(path.stat().st_size)
        assert bp.load_file(path)["w"].reshape(512, 512).tobytes() == bp.pack(weights, scheme).unpack().tobytes()
    assert files[0] < 0.97 * files[1]
