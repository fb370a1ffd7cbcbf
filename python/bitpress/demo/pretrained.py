"""A real pretrained network, pressed as it is: nothing is trained, and what is judged is agreement with fp32."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

import bitpress as bp

from ..recipe import Recipe
from . import peers
from .inputs import image_crops
from .networks import efficientnet_lite0
from .second import run_alone
from .table import Row, Story

__all__ = ["run"]

CHUNK = 8  # crops a run: bounds the arena


def run(model: str, folder: Path, *, crops: int, seed: int, say: Callable[[str], None]) -> Story:
    """EfficientNet-Lite0 without loss and at 8 bits, each file run in a second process on crops of real images.

    ModuleNotFoundError names the packages that hold the network and the images.
    """
    story = Story(model, seed, "top-1 as fp32")
    say("exporting the network (once: it is kept in the cache folder)")
    source = efficientnet_lite0()
    inputs = image_crops(crops, seed)
    say(f"fp32 on {crops} crops")
    answers, seconds = _fp32(source, inputs, folder, story)

    def agreement(outputs: peers.Outputs) -> float:
        return float((outputs.argmax(1) == answers.argmax(1)).mean())

    def add(step: str, recipe: Recipe, file: str) -> float:
        say(step)
        began = time.perf_counter()
        path = folder / file
        bp.compress(source, recipe).save(path)
        took = time.perf_counter() - began
        outputs, facts = run_alone(path, inputs, folder, CHUNK)
        same = agreement(outputs)
        error = float(np.abs(outputs - answers).max() / np.ptp(answers))
        note = story.gain_note(path) or f"logits within {error:.1e}"
        story.rows.append(Row(step, path.name, path.stat().st_size, same, took, note=note))
        story.facts["second_process"] = {"file": path.name, "score": same, "same_answers": same, **facts}
        return float(facts["run_seconds"])

    add("without loss, Huffman", Recipe.lossless(coding="huffman"), "lossless.safetensors")
    add("int8 a channel", Recipe.int(8, coding="raw"), "int8-raw.safetensors")
    add("int8 a channel, LZW", Recipe.int(8, coding="lzw"), "int8-lzw.safetensors")
    ours = add("int8 a channel, Huffman", Recipe.int(8, coding="huffman"), "int8-huffman.safetensors")
    story.rows += peers.int8_row(source, folder / "int8.onnx", inputs, agreement, CHUNK)
    second = story.facts["second_process"]
    story.rows.append(Row(f"run without torch, {crops} crops", second["file"], None, second["score"], ours))
    if peers.installed("onnxruntime"):
        story.rows.append(Row("fp32 in onnxruntime", source.name, None, 1.0, seconds, peer=True))
    return story


def _fp32(
    source: Path, inputs: npt.NDArray[np.float32], folder: Path, story: Story
) -> tuple[npt.NDArray[np.float32], float]:
    """The answers to agree with (onnxruntime's, or our own where it is not installed), and the peers' fp32 files."""
    plain = bp.compress(source, Recipe())
    path = folder / "fp32.safetensors"
    began = time.perf_counter()
    plain.save(path)
    story.rows.append(Row("fp32", path.name, path.stat().st_size, 1.0, time.perf_counter() - began))
    arrays = {name: tensor.unpack() for name, tensor in plain.tensors.items()}
    story.rows += peers.plain_rows(arrays, folder / "fp32-peer.safetensors")
    if peers.installed("onnxruntime"):
        return peers.onnxruntime_run(source, inputs, CHUNK)
    outputs, facts = run_alone(path, inputs, folder, CHUNK)
    return outputs, facts["run_seconds"]
