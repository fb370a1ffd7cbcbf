"""Fits the nominal speeds of `bitpress.codings`: nanoseconds a decoded byte = a + b * stored bytes a decoded one.

``taskset -c 0 python bench/speeds.py`` prints a and b of each coding and how far each kind of data is from the fit: for
codes of 8, 4 (one a byte and packed) and 2 bits, mostly-zero codes, text, and bfloat16 for ``planes``.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

import bitpress as bp
from bitpress.codings import CODING_NUMBERS

N = 1 << 22


def gaussian_codes(rng: np.random.Generator, bits: int) -> np.ndarray:
    most = 2 ** (bits - 1) - 1
    x = rng.standard_normal(N)
    return (np.clip(np.rint(x / 4 * most), -most, most) + most).astype(np.uint8)


def datasets() -> dict[str, tuple[bytes, str]]:
    rng = np.random.default_rng(1)
    four = gaussian_codes(rng, 4)
    sparse = np.where(rng.random(N) < 0.9, 127, gaussian_codes(rng, 8)).astype(np.uint8)
    text = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.parent.glob("docs/*.md")))
    floats = (rng.standard_normal(N // 2).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return {
        "int8": (gaussian_codes(rng, 8).tobytes(), "U8"),
        "int4 a byte": (four.tobytes(), "U8"),
        "int4 packed": (bp.bitpack.pack(four, 4).tobytes(), "U8"),
        "int2 a byte": (gaussian_codes(rng, 2).tobytes(), "U8"),
        "90% zeros": (sparse.tobytes(), "U8"),
        "text": ((text * (N // len(text) + 1))[:N], "U8"),
        "bf16": (floats.tobytes(), "BF16"),
    }


def decode_nanoseconds(coding: str, data: bytes, dtype: str) -> tuple[float, float]:
    """Stored bytes and nanoseconds a decoded byte: the least of 15 runs, by the thread's CPU time."""
    coder = getattr(bp, coding)
    blob = coder.encode(np.frombuffer(data, np.uint8), dtype=dtype) if coding == "planes" else coder.encode(data)
    times = []
    for _ in range(15):
        began = time.thread_time_ns()
        coder.decode(blob)
        times.append(time.thread_time_ns() - began)
    return len(blob) / len(data), min(times) / len(data)


def main() -> None:
    """See the module."""
    data = datasets()
    for coding in CODING_NUMBERS:
        if coding == "raw":
            continue
        points = {name: decode_nanoseconds(coding, *item) for name, item in data.items()}
        coded = {name: point for name, point in points.items() if point[0] < 1}
        ratios, times = np.array(list(coded.values())).T
        b, a = np.polyfit(ratios, times, 1, w=1 / times)
        print(f"{coding}: ({a:.2f}, {b:.2f})")
        for name, (ratio, took) in coded.items():
            print(f"    {name:12} {ratio:.3f} stored, {1 / took:.2f} GB/s, by the fit {1 / (a + b * ratio):.2f}")


if __name__ == "__main__":
    main()
