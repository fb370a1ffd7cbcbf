"""rANS of chunks that are mostly one byte: bitmaps, gaps, shared pairs of tables; what lies is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from forged_frames import decoded, refused, third

import bitpress as bp
from bitpress import _core
from bitpress.reference import frame
from bitpress.reference import rans as reference

GENERATE = """
import numpy as np
def sparse(n, density, fill=0, block=1, seed=3):
    rng = np.random.Generator(np.random.PCG64(seed))
    kept = np.repeat(rng.random(-(-n // block)) < density, block)[:n]
    codes = np.clip(np.rint(rng.normal(size=n) * 18) + 128, 0, 255).astype(np.uint8)
    return np.where(kept, codes, fill).astype(np.uint8).tobytes()
CASES = [(n, d, f, b) for n in (40, 999, 4096, 70_001) for d, f, b in
         ((0.5, 0, 1), (0.2, 128, 1), (0.1, 255, 1), (0.05, 7, 1), (0.01, 0, 1), (0.001, 0, 1), (0.1, 0, 32),
          (0.02, 0, 64))]
"""
namespace: dict = {}
exec(GENERATE, namespace)
sparse, CASES = namespace["sparse"], namespace["CASES"]


def kinds(blob: bytes) -> set[int]:
    """The second bytes of its split chunks."""
    read = frame.read_frame(blob, may_split=True, may_pair=True)
    at = 0
    for _ in range(read.has_table + 2 * read.has_pair):
        at += reference.read_table(read.body[at:])[1]
    return {chunk.stored[1] for chunk in read.chunks(at) if chunk.kind == frame.FILL and len(chunk.stored) > 1}


@pytest.mark.parametrize(("counted", "others"), [(7, None), (None, 7), (7, 9), (9, None)])
def test_where_the_bytes_looked_at_first_mislead_frames_are_the_same(counted: int | None, others: int | None) -> None:
    """An eighth of each 4096 bytes tells which value may be most of them."""
    data = np.frombuffer(sparse(70_001, 1.0), np.uint8).copy()
    looked_at = np.zeros(data.size, bool)
    for b in range(data.size // 4096):
        looked_at[4096 * b + (b + b // 8) % 8 * 512 :][:512] = True
    if counted is not None:
        data[looked_at] = counted
    if others is not None:
        data[~looked_at] = others
    blob = _core.encode("rans", data)
    assert blob == reference.encode(data.tobytes())
    assert _core.decode("rans", blob) == data.tobytes()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_oracle_and_the_page(case: tuple[int, float, int, int]) -> None:
    data = sparse(*case)
    blob = _core.encode("rans", data)
    assert blob == reference.encode(data)
    assert _core.decode("rans", blob) == reference.decode(blob) == third().frame(blob, 2) == data


def test_both_maps_occur() -> None:
    found = set().union(*(kinds(_core.encode("rans", sparse(*case))) for case in CASES))
    assert found == {reference.BITMAP, reference.GAPS}


@pytest.mark.parametrize("density", [0.1, 0.01])
def test_a_shared_pair_equals_the_oracle(density: float) -> None:
    size = 1 << 20
    data = (
        sparse(size, density) + sparse(size, density, seed=4) + sparse(size // 4, 0.4, block=4) + sparse(5000, density)
    )
    blob = _core.encode("rans", data)
    assert {kind & reference.SHARED for kind in kinds(blob)} == {0, reference.SHARED}
    assert blob == reference.encode(data)
    assert _core.decode("rans", blob) == data == third().frame(blob, 2)


@pytest.mark.parametrize("isa", _core.isas())
def test_every_instruction_set_agrees(isa: str) -> None:
    program = f"""{GENERATE}
import hashlib
from bitpress import _core
assert _core.isa() == {isa!r}
digest = hashlib.sha256()
for case in [*CASES, (300_000, 0.1, 0, 1), (1 << 21, 0.03, 9, 1)]:
    data = sparse(*case)
    blob = _core.encode("rans", data)
    assert _core.decode("rans", blob) == data
    digest.update(blob)
print(digest.hexdigest())
"""
    results = []
    for name in (isa, ""):
        environment = {**os.environ, "BITPRESS_ISA": name}
        code = program if name else program.replace(f"assert _core.isa() == {isa!r}", "")
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        results.append(done.stdout)
    assert results[0] == results[1]


@pytest.mark.parametrize("density", [0.1, 0.0625, 0.01])
def test_at_most_two_percent_over_the_entropy(density: float) -> None:
    data = sparse(1 << 20, density)
    counts = np.bincount(np.frombuffer(data, np.uint8))
    counts = counts[counts > 0]
    entropy = -(counts * np.log2(counts / len(data))).sum() / 8
    assert entropy < len(_core.encode("rans", data)) < 1.02 * entropy


N = 3000
TABLES = {0: 4095, 1: 1}, {0: 2048, 1: 1024, 255: 1024}


def split(
    how: int, k: int, map_bytes: bytes, survivors: bytes | None = None, numbers: bytes | None = None, log: int = 0
) -> bytes:
    """A frame of one split chunk of N bytes."""
    head = bytes([9, how]) + (frame.write_varint(k) if numbers is None else numbers)
    if how & 1 and numbers is None:
        head += frame.write_varint(len(map_bytes))
    head += b"".join(reference.write_table(f) for f in TABLES)
    sequences = list(zip((bytes(k) if survivors is None else survivors, map_bytes), TABLES, strict=True))
    stored = head + reference._write(sequences, log)
    entry = (frame.FILL + 4 * log + 16 * (len(stored) - 1)).to_bytes(3, "little")
    return frame.write_varint(N) + bytes([8]) + entry + stored


def test_truncation_and_flips_are_refused_or_harmless() -> None:
    narrow = bytes(byte and 1 + byte % 3 for byte in sparse(1500, 0.08, block=24))
    for blob in (_core.encode("rans", narrow), split(1, 1, bytes([255] * 11 + [1]))):
        assert kinds(blob)
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


BITMAP = bytes([1]) + bytes(N // 8 - 1)
HOSTILE = {
    "a bitmap of more than there are": split(0, 1, bytes([1, 1]) + BITMAP[2:]),
    "a bitmap of fewer": split(0, 2, BITMAP),
    "an empty bitmap": split(0, 1, bytes(N // 8)),
    "no survivors": split(0, 0, bytes(N // 8)),
    "more survivors than bytes": split(0, N + 1, BITMAP),
    "a third kind of map": split(4, 1, BITMAP),
    "a pair that is not there": split(2, 1, BITMAP),
    "gaps beyond the end": split(1, 1, bytes([255] * 12)),
    "gaps that end with an escape": split(1, 1, bytes([0, 255])),
    "more gaps than survivors": split(1, 1, bytes([0, 0])),
    "fewer gaps than survivors": split(1, 3, bytes([0, 0]), numbers=frame.write_varint(3) + frame.write_varint(2)),
    "fewer ends of gaps than survivors": split(1, 2, bytes([255, 0])),
    "the last survivor beyond the end": split(1, 3000, bytes([255, 0] + [0] * 2999)),
    "too many gaps": split(1, 1, bytes([0] * 13)),
}


@pytest.mark.parametrize("blob", HOSTILE.values(), ids=HOSTILE)
def test_hostile_chunks_are_refused(blob: bytes) -> None:
    with pytest.raises(bp.CorruptError):
        bp.rans.decode(blob)
    refused("rans", blob)


def test_what_the_hostile_ones_are_made_from_is_accepted() -> None:
    for blob, position in ((split(0, 1, BITMAP), 0), (split(1, 1, bytes([255] * 11 + [1])), 2806)):
        data = bytearray([9]) * N
        data[position] = 0
        assert decoded("rans", blob) == bytes(data)


@pytest.mark.parametrize("coding", ["huffman", "lzw"])
def test_other_codings_have_no_split_chunks(coding: str) -> None:
    blob = split(0, 1, BITMAP)
    with pytest.raises(bp.CorruptError):
        _core.decode(coding, blob)
    with pytest.raises(bp.FormatError):
        _core.decode(coding, blob[:2] + bytes([blob[2] | 32]) + blob[3:])
