"""The whole way on a labelled set: teach, distil, prune, quantize, store, run elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import bitpress as bp

from ..recipe import Recipe, Rule
from ..scheme import Coding, Scheme
from ..torch import PruningMasks, Report, distill, distillation_loss, evaluate, fit
from ..train.distill import taught
from . import peers
from .data import Data
from .models import loader, one_thread, student, teacher
from .second import run_alone
from .table import Row, Story

__all__ = ["SETTINGS", "Settings", "press_recipe", "run", "teach", "to_onnx", "tune"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How long each network learns and how fast (AdamW, warm-up and cosine), and how hard the student is pressed."""

    batch: int
    teacher_epochs: int
    teacher_rate: float
    epochs: int
    rate: float
    temperature: float
    alpha: float
    sparsity: float
    tune_epochs: int
    bits: int


SETTINGS = {
    "digits": Settings(32, 20, 1.5e-3, 60, 5e-3, 4.0, 0.9, 0.6, 20, 4),
    "fashion-mnist": Settings(64, 8, 1.5e-3, 12, 5e-3, 2.0, 0.5, 0.5, 4, 5),
}


def press_recipe(settings: Settings, coding: Coding) -> Recipe:
    """Weights to ``bits`` with a scale a channel and the zeros in a bitmap; what is small (biases) stays as it is."""
    scheme = Scheme.int(settings.bits, axis=0, sparse=True, coding=coding)
    return Recipe((Rule("*", scheme, min_elements=64, min_rank=2, channel=True),))


def teach(found: Data, settings: Settings, networks: tuple[nn.Module, nn.Module], seed: int, **options: Any) -> Report:
    """Distil by the settings. ``options``: ``bp.torch.distill``'s; ``train=None`` for a teacher that has learned."""
    defaults: dict[str, Any] = {
        "train": loader(found.train, settings.batch),
        "transfer": loader(found.transfer, settings.batch),
        "test": loader(found.test, 500, shuffle=False),
        "optimizer": partial(torch.optim.AdamW, lr=settings.rate),
        "teacher_optimizer": partial(torch.optim.AdamW, lr=settings.teacher_rate),
        "teacher_epochs": settings.teacher_epochs,
    }
    same = {"epochs": settings.epochs, "temperature": settings.temperature, "alpha": settings.alpha}
    return distill(*networks, seed=seed, cache_teacher=True, **{**defaults, **same, **options})


def tune(
    network: nn.Module, source: nn.Module, found: Data, settings: Settings, seed: int, progress: bool | None
) -> PruningMasks:
    """Prune ``network`` in place and let what is left learn on from ``source``'s answers."""
    masks = PruningMasks(network, settings.sparsity)
    soft = partial(distillation_loss, temperature=settings.temperature, alpha=settings.alpha)
    fit(
        network,
        loader(found.transfer, settings.batch),
        epochs=settings.tune_epochs,
        objective=taught(source, soft),
        optimizer=partial(torch.optim.AdamW, lr=settings.rate / 3),
        after_step=masks.apply_,
        seed=seed,
        progress=progress,
        name="tuned",
    )
    return masks


def to_onnx(network: nn.Module, found: Data, path: Path) -> Path:
    """The network as an ONNX file whose batch is open."""
    from ..importers.torch_export import export

    example = torch.zeros(2, *found.test.x.shape[1:])
    path.write_bytes(export(network, (example,)).SerializeToString())
    return path


def run(found: Data, folder: Path, seed: int = 0, say: Say = lambda _: None, progress: bool | None = None) -> Story:
    """All steps on ``found``; files go to ``folder``. Everything in the story was measured in this call."""
    with one_thread():
        return _run(found, folder, seed, say, progress)


def _run(found: Data, folder: Path, seed: int, say: Say, progress: bool | None) -> Story:
    settings = SETTINGS[found.name]
    story = Story(found.name, seed, "accuracy")
    say(f"teaching a teacher, and a student on its own and by the teacher ({found.name})")
    torch.manual_seed(seed)
    networks = teacher(found.name), student(found.name)
    report = teach(found, settings, networks, seed, progress=progress)
    _taught_rows(story, report, networks, folder)

    say("pruning the student, and letting what is left learn on")
    began = time.perf_counter()
    masks = tune(networks[1], networks[0], found, settings, seed, progress)
    seconds = time.perf_counter() - began
    score = evaluate(networks[1], loader(found.test, 500, shuffle=False)).metric
    share = masks.zeros / sum(mask.numel() for mask in masks.masks.values())
    story.rows.append(Row(f"pruned: {100 * share:.0f}% of the weights are 0", score=score, seconds=seconds))

    say("quantizing, storing and opening it where torch cannot be imported")
    _pressed_rows(story, found, networks[1], settings, folder)
    return story


def _taught_rows(story: Story, report: Report, networks: tuple[nn.Module, nn.Module], folder: Path) -> None:
    """Teacher and students, each as a plain file, with the peers' files of the same tensors."""
    for name, step, network in zip(
        ("teacher", "alone", "distilled"),
        ("teacher", "student alone", "student distilled"),
        (networks[0], report.student_alone, networks[1]),
        strict=True,
    ):
        assert network is not None
        arrays = {key: value.detach().cpu().numpy() for key, value in network.state_dict().items()}
        path = folder / f"{name}.safetensors"
        bp.save_file(arrays, path)
        result = report[name]
        story.rows.append(Row(f"{step}, fp32", path.name, path.stat().st_size, result.metric, result.seconds))
        if name != "alone":
            story.rows += peers.plain_rows(arrays, folder / f"{name}-peer.safetensors")


def _pressed_rows(story: Story, found: Data, network: nn.Module, settings: Settings, folder: Path) -> None:
    """The pressed student under each coding, each file run in a second process; onnxruntime's int8 beside it."""
    source = to_onnx(network, found, folder / "student.onnx")
    with torch.no_grad():
        answers = network(torch.from_numpy(found.test.x)).numpy().argmax(1)

    def right(outputs: peers.Outputs) -> float:
        return float((outputs.argmax(1) == found.test.y).mean())

    bits = f"quantized to {settings.bits} bits, zeros in a bitmap"
    steps: dict[Coding, str] = {"raw": bits, "huffman": "... Huffman", "lzw": "... LZW"}
    for coding, step in steps.items():
        began = time.perf_counter()
        path = folder / f"student-{coding}.safetensors"
        bp.compress(source, press_recipe(settings, coding)).save(path)
        seconds = time.perf_counter() - began
        outputs, facts = run_alone(path, found.test.x, folder)
        score = right(outputs)
        story.rows.append(Row(step, path.name, path.stat().st_size, score, seconds, note=story.gain_note(path)))
        if coding == "raw":
            story.rows += peers.int8_row(source, folder / "student-int8.onnx", found.test.x, right)
        if coding == "huffman":
            same = {"file": path.name, "score": score, "same_answers": float((outputs.argmax(1) == answers).mean())}
            story.facts["second_process"] = {**same, **facts}
    second = story.facts["second_process"]
    story.rows.append(
        Row("run without torch, all test rows", second["file"], None, second["score"], second["run_seconds"])
    )
    if peers.installed("onnxruntime"):
        outputs, seconds = peers.onnxruntime_run(source, found.test.x)
        row = Row("fp32 in onnxruntime", source.name, source.stat().st_size, right(outputs), seconds, peer=True)
        story.rows.append(row)
