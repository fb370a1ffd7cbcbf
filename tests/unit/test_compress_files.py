"""compress, save, load: what comes back, the same bytes each time, and room for the largest tensor only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp

rng = np.random.default_rng(17)


def write_safetensors(path: Path, arrays: dict[str, np.ndarray]) -> None:
    header, at = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": (at, at + array.nbytes)}
        at += array.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.tobytes())


RECIPES = {
    "int8": bp.Recipe.int(),
    "int3 groups": bp.Recipe.int(3, symmetric=False, group_size=32, coding="raw"),
    "sparse": bp.Recipe.int(4, sparsity=0.8, scope="model", coding="auto"),
    "lossless": bp.Recipe.lossless(),
    "plain": bp.Recipe(),
}


@pytest.mark.parametrize("name", RECIPES)
def test_there_and_back(tmp_path: Path, name: str) -> None:
    arrays = {f"w{i}": rng.standard_normal((30 + i, 70)).astype(np.float32) for i in range(4)}
    arrays["bias"] = rng.standard_normal(9).astype(np.float32)
    write_safetensors(tmp_path / "in.safetensors", arrays)
    from_file = bp.compress(tmp_path / "in.safetensors", RECIPES[name])
    from_memory = bp.compress(arrays, RECIPES[name])
    from_file.save(tmp_path / "a.bp")
    from_memory.save(tmp_path / "b.bp")
    assert (tmp_path / "a.bp").read_bytes() == (tmp_path / "b.bp").read_bytes()
    loaded = bp.load(tmp_path / "a.bp")
    assert list(loaded.tensors) == list(arrays)
    for key, tensor in loaded.tensors.items():
        assert {role: bytes(data) for role, data in tensor.streams.items()} == {
            role: bytes(data) for role, data in from_memory.tensors[key].streams.items()
        }
        assert tensor.unpack().tobytes() == from_memory.tensors[key].unpack().tobytes()
        if name in ("lossless", "plain"):
            assert tensor.unpack().tobytes() == arrays[key].tobytes()


def test_a_bad_tensor_leaves_no_file(tmp_path: Path) -> None:
    arrays = {"a": np.ones((40, 40), np.float32), "b": np.full((40, 40), np.nan, np.float32)}
    write_safetensors(tmp_path / "in.safetensors", arrays)
    (tmp_path / "out").mkdir()
    with pytest.raises(bp.SchemeError, match=r"^b: NaN"):
        bp.compress(tmp_path / "in.safetensors").save(tmp_path / "out" / "o.bp")
    assert list((tmp_path / "out").iterdir()) == []


LIMITED = """
import resource, sys
import bitpress as bp
import bitpress.importers.safetensors
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) << 10
resource.setrlimit(resource.RLIMIT_DATA, (used + (64 << 20),) * 2)
source, recipe, target = {arguments}
bp.compress(source, {{"int8": bp.Recipe.int(), "lossless": bp.Recipe.lossless()}}[recipe]).save(target)
"""


@pytest.mark.parametrize("recipe", ["int8", "lossless"])
def test_a_large_file_needs_room_for_its_largest_tensor(
    tmp_path: Path, recipe: str, python: Callable[..., object]
) -> None:
    """192 MiB in tensors of 8 MiB, under a limit of 64 MiB more than the interpreter has."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux: /proc/self/status")
    one = rng.standard_normal((1024, 2048)).astype(np.float32)
    write_safetensors(tmp_path / "big.safetensors", {f"w{i}": one for i in range(24)})
    python(LIMITED.format(arguments=[str(tmp_path / "big.safetensors"), recipe, str(tmp_path / "big.bp")]))
    assert (tmp_path / "big.bp").stat().st_size > 24 * one.size // 2
