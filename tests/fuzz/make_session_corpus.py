"""Writes tests/fuzz/corpus/session: small networks that between them hold every operator and scheme; and two seeds of
the container.

Run it after a change of the format: PYTHONPATH=python:tests/unit python tests/fuzz/make_session_corpus.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from graph_file import BodySpec, GraphFile, NodeSpec

import bitpress as bp
from bitpress.container.writer import write
from bitpress.panels import Order
from bitpress.scheme import Scheme
from bitpress.tensor import PackedTensor, TensorSpec, pack

CORPUS = Path(__file__).parent / "corpus"


def weights(*shape: int, scheme: Scheme | None = None) -> PackedTensor:
    """Small whole numbers, many of them zero: every scheme and coding has something to do."""
    values = np.random.default_rng(sum(shape)).integers(-2, 3, shape).astype(np.float32)
    return pack(values, scheme or Scheme())


def networks() -> dict[str, GraphFile]:
    """By name."""
    conv = [
        NodeSpec("Conv", ["x", "w1", "b"], ["a"], {"pads": [1, 1, 1, 1], "strides": [2, 2], "clip_low": 0.0}),
        NodeSpec("BatchNormalization", ["a", "b", "b", "b", "v"], ["n"], {"epsilon": 0.1}),
        NodeSpec("Conv", ["n", "w2"], ["d"], {"group": 4, "pads": [1, 1, 1, 1], "dilations": [1, 1]}),
        NodeSpec("HardSwish", ["d"], ["s"]),
        NodeSpec("MaxPool", ["s"], ["m"], {"kernel_shape": [2, 2], "strides": [2, 1], "ceil_mode": 1}),
        NodeSpec("AveragePool", ["m"], ["p"], {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0], "count_include_pad": 1}),
        NodeSpec("Conv", ["p", "w3"], ["q"], {"kernel_shape": [1, 1]}),
        NodeSpec("GlobalAveragePool", ["q"], ["g"]),
        NodeSpec("Flatten", ["g"], ["y"], {"axis": 1}),
    ]
    line = [
        NodeSpec("Unsqueeze", ["x"], ["u"], {"axes": [1]}),
        NodeSpec("Conv", ["u", "w"], ["c"], {"strides": [2], "pads": [1, 2], "auto_pad": 0, "group": 1}),
        NodeSpec("Sigmoid", ["c"], ["s"]),
        NodeSpec("MaxPool", ["s"], ["m"], {"kernel_shape": [2], "strides": [2], "dilations": [1]}),
        NodeSpec("Transpose", ["m"], ["t"], {"perm": [0, 2, 1]}),
        NodeSpec("Softmax", ["t"], ["f"], {"axis": 1}),
        NodeSpec("ReduceMean", ["f"], ["r"], {"axes": [1, -1], "keepdims": 0}),
        NodeSpec("ArgMax", ["f"], ["y"], {"axis": 1, "keepdims": 0, "select_last_index": 1}),
    ]
    dense = [
        NodeSpec("Gemm", ["x", "w1", "b1"], ["a"], {"transB": 1, "alpha": 0.5, "beta": 2.0, "clip_high": 6.0}),
        NodeSpec("Gemm", ["a", "w2"], ["b"], {"transA": 0}),
        NodeSpec("MatMul", ["b", "w3"], ["c"]),
        NodeSpec("LeakyRelu", ["c"], ["d"], {"alpha": 0.1}),
        NodeSpec("MatMul", ["d", "w4"], ["y"]),
    ]
    shapes = [
        NodeSpec("Reshape", ["x"], ["a"], {"shape": [0, -1], "allowzero": 0}),
        NodeSpec("Add", ["a", "k"], ["b"]),
        NodeSpec("Transpose", ["b"], ["c"]),
        NodeSpec("Concat", ["c", "c"], ["d"], {"axis": 0}),
        NodeSpec("Pad", ["d"], ["e"], {"pads": [1, 0, 0, 2], "value": 0.5}),
        NodeSpec("Unsqueeze", ["e"], ["f"], {"axes": [0, 2]}),
        NodeSpec("Squeeze", ["f"], ["g"], {"axes": [2]}),
        NodeSpec("Identity", ["g"], ["h"]),
        NodeSpec("MatMul", ["h", "h2"], ["y"]),
        NodeSpec("Transpose", ["e"], ["h2"]),
    ]
    shapes[-2], shapes[-1] = shapes[-1], shapes[-2]
    unary = ["Relu", "Tanh", "Erf", "Gelu", "Exp", "Sqrt", "HardSigmoid", "Identity"]
    elementwise = [NodeSpec(op, [f"v{i}" if i else "x"], [f"v{i + 1}"]) for i, op in enumerate(unary)]
    elementwise += [
        NodeSpec("Clip", [f"v{len(unary)}"], ["c"], {"clip_low": -1.0, "clip_high": 1.0}),
        NodeSpec("Sub", ["c", "k"], ["s"], {"clip_low": 0.0}),
        NodeSpec("Mul", ["s", "x"], ["m"]),
        NodeSpec("Div", ["m", "c"], ["y"]),
    ]
    functions = ["Abs", "Neg", "Sign", "Reciprocal", "Elu", "Selu", "Softplus", "Mish", "Shrink", "Atan"]
    typed = [NodeSpec(op, [f"v{i}" if i else "x"], [f"v{i + 1}"]) for i, op in enumerate(functions)]
    typed += [
        NodeSpec("Greater", [f"v{len(functions)}", "k"], ["g"]),
        NodeSpec("Not", ["g"], ["n"]),
        NodeSpec("Where", ["n", "x", "k"], ["c"]),
        NodeSpec("Cast", ["c"], ["i"], {"to": 12}),
        NodeSpec("Div", ["i", "three"], ["d"]),
        NodeSpec("Mod", ["d", "three"], ["e"], {"fmod": 1}),
        NodeSpec("Pow", ["x", "e"], ["o"]),
        NodeSpec("ReduceMax", ["e"], ["r"], {"axes": [0], "keepdims": 0}),
        NodeSpec("ReduceLogSumExp", ["o"], ["l"], {"axes": [1]}),
        NodeSpec("LayerNormalization", ["x", "k", "k"], ["y"], {"axis": -1, "epsilon": 0.1}),
    ]
    indices = [
        NodeSpec("Gather", ["table", "x"], ["a"], {"axis": 0}),
        NodeSpec("Slice", ["a"], ["b"], {"starts": [-1], "ends": [-100], "axes": [1], "steps": [-2]}),
        NodeSpec("Expand", ["b"], ["c"], {"shape": [2, 2, 1]}),
        NodeSpec("GatherElements", ["a", "at"], ["d"], {"axis": 1}),
        NodeSpec("ScatterElements", ["a", "at", "d"], ["e"], {"axis": 1, "reduction": 1}),
        NodeSpec("GatherND", ["e", "at"], ["f"], {"batch_dims": 0}),
        NodeSpec("ArgMin", ["e"], ["g"], {"axis": -1}),
        NodeSpec("ReduceSum", ["g"], ["y"], {"axes": [1]}),
    ]
    selection = [
        NodeSpec("RoundTo", ["x"], ["a"], {"format": [10, -14, 1, 0], "alpha": 65504.0}),
        NodeSpec("CumSum", ["a"], ["b"], {"axis": 1, "exclusive": 1}),
        NodeSpec("CumProd", ["b"], ["c"], {"reverse": 1}),
        NodeSpec("TopK", ["c"], ["d", "e"], {"axis": 1, "k": 2, "largest": 0}),
        NodeSpec("BitCast", ["d"], ["f"], {"to": 9}),
        NodeSpec("MatMul", ["e", "two"], ["g"]),
        NodeSpec("Slice", ["g"], ["h"], {"starts": [1], "ends": [1], "axes": [1]}),
        NodeSpec("ReduceProd", ["h"], ["y"], {"axes": [1]}),
    ]
    inner = BodySpec([], [NodeSpec("Neg", ["s"], ["n"])], ["n"])
    turn = BodySpec(
        ["i", "on", "v"],
        [
            NodeSpec("Add", ["v", "x"], ["s"]),
            NodeSpec("Less", ["i", "two"], ["l"]),
            NodeSpec("If", ["l"], ["o"], {}, "", [inner, BodySpec([], [], ["v"])]),
            NodeSpec("Identity", ["on"], ["go"]),
        ],
        ["go", "o", "s"],
    )
    bodies = [
        NodeSpec("Loop", ["m", "", "x"], ["p", "q"], {"bound": 5}, "", [turn]),
        NodeSpec("Range", ["m", "two", "one"], ["r"], {"bound": 4}),
        NodeSpec("Shape", ["q"], ["y"]),
    ]
    sized = [
        NodeSpec("NonZero", ["x"], ["a"]),
        NodeSpec("Reshape", ["a"], ["b"], {"shape": [-1]}),
        NodeSpec("Gather", ["table", "b"], ["c"]),
        NodeSpec("Softmax", ["c"], ["d"], {"axis": 1}),
        NodeSpec("Unique", ["d"], ["e", "f", "g", "h"], {"axis": 0, "sorted": 0}),
        NodeSpec("Greater", ["x", "x"], ["j"]),
        NodeSpec("Flatten", ["j"], ["k0"], {"axis": 0}),
        NodeSpec("Reshape", ["k0"], ["k"], {"shape": [-1]}),
        NodeSpec("Compress", ["x", "k"], ["y"]),
        NodeSpec("NonMaxSuppression", ["boxes", "scores", "most"], ["z"], {"bound": 2, "center_point_box": 1}),
    ]
    int4, sparse = Scheme.int(4, group_size=5), Scheme.int(3, sparse=True, axis=0)
    huffman, lzw = Scheme.int(2, coding="huffman"), Scheme.int(8, symmetric=False, coding="lzw")
    return {
        "conv": GraphFile(
            {"x": (-1, 2, 6, 6)},
            ["y"],
            conv,
            {"w1": weights(4, 2, 3, 3, scheme=int4), "b": weights(4), "v": pack(np.ones(4, np.float32), Scheme()),
             "w2": weights(4, 1, 3, 3, scheme=sparse), "w3": weights(3, 4, 1, 1, scheme=huffman)},
        ),
        "line": GraphFile({"x": (-1, 12)}, ["y", "r"], line, {"w": weights(3, 1, 4, scheme=lzw)}, {"y": 12}),
        "dense": GraphFile(
            {"x": (-1, 6)},
            ["y"],
            dense,
            {"w1": weights(20, 6, scheme=sparse), "b1": weights(20), "w2": weights(20, 7, scheme=int4),
             "w3": weights(7, 18, scheme=huffman), "w4": weights(18, 2, scheme=Scheme.lossless(sparse=True))},
        ),
        "shapes": GraphFile({"x": (2, 3, -1)}, ["y", "d"], shapes, {"k": weights(1, 1)}),
        "typed": GraphFile(
            {"x": (-1, 3)}, ["y", "l", "r"], typed,
            {"k": weights(3), "three": pack(np.full(1, 3, np.int64), Scheme())},
            {"g": 0, "n": 0} | dict.fromkeys("ider", 12),
        ),
        "indices": GraphFile(
            {"x": (2, -1)}, ["y", "f", "c"], indices,
            {"table": weights(20, 6, scheme=sparse), "at": pack(np.zeros((1, 2, 3), np.int64), Scheme())},
            {"x": 12, "g": 12, "y": 12},
        ),
        "bodies": GraphFile(
            {"m": (), "x": (-1, 3)}, ["p", "q", "r", "y"], bodies,
            {"one": pack(np.array(1), Scheme()), "two": pack(np.array(2), Scheme())},
            dict.fromkeys(["m", "i", "r", "y"], 12) | dict.fromkeys(["on", "l", "go"], 0),
        ),
        "sized": GraphFile(
            {"x": (-1, 3)}, ["e", "y", "z"], sized,
            {"table": weights(8, 4, scheme=int4), "boxes": weights(1, 5, 4), "scores": weights(1, 2, 5),
             "most": pack(np.array(2), Scheme())},
            dict.fromkeys(["a", "b", "f", "g", "h", "z"], 12) | dict.fromkeys(["j", "k0", "k"], 0),
        ),
        "selection": GraphFile(
            {"x": (-1, 3)}, ["y", "f"], selection,
            {"two": pack(np.ones((2, 2), np.int64), Scheme())}, {"f": 9} | dict.fromkeys("eghy", 12),
        ),
        "elementwise": GraphFile({"x": (-1, 3)}, ["y"], elementwise, {"k": weights(3)}),
    }  # fmt: skip


def write_panels(path: Path, last: float) -> None:
    """Matrices whose codes stand in panels, of every width of theirs, coded and not. ``last``: the last number, of
    whose first byte the fuzzer makes the number of rows, and with it whether activations have 8 bits.
    """
    nodes = [
        NodeSpec("Gemm", ["x", "rows8", "b"], ["a"], {"transB": 1}),
        NodeSpec("MatMul", ["a", "columns4"], ["c"]),
        NodeSpec("Gemm", ["c", "rows2"], ["y"], {"transB": 1}),
    ]
    rows8, columns4 = weights(16, 4, scheme=Scheme.int(8, axis=0)), weights(16, 16, scheme=Scheme.int(4, coding="rans"))
    rows2 = weights(16, 16, scheme=Scheme.int(2, symmetric=False))
    bias = pack(np.linspace(1, last, 16, dtype=np.float32), Scheme())
    tensors = {"rows8": rows8, "columns4": columns4, "rows2": rows2, "b": bias}
    orders = [Order.ROW_PANELS, Order.COLUMN_PANELS, Order.ROW_PANELS, Order.ELEMENTS]
    specs = [
        TensorSpec(name, tensor.dtype, tensor.shape, tensor.scheme, order)
        for (name, tensor), order in zip(tensors.items(), orders, strict=True)
    ]
    write(path, specs, tensors.values(), graph=GraphFile({"x": (-1, 4)}, ["y"], nodes, tensors).section())


def main() -> None:
    """See the module."""
    folder = CORPUS / "session"
    folder.mkdir(parents=True, exist_ok=True)
    for name, network in networks().items():
        (folder / name).write_bytes(network.bytes())
    for name, last in ("panels", 0.5), ("panels_bytes", -0.5), ("panels_rows", -0.03125):
        write_panels(folder / name, last)
    write_panels(CORPUS / "container" / "panels", 0.5)
    alike = {name: np.arange(12, dtype=np.float32).reshape(3, 4) for name in "abc"}
    bp.compress(alike, bp.Recipe.codebook(2, shared=True, min_elements=1)).save(CORPUS / "container" / "shared")


if __name__ == "__main__":
    main()
