"""One codebook for several tensors: learned from all, stored once, read by every reader; and what is refused."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from onnx_models import model, node

import bitpress as bp
from bitpress.codebooks import cluster, learned
from bitpress.container import Container, verify
from bitpress.container.manifest import SHARED, seal
from bitpress.scheme import Codebook
from bitpress.tensor import Role

Arrays = dict[str, np.ndarray]


def arrays(count: int = 4) -> Arrays:
    random = np.random.default_rng(3)
    return {f"w{i}": random.standard_normal((24, 16 + 4 * i)).astype(np.float32) for i in range(count)}


def recipe(bits: int = 4, **words: Any) -> bp.Recipe:
    return bp.Recipe.codebook(bits, shared=True, min_elements=1, **words)


@pytest.mark.parametrize("vector", [1, 2])
@pytest.mark.parametrize("axis", [None, 0])
def test_it_is_the_book_of_all_elements_together(vector: int, axis: int | None) -> None:
    tensors = arrays()
    made = bp.compress(tensors, recipe(3, vector=vector, axis=axis)).tensors
    books = [tensor.book() for tensor in made.values()]
    for book in books:
        np.testing.assert_array_equal(book, books[0])
    if axis is None:
        whole = np.concatenate([array.reshape(-1) for array in tensors.values()])
        alone = cluster(whole, Codebook(3, vector))
        np.testing.assert_array_equal(alone.book, books[0])
        codes = np.concatenate([tensor.codes().reshape(-1) for tensor in made.values()])
        np.testing.assert_array_equal(codes, alone.codes.reshape(-1))


def test_errors_never_rise_with_the_bits() -> None:
    """And are near those of own books, which k-means finds about as well (elements of one distribution)."""
    tensors = arrays()
    last = np.inf
    for bits in range(1, 9):
        both = [bp.compress(tensors, bp.Recipe.codebook(bits, shared=each, min_elements=1)) for each in (True, False)]
        shared, own = (
            sum(
                float(np.square(made.tensors[name].unpack() - x, dtype=np.float64).sum()) for name, x in tensors.items()
            )
            for made in both
        )
        assert own < 1.05 * shared and shared <= last
        last = shared


def test_it_is_stored_once(tmp_path: Path) -> None:
    sizes = []
    for shared in (True, False):
        made = bp.compress(arrays(20), bp.Recipe.codebook(8, shared=shared, min_elements=1, coding="raw"))
        made.save(tmp_path / "m.bp")
        sizes.append((tmp_path / "m.bp").stat().st_size)
        with Container.open(tmp_path / "m.bp") as file:
            assert [record.book for record in file.tensors.values()] == ([None] + [0] * 19 if shared else [None] * 20)
            stored = [stream.role for record in file.tensors.values() for stream in record.streams]
            assert stored.count(Role.CODEBOOK) == (1 if shared else 20)
        assert verify(tmp_path / "m.bp") == []
        for name, tensor in bp.load(tmp_path / "m.bp").tensors.items():
            assert tensor.streams == made.tensors[name].streams
    assert sizes[1] - sizes[0] >= 19 * 1024


def test_pruned_weights_have_no_part_in_it() -> None:
    tensors = arrays()
    made = bp.compress(tensors, recipe(2, sparsity=0.75)).tensors
    survivors = [bp.prune(array, sparsity=0.75) for array in tensors.values()]
    whole = np.concatenate([each[each != 0] for each in survivors])
    np.testing.assert_array_equal(cluster(whole, Codebook(2)).book, made["w0"].book())


def test_of_many_elements_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from bitpress import codebooks

    parts = [(name, array, None) for name, array in arrays().items()]
    total = sum(array.size for _, array, _ in parts)
    whole = learned(parts, Codebook(3), total)
    monkeypatch.setattr(codebooks, "SHARED", total // 4)
    some = learned(parts, Codebook(3), total)
    assert some is not None and whole is not None and not np.array_equal(some, whole)
    np.testing.assert_array_equal(some, learned(parts, Codebook(3), total))
    assert np.abs(some - whole).max() < 0.5
    assert learned([("none", np.zeros((0, 3), np.float32), None)], Codebook(3), 0) is None


def network() -> tuple[Any, Arrays]:
    a, b, c, _ = arrays().values()
    tensors = {"a": a.T.copy(), "b": b, "c": c[:20]}
    nodes = [node("MatMul", "x a", "h"), node("Relu", "h", "r"), node("MatMul", "r b", "k"), node("MatMul", "k c", "y")]
    return model(nodes, {"x": ["n", 16]}, ["y"], tensors), tensors


@pytest.mark.parametrize("load", ["map", "tile", "unpack"])
@pytest.mark.parametrize("coding", ["raw", "huffman"])
def test_a_network_runs_from_it(load: Any, coding: Any, tmp_path: Path) -> None:
    source, _ = network()
    made = bp.compress(source, recipe(8, vector=2, coding=coding))
    made.save(tmp_path / "net.bp")
    with Container.open(tmp_path / "net.bp") as file:
        assert sorted(str(record.book) for record in file.tensors.values()) == ["0", "0", "None"]
    x = np.random.default_rng(1).standard_normal((3, 16)).astype(np.float32)
    a, b, c = (made.tensors[name].unpack() for name in "abc")
    want = np.maximum(x @ a, 0) @ b @ c
    np.testing.assert_allclose(
        bp.Session(tmp_path / "net.bp", load=load).run({"x": x})["y"], want, rtol=1e-4, atol=1e-4
    )


def test_the_recipe_is_a_file_and_the_command_line_has_it(bitpress: Any, tmp_path: Path) -> None:
    chosen = recipe(3)
    chosen.save(tmp_path / "r.json")
    assert bp.Recipe.from_file(tmp_path / "r.json") == chosen
    safetensors.numpy.save_file({name: np.tile(x, (3, 1)) for name, x in arrays().items()}, tmp_path / "in.safetensors")
    done = bitpress("compress", tmp_path / "in.safetensors", "-o", tmp_path / "out.bp", "--codebook", "--shared")
    assert done.returncode == 0 and not done.stderr, done.stderr
    with Container.open(tmp_path / "out.bp") as file:
        assert [record.book for record in file.tensors.values()] == [None, 0, 0, 0]
    for words in (["--shared"], ["--codebook", "--shared", "--range", "mse"]):
        done = bitpress("compress", tmp_path / "in.safetensors", "-o", tmp_path / "out.bp", *words)
        assert done.returncode == 1 and "shared is for codebooks" in done.stderr


def test_rules_that_cannot_share_are_refused() -> None:
    book = bp.Scheme.codebook(4, sparse=True)
    for words in (
        {"scheme": bp.Scheme.int(4)},
        {"method": "round"},
        {"range": "output"},
        {"score": "wanda", "sparsity": 0.5},
    ):
        given = {"scheme": book, "method": "kmeans", **words}
        with pytest.raises(bp.SchemeError, match="shared is for codebooks"):
            bp.Rule("*", given.pop("scheme"), shared=True, **given)  # type: ignore[arg-type]
    tensors = arrays()
    tensors["w2"][3, 3] = np.nan
    with pytest.raises(bp.SchemeError, match="w2: NaN or infinity"):
        bp.compress(tensors, recipe())


GOLDEN = Path(__file__).resolve().parent.parent


def manifest_of(path: Path) -> tuple[bytearray, int, int]:
    data = bytearray(path.read_bytes())
    at = 8 + int.from_bytes(data[:8], "little")
    return data, at, int.from_bytes(data[at + 12 : at + 16], "little")


def numbers_at(data: bytearray, at: int) -> int:
    """Where the numbers begin: after the sections of tensors and streams."""
    sections = int.from_bytes(data[at + 10 : at + 12], "little")
    sizes = [int.from_bytes(data[at + 44 + 8 * i : at + 48 + 8 * i], "little") for i in range(2)]
    return at + 40 + 8 * sections + sum(-(-size // 8) * 8 for size in sizes)


HOSTILE: dict[str, Callable[[bytearray, int, int], None]] = {}


def hostile(function: Callable[[bytearray, int, int], None]) -> None:
    HOSTILE[function.__name__] = function


def number(data: bytearray, numbers: int, tensor: int, value: int) -> None:
    """Sets whose codebook a tensor has: its fourth number, after two dims and v."""
    first = int.from_bytes(data[tensor + 4 : tensor + 8], "little")
    data[numbers + 4 * (first + 3) : numbers + 4 * (first + 4)] = value.to_bytes(4, "little")


@hostile
def its_own(data: bytearray, records: int, numbers: int) -> None:
    number(data, numbers, records + 20, 1)


@hostile
def one_after_it(data: bytearray, records: int, numbers: int) -> None:
    number(data, numbers, records + 20, 2)


@hostile
def one_that_shares(data: bytearray, records: int, numbers: int) -> None:
    number(data, numbers, records + 40, 1)


@hostile
def none_such(data: bytearray, records: int, numbers: int) -> None:
    number(data, numbers, records + 40, 2**32 - 1)


@hostile
def other_bits(data: bytearray, records: int, numbers: int) -> None:
    data[records + 40 + 18] += 16


@hostile
def the_first_shares(data: bytearray, records: int, numbers: int) -> None:
    data[records + 19] |= SHARED


@hostile
def none_shares(data: bytearray, records: int, numbers: int) -> None:
    data[records + 20 + 19] &= ~SHARED


@hostile
def the_last_bit(data: bytearray, records: int, numbers: int) -> None:
    data[records + 20 + 19] |= 128


@pytest.mark.parametrize("name", HOSTILE)
def test_what_contradicts_itself_is_refused(name: str, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("third_reader", GOLDEN / "third_reader.py")
    assert spec is not None and spec.loader is not None
    third = sys.modules.get("third_reader") or importlib.util.module_from_spec(spec)
    if "third_reader" not in sys.modules:
        sys.modules["third_reader"] = third
        spec.loader.exec_module(third)
    path = tmp_path / "m.bp"
    bp.compress(arrays(3), recipe(3, coding="raw")).save(path)
    third.read(path.read_bytes())
    data, at, size = manifest_of(path)
    records = at + 40 + 8 * int.from_bytes(data[at + 10 : at + 12], "little")
    HOSTILE[name](data, records, numbers_at(data, at))
    data[at : at + size] = seal(bytearray(data[at : at + size]), bytes(data[:at]))
    path.write_bytes(data)
    with pytest.raises(bp.FormatError, match=r"m\.bp: "):
        bp.load(path)
    with pytest.raises(third.Refused):
        third.read(bytes(data))
