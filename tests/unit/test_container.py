"""The container: what goes in comes out, and any safetensors reader sees it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import bitpress as bp
from bitpress import _core
from bitpress.container import Container, open_container, verify, write
from bitpress.dtypes import DTYPES, stored_bytes
from bitpress.tensor import PackedTensor, TensorSpec, pack_bytes

SCHEMES = {
    "plain": bp.Scheme(),
    "planes": bp.Scheme.lossless(),
    "huffman": bp.Scheme.lossless(coding="huffman"),
    "lzw": bp.Scheme.lossless(coding="lzw"),
    "bitmap": bp.Scheme.lossless(sparse=True, coding="raw"),
    "int8": bp.Scheme.int(8, axis=0),
    "int4 huffman": bp.Scheme.int(4, axis=1, coding="huffman"),
    "int3 affine": bp.Scheme.int(3, symmetric=False, coding="lzw"),
    "int1": bp.Scheme.int(1),
    "int4 groups": bp.Scheme.int(4, group_size=7, coding="auto"),
    "int2 bitmap groups": bp.Scheme.int(2, group_size=64, sparse=True, symmetric=False, coding="auto"),
    "int16": bp.Scheme.int(16, coding="rans"),
    "codebook": bp.Scheme.codebook(3, group_size=9, coding="huffman"),
    "codebook bitmap": bp.Scheme.codebook(5, sparse=True, coding="auto"),
}


def store(path: Path, tensors: dict[str, PackedTensor], **options: Any) -> None:
    specs = [TensorSpec(name, tensor.dtype, tensor.shape, tensor.scheme) for name, tensor in tensors.items()]
    write(path, specs, iter(tensors.values()), **options)


def weights(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return np.where(np.abs(array) < 0.7, np.float32(0), array)


def same_streams(a: PackedTensor, b: PackedTensor) -> bool:
    return a.streams.keys() == b.streams.keys() and all(bytes(a.streams[r]) == bytes(b.streams[r]) for r in a.streams)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (7,), (40, 33), (64, 300), (3, 5, 7, 11)])
@pytest.mark.parametrize("kind", SCHEMES)
def test_a_tensor_comes_back(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    scheme = SCHEMES[kind]
    if getattr(scheme.values, "axis", 0) >= max(1, len(shape)) or (kind in ("int8", "int4 huffman") and not shape):
        scheme = bp.Scheme.int(4, coding="huffman")
    tensor = bp.pack(weights(shape), scheme)
    path = tmp_path / "one.safetensors"
    store(path, {"w": tensor})
    container = Container.open(path)
    again = container.packed("w")
    assert same_streams(tensor, again)
    assert (again.dtype, again.shape, again.scheme.numbers) == (tensor.dtype, tensor.shape, tensor.scheme.numbers)
    assert np.array_equal(again.unpack(), tensor.unpack())
    assert verify(path) == []
    with safetensors.safe_open(path, "numpy") as file:
        assert "bitpress.manifest" in file.keys()  # noqa: SIM118


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_listed_by_safetensors(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "dtype.safetensors"
    shapes = (
        [(8,), (4, 3, 8), (), (0, 8), (4096, 8)] if DTYPES[dtype].bits >= 8 else [(8,), (4, 3, 8), (0, 8), (4096, 8)]
    )
    rng = np.random.default_rng(1)
    data = {
        f"t{i}": (shape, rng.integers(0, 2, stored_bytes(dtype, shape), np.uint8)) for i, shape in enumerate(shapes)
    }
    store(path, {name: pack_bytes(raw.tobytes(), dtype, shape, bp.Scheme()) for name, (shape, raw) in data.items()})
    container = Container.open(path)
    listed = dict(safetensors.deserialize(path.read_bytes()))
    for name, (shape, raw) in data.items():
        assert bytes(container.packed(name).to_bytes()) == raw.tobytes()
        assert listed[name]["dtype"] == dtype and tuple(listed[name]["shape"]) == shape
        assert bytes(listed[name]["data"]) == raw.tobytes()
        assert container.tensors[name].streams[0].offset % max(1, DTYPES[dtype].bits // 8) == 0


def test_names_shapes_and_metadata_are_seen_by_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    arrays = {"w": weights((70, 70)), "b": np.arange(3, dtype=np.int64), "long" * 900: np.ones(5, np.float16)}
    bp.save_file(arrays, path, metadata={"author": 'me "and" you', "ключ": "значение\n"})
    with safetensors.safe_open(path, "numpy") as file:
        assert set(arrays) <= set(file.keys())
        assert file.metadata() == {"format": "bitpress", "author": 'me "and" you', "ключ": "значение\n"}
        for name, array in arrays.items():
            assert np.array_equal(file.get_tensor(name), array)
            assert file.get_slice(name).get_shape() == list(array.shape)


AWKWARD = ["w.codes", "bitpress.small", "bitpress.manifest", "bitpress.codes:w", "bitpress.pad.0", "__metadata__", "w",
           "ключ/λ\U0001f600", "a" * 70_000, " ", '"', "\\", "\x00", "\n", "weight\u2028"]  # fmt: skip


@pytest.mark.parametrize("elements", [3, 2000])
@pytest.mark.parametrize("scheme", [bp.Scheme(), bp.Scheme.int(8), bp.Scheme.int(8, axis=0, sparse=True)], ids=str)
def test_awkward_names(tmp_path: Path, scheme: bp.Scheme, elements: int) -> None:
    path = tmp_path / "names.safetensors"
    tensors = {name: bp.pack(weights((elements * 3,), i), scheme) for i, name in enumerate(AWKWARD)}
    store(path, tensors)
    container = Container.open(path)
    assert list(container.tensors) == AWKWARD
    assert all(same_streams(container.packed(name), tensor) for name, tensor in tensors.items())
    with safetensors.safe_open(path, "numpy") as file:
        assert len(file.keys()) == len(set(file.keys()))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("", "not be empty"), ("\ud800", "not valid Unicode"), (3, "must be a string")],
)
def test_names_that_cannot_be(tmp_path: Path, name: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        bp.save_file({name: np.zeros(3)}, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("metadata", [{"format": "x"}, {"a": 1}, {1: "a"}, {"a": "\ud800"}])
def test_metadata_that_cannot_be(tmp_path: Path, metadata: Any) -> None:
    with pytest.raises(ValueError, match="metadata"):
        bp.save_file({"w": np.zeros(3)}, tmp_path / "x", metadata=metadata)
    assert list(tmp_path.iterdir()) == []


def test_no_tensors_at_all(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    bp.save_file({}, path)
    assert bp.load_file(path) == {} and verify(path) == [] and dict(bp.load(path).tensors) == {}
    assert safetensors.numpy.load_file(path).keys() == {"bitpress.manifest"}


def test_load_file_gives_arrays_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "x"
    array = weights((50, 60))
    bp.save_file({"w": array}, path)
    loaded = bp.load_file(path)["w"]
    loaded += 1
    assert np.array_equal(bp.load_file(path)["w"], array) and loaded.dtype == np.float32


def test_safe_open(tmp_path: Path) -> None:
    path = tmp_path / "x"
    arrays = {"b": weights((50, 60)), "a": np.arange(5)}
    bp.save_file(arrays, path, metadata={"k": "v"})
    with bp.safe_open(path) as file:
        assert file.keys() == ["b", "a"] and file.metadata() == {"k": "v"}
        assert np.array_equal(file.get_tensor("b"), arrays["b"])
        part = file.get_slice("b")
        assert part.get_shape() == [50, 60] and part.get_dtype() == "F32"
        assert np.array_equal(part[3:5, 7], arrays["b"][3:5, 7])
        for get in (file.get_tensor, file.get_slice, file.get_packed):
            with pytest.raises(KeyError):
                get("c")
        kept = file.get_packed("b").to_bytes()
    assert bytes(kept) == arrays["b"].tobytes()  # a view outlives the file


def test_raw_streams_are_views_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    store(path, {"w": bp.pack(weights((64, 300)), bp.Scheme.int(8, axis=0))})
    container = Container.open(path)
    codes = next(iter(container.packed("w").streams.values()))
    assert codes.readonly and np.shares_memory(np.asarray(codes), np.asarray(container.data))
    assert np.asarray(codes).ctypes.data % 64 == 0


def test_a_model_saves_and_loads(tmp_path: Path) -> None:
    tensors = {name: bp.pack(weights((40, 60)), scheme) for name, scheme in SCHEMES.items()}
    bp.Model(tensors, metadata={"b": "2", "a": "1"}).save(tmp_path / "x")
    model = bp.load(tmp_path / "x")
    assert model.metadata == {"a": "1", "b": "2"} and list(model.tensors) == list(tensors) and "w" not in model.tensors
    assert all(same_streams(model.tensors[name], tensor) for name, tensor in tensors.items())
    before = (tmp_path / "x").read_bytes()
    model.save(tmp_path / "x")  # onto the file that it reads from
    assert (tmp_path / "x").read_bytes() == before
    assert all(same_streams(model.tensors[name], tensor) for name, tensor in tensors.items())


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "peer.safetensors"
    safetensors.numpy.save_file({"w": np.zeros(4)}, path)
    for read in (bp.load, bp.load_file, bp.safe_open):
        with pytest.raises(
            bp.FormatError, match=r"peer.safetensors: a safetensors file, but not one .*bitpress compress"
        ):
            read(path)
    (tmp_path / "text").write_text("hello, this is a file of text\n" * 20)
    with pytest.raises(bp.FormatError, match="text: not a bitpress file"):
        bp.load(tmp_path / "text")
    with pytest.raises(FileNotFoundError, match="absent"):
        bp.load(tmp_path / "absent")
    with pytest.raises(IsADirectoryError):
        bp.load(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(bp.CorruptError, match="empty: the file is shorter than 8 bytes"):
        bp.load(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(bp.FormatError, match="pipe: not a regular file"):
        bp.load(tmp_path / "pipe")


def test_a_resaved_file_is_named_and_put_back(tmp_path: Path) -> None:
    path, again = tmp_path / "x", tmp_path / "again"
    tensors = {name: bp.pack(weights((i + 3, 300), i), scheme) for i, (name, scheme) in enumerate(SCHEMES.items())}
    store(path, tensors, metadata={"k": "v"})
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), again)
    with pytest.raises(bp.FormatError, match="another tool rewrote the file"):
        bp.load(again)
    model = bp.load(again, resaved=True)
    assert model.metadata == {"k": "v"}
    assert all(same_streams(model.tensors[name], tensor) for name, tensor in tensors.items())
    assert bytes(open_container(again, resaved=True).data) == path.read_bytes()
    parts = safetensors.numpy.load_file(path)
    parts.pop("bitpress.small")
    safetensors.numpy.save_file(parts, again)
    with pytest.raises(bp.FormatError, match="rewrote"):
        bp.load(again, resaved=True)


def test_a_dimension_that_needs_eight_bytes(tmp_path: Path) -> None:
    path = tmp_path / "wide"
    store(
        path, {"w": pack_bytes(b"", "U8", (0, 1 << 40), bp.Scheme()), "v": bp.pack(weights((3, 5)), bp.Scheme.int(4))}
    )
    container = Container.open(path)
    assert container.tensors["w"].shape == (0, 1 << 40) and verify(path) == []
    assert np.array_equal(container.packed("v").unpack(), bp.pack(weights((3, 5)), bp.Scheme.int(4)).unpack())


def test_names_are_found_by_bisection(tmp_path: Path) -> None:
    path = tmp_path / "x"
    names = [f"{i * 7919 % 1009}" for i in range(400)]
    bp.save_file({name: np.float32(i) for i, name in enumerate(names)}, path)
    native = _core.File(path.read_bytes(), True, "x")
    assert [native.find(name) for name in names] == list(range(400))
    assert [native.find(name) for name in ("", "a", "1009", "00", "\U0001f600")] == [-1] * 5


def test_one_tensor_at_a_time_is_in_memory(tmp_path: Path) -> None:
    """The source of a file larger than memory is read tensor by tensor."""
    size = 4 << 20

    def items() -> Iterator[PackedTensor]:
        for i in range(8):
            yield bp.pack(np.full(size, i, np.uint8), bp.Scheme())

    specs = [TensorSpec(f"w{i}", "U8", (size,), bp.Scheme()) for i in range(8)]
    tracemalloc.start()
    write(tmp_path / "x", specs, items())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * size  # the array, and what is stored of it


def test_a_graph_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x"
    store(path, {"w": bp.pack(weights((3, 5)), bp.Scheme())}, graph=b"no graph at all, but its checksum is right")
    with pytest.raises(bp.CorruptError, match=r"x: graph: "):
        bp.load(path)
    findings = verify(path)
    assert len(findings) == 1 and findings[0].startswith(f"{path}: graph: ")


def five_layers() -> dict[str, PackedTensor]:
    """A small network of five layers, about 10 KB when it is pressed."""
    shapes = {"conv1": (8, 1, 3, 3), "conv2": (16, 8, 3, 3), "conv3": (32, 16, 3, 3), "fc1": (64, 128), "fc2": (10, 64)}
    tensors = {}
    for seed, (layer, shape) in enumerate(shapes.items()):
        tensors[f"{layer}.weight"] = bp.pack(weights(shape, seed), bp.Scheme.int(5, axis=0, coding="huffman"))
        tensors[f"{layer}.bias"] = bp.pack(weights(shape[:1], seed + 10), bp.Scheme())
    return tensors


def test_a_small_network_has_little_overhead(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    store(path, five_layers())
    container = Container.open(path)
    assert 6_000 < path.stat().st_size - container.overhead < 12_000
    assert container.overhead <= 1536


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_bound_on_the_header_holds(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A file that is not laid out in memory first: header and manifest fit the room kept for them."""
    path = tmp_path_factory.mktemp("bound") / "x"
    text = st.text(st.characters(codec="utf-8"), max_size=30)
    names = data.draw(st.lists(text.filter(bool), min_size=1, max_size=20, unique=True))
    tensors = {"\U0001f600big": bp.pack(np.zeros(5001, np.uint8), bp.Scheme())}
    for name in names:
        shape = tuple(data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 13, 40]), max_size=4)))
        scheme = data.draw(st.sampled_from([s for s in SCHEMES.values() if getattr(s.values, "granularity", 0) != 1]))
        tensors[name] = bp.pack(weights(shape), scheme)
    metadata = data.draw(st.dictionaries(text.filter(lambda key: key != "format"), st.just("é")))
    with mock.patch("bitpress.container.writer.HELD", 0):
        store(path, tensors, metadata=metadata)
    container = Container.open(path)
    assert container.metadata == metadata and list(container.tensors) == list(tensors)
    assert all(same_streams(container.packed(name), tensor) for name, tensor in tensors.items())
    assert container.tensors["\U0001f600big"].streams[0].offset < 1000 + 1000 * len(tensors) + 50 * len(str(metadata))
