"""The demo's data: the idx reader, and sets whose parts share nothing."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress.demo import data


def idx(array: np.ndarray, code: int) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def fashion(folder: Path, train: int = 40, test: int = 10) -> Path:
    """Files as the package has them, of random pictures."""
    random = np.random.default_rng(0)
    for prefix, rows in (("train", train), ("t10k", test)):
        pixels = random.integers(0, 256, (rows, 28, 28), np.uint8)
        labels = random.integers(0, 10, rows, np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels, 8)))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels, 8)))
    return folder


@pytest.mark.parametrize(("dtype", "code"), [("u1", 8), ("i1", 9), (">i2", 11), (">i4", 12), (">f4", 13), (">f8", 14)])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_are_read(dtype: str, code: int, zipped: bool, tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    raw = idx(array, code)
    path = tmp_path / "some.idx"
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    assert np.array_equal(data.read_idx(path), array)


def test_damaged_idx_files_are_refused_by_name(tmp_path: Path) -> None:
    raw = idx(np.zeros((3, 5), np.uint8), 8)
    path = tmp_path / "some.idx"
    zipped = gzip.compress(raw)
    bad = [raw[:cut] for cut in range(len(raw))] + [zipped[:cut] for cut in range(2, len(zipped))]
    bad += [raw + b"\0", b"\1" + raw[1:], raw[:2] + b"\7" + raw[3:], raw[:3] + b"\xff" + raw[4:]]
    bad += [raw[:4] + b"\xff" * 8 + raw[12:], zipped[:12] + bytes([zipped[12] ^ 255]) + zipped[13:]]
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(bp.FormatError, match=r"some\.idx: "):
            data.read_idx(path)


def test_the_parts_of_the_digits_share_nothing() -> None:
    found = data.digits(3)
    parts = [found.train, found.transfer, found.test]
    assert [len(part) for part in parts] == [600, 600, 597] and found.test.x.shape == (597, 1, 8, 8)
    again, other = data.digits(3), data.digits(4)
    assert np.array_equal(again.test.x, found.test.x) and not np.array_equal(other.test.x, found.test.x)
    rows = sorted(row.tobytes() for part in parts for row in part.x)
    assert rows == sorted(row.tobytes() for part in (other.train, other.transfer, other.test) for row in part.x)
    assert float(found.train.x.min()) == -1 and float(found.train.x.max()) == 1


def test_fashion_mnist_from_a_folder(tmp_path: Path) -> None:
    found = data.fashion_mnist(0, fashion(tmp_path))
    assert [len(part) for part in (found.train, found.transfer, found.test)] == [20, 20, 10]
    assert found.train.x.shape[1:] == (1, 28, 28) and found.train.x.dtype == np.float32
    assert len(data.fashion_mnist(0, tmp_path, limit=5).test) == 5


def test_a_missing_set_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        data.fashion_mnist(0, tmp_path)


def test_files_of_another_set_are_refused(tmp_path: Path) -> None:
    fashion(tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(7, np.uint8), 8)))
    with pytest.raises(bp.FormatError, match="is not Fashion-MNIST"):
        data.fashion_mnist(0, tmp_path)


@pytest.mark.skipif(not data.FASHION_MNIST.exists(), reason="apt-get install dataset-fashion-mnist")
def test_the_real_fashion_mnist() -> None:
    found = data.fashion_mnist(0)
    assert [len(part) for part in (found.train, found.transfer, found.test)] == [30_000, 30_000, 10_000]
    assert np.bincount(found.test.y).tolist() == [1000] * 10
    assert found.test.y[:5].tolist() == [9, 2, 1, 1, 6]  # an ankle boot, a pullover, two trousers, a shirt
