"""Golden files: today's writer gives these bytes, and both readers find the same in them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import xxhash

from bitpress.container import Base, Container, verify
from bitpress.errors import FormatError

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FILES = sorted(path.name for path in GOLDEN.glob("*.safetensors"))


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = loaded
    spec.loader.exec_module(loaded)
    return loaded


third_reader = module(GOLDEN.parent / "third_reader.py")
third_delta = sys.modules["third_delta"]
make = module(GOLDEN / "make.py")


def test_every_golden_is_made() -> None:
    assert sorted(make.FILES) == FILES


@pytest.mark.parametrize("name", FILES)
def test_the_writer_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    make.FILES[name](tmp_path / name)
    assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_both_readers_find_the_same(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    third = third_reader.read(data)
    assert verify(GOLDEN / name) == []
    container = Container.open(GOLDEN / name)
    assert list(container.tensors) == list(third.tensors)
    assert container.metadata == third.metadata
    assert bool(container.graph.nbytes) == bool(third.graph)
    assert {name: (delta.how, delta.checksum) for name, delta in container.deltas.items()} == third.deltas
    for tensor_name, tensor in third.tensors.items():
        packed = container.held(tensor_name)
        assert (packed.dtype, list(packed.shape)) == (tensor.dtype, tensor.shape)
        if not container.tensors[tensor_name].bounded:  # its stream is a frame, which unpacking undoes
            assert {role.name.lower(): bytes(stream) for role, stream in packed.streams.items()} == tensor.decoded
        assert bytes(packed.to_bytes()) == tensor.data


def test_both_readers_undo_the_deltas() -> None:
    path = GOLDEN / "delta.safetensors"
    third = third_reader.read(path.read_bytes())
    before, after = make.delta_tensors(0), make.delta_tensors(1)
    assert {how for how, _ in third.deltas.values()} == {1, 2} and "other" not in third.deltas
    container = Container.open(path, base=Base(before))
    for name, tensor in after.items():
        assert bytes(container.packed(name).to_bytes()) == tensor.to_bytes()
        if name in third.deltas:
            base = bytes(before[name].to_bytes())
            assert third_delta.undo_delta(third.tensors[name], base, *third.deltas[name]) == tensor.to_bytes()


def test_the_third_reader_lists_a_graph() -> None:
    graph = third_reader.read((GOLDEN / "network.safetensors").read_bytes()).graph
    assert graph == [
        "inputs ['x'], outputs ['y']",
        "2 'fc1': ['x', 'fc1.weight', 'fc1.bias'] -> ['h'] 12=1 20=0",
        "2 'fc2': ['h', 'fc2.weight'] -> ['y'] 12=1",
    ]


@pytest.mark.parametrize("size", [*range(70), 1000])
def test_the_third_readers_hash(size: int) -> None:
    data = make.noise(size, size).tobytes()
    for seed in (0, 1, 2**64 - 1):
        assert third_reader.xxh64(data, seed) == xxhash.xxh64_intdigest(data, seed)


def test_both_readers_refuse_the_same_flips() -> None:
    data = (GOLDEN / "network.safetensors").read_bytes()
    for at in np.random.default_rng(0).integers(0, 8 * len(data), 150):
        broken = bytearray(data)
        broken[at // 8] ^= 1 << at % 8
        with pytest.raises(third_reader.Refused):
            third_reader.read(bytes(broken))
        with pytest.raises(FormatError):
            Container(memoryview(broken), "flipped")
