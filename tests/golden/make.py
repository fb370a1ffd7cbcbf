"""Writes the golden files: small containers whose bytes are the same everywhere.

    python tests/golden/make.py FOLDER

Until 1.0 the format may change and these files with it (each time with a line in CHANGELOG.md); from 1.0 on they are
only added to. The numbers come from a generator of our own, so that no library's random numbers matter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import bitpress as bp
from bitpress.container import Base, write
from bitpress.dtypes import DTYPES, stored_bytes
from bitpress.graph import Body, Graph, Node, Value
from bitpress.graph_bytes import encode
from bitpress.panels import Order
from bitpress.tensor import PackedTensor, TensorSpec, pack_bytes


def noise(count: int, seed: int) -> np.ndarray:
    """Bytes of a 64-bit linear congruential generator (Knuth's MMIX constants)."""
    out = np.empty(count, np.uint8)
    state = seed
    for i in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out[i] = state >> 56
    return out


def weights(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Sums of four bytes, about normal, as multiples of 1/256; about half of them zero."""
    count = int(np.prod(shape))
    raw = noise(4 * count, seed).reshape(count, 4).astype(np.int32).sum(axis=1) - 510
    raw[np.abs(raw) < 100] = 0
    return (raw / 256).astype(np.float32).reshape(shape)


def store(
    path: Path,
    tensors: dict[str, PackedTensor],
    graph: bytes = b"",
    metadata: dict[str, str] | None = None,
    base: dict[str, PackedTensor] | None = None,
    orders: dict[str, Order] | None = None,
) -> None:
    told = orders or {}
    specs = [
        TensorSpec(name, t.dtype, t.shape, t.scheme, told.get(name, Order.ELEMENTS)) for name, t in tensors.items()
    ]
    write(path, specs, tensors.values(), graph=graph, metadata=metadata, base=Base(base) if base else None)


def none(path: Path) -> None:
    store(path, {})


def plain(path: Path) -> None:
    """Every element type, a large tensor with a pad, empty and 0-d tensors, awkward names, metadata."""
    tensors = {}
    for seed, (dtype, info) in enumerate(DTYPES.items()):
        size = stored_bytes(dtype, (3, 8))
        data = noise(size, seed) % 2 if dtype == "BOOL" else noise(size, seed)
        tensors[f"type.{info.name}"] = pack_bytes(data.tobytes(), dtype, (3, 8), bp.Scheme())
    tensors["large"] = bp.pack(noise(4097, 50), bp.Scheme())
    tensors["scalar"] = bp.pack(np.float32(2.5), bp.Scheme())
    tensors["empty"] = bp.pack(np.zeros((0, 4), np.float64), bp.Scheme())
    for name in ("__metadata__", "bitpress.small", "ключ\n\U0001f600"):
        tensors[name] = bp.pack(noise(5, len(name)), bp.Scheme())
    store(path, tensors, metadata={"author": "nobody", "λ": "\u2028"})


def schemes(path: Path) -> None:
    """Every structure, kind of values, granularity and width."""
    tensors = {}
    for bits in range(1, 9):
        for symmetric in (True, False):
            scheme = bp.Scheme.int(bits, symmetric=symmetric, axis=bits % 3)
            tensors[f"int{bits}.{symmetric}"] = bp.pack(weights((5, 3, 7), bits), scheme)
    tensors["groups"] = bp.pack(weights((6, 4, 5), 20), bp.Scheme.int(4, group_size=7))
    tensors["vector.groups"] = bp.pack(weights((30,), 21), bp.Scheme.int(3, group_size=8, symmetric=False))
    tensors["one.scale"] = bp.pack(weights((4, 9), 22), bp.Scheme.int(6))
    tensors["bitmap.keep"] = bp.pack(weights((9, 11), 23), bp.Scheme.lossless(sparse=True, coding="raw"))
    tensors["bitmap.half"] = bp.pack(
        weights((13,), 24).astype(np.float16), bp.Scheme.lossless(sparse=True, coding="raw")
    )
    tensors["bitmap.int"] = bp.pack(weights((9, 11), 25), bp.Scheme.int(5, axis=1, sparse=True))
    tensors["bitmap.affine"] = bp.pack(
        weights((9, 11), 26), bp.Scheme.int(2, group_size=4, sparse=True, symmetric=False)
    )
    tensors["half"] = bp.pack(weights((7, 5), 27).astype(np.float16), bp.Scheme.int(8, axis=0))
    tensors["double"] = bp.pack(weights((7, 5), 28).astype(np.float64), bp.Scheme.int(8, axis=0))
    tensors["empty"] = bp.pack(np.zeros((0, 4), np.float32), bp.Scheme.int(4, axis=1, sparse=True))
    for bits in (9, 12, 16):
        tensors[f"wide{bits}"] = bp.pack(weights((5, 3, 7), bits), bp.Scheme.int(bits, axis=0))
    tensors["wide.affine"] = bp.pack(weights((9, 11), 29), bp.Scheme.int(13, group_size=5, symmetric=False))
    tensors["wide.bitmap"] = bp.pack(weights((9, 11), 30), bp.Scheme.int(11, sparse=True))
    for bits in range(1, 9):
        book = bp.Scheme.codebook(bits, vector=1 + bits % 4, axis=bits % 3 if bits % 2 else None)
        tensors[f"codebook{bits}"] = bp.pack(weights((6, 4, 8), 30 + bits), book)
    tensors["codebook.vector8"] = bp.pack(weights((5, 16), 40), bp.Scheme.codebook(3, vector=8, group_size=5))
    tensors["codebook.bitmap"] = bp.pack(weights((9, 11), 41), bp.Scheme.codebook(4, axis=1, sparse=True))
    tensors["codebook.half"] = bp.pack(weights((7, 5), 42).astype(np.float16), bp.Scheme.codebook(5))
    tensors["codebook.empty"] = bp.pack(np.zeros((0, 4), np.float32), bp.Scheme.codebook(4, axis=1))
    store(path, tensors)


def of_groups(values: np.ndarray, kept: int, group: int) -> np.ndarray:
    """The greatest magnitudes of each group of consecutive elements; of equal ones the first."""
    groups = values.reshape(-1, group).copy()
    order = np.argsort(-np.abs(groups), axis=1, kind="stable")
    np.put_along_axis(groups, order[:, kept:], 0, 1)
    return groups.reshape(values.shape)


def sparse(path: Path) -> None:
    """N of M and blocks, of every kind of values."""
    tensors = {}
    for kept, group in ((1, 2), (2, 4), (1, 4), (4, 8), (5, 11), (8, 16)):
        values = of_groups(weights((11, 16), 90 + group), kept, group)
        tensors[f"{kept}:{group}"] = bp.pack(values, bp.Scheme.int(4, axis=0, nm=(kept, group)))
    values = of_groups(weights((9, 12), 91), 1, 3)
    tensors["nm.keep"] = bp.pack(values.astype(np.float16), bp.Scheme.lossless(nm=(1, 3), coding="raw"))
    tensors["nm.book"] = bp.pack(values, bp.Scheme.codebook(3, nm=(1, 3)))
    tensors["nm.coded"] = bp.pack(np.tile(values, (5, 3)), bp.Scheme.int(3, nm=(1, 3), coding="huffman"))
    tensors["nm.empty"] = bp.pack(np.zeros((0, 3), np.float32), bp.Scheme.int(3, nm=(1, 2)))
    rows = weights((13, 3, 7), 92)
    rows[4:8, 1] = rows[:4, 0, :3] = 0
    for height, width in ((4, 4), (1, 7), (5, 2), (64, 64)):
        tensors[f"{height}x{width}"] = bp.pack(rows, bp.Scheme.int(5, block=(height, width), symmetric=False))
    tensors["block.keep"] = bp.pack(rows, bp.Scheme.lossless(block=(4, 3), coding="raw"))
    tensors["block.book"] = bp.pack(rows, bp.Scheme.codebook(4, block=(4, 3), axis=0))
    tensors["block.wide"] = bp.pack(rows[0, 0], bp.Scheme.int(11, block=(2, 3), coding="rans"))
    tensors["block.none"] = bp.pack(np.zeros((6, 6), np.float32), bp.Scheme.int(2, block=(3, 2)))
    store(path, tensors)


def coded(path: Path) -> None:
    """Every coding, several chunks, streams that a coding does not make shorter."""
    tensors = {}
    for coding in ("huffman", "rans", "lzw", "planes"):
        tensors[f"{coding}.codes"] = bp.pack(weights((40, 100), 1), bp.Scheme.int(8, axis=0, coding=coding))
        tensors[f"{coding}.five"] = bp.pack(weights((40, 100), 2), bp.Scheme.int(5, axis=0, coding=coding))
        rare = np.where(np.arange(4000) % 500 == 7, 1000, 1).reshape(40, 100)  # mostly small codes
        tensors[f"{coding}.wide"] = bp.pack(weights((40, 100), 7) * rare, bp.Scheme.int(14, coding=coding))
        tensors[f"{coding}.bitmap"] = bp.pack(weights((30, 50), 2), bp.Scheme.int(4, sparse=True, coding=coding))
        tensors[f"{coding}.book"] = bp.pack(weights((30, 50), 3), bp.Scheme.codebook(3, vector=2, coding=coding))
        tensors[f"{coding}.small"] = bp.pack(weights((11, 6), 3), bp.Scheme.int(8, coding=coding))
        tensors[f"{coding}.words"] = bp.pack(weights((50, 30), 4), bp.Scheme.lossless(coding=coding))
        tensors[f"{coding}.noise"] = bp.pack(noise(900, 5), bp.Scheme.lossless(coding=coding))
        tensors[f"{coding}.fill"] = bp.pack(np.zeros(300_000, np.uint8), bp.Scheme.lossless(coding=coding))
        many = np.repeat(noise(2500, 6) % 64 == 0, 120).astype(np.uint8)
        tensors[f"{coding}.chunks"] = bp.pack(many, bp.Scheme.lossless(coding=coding))
    store(path, tensors)


def rows(path: Path) -> None:
    """Tables for groups of rows, in both codings that have them."""
    spread = np.where(noise(512, 100) % 2 == 0, 1, 24)[:, None]
    values = weights((512, 128), 101) * spread.astype(np.float32)
    store(path, {coding: bp.pack(values, bp.Scheme.int(8, coding=coding)) for coding in ("huffman", "rans")})


def shared(path: Path) -> None:
    """Codebooks that several tensors share, stored once: scaled and sparse ones too, one more of other bits, one of
    a kilobyte under a coding."""
    rule = bp.Rule("*.w", bp.Scheme.codebook(3), method="kmeans", shared=True)
    scaled = bp.Rule("*.s", bp.Scheme.codebook(3, axis=0, sparse=True), method="kmeans", sparsity=0.5, shared=True)
    vectors = bp.Rule("*.v", bp.Scheme.codebook(8, vector=4, coding="rans"), method="kmeans", shared=True)
    arrays = {f"{i}.{kind}": weights((9 + i, 8), 10 * i + ord(kind)) for i in range(3) for kind in "wsv"}
    arrays |= {"own.w": np.zeros((0, 4), np.float32), "half.w": weights((5, 4), 50).astype(np.float16)}
    arrays |= {f"big{i}.v": np.round(weights((64, 64), 60 + i), 1) for i in range(2)}
    store(path, bp.compress(arrays, bp.Recipe((rule, scaled, vectors))).tensors)


def network(path: Path) -> None:
    """A small network with its graph."""
    graph = Graph(
        inputs=(Value("x", "F32", (-1, 8)),),
        outputs=(Value("y", "F32", (-1, 3)),),
        nodes=(
            Node("Gemm", "fc1", ("x", "fc1.weight", "fc1.bias"), ("h",), {"transB": 1, "clip_low": 0.0}),
            Node("Gemm", "fc2", ("h", "fc2.weight"), ("y",), {"transB": 1}),
        ),
    )
    tensors = {
        "fc1.weight": bp.pack(weights((16, 8), 1), bp.Scheme.int(4, axis=0, coding="huffman")),
        "fc1.bias": bp.pack(weights((16,), 2), bp.Scheme()),
        "fc2.weight": bp.pack(weights((3, 16), 3), bp.Scheme.int(8, axis=0)),
    }
    store(path, tensors, encode(graph, {name: i for i, name in enumerate(tensors)}), {"name": "golden"})


def bodies(path: Path) -> None:
    """A loop with a branch in it, which reads values around both."""
    turn = Node("If", "sign", ("less",), ("next",), {}, (
        Body((), ("up",), (Node("Add", "", ("sum", "w"), ("up",)),), {"up": Value("up", "F32", (4,))}),
        Body((), ("sum",), ()),
    ))  # fmt: skip
    nodes = (
        Node("Add", "", ("state", "x"), ("sum",)),
        Node("Less", "", ("i", "three"), ("less",)),
        turn,
        Node("Identity", "", ("on",), ("goes on",)),
    )
    given = (Value("i", "I64", ()), Value("on", "BOOL", ()), Value("state"))
    written = (Value("sum", "F32", (4,)), Value("less", "BOOL"), Value("up", "F32", (4,)), Value("next", "F32"),
               Value("goes on", "BOOL"))  # fmt: skip
    body = Body(given, ("goes on", "next", "sum"), nodes, {value.name: value for value in (*given, *written)})
    graph = Graph(
        inputs=(Value("turns", "I64", ()), Value("x", "F32", (4,))),
        outputs=(Value("last"), Value("sums"), Value("found", "I64", (2, -1))),
        nodes=(
            Node("Loop", "loop", ("turns", "", "x"), ("last", "sums"), {"bound": 7}, (body,)),
            Node("NonZero", "", ("sums",), ("found",)),
        ),
    )
    tensors = {
        "w": bp.pack(weights((4,), 1), bp.Scheme.int(8)),
        "three": bp.pack(np.array(3), bp.Scheme()),
    }
    store(path, tensors, encode(graph, {name: i for i, name in enumerate(tensors)}))


def delta_tensors(tuned: int) -> dict[str, PackedTensor]:
    """A base (0), and the same tensors a little later (1): of all sizes of elements."""
    scheme = bp.Scheme.lossless(coding="planes")
    tensors = {}
    for seed, dtype in enumerate(("U8", "BF16", "F32", "I64", "F64", "C64", "F4")):
        size = stored_bytes(dtype, (30, 40))
        data = noise(size, seed)
        data[:: max(DTYPES[dtype].bits // 8, 1)] += (
            noise(size, 60 + seed)[:: max(DTYPES[dtype].bits // 8, 1)] % 3
        ) * tuned
        tensors[f"near.{dtype}"] = pack_bytes(data.tobytes(), dtype, (30, 40), scheme)
    steps = np.arange(600, dtype=np.int32).reshape(20, 30) ** 2 * 1001
    tensors["counters"] = bp.pack(steps + 7 * tuned, scheme)
    tensors["same"] = bp.pack(noise(5000, 70), scheme)
    tensors["other"] = bp.pack(noise(700, 71 + tuned), scheme)
    tensors["other shape"] = bp.pack(noise(700, 73)[: 600 + 100 * tuned], scheme)
    tensors["pressed"] = bp.pack(weights((20, 30), 74), bp.Scheme.int(8, coding="huffman"))
    if tuned:
        tensors["new"] = bp.pack(np.zeros(300, np.float32), scheme)
    return tensors


def delta(path: Path) -> None:
    """Tensors held against a base: by exclusive or, by difference, and what cannot be."""
    store(path, delta_tensors(1), base=delta_tensors(0))


def bounded(path: Path) -> None:
    """Values within a bound of every kind; what no value stands for; one dimension, several planes, no dimension."""
    planes = weights((5, 9, 14), 80)
    planes[1, 2, 3:5] = np.nan, -np.inf
    tensors = {
        "absolute": bp.pack(planes, bp.Scheme.bounded(2.0**-6)),
        "relative": bp.pack(weights((700,), 81).astype(np.float64), bp.Scheme.bounded(2.0**-9, "relative")),
        "range": bp.pack(weights((40, 60), 82), bp.Scheme.bounded(2.0**-7, "range")),
        "noise": bp.pack(noise(400, 83).view(np.float32).reshape(10, 10), bp.Scheme.bounded(2.0**-20)),
        "scalar": bp.pack(np.float32(0.3), bp.Scheme.bounded(0.125)),
        "empty": bp.pack(np.zeros((3, 0)), bp.Scheme.bounded(0.125)),
    }
    store(path, tensors)


def panels(path: Path) -> None:
    """Matrices in panels, of rows and of columns, raw and coded; beside them one that is not."""
    tensors, orders = {}, {}
    for bits in (2, 4, 8):
        for order, shape in ((Order.ROW_PANELS, (32, 48)), (Order.COLUMN_PANELS, (64, 16))):
            for coding in ("raw", "huffman", "rans"):
                name = f"{bits} {order.name.lower()} {coding}"
                scheme = bp.Scheme.int(bits, axis=1 - shape[0] // 64, symmetric=bits != 4, coding=coding)
                tensors[name], orders[name] = bp.pack(weights(shape, 70 + bits), scheme), order
    tensors["groups"] = bp.pack(weights((16, 64), 80), bp.Scheme.int(4, group_size=32))
    orders["groups"] = Order.ROW_PANELS
    tensors["by elements"] = tensors["8 row_panels raw"]
    tensors["empty"] = bp.pack(np.zeros((0, 32), np.float32), bp.Scheme.int(8))
    orders["empty"] = Order.ROW_PANELS
    store(path, tensors, orders=orders)


FILES: dict[str, Callable[[Path], None]] = {
    f"{make.__name__}.safetensors": make
    for make in (none, plain, schemes, sparse, coded, rows, shared, network, bodies, delta, bounded, panels)
}


def main() -> None:
    folder = Path(sys.argv[1])
    for name, make in FILES.items():
        make(folder / name)
        print(f"{name}: {(folder / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
