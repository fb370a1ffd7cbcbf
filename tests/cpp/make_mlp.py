"""Writes mlp.bp and mlp.expected, the file that embed.c runs and the numbers it expects.

Run it after a change of the format: PYTHONPATH=python python tests/cpp/make_mlp.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bitpress.graph import Graph, Node, Value
from bitpress.model import Model
from bitpress.scheme import Scheme
from bitpress.tensor import pack

HERE = Path(__file__).parent


def main() -> None:
    """See the module."""
    rng = np.random.default_rng(1)
    tensors = {
        "w1": pack(rng.integers(-1, 2, (64, 4)).astype(np.float32), Scheme.int(8, coding="huffman")),
        "b1": pack(rng.standard_normal(64, np.float32), Scheme()),
        "w2": pack(rng.standard_normal((3, 64), np.float32), Scheme.int(8, axis=0)),
    }
    graph = Graph(
        inputs=(Value("x", "F32", (-1, 4)),),
        outputs=(Value("y", "F32", (-1, 3)),),
        nodes=(
            Node("Gemm", "first", ("x", "w1", "b1"), ("h",), {"transB": 1, "clip_low": 0.0}),
            Node("Gemm", "second", ("h", "w2"), ("y",), {"transB": 1}),
        ),
    )
    Model(tensors, graph).save(HERE / "mlp.bp")
    x = np.array([1.0, -2.0, 0.5, 3.0])
    w1, b1, w2 = (tensors[name].unpack().astype(np.float64) for name in ("w1", "b1", "w2"))
    y = w2 @ np.maximum(w1 @ x + b1, 0)
    (HERE / "mlp.expected").write_text(", ".join(f"{value:.9f}F" for value in y) + "\n")


if __name__ == "__main__":
    main()
