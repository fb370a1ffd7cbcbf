"""The demo's data: scikit-learn's digits, and Fashion-MNIST from the Debian package ``dataset-fashion-mnist``."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import FormatError

__all__ = ["FASHION_MNIST", "Data", "Part", "digits", "fashion_mnist", "read_idx"]

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_IDX_LIMIT = 1 << 30  # bytes: larger than any set this reads


@dataclass(frozen=True)
class Part:
    """Images, float32 (rows, 1, height, width) in about -1..1, and their labels, int64 (rows,)."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | npt.NDArray[np.int64]) -> Part:
        return Part(self.x[rows], self.y[rows])


@dataclass(frozen=True)
class Data:
    """``train`` is the teacher's; ``transfer`` the student's, labels held back or not; ``test`` the judge's."""

    name: str
    train: Part
    transfer: Part
    test: Part


def _cut(images: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], sizes: Sequence[int], seed: int) -> list[Part]:
    order = np.random.default_rng(seed).permutation(len(images))
    pieces = np.split(order, np.cumsum(sizes))[: len(sizes)]
    return [Part(images[rows], labels[rows]) for rows in pieces]


def digits(seed: int = 0) -> Data:
    """1,797 handwritten digits of 8 x 8 pixels: 600 to train, 600 to transfer, 597 to test, drawn by ``seed``.

    Source: E. Alpaydin and C. Kaynak 1998, in scikit-learn. ModuleNotFoundError where that is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise ModuleNotFoundError("the digits come with scikit-learn: pip install 'bitpress[demo]'") from None
    found = load_digits()
    images = (found.images.astype(np.float32) / 8 - 1)[:, None]
    train, transfer, test = _cut(images, found.target.astype(np.int64), (600, 600, 597), seed)
    return Data("digits", train, transfer, test)


def read_idx(path: Path) -> npt.NDArray[np.generic]:
    """An idx file (LeCun's format for MNIST), gzipped or not. FormatError where it is another thing, or not whole."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            with gzip.open(path) as file:
                raw = file.read(_IDX_LIMIT + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(f"{path}: damaged gzip ({error})") from None
    if len(raw) > _IDX_LIMIT:
        raise FormatError(f"{path}: over {_IDX_LIMIT} bytes")
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _IDX_TYPES or len(raw) < 4 + 4 * raw[3]:
        raise FormatError(f"{path}: not an idx file")
    shape = struct.unpack_from(f">{raw[3]}I", raw, 4)
    dtype, begin = np.dtype(_IDX_TYPES[raw[2]]), 4 + 4 * raw[3]
    if len(raw) - begin != math.prod(shape) * dtype.itemsize:
        raise FormatError(f"{path}: says {shape}, holds {len(raw) - begin} bytes")
    return np.frombuffer(raw, dtype, offset=begin).reshape(shape)


def fashion_mnist(seed: int = 0, folder: str | Path | None = None, limit: int | None = None) -> Data:
    """70,000 pictures of clothes, 28 x 28: 30,000 to train, 30,000 to transfer, the 10,000 of the test set.

    ``limit``: at most so many rows of train, of transfer and of test. Source: Xiao, Rasul and Vollgraf 2017
    (arXiv:1708.07747). FileNotFoundError names the package that holds the files.
    """
    folder = Path(folder or FASHION_MNIST)
    parts: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]] = []
    for prefix in ("train", "t10k"):
        files = [folder / f"{prefix}-{kind}.gz" for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        for file in files:
            if not file.exists():
                raise FileNotFoundError(
                    f"{file}: no such file (Fashion-MNIST: apt-get install dataset-fashion-mnist, or name the folder)"
                )
        pixels, labels = (read_idx(file) for file in files)
        if pixels.shape[1:] != (28, 28) or labels.shape != pixels.shape[:1]:
            raise FormatError(f"{files[0]}: shape {pixels.shape} with {labels.shape} labels is not Fashion-MNIST's")
        parts.append(((pixels.astype(np.float32) / 127.5 - 1)[:, None], labels.astype(np.int64)))
    half = min(limit or 30_000, len(parts[0][0]) // 2)
    train, transfer = _cut(*parts[0], (half, half), seed)
    return Data("fashion-mnist", train, transfer, Part(*parts[1])[: limit or 10_000])
