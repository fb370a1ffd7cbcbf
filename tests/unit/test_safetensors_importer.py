"""safetensors files read without the package: every dtype, shards, and files that are cut, forged or hostile."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitpress as bp
from bitpress.dtypes import DTYPES, array_bytes, stored_bytes
from bitpress.importers.safetensors import SafetensorsFile

rng = np.random.default_rng(11)


def built(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_every_dtype_comes_back_bit_for_bit(tmp_path: Path) -> None:
    header, data, raws = {}, b"", {}
    for name in DTYPES:
        shape = (3, 4)
        raws[name] = rng.integers(0, 256, stored_bytes(name, shape), np.uint8).tobytes()
        header[f"t.{name}"] = entry(name, shape, (len(data), len(data) + len(raws[name])))
        data += raws[name]
    header["__metadata__"] = {"format": "pt", "note": "héllo"}
    path = tmp_path / "all.safetensors"
    path.write_bytes(built(header, data))
    model = bp.compress(path, bp.Recipe.lossless())
    assert model.metadata == {"note": "héllo"}
    for name in DTYPES:
        tensor = model.tensors[f"t.{name}"]
        assert (tensor.dtype, tensor.shape) == (name, (3, 4)) and bytes(tensor.to_bytes()) == raws[name]
    numbers = ["F16", "BF16", "F32", "F64"]
    pressed = bp.compress(path, bp.Recipe((bp.Rule("t.F8*", bp.Scheme.int(8)),)))
    assert all(pressed.tensors[f"t.{name}"].scheme.is_plain for name in [*numbers, "F8_E4M3"])


def test_what_the_package_writes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch: pip install torch")
    save_file = pytest.importorskip("safetensors.torch", reason="needs safetensors: pip install safetensors").save_file
    tensors = {
        "half": torch.randn(40, 30).half(),
        "brain": torch.randn(40, 30).bfloat16(),
        "eight": torch.randn(7).to(torch.float8_e4m3fn),
        "whole": torch.arange(5),
        "none": torch.zeros(0, 3),
        "one": torch.tensor(2.5, dtype=torch.float64),
    }
    save_file(tensors, tmp_path / "t.safetensors")
    model = bp.compress(tmp_path / "t.safetensors", bp.Recipe.int(8, min_elements=1000))
    for name in ("half", "brain"):
        back = model.tensors[name]
        expected = bp.compress({name: tensors[name]}, bp.Recipe.int(8, min_elements=1000)).tensors[name]
        assert back.streams == expected.streams and back.dtype == expected.dtype
        step = back.scales()[:, None]
        bound = step * 0.501 + np.abs(tensors[name].float().numpy()) * 2.0**-8
        assert (np.abs(back.floats().reshape(40, 30) - tensors[name].float().numpy()) <= bound).all()
    for name in ("eight", "whole", "none", "one"):
        raw = tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes() if tensors[name].numel() else b""
        assert bytes(model.tensors[name].to_bytes()) == raw


def shards(folder: Path) -> dict[str, np.ndarray]:
    arrays = {f"layer.{i}.w": rng.standard_normal((20, 60)).astype(np.float32) for i in range(4)}
    places = {}
    for shard, names in {
        "a.safetensors": ["layer.0.w", "layer.2.w"],
        "b.safetensors": ["layer.1.w", "layer.3.w"],
    }.items():
        header, data = {}, b""
        for name in names:
            raw = array_bytes(arrays[name])
            header[name] = entry("F32", (20, 60), (len(data), len(data) + len(raw)))
            data += raw
            places[name] = shard
        (folder / shard).write_bytes(built(header, data))
    index = {"metadata": {"total_size": 19200}, "weight_map": dict(sorted(places.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return arrays


@pytest.mark.parametrize("by", ["index", "folder"])
def test_shards(tmp_path: Path, by: str) -> None:
    arrays = shards(tmp_path)
    model = bp.compress(tmp_path / "model.safetensors.index.json" if by == "index" else tmp_path)
    assert list(model.tensors) == sorted(arrays)
    for name, array in arrays.items():
        assert model.tensors[name].streams == bp.pack(array, model.tensors[name].scheme).streams


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weight_map": {"layer.0.w": "../a.safetensors"}}, "not a file beside the index"),
        ({"weight_map": {"layer.0.w": "/etc/passwd"}}, "not a file beside the index"),
        ({"weight_map": {"layer.0.w": ""}}, "not a file beside the index"),
        ({"weight_map": {"layer.9.w": "a.safetensors"}}, "'layer.9.w' is not in a.safetensors"),
        ({"weight_map": {"layer.0.w": "a.safetensors"}}, "holds tensor 'layer.2.w', which the index does not place"),
        ({"weight_map": []}, "no weight_map"),
        ({"weight_map": {"x": 3}}, "no weight_map"),
        ({}, "no weight_map"),
    ],
)
def test_an_index_that_lies(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    shards(tmp_path)
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps(change))
    with pytest.raises(bp.FormatError, match=reason) as caught:
        bp.compress(path)
    assert str(path) in str(caught.value)


def test_a_missing_shard(tmp_path: Path) -> None:
    shards(tmp_path)
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(OSError, match=r"b\.safetensors"):
        bp.compress(tmp_path)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "0 bytes are not"),
    "seven bytes": (bytes(7), "7 bytes are not"),
    "header of 2^60": (built({}, length=2**60), "header of 1152921504606846976 bytes"),
    "header past the end": (built({}, length=50), "announces 50 bytes"),
    "not JSON": (built(b"{]"), "not valid"),
    "not UTF-8": (built(b'{"\xff": 1}'), "not valid"),
    "lone surrogate": (built(b'{"\\ud800": ' + json.dumps(entry()).encode() + b"}", bytes(8)), "not valid"),
    "a list": (built([]), "not an object"),
    "NaN": (built(b'{"a": NaN}'), "NaN is not JSON"),
    "deep": (built(b'{"a":' + b"[" * 200_000), "nested too deeply|not valid"),
    "long number": (built(b'{"a":' + b"9" * 100_000 + b"}"), "not valid"),
    "twice": (built(b'{"a": %s, "a": %s}' % ((json.dumps(entry()).encode(),) * 2), bytes(8)), "'a' stands twice"),
    "not an entry": (built({"a": 3}), "not a tensor's"),
    "extra key": (built({"a": entry() | {"x": 1}}, bytes(8)), "not a tensor's"),
    "no name": (built({"": entry()}, bytes(8)), "not a tensor's"),
    "unknown dtype": (built({"a": entry("F7")}, bytes(8)), "dtype 'F7'"),
    "dtype a number": (built({"a": entry() | {"dtype": 3}}, bytes(8)), "no dtype"),
    "negative size": (built({"a": entry(shape=(-2,))}, bytes(8)), "not whole numbers"),
    "size true": (built({"a": entry(shape=(True, 2))}, bytes(8)), "not whole numbers"),
    "size a float": (built({"a": entry(shape=(2.0,))}, bytes(8)), "not whole numbers"),
    "size of 2^64": (built({"a": entry(shape=(2**64,))}, bytes(8)), "not whole numbers"),
    "2^60 elements": (built({"a": entry(shape=(2**60,))}, bytes(8)), "takes 4611686018427387904 bytes"),
    "product over 2^64": (built({"a": entry(shape=(2**40, 2**40))}, bytes(8)), "takes"),
    "nine dimensions": (built({"a": entry(shape=(1,) * 8 + (2,))}, bytes(8)), "9 dimensions"),
    "three offsets": (built({"a": entry(offsets=(0, 8, 9))}, bytes(8)), "not whole numbers"),
    "offsets backwards": (built({"a": entry(offsets=(8, 0))}, bytes(8)), "outside the file"),
    "offsets outside": (built({"a": entry(offsets=(8, 16))}, bytes(8)), "outside the file"),
    "wrong length": (built({"a": entry(offsets=(0, 7))}, bytes(8)), "takes 8 bytes, its offsets hold 7"),
    "overlap": (built({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "overlaps"),
    "same range": (built({"a": entry(), "b": entry()}, bytes(8)), "overlaps"),
    "hole": (built({"a": entry(), "b": entry(offsets=(9, 17))}, bytes(17)), "hole"),
    "trailing": (built({"a": entry()}, bytes(9)), "1 bytes after the last"),
    "metadata a number": (built({"__metadata__": {"a": 1}}), "__metadata__"),
    "ours": (built({"bitpress.manifest": entry()}, bytes(8)), "bitpress file already"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_at_once(tmp_path: Path, case: str) -> None:
    data, reason = HOSTILE[case]
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    start = time.process_time()
    with pytest.raises((bp.FormatError, bp.UnsupportedError), match=reason) as caught:
        bp.compress(path)
    assert time.process_time() - start < 0.5
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_truncation_at_every_byte(tmp_path: Path) -> None:
    whole = built({"a": entry(), "b": entry("U8", (3,), (8, 11))}, bytes(range(11)))
    path = tmp_path / "x.safetensors"
    path.write_bytes(whole)
    assert list(bp.compress(path).tensors) == ["a", "b"]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(bp.FormatError):
            bp.compress(path)


@given(data=st.binary(max_size=200), flip=st.integers(0, 2000))
def test_noise_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: bytes, flip: int) -> None:
    whole = bytearray(built({"a": entry(), "b": entry("U8", (3,), (8, 11))}, bytes(11)))
    whole[flip // 8 % len(whole)] ^= 1 << flip % 8
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    for content in (data, bytes(whole)):
        path.write_bytes(content)
        try:
            source = SafetensorsFile(path)
        except (bp.FormatError, bp.UnsupportedError):
            continue
        for name, spec in source.tensors.items():
            assert source.read(name).nbytes == stored_bytes(spec.dtype, spec.shape)
            assert math.prod(spec.shape) <= 8 * len(content)


def test_many_entries_take_linear_time(tmp_path: Path) -> None:
    header = {f"t{i}": entry("U8", (1,), (i, i + 1)) for i in range(20_000)}
    path = tmp_path / "many.safetensors"
    path.write_bytes(built(header, bytes(20_000)))
    start = time.process_time()
    assert len(SafetensorsFile(path).tensors) == 20_000
    assert time.process_time() - start < 5
