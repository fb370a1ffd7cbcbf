"""Files of many kinds for the conformance of LZW, 0 to 8 MiB: the same bytes on every machine, none from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Bytes = np.ndarray


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _integers(n: int, below: int, seed: int) -> Bytes:
    return _rng(seed).integers(0, below, n, dtype=np.uint8 if below <= 256 else np.uint32)


def _normal(n: int, seed: int) -> np.ndarray:
    """About normal, in whole numbers: sums of twelve bytes, less their mean."""
    return _integers(12 * n, 256, seed).reshape(n, 12).sum(axis=1, dtype=np.int32) - 1530


def _text(n: int) -> Bytes:
    """Words of a made-up language, frequent ones first, in lines."""
    letters = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)
    lengths = 1 + _integers(3000, 5, 20) + _integers(3000, 5, 27)
    spelling = letters[np.minimum(_integers(30_000, 26, 28), _integers(30_000, 26, 29))].reshape(3000, 10)
    words = [row[:k].tobytes() for row, k in zip(spelling, lengths, strict=True)]
    picks = _integers(n // 3 + 4, 3000, 30).astype(np.int64) * _integers(n // 3 + 4, 3000, 31) // 3000
    parts = [words[i] + (b".\n" if k % 11 == 10 else b" ") for k, i in enumerate(picks)]
    return np.frombuffer((b"".join(parts) * 3)[:n].ljust(n, b" "), np.uint8)


def _source(n: int) -> Bytes:
    """Lines that are alike but for numbers."""
    numbers = _integers(n // 20 + 2, 10_000, 21)
    lines = b"".join(b"    x[%d] = y[%d] + 0x%04x;\n" % (i, k, k * 7 % 65536) for i, k in enumerate(numbers))
    return np.frombuffer(lines[:n].ljust(n, b"\n"), np.uint8)


def _picture(n: int) -> Bytes:
    """Rows of 256 pixels that neighbours share a part of."""
    steps = _integers(n, 5, 22).astype(np.int32) - 2
    return (np.cumsum(steps) // 2 + np.arange(n) // 256).astype(np.uint8)


def _fibonacci(n: int) -> Bytes:
    """No square of a word longer than its own: strings grow slowly."""
    a, b = b"a", b"ab"
    while len(b) < n:
        a, b = b, b + a
    return np.frombuffer(b[:n], np.uint8)


def _changing(n: int) -> Bytes:
    """Blocks of 3000 bytes with alphabets of their own: compress gives its dictionary up."""
    tops = np.repeat(_integers(n // 3000 + 1, 255, 23).astype(np.uint32) + 1, 3000)[:n]
    return (_integers(n, 256, 24) * tops // 256).astype(np.uint8)


def _floats(n: int) -> Bytes:
    return (_normal(n // 4 + 1, 25) / 4096).astype("<f4").view(np.uint8)[:n]


def _bfloats(n: int) -> Bytes:
    return ((_normal(n // 2 + 1, 26) / 4096).astype("<f4").view("<u4") >> 16).astype("<u2").view(np.uint8)[:n]


# By name: how many bits a byte of it needs, and the bytes.
KINDS: dict[str, tuple[int, Callable[[int], np.ndarray]]] = {
    "zeros": (2, lambda n: np.zeros(n, np.uint8)),
    "two symbols": (2, lambda n: _integers(n, 2, 1)),
    "uniform": (8, lambda n: _integers(n, 256, 2)),
    "int4": (4, lambda n: np.clip(_normal(n, 3) // 256 + 8, 0, 15)),
    "int4, two a byte": (8, lambda n: np.clip(_normal(2 * n, 4) // 256 + 8, 0, 15).reshape(n, 2) @ np.array([1, 16])),
    "int8": (8, lambda n: np.clip(_normal(n, 5) // 16 + 128, 0, 255)),
    "90% zeros": (8, lambda n: np.where(_integers(n, 10, 6) == 0, _integers(n, 256, 7), 0)),
    "runs": (8, lambda n: np.repeat(_integers(n, 256, 8), 1 + _integers(n, 40, 9).astype(np.int64))[:n]),
    "ramp": (8, lambda n: np.arange(n) % 256),
    "period of 45": (
        7,
        lambda n: np.resize(np.frombuffer(b"the quick brown fox jumps over the lazy dog; ", np.uint8), n),
    ),
    "text": (7, _text),
    "source": (7, _source),
    "picture": (8, _picture),
    "fibonacci": (7, _fibonacci),
    "changing": (8, _changing),
    "float32": (8, _floats),
    "bfloat16": (8, _bfloats),
}
SIZES = (0, 1, 2, 3, 31, 255, 256, 511, 1000, 4096, 12_345, 40_000, 100_000)
LARGE = (
    ("text", 1 << 20), ("int4", 1 << 20), ("uniform", 1 << 20), ("changing", 3_000_000), ("90% zeros", 3_000_000),
    ("picture", 8 << 20), ("source", 8 << 20),
)  # fmt: skip


def files(only: str | None = None) -> Iterator[tuple[str, int, bytes]]:
    """Name, bits a byte needs, and content of each of 228 files, or of those of one kind."""
    for kind, (bits, make) in KINDS.items():
        if only not in (None, kind):
            continue
        for size in (*SIZES, *(size for name, size in LARGE if name == kind)):
            yield f"{kind}, {size}", bits, make(size).astype(np.uint8).tobytes()
