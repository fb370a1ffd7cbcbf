"""Huffman: tables of one, two and six symbols an entry, on every instruction set, equal the oracle and refuse alike."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import bitpress as bp
from bitpress import _core
from bitpress.reference import huffman as reference

GENERATE = """
import numpy as np
def samples():
    rng = np.random.Generator(np.random.PCG64(12))
    for n in (2, 1023, 1024, 16_383, 16_384, 40_001, 300_000, (1 << 19) + 77):
        normal = rng.normal(size=n)
        int4 = np.clip(np.rint(normal * 1.9) + 8, 1, 15).astype(np.uint8)  # six symbols an entry
        yield int4.tobytes()
        yield (int4 | np.roll(int4, 5) << 4).tobytes()  # two
        yield np.clip(np.rint(normal * 34) + 128, 1, 255).astype(np.uint8).tobytes()  # one
        yield (normal > 2).astype(np.uint8).tobytes()  # a bit each: more than six would fit
        yield np.concatenate([int4[: n // 2] % 2, int4[n // 2 :]]).tobytes()  # streams of very unlike lengths
        yield np.minimum(rng.geometric(0.5, n), 200).astype(np.uint8).tobytes()  # up to the longest code words
"""
namespace: dict = {}
exec(GENERATE, namespace)
samples = namespace["samples"]


def test_equals_the_oracle() -> None:
    for data in samples():
        if len(data) <= 40_001:
            blob = _core.encode("huffman", data)
            assert blob == reference.encode(data)
            assert reference.decode(blob) == data == _core.decode("huffman", blob)


@pytest.mark.parametrize("isa", _core.isas())
def test_every_instruction_set_gives_the_same(isa: str) -> None:
    program = f"""{GENERATE}
import hashlib
from bitpress import _core
assert _core.isa() == {isa!r}
for data in samples():
    blob = _core.encode("huffman", data)
    assert _core.decode("huffman", blob) == data
    print(hashlib.sha256(blob).hexdigest())
"""
    environment = {**os.environ, "BITPRESS_ISA": isa}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [hashlib.sha256(_core.encode("huffman", data)).hexdigest() for data in samples()]


@pytest.mark.parametrize("streams_log", range(4))
def test_every_number_of_streams(streams_log: int) -> None:
    """The format allows two streams, and each number for any size from 1024 on, which the encoder does not write."""
    for data in samples():
        if not 1024 <= len(data) <= 40_001:
            continue
        lengths = reference.best_code(dict(zip(*map(list, np.unique(list(data), return_counts=True)), strict=True)))
        stored = reference.write_table(lengths) + reference._encode_with(data, streams_log, lengths)
        head = reference.write_varint(len(data)) + bytes([20 - 12])
        blob = head + (2 + 4 * streams_log + 16 * (len(stored) - 1)).to_bytes(3, "little") + stored
        assert _core.decode("huffman", blob) == data


def test_damage_is_refused_or_gives_as_many_bytes() -> None:
    rng = np.random.Generator(np.random.PCG64(13))
    for data in samples():
        if len(data) != 40_001:
            continue
        blob = _core.encode("huffman", data)
        for at in rng.integers(0, len(blob), 200):
            broken = bytearray(blob)
            broken[at] ^= 1 << int(rng.integers(0, 8))
            try:
                size = len(_core.decode("huffman", broken, 1 << 20))
            except bp.BitpressError:
                continue
            assert size == len(data)
        for cut in (*range(1, 64), *rng.integers(64, len(blob), 100)):
            with pytest.raises(bp.BitpressError):
                _core.decode("huffman", blob[:-cut], 1 << 20)
