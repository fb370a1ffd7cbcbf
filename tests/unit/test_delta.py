"""Deltas: a file against its base comes back bit for bit, smaller, and only with that base."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged_files import Forge
from hypothesis import given
from hypothesis import strategies as st

import bitpress as bp
from bitpress.container import Base, Container, verify
from bitpress.container.base import differ, restore
from bitpress.dtypes import DTYPES

safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors: pip install safetensors")
BASE = 19


def pair() -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights, and the same after a few steps of training."""
    rng = np.random.default_rng(0)
    before = {"w": rng.normal(size=(200, 300)).astype(np.float32), "b": rng.normal(size=300).astype(np.float32)}
    after = {name: (x * (1 + 1e-4 * rng.normal(size=x.shape))).astype(np.float32) for name, x in before.items()}
    return before, after | {"step": np.array(7)}


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_a_fine_tune_is_smaller_against_its_base(tmp_path: Path) -> None:
    before, after = pair()
    bp.save_file(after, tmp_path / "alone.bp", bp.Recipe.lossless())
    bp.save_file(after, tmp_path / "delta.bp", base=before)
    assert (tmp_path / "delta.bp").stat().st_size < 0.75 * (tmp_path / "alone.bp").stat().st_size
    assert same(bp.load_file(tmp_path / "delta.bp", base=before), after)
    assert verify(tmp_path / "delta.bp") == []


@pytest.mark.parametrize("kind", ["safetensors", "ours", "pressed"])
def test_a_base_is_any_file_that_holds_it(kind: str, tmp_path: Path) -> None:
    before, after = pair()
    path = tmp_path / "base"
    if kind == "safetensors":
        safetensors.save_file(before, path)
    else:
        bp.save_file(before, path, bp.Recipe.int(8) if kind == "pressed" else bp.Recipe.lossless())
        before = bp.load_file(path)
    model = bp.compress(after, bp.Recipe.lossless())
    model.save(tmp_path / "by path", base=path)
    model.save(tmp_path / "by arrays", base=before)
    assert (tmp_path / "by path").read_bytes() == (tmp_path / "by arrays").read_bytes()
    assert same(bp.load_file(tmp_path / "by path", base=path), after)
    loaded = bp.load(tmp_path / "by path", base=path)
    assert same({name: tensor.unpack() for name, tensor in loaded.tensors.items()}, after)
    with bp.safe_open(tmp_path / "by path", base=path) as opened:
        assert np.array_equal(opened.get_slice("w")[3:5], after["w"][3:5])


def test_a_chain_of_checkpoints(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    states = [{"m": np.cumsum(rng.normal(size=5000) * 10.0**-k).astype(np.float32)} for k in range(3)]
    bp.save_file(states[0], tmp_path / "0", bp.Recipe.lossless())
    for k in (1, 2):
        states[k]["m"] = states[k - 1]["m"] + np.float32(1e-6) * states[k]["m"]
        bp.save_file(states[k], tmp_path / str(k), base=states[k - 1])
    first = bp.load_file(tmp_path / "0")
    second = bp.load_file(tmp_path / "1", base=first)
    assert same(bp.load_file(tmp_path / "2", base=second), states[2])
    with pytest.raises(bp.FormatError, match="holds deltas itself"):
        bp.load_file(tmp_path / "2", base=tmp_path / "1")


def test_without_its_base_a_delta_is_not_read(tmp_path: Path) -> None:
    before, after = pair()
    path = tmp_path / "delta.bp"
    bp.save_file(after, path, base=before)
    with pytest.raises(bp.FormatError, match=r"delta.bp: tensor 'w' is held as a delta: its base is needed"):
        bp.load_file(path)
    other = before | {"w": before["w"] + 1}
    with pytest.raises(bp.FormatError, match=r"delta.bp: the base: tensor 'w' is not what this one was made against"):
        bp.load_file(path, base=other)
    with pytest.raises(bp.FormatError, match=r"the base has no tensor 'w' of F32 \[200, 300\]"):
        bp.load_file(path, base={"w": before["w"].reshape(300, 200)})
    with bp.safe_open(path) as opened:
        assert opened.get_tensor("step") == 7


def test_nothing_in_common_is_stored_as_it_is(tmp_path: Path) -> None:
    before, after = pair()
    bp.save_file(after, tmp_path / "alone", bp.Recipe.lossless())
    bp.save_file(after, tmp_path / "against", base={"v": before["w"]})
    assert (tmp_path / "alone").read_bytes() == (tmp_path / "against").read_bytes()


def test_a_large_file_is_written_as_it_comes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    before = {str(k): rng.integers(0, 2**31, 1 << 20, dtype=np.int32) for k in range(5)}  # over 16 MiB
    after = {name: x + (rng.random(x.size) < 0.01) for name, x in before.items()}
    after = {name: x.astype(np.int32) for name, x in after.items()}
    bp.save_file(after, tmp_path / "delta", base=before)
    assert (tmp_path / "delta").stat().st_size < 1 << 20
    assert same(bp.load_file(tmp_path / "delta", base=before), after)


def test_the_command_line(tmp_path: Path) -> None:
    before, after = pair()
    base, tuned, delta, back = (tmp_path / name for name in ("base", "tuned.safetensors", "delta.bp", "back"))
    safetensors.save_file(before, base)
    safetensors.save_file(after, tuned)

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bitpress", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert call("compress", tuned, "-o", delta, "--lossless", "--base", base).returncode == 0
    assert "keep + delta + planes" in " ".join(call("inspect", delta).stdout.split())
    assert call("inspect", delta, "--html", tmp_path / "delta.html").returncode == 0
    assert call("verify", delta).returncode == 0
    assert call("decompress", delta, "-o", back, "--base", base).returncode == 0
    assert same(safetensors.load_file(back), after)
    done = call("decompress", delta, "-o", tmp_path / "no")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "--base" in done.stderr
    assert not (tmp_path / "no").exists()
    done = call("decompress", delta, "-o", tmp_path / "no", "--base", tmp_path / "nothing")
    assert done.returncode == 1 and "nothing: No such file" in done.stderr
    done = call("compress", tuned, "-o", base, "--lossless", "--base", base, "--force")
    assert done.returncode == 1 and "is the input itself" in done.stderr


@given(
    st.sampled_from(sorted(DTYPES)),
    st.binary(min_size=8, max_size=64).map(lambda data: data[: len(data) // 8 * 8]),
    st.integers(0, 2**64 - 1),
)
def test_every_way_is_undone(dtype: str, data: bytes, seed: int) -> None:
    base = np.random.default_rng(seed).bytes(len(data))
    for how, _, held in differ(data, base, dtype):
        assert bytes(restore(held, base, dtype, how)) == data


FORGERIES = {
    "an empty section": (lambda c: c.clear(), "an empty section"),
    "half a record": (lambda c: c.__delitem__(slice(8, None)), "not a whole number of records"),
    "no such tensor": (lambda c: c.__setitem__(slice(0, 4), b"\xff\0\0\0"), "do not rise"),
    "twice": (lambda c: c.extend(bytes(c[:16])), "do not rise"),
    "a kind of zero": (lambda c: c.__setitem__(4, 0), "unknown kind of delta"),
    "a newer kind": (lambda c: c.__setitem__(4, 3), "unknown kind of delta"),
    "not zero": (lambda c: c.__setitem__(6, 1), "a zero field is not zero"),
    "a plain tensor": (lambda c: c.__setitem__(slice(0, 4), b"\2\0\0\0"), "a delta of what cannot be one"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_sections_are_refused(name: str, tmp_path: Path) -> None:
    before, after = pair()
    bp.save_file({"w": after["w"], "x": after["b"], "y": np.int64(7)}, tmp_path / "delta", base=before)
    forge = Forge((tmp_path / "delta").read_bytes())
    change, said = FORGERIES[name]
    change(next(section for section in forge.sections if section[0] == BASE)[2])
    with pytest.raises(bp.FormatError, match=said):
        Container(memoryview(forge.build()), "forged")


def test_the_section_must_be_required(tmp_path: Path) -> None:
    before, after = pair()
    bp.save_file(after, tmp_path / "delta", base=before)
    forge = Forge((tmp_path / "delta").read_bytes())
    next(section for section in forge.sections if section[0] == BASE)[1] = 0
    with pytest.raises(bp.CorruptError, match="a section's flags are wrong"):
        Container(memoryview(forge.build()), "forged")


def test_a_network_with_deltas_is_not_run(tmp_path: Path) -> None:
    from bitpress.graph import Graph, Node, Value

    rng = np.random.default_rng(4)
    weight = rng.normal(size=(40, 50)).astype(np.float32)
    nodes = (Node("Gemm", "fc", ("x", "w"), ("y",), {"transB": 1}),)
    graph = Graph((Value("x", "F32", (1, 50)),), (Value("y", "F32", (1, 40)),), nodes)
    model = bp.Model({"w": bp.pack(weight, bp.Scheme.lossless())}, graph)
    model.save(tmp_path / "net", base={"w": weight})
    with pytest.raises(bp.UnsupportedError, match="it holds differences from a base, which must be undone first"):
        bp.Session(tmp_path / "net")
    loaded = bp.load(tmp_path / "net", base={"w": weight})
    loaded.save(tmp_path / "whole")
    assert bp.Session(tmp_path / "whole").run({"x": np.ones((1, 50), np.float32)})["y"].shape == (1, 40)


@pytest.mark.parametrize("data", [b"", b"x" * 20, b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 8 + b"{}" * 9])
def test_odd_bases_are_refused(data: bytes, tmp_path: Path) -> None:
    before, after = pair()
    bp.save_file(after, tmp_path / "delta", base=before)
    (tmp_path / "odd").write_bytes(data)
    with pytest.raises(bp.FormatError):
        bp.load_file(tmp_path / "delta", base=tmp_path / "odd")
    with pytest.raises(OSError, match="nothing"):
        Base(tmp_path / "nothing")
