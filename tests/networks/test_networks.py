"""Real pretrained networks, end to end: fp32 as onnxruntime, 8 bits close to it, small files, run without torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress.demo.inputs import image_crops, pitch_accuracy, tones
from bitpress.demo.networks import MissingError, crepe, efficientnet_lite0
from bitpress.demo.peers import onnxruntime_run
from bitpress.recipe import Recipe
from bitpress.session import Session

pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")

NETWORKS: dict[str, Callable[[], Path]] = {
    "efficientnet-lite0": efficientnet_lite0,
    "crepe-tiny": lambda: crepe("tiny"),
    "crepe-full": lambda: crepe("full"),
}
CROPS = 320  # at least 300, by the claim that the README makes
FRAMES = {"crepe-tiny": 2000, "crepe-full": 200}


@cache
def exported(name: str) -> Path:
    try:
        return NETWORKS[name]()
    except MissingError as error:
        pytest.skip(str(error))


@cache
def inputs(name: str) -> np.ndarray:
    try:
        return image_crops(CROPS) if name == "efficientnet-lite0" else tones(FRAMES[name])[0]
    except MissingError as error:
        pytest.skip(str(error))


@cache
def fp32(name: str, count: int | None = None) -> np.ndarray:
    """onnxruntime's answers to the first ``count`` inputs."""
    return onnxruntime_run(exported(name), inputs(name)[:count], batch=16)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def pressed(name: str, folder: Path) -> Path:
    """The file at 8 bits a channel with Huffman coding, the recipe that compress uses where none is given."""
    path = folder / f"{name}-int8.safetensors"
    if not path.exists():
        bp.compress(exported(name)).save(path)
    return path


def answers(path: Path, x: np.ndarray, batch: int = 8) -> np.ndarray:
    session = Session(path)
    (source,), (target,) = session.inputs, session.outputs
    parts = [session.run({source.name: x[i : i + batch]})[target.name] for i in range(0, len(x), batch)]
    return np.concatenate(parts)


@pytest.mark.parametrize("name", NETWORKS)
def test_fp32_equals_onnxruntime(name: str, folder: Path) -> None:
    path = folder / f"{name}.safetensors"
    bp.compress(exported(name), Recipe.lossless()).save(path)
    count = 8
    ours, theirs = answers(path, inputs(name)[:count]), fp32(name, count)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.ptp(theirs)
    path.unlink()


def test_efficientnet_at_8_bits_is_small_and_agrees(folder: Path) -> None:
    path = pressed("efficientnet-lite0", folder)
    assert path.stat().st_size < 4.5e6
    ours, theirs = answers(path, inputs("efficientnet-lite0")), fp32("efficientnet-lite0")
    assert len(ours) >= 300
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= 0.97


@pytest.mark.parametrize("name", ["crepe-tiny", "crepe-full"])
def test_pitch_at_8_bits(name: str, folder: Path) -> None:
    cents = tones(FRAMES[name])[1]
    before = pitch_accuracy(fp32(name), cents)
    after = pitch_accuracy(answers(pressed(name, folder), inputs(name)), cents)
    assert before > 0.9
    assert after >= before - 0.005


ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"{name} is not there", name=name)

ALLOWED = {"numpy", "bitpress"} | set(sys.stdlib_module_names)
sys.meta_path.insert(0, Refuse())
import numpy as np
import bitpress as bp
from bitpress.session import Session
session = Session(PATH)
x = np.load(INPUT)
y = session.run({session.inputs[0].name: x})[session.outputs[0].name]
np.save(OUTPUT, y)
outside = {name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(sorted(name for name in outside if not name.startswith("_") and sys.modules[name].__spec__ is not None))
"""


@pytest.mark.parametrize("name", ["efficientnet-lite0", "crepe-tiny"])
def test_a_process_with_numpy_alone_gives_the_same_answers(
    name: str, folder: Path, python: Callable[..., object]
) -> None:
    path, source, target = pressed(name, folder), folder / "x.npy", folder / "y.npy"
    np.save(source, inputs(name)[:2])
    done = python(f"PATH, INPUT, OUTPUT = {[str(path), str(source), str(target)]!r}\n" + ALONE)
    loaded = done.stdout.strip()  # type: ignore[attr-defined]
    assert "torch" not in loaded and "onnx" not in loaded and "numpy" in loaded
    assert np.array_equal(np.load(target), answers(path, inputs(name)[:2], 2))


@pytest.mark.parametrize("name", ["efficientnet-lite0", "crepe-tiny"])
def test_weights_stay_packed(name: str, folder: Path) -> None:
    """What a session holds of weights is never more than their packed bytes and one dequantized tile."""
    path = pressed(name, folder)
    session = Session(path)
    session.run({session.inputs[0].name: inputs(name)[:1]})
    memory = session.memory
    model = bp.compress(exported(name))
    packed = sum(len(stream) for tensor in model.tensors.values() for stream in tensor.streams.values())
    unpacked = sum(4 * int(np.prod(tensor.shape)) for tensor in model.tensors.values())
    assert memory.weights <= packed + 64 * sum(len(tensor.streams) for tensor in model.tensors.values())
    assert memory.tile <= unpacked / 20
    assert packed < unpacked / 3.5
    assert memory.file == path.stat().st_size
