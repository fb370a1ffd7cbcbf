"""Writes mlp.bp and mlp.expected, the file that embed.c runs and the numbers it expects, and blocks.bp for threads.c.

Run it after a change of the format: PYTHONPATH=python python tests/cpp/make_mlp.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bitpress.graph import Graph, Node, Value
from bitpress.model import Model
from bitpress.scheme import Scheme
from bitpress.tensor import PackedTensor, pack

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
    blocks(rng).save(HERE / "blocks.bp")


def blocks(rng: np.random.Generator) -> Model:
    """Layers large enough to be shared: by pixels, by rows of weights, by planes, columns, matrices, rows, elements."""

    def weights(*shape: int, scheme: Scheme) -> PackedTensor:
        return pack(rng.standard_normal(shape, np.float32), scheme)

    def pruned(*shape: int) -> PackedTensor:
        array = rng.standard_normal(shape, np.float32)
        return pack(np.where(np.abs(array) > 0.7, array, 0), Scheme.int(8, sparse=True))

    by_row, by_column = Scheme.int(8, axis=0), Scheme.int(4, axis=1)
    tensors = {
        "w0": weights(16, 3, 3, 3, scheme=by_row),
        "w1": weights(16, 1, 3, 3, scheme=by_row),
        "w2": weights(48, 16, 1, 1, scheme=by_row),
        "w3": pruned(32, 48, 1, 1),
        "w4": weights(144, 96, scheme=by_column),
        "w5": pruned(96, 80),
        "w6": weights(64, 80, scheme=Scheme.int(4, axis=0)),
        "scale": weights(144, scheme=Scheme()),
    }
    same = {"pads": [1, 1, 1, 1]}
    nodes = (
        Node("Conv", "by pixels", ("x", "w0"), ("a",), same | {"clip_low": 0.0}),
        Node("Conv", "depthwise", ("a", "w1"), ("b",), same | {"group": 16, "clip_low": 0.0}),
        Node("MaxPool", "", ("b",), ("c",), {"kernel_shape": [2, 2], "strides": [2, 2]}),
        Node("Conv", "by rows", ("c", "w2"), ("d",)),
        Node("Conv", "bitmap", ("d", "w3"), ("e",)),
        Node("Reshape", "", ("e",), ("f",), {"shape": [128, 144]}),
        Node("LayerNormalization", "", ("f", "scale"), ("g",)),
        Node("MatMul", "columns", ("g", "w4"), ("h",)),
        Node("Gelu", "", ("h",), ("i",)),
        Node("MatMul", "bitmap of columns", ("i", "w5"), ("j",)),
        Node("Softmax", "", ("j",), ("k",)),
        Node("Gemm", "transposed", ("k", "w6"), ("l",), {"transB": 1}),
        Node("Transpose", "", ("l",), ("m",)),
        Node("MatMul", "of computed ones", ("l", "m"), ("n",)),
        Node("Tanh", "", ("n",), ("o",)),
        Node("Add", "", ("o", "n"), ("y",)),
    )
    return Model(tensors, Graph((Value("x", "F32", (1, 3, 48, 48)),), (Value("y", "F32", (128, 128)),), nodes))


if __name__ == "__main__":
    main()
