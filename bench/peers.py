"""Peers that exist only as C sources: tools/peers.sh fetches and builds them outside the tree, this loads them.

``tools/peers.sh && make bench TESTS=bench/bench_codings.py``
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Coder = tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes | memoryview]]
LABELS = {
    "huff0": "huff0 of zstd",
    "fse": "FSE of zstd",
    "htscodecs": "htscodecs rANS x32",
    "wuffs": "wuffs LZW",
}


@functools.cache
def _library() -> ctypes.CDLL | None:
    folder = os.environ.get("BITPRESS_PEERS") or Path(__file__).parents[2] / "bitpress-peers"
    path = Path(folder) / "libpeers.so"
    return ctypes.CDLL(os.fspath(path)) if path.exists() else None


def unpacker(name: str, packed: np.ndarray, bits: int, codes: np.ndarray) -> Callable[[], None]:
    """FastLanes' unpacking of lanes into ``codes``, compiled for ``name`` (avx2, native)."""
    function = getattr(_library(), f"fastlanes_{name}_unpack", None)
    if function is None:
        pytest.skip("needs tools/peers.sh")
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (packed, codes)]
    return functools.partial(
        function, pointers[0], ctypes.c_size_t(codes.size // 1024), ctypes.c_uint(bits), pointers[1]
    )


def native(name: str, size: int, encode: Callable[[bytes], bytes] | None = None) -> Coder:
    """Label, encoder and decoder of a peer for ``size`` bytes of data; ``encode`` where it has none of its own.

    Buffers are made once, as a C program would: a call costs what the coder does, and a copy of its encoded bytes.
    """
    library = _library()
    if library is None:
        pytest.skip("needs tools/peers.sh")
    room = np.empty(size + size // 2 + (1 << 20), np.uint8)
    back = np.empty(size + 64, np.uint8)
    decoder = library[f"{name}_decode"]
    decoder.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t]

    def decode(blob: bytes) -> memoryview:
        if decoder(blob, len(blob), back.ctypes.data, size) != 1:
            raise ValueError(f"{name} did not decode")
        return memoryview(back)[:size]

    def encode_by_library(data: bytes) -> bytes:
        return room[: encoder(data, len(data), room.ctypes.data)].tobytes()

    if encode is None:
        encoder = library[f"{name}_encode"]
        encoder.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]
        encoder.restype = ctypes.c_size_t
    return LABELS[name], encode or encode_by_library, decode
