"""rANS: equal to its oracle byte for byte, on every instruction set; tables that lie are refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import bitpress as bp
from bitpress import _core
from bitpress.reference import frame
from bitpress.reference import rans as reference

GENERATE = """
import numpy as np
def samples():
    rng = np.random.Generator(np.random.PCG64(11))
    for n in (2, 2500, 4096, 33001, 300_000, 600_001, (1 << 20) + 524288 + 77):
        normal = rng.normal(size=n)
        yield np.clip(np.rint(normal * 33), -127, 127).astype(np.int8).tobytes()
        yield np.clip(np.rint(normal * 2) + 8, 0, 15).astype(np.uint8).tobytes()
        yield (200 * (normal > 2.5) + 3 * (normal < -2)).astype(np.uint8).tobytes()
        yield np.where(normal > 1.3, rng.integers(0, 256, n), 0).astype(np.uint8).tobytes()
"""
namespace: dict = {}
exec(GENERATE, namespace)
samples = namespace["samples"]


def test_equals_the_oracle() -> None:
    for data in samples():
        if len(data) <= 33001:
            blob = _core.encode("rans", data)
            assert blob == reference.encode(data)
            assert reference.decode(blob) == data == _core.decode("rans", blob)


def test_shared_and_own_tables_equal_the_oracle() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    size = (2 << 20) + 50_000
    data = np.minimum(rng.geometric(0.4, size), 200).astype(np.uint8)
    data[1 << 20 : 2 << 20] = rng.integers(7, 10, 1 << 20)
    data[2 << 20 :] = data[(1 << 20) - 25_000 : (1 << 20) + 25_000]
    blob = _core.encode("rans", data)
    kinds = [kind for kind, _, _ in frame.read_frame(blob, may_split=True, may_pair=True).entries]
    assert frame.CODED in kinds and frame.CODED_SHARED in kinds
    assert blob == reference.encode(data.tobytes())
    assert _core.decode("rans", blob) == data.tobytes()


@pytest.mark.parametrize("isa", _core.isas())
def test_every_instruction_set_decodes_the_same(isa: str) -> None:
    program = f"""{GENERATE}
import hashlib
from bitpress import _core
assert _core.isa() == {isa!r}
for data in samples():
    blob = _core.encode("rans", data)
    assert _core.decode("rans", blob) == data
    print(hashlib.sha256(blob).hexdigest())
"""
    environment = {**os.environ, "BITPRESS_ISA": isa}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [hashlib.sha256(_core.encode("rans", data)).hexdigest() for data in samples()]


def test_nearer_to_the_entropy_than_huffman() -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    data = np.where(rng.random(1 << 20) < 0.97, 0, rng.integers(1, 9, 1 << 20)).astype(np.uint8)
    counts = np.bincount(data)
    entropy = -(counts * np.log2(counts / data.size)).sum() / 8
    assert entropy < len(_core.encode("rans", data)) < 1.01 * entropy
    assert len(_core.encode("huffman", data)) > 3 * entropy


def test_slots_are_shared_out_exactly() -> None:
    rng = np.random.Generator(np.random.PCG64(9))
    for symbols in (2, 3, 15, 16, 17, 100, 256):
        counts = {int(s): int(c) for s, c in enumerate(rng.integers(1, 10 ** rng.integers(1, 7), symbols))}
        f = reference.frequencies(counts)
        assert sum(f.values()) == 4096 and min(f.values()) >= 1
        assert sorted(reference.slots(f)) == sorted((s, rank) for s in f for rank in range(f[s]))
        assert reference.read_table(reference.write_table(f)) == (f, len(reference.write_table(f)))


def _frame_with(payload: bytes, decoded: int = 3000) -> bytes:
    entry = (frame.CODED + 16 * (len(payload) - 1)).to_bytes(3, "little")
    return frame.write_varint(decoded) + bytes([20 - 12]) + entry + payload


STATE = (65536).to_bytes(4, "little")
GOOD = {0: 4000, 7: 96}
HOSTILE = {
    "frequencies of another sum": reference.write_table({0: 4000, 7: 95}) + STATE,
    "one symbol with every slot": reference.write_table({0: 4096 - 1, 1: 2}) + STATE,
    "no table": b"\0\0\0\0" + STATE,
    "a state below 2^16": reference.write_table(GOOD) + (65535).to_bytes(4, "little"),
    "a state of zero": reference.write_table(GOOD) + bytes(4),
    "states cut off": reference.write_table(GOOD) + STATE[:3],
    "a last state that is not 2^16": reference.write_table(GOOD) + (2**31 + 5).to_bytes(4, "little"),
    "words left over": reference.write_table(GOOD) + STATE + bytes(64),
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_hostile_chunks_are_refused(payload: bytes) -> None:
    blob = _frame_with(payload)
    with pytest.raises(bp.CorruptError):
        bp.rans.decode(blob)
    with pytest.raises(ValueError, match=r"\w"):
        reference.decode(blob)


def test_public_object() -> None:
    data = np.arange(10_000, dtype=np.float32)
    assert bp.rans.decode(bp.rans.encode(data)) == data.tobytes()
    with pytest.raises(bp.FormatError, match="at most 10 allowed"):
        bp.rans.decode(bp.rans.encode(data), max_size=10)
    with pytest.raises(ValueError, match="max_size"):
        bp.rans.decode(b"", max_size=-1)


def estimated_chunks() -> dict[str, np.ndarray]:
    """Chunks of 2^19 bytes and more, and one that is smaller."""
    rng = np.random.Generator(np.random.PCG64(8))
    normal = np.clip(np.rint(rng.normal(size=(1 << 19) + 4000) * 9) + 100, 60, 140).astype(np.uint8)
    outliers = normal.copy()
    outliers[[3, 70_000, 200_000, 300_000, 300_001]] = [0, 255, 10, 255, 141]  # some where nothing is counted
    half = np.where(rng.random(normal.size) < 0.45, 100, normal).astype(np.uint8)
    elsewhere = normal.copy()  # what is counted is not like the rest
    few = np.where(np.arange(512) % 4 == 0, np.arange(512) // 4 % 100 + 50, np.arange(512) % 7 + 60)
    for b in range(elsewhere.size // 4096):
        elsewhere[4096 * b + (b + b // 8) % 8 * 512 :][:512] = few
    return {"normal": normal, "outliers": outliers, "half": half, "elsewhere": elsewhere, "small": normal[: 1 << 18]}


def test_estimated_counts_equal_the_oracle() -> None:
    taken = {}
    for name, data in estimated_chunks().items():
        blob = _core.encode("rans", data)
        assert blob == reference.encode(data.tobytes())
        assert _core.decode("rans", blob) == data.tobytes()
        taken[name] = reference.estimate(data.tobytes()) is not None
        counts = np.bincount(data)
        entropy = -(counts[counts > 0] * np.log2(counts[counts > 0] / data.size)).sum() / 8
        assert len(blob) < 1.003 * entropy + 1000
    assert taken == {"normal": True, "outliers": True, "half": False, "elsewhere": True, "small": False}
