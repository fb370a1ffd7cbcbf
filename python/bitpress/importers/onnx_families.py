"""How families of ONNX operators become ours: by name alone, or as a few nodes that mean the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..dtypes import DTYPES
from ..graph import Node
from .onnx_narrow import cast_to
from .onnx_reader import Chain, Reader, Rule, plain
from .onnx_tensors import dtype_name

__all__ = ["CONSTANT_INPUTS", "FAMILIES"]

_MOST = 2**62  # an end beyond every axis

_REDUCTIONS = ("ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
               "ReduceLogSum", "ReduceLogSumExp")  # fmt: skip

# Inputs (their places) that say a shape, axes or the like: they must be constant when a model is imported.
CONSTANT_INPUTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("ReduceMean", *_REDUCTIONS, "Reshape", "Squeeze", "Unsqueeze", "Expand", "Tile", "Split"), (1,)),
    **dict.fromkeys(("OneHot", "Trilu", "CumSum", "CumProd", "TopK", "CenterCropPad"), (1,)),
    "DFT": (1, 2),
    "STFT": (1, 3),
    "MaxUnpool": (2,),
    "Col2Im": (1, 2),
    "Slice": (1, 2, 3, 4),
    "Pad": (1, 2, 3),
    "Clip": (1, 2),
    "Dropout": (1, 2),
    "Resize": (1, 2, 3),
    "Upsample": (1,),
    "Range": (0, 1, 2),
    "ConstantOfShape": (0,),
    "If": (0,),
    "Loop": (0, 1),
    "SequenceAt": (1,),
    "SequenceErase": (1,),
    "SequenceInsert": (2,),
    "SplitToSequence": (1,),
}


def _reduce(reader: Reader) -> Iterable[Node]:
    axes = reader.integers(1, "axes", since=13 if reader.node.op == "ReduceSum" else 18)
    if not axes and reader.attributes.get("noop_with_empty_axes", 0):
        return [reader.make(1, "Identity")]
    keepdims = int(reader.attributes.get("keepdims", 1))
    return [reader.make(1, keepdims=keepdims, **({"axes": tuple(axes)} if axes else {}))]


def _variadic(op: str) -> Rule:
    """Max, Min, Sum: a chain of pairs."""

    def rule(reader: Reader) -> Iterable[Node]:
        first, *rest = reader.node.inputs
        if not rest:
            return [reader.make(1, "Identity")]
        chain = Chain(reader)
        for name in rest[:-1]:
            first = chain.add(op, first, name)
        return chain.end(op, first, rest[-1])

    return rule


def _mean(reader: Reader) -> Iterable[Node]:
    chain = Chain(reader)
    first, *rest = reader.node.inputs
    for name in rest:
        first = chain.add("Add", first, name)
    return chain.end("Div", first, chain.constant(float(len(rest) + 1)))


def _mod(reader: Reader) -> Iterable[Node]:
    return [reader.make(2, fmod=int(reader.attributes.get("fmod", 0)))]


def _bit_shift(reader: Reader) -> Iterable[Node]:
    direction = reader.attributes["direction"].decode()
    if direction not in ("LEFT", "RIGHT"):
        raise ValueError(f"direction {direction!r}")
    return [reader.make(2, direction=int(direction == "RIGHT"))]


def _renamed(**keys: tuple[str, float]) -> Rule:
    """Attributes under our names: ours = (ONNX's, its default)."""

    def rule(reader: Reader) -> Iterable[Node]:
        return [reader.make(1, **{ours: float(reader.attributes.get(*theirs)) for ours, theirs in keys.items()})]

    return rule


def _gather_nd(reader: Reader) -> Iterable[Node]:
    return [reader.make(2, batch_dims=int(reader.attributes.get("batch_dims", 0)))]


def _scatter(reader: Reader) -> Iterable[Node]:
    kinds = ("none", "add", "mul", "max", "min")
    told: dict[str, Any] = {"reduction": kinds.index(reader.attributes.get("reduction", b"none").decode())}
    if reader.node.op != "ScatterND":
        told["axis"] = int(reader.attributes.get("axis", 0))
    return [reader.make(3, "ScatterND" if reader.node.op == "ScatterND" else "ScatterElements", **told)]


def _slice(reader: Reader) -> Iterable[Node]:
    starts = reader.integers(1, "starts", since=10, attribute="starts")
    found = reader.constant(2, "ends") if reader.opset >= 10 else np.array(reader.attributes["ends"])
    axes, steps = reader.integers(3, "axes", since=10), reader.integers(4, "steps")
    if starts is None or found is None:
        raise ValueError("it has no starts or no ends")
    axes = axes if axes is not None else list(range(len(starts)))
    ends = []
    for axis, end in zip(axes, found.ravel(), strict=True):
        if isinstance(end, str):
            if reader.sizes()[axis] != end:
                raise reader.refuse("ends that depend on a size not known")
            end = _MOST
        ends.append(min(int(end), _MOST))
    starts = [max(min(start, _MOST), -_MOST) for start in starts]
    ends = [max(end, -_MOST) for end in ends]
    told = {"steps": tuple(steps)} if steps is not None and any(step != 1 for step in steps) else {}
    return [reader.make(1, starts=tuple(starts), ends=tuple(ends), axes=tuple(axes), **told)]


def _split(reader: Reader) -> Iterable[Node]:
    axis = int(reader.attributes.get("axis", 0))
    parts = reader.integers(1, "sizes", since=13, attribute="split")
    outputs = reader.node.outputs
    if parts is None:
        each = -(-reader.size(axis) // len(outputs))
        parts = [each] * (len(outputs) - 1) + [reader.size(axis) - each * (len(outputs) - 1)]
    chain, start = Chain(reader), 0
    for i, size in enumerate(parts):
        if outputs[i]:
            chain.end("Slice", reader.input(0), output=i, starts=(start,), ends=(start + size,), axes=(axis,))
        start += size
    return chain.nodes


def _expand(reader: Reader) -> Iterable[Node]:
    target = reader.constant(1, "a shape")
    if target is None:
        raise ValueError("it has no shape")
    if target.dtype != object:
        return [reader.make(1, shape=tuple(int(size) for size in target))]
    own = reader.sizes()
    own = (1,) * (len(target) - len(own)) + own
    sizes = [1 if isinstance(size, str) and size == have else size for size, have in zip(target, own, strict=False)]
    chain, x = Chain(reader), reader.input(0)
    for axis, size in enumerate(sizes):
        if isinstance(size, str):
            x = chain.add("Expand", x, _ruler(chain, size, len(sizes) - 1 - axis), shape=())
    return chain.end("Expand", x, shape=tuple(1 if isinstance(size, str) else size for size in sizes))


def _ruler(chain: Chain, size: str, after: int) -> str:
    """A value with an unknown size as its first axis and ``after`` axes of size 1: cut out of a graph input."""
    shapes = chain.reader.context.shapes
    for name in chain.reader.context.inputs:
        if size in shapes.get(name, ()):
            axis, rank = shapes[name].index(size), len(shapes[name])
            others = tuple(i for i in range(rank) if i != axis)
            if others:
                name = chain.add("Slice", name, starts=(0,) * len(others), ends=(1,) * len(others), axes=others)
            return chain.add("Reshape", name, shape=(-1, *[1] * after))
    raise chain.reader.refuse("a shape that depends on a size not known")


def _tile(reader: Reader) -> Iterable[Node]:
    repeats = reader.integers(1, "repeats")
    if repeats is None or any(not 1 <= count <= 256 for count in repeats):
        raise reader.refuse("no repeats, or more than 256")
    last = reader.input(0)
    chain = Chain(reader)
    for axis, count in enumerate(repeats):
        if count > 1:
            last = chain.add("Concat", *[last] * count, axis=axis)
    return chain.end("Identity", last)


def _global_max_pool(reader: Reader) -> Iterable[Node]:
    return [reader.make(1, "ReduceMax", axes=tuple(range(2, len(reader.sizes()))))]


def _layer_norm(reader: Reader) -> Iterable[Node]:
    axis, epsilon = int(reader.attributes.get("axis", -1)), float(reader.attributes.get("epsilon", 1e-5))
    if not any(reader.node.outputs[1:]):
        return [reader.make(3, axis=axis, epsilon=epsilon)]
    chain, x = Chain(reader), reader.input(0)
    axes = tuple(range(axis % len(reader.sizes()), len(reader.sizes())))
    mean = chain.add("ReduceMean", x, axes=axes, keepdims=1)
    far = chain.add("Sub", x, mean)
    variance = chain.add("ReduceMean", chain.add("Mul", far, far), axes=axes, keepdims=1)
    deviation = chain.add("Sqrt", chain.add("Add", variance, chain.constant(epsilon)))
    for output, (op, value) in enumerate((("Identity", mean), ("Reciprocal", deviation)), 1):
        if reader.output(output):
            chain.end(op, value, output=output)
    return chain.end("LayerNormalization", *[name for name in reader.node.inputs if name], axis=axis, epsilon=epsilon)


def _restore(reader: Reader) -> tuple[int, ...]:
    """The shape of the first input as a Reshape's: at most one size may be unknown."""
    sizes = reader.sizes()
    if sum(isinstance(size, str) for size in sizes) > 1:
        raise reader.refuse("more than one size not known")
    return tuple(-1 if isinstance(size, str) else size for size in sizes)


def _group_norm(reader: Reader) -> Iterable[Node]:
    """Instance and group norms: a layer norm over each group, then a scale and a shift a channel."""
    groups = int(reader.attributes["num_groups"]) if reader.node.op == "GroupNormalization" else reader.size(1)
    if reader.node.op == "GroupNormalization" and reader.opset < 21:
        raise reader.refuse("an opset before 21")
    chain = Chain(reader)
    rank = len(reader.sizes())
    rows = chain.add("Reshape", reader.input(0), shape=(0, groups, -1))
    epsilon = float(reader.attributes.get("epsilon", 1e-5))
    unit = chain.add("LayerNormalization", rows, chain.constant([1.0]), axis=-1, epsilon=epsilon)
    back = chain.add("Reshape", unit, shape=_restore(reader))
    scale, shift = (chain.add("Unsqueeze", name, axes=tuple(range(1, rank - 1))) for name in reader.node.inputs[1:3])
    return chain.end("Add", chain.add("Mul", back, scale), shift)


def _lp_norm(reader: Reader) -> Iterable[Node]:
    p, axis = int(reader.attributes.get("p", 2)), int(reader.attributes.get("axis", -1))
    chain = Chain(reader)
    length = chain.add("ReduceL1" if p == 1 else "ReduceL2", reader.input(0), axes=(axis,), keepdims=1)
    zero = chain.add("Equal", length, chain.constant(0.0))
    return chain.end("Div", reader.input(0), chain.add("Where", zero, chain.constant(1.0), length))


def _lrn(reader: Reader) -> Iterable[Node]:
    """Krizhevsky et al., 2012, section 3.3: the squares are averaged over neighbouring channels by a pool."""
    size = int(reader.attributes["size"])
    alpha, beta = float(reader.attributes.get("alpha", 1e-4)), float(reader.attributes.get("beta", 0.75))
    bias = float(reader.attributes.get("bias", 1.0))
    chain = Chain(reader)
    x = reader.input(0)
    rows = chain.add("Reshape", chain.add("Mul", x, x), shape=(0, 1, reader.size(1), -1))
    pads = ((size - 1) // 2, 0, size // 2, 0)
    mean = chain.add("AveragePool", rows, kernel_shape=(size, 1), pads=pads, strides=(1, 1), count_include_pad=1)
    scaled = chain.add("Mul", chain.add("Reshape", mean, shape=_restore(reader)), chain.constant(alpha))
    power = chain.add("Pow", chain.add("Add", scaled, chain.constant(bias)), chain.constant(beta))
    return chain.end("Div", x, power)


def _along_last(reader: Reader, axis: int) -> bool:
    return reader.opset >= 13 or axis % len(reader.sizes()) == len(reader.sizes()) - 1


def _log_softmax(reader: Reader) -> Iterable[Node]:
    axis = int(reader.attributes.get("axis", -1 if reader.opset >= 13 else 1))
    if not _along_last(reader, axis):
        raise reader.refuse(f"axis {axis} before opset 13")
    chain = Chain(reader)
    x = reader.input(0)
    return chain.end("Sub", x, chain.add("ReduceLogSumExp", x, axes=(axis,), keepdims=1))


def _hardmax(reader: Reader) -> Iterable[Node]:
    axis = int(reader.attributes.get("axis", -1 if reader.opset >= 13 else 1))
    if not _along_last(reader, axis):
        raise reader.refuse(f"axis {axis} before opset 13")
    chain = Chain(reader)
    rank = len(reader.sizes())
    places = np.arange(reader.size(axis)).reshape([-1] + [1] * (rank - 1 - axis % rank))
    top = chain.add("ArgMax", reader.input(0), axis=axis)
    hit = chain.add("Equal", top, chain.constant(places, "I64"))
    return chain.end("Cast", hit, to=DTYPES[reader.dtype()].number)


def _one_hot(reader: Reader) -> Iterable[Node]:
    depth = reader.integers(1, "a depth")
    if depth is None or not 1 <= depth[0] <= 1 << 20:
        raise reader.refuse("such a depth")
    rank = len(reader.sizes())
    axis = int(reader.attributes.get("axis", -1)) % (rank + 1)
    chain = Chain(reader)
    given = chain.add("Cast", reader.input(0), to=DTYPES["I64"].number)
    below = chain.add("Less", given, chain.constant(0, "I64"))
    indices = chain.add("Where", below, chain.add("Add", given, chain.constant(depth[0], "I64")), given)
    places = np.arange(depth[0]).reshape([-1] + [1] * (rank - axis))
    hit = chain.add("Equal", chain.add("Unsqueeze", indices, axes=(axis,)), chain.constant(places, "I64"))
    values = reader.input(2)
    off, on = (chain.add("Slice", values, starts=(i,), ends=(i + 1,), axes=(0,)) for i in (0, 1))
    return chain.end("Where", hit, on, off)


def _trilu(reader: Reader) -> Iterable[Node]:
    k = reader.integers(1, "k") or [0]
    rows, columns = reader.size(-2), reader.size(-1)
    offset = np.arange(columns) - np.arange(rows)[:, None]
    kept = offset >= k[0] if reader.attributes.get("upper", 1) else offset <= k[0]
    chain = Chain(reader)
    return chain.end("Where", chain.constant(kept, "BOOL"), reader.input(0), chain.constant(0))


def _depth_to_space(reader: Reader) -> Iterable[Node]:
    block = int(reader.attributes["blocksize"])
    _, channels, height, width = (0, *(reader.size(axis) for axis in (1, 2, 3)))
    chain = Chain(reader)
    if reader.node.op == "SpaceToDepth":
        shape: tuple[int, ...] = (0, channels, height // block, block, width // block, block)
        crd = reader.attributes.get("mode", b"DCR") == b"CRD"
        perm, after = (
            (0, 1, 3, 5, 2, 4) if crd else (0, 3, 5, 1, 2, 4),
            (0, channels * block * block, height // block, width // block),
        )
    else:
        deep = channels // (block * block)
        crd = reader.attributes.get("mode", b"DCR") == b"CRD"
        shape = (0, deep, block, block, height, width) if crd else (0, block, block, deep, height, width)
        perm, after = (0, 1, 4, 2, 5, 3) if crd else (0, 3, 4, 1, 5, 2), (0, deep, height * block, width * block)
    return chain.end("Reshape", chain.add("Transpose", chain.add("Reshape", reader.input(0), shape=shape), perm=perm),
                     shape=after)  # fmt: skip


def _eye_like(reader: Reader) -> Iterable[Node]:
    chain, rows, columns = Chain(reader), reader.size(0), reader.size(1)
    if len(reader.sizes()) != 2 or rows * columns > 1 << 24:
        raise reader.refuse("no matrix, or a large one")
    element = int(reader.attributes.get("dtype", reader.element()))
    diagonal = np.eye(rows, columns, int(reader.attributes.get("k", 0)))
    return chain.end("Identity", chain.constant(diagonal, dtype_name(element, reader.node.name)))


def _reverse_sequence(reader: Reader) -> Iterable[Node]:
    """Each sequence's first elements, as many as its length says, backwards: gathered by computed places."""
    chain, x = Chain(reader), reader.input(0)
    time, batch = int(reader.attributes.get("time_axis", 0)), int(reader.attributes.get("batch_axis", 1))
    if sorted((time, batch)) != [0, 1]:
        raise ValueError(f"time_axis {time}, batch_axis {batch}")
    steps = chain.constant(np.expand_dims(np.arange(reader.size(time)), batch), "I64")
    lengths = chain.add("Unsqueeze", reader.input(1), axes=(time,))
    back = chain.add("Sub", chain.add("Sub", lengths, chain.constant(1, "I64")), steps)
    places = chain.add("Where", chain.add("Less", steps, lengths), back, steps)
    rank = len(reader.sizes())
    if rank > 2:
        places = chain.add("Unsqueeze", places, axes=tuple(range(2, rank)))
    return chain.end("GatherElements", x, chain.add("Expand", places, x, shape=(1,)), axis=time)


FAMILIES: dict[str, Rule] = {
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(
        ("Abs", "Neg", "Sign", "Reciprocal", "Log", "Ceil", "Floor", "Round", "Sin", "Cos", "Tan", "Asin", "Acos",
         "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Softplus",
         "Softsign", "Mish", "IsNaN", "Not", "BitwiseNot", "Pow",
         "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "BitwiseAnd", "BitwiseOr",
         "BitwiseXor", "PRelu", "Where"),
        plain(),
    ),
    **dict.fromkeys(("Elu", "Celu", "Swish", "ThresholdedRelu"), _renamed(alpha=("alpha", 1.0))),
    "Selu": _renamed(alpha=("alpha", 1.67326319217681884765625), beta=("gamma", 1.05070102214813232421875)),
    "Shrink": _renamed(alpha=("lambd", 0.5), beta=("bias", 0.0)),
    "IsInf": _renamed(alpha=("detect_negative", 1), beta=("detect_positive", 1)),
    "Max": _variadic("Max"),
    "Min": _variadic("Min"),
    "Sum": _variadic("Add"),
    "Mean": _mean,
    "Mod": _mod,
    "BitShift": _bit_shift,
    "Cast": cast_to,
    "CastLike": cast_to,
    **dict.fromkeys(("Gather", "GatherElements"), plain(axis=0)),
    "GatherND": _gather_nd,
    **dict.fromkeys(("ScatterElements", "Scatter", "ScatterND"), _scatter),
    "Slice": _slice,
    "Split": _split,
    "Expand": _expand,
    "Tile": _tile,
    "GlobalMaxPool": _global_max_pool,
    "LayerNormalization": _layer_norm,
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), _group_norm),
    "LpNormalization": _lp_norm,
    "LRN": _lrn,
    "LogSoftmax": _log_softmax,
    "Hardmax": _hardmax,
    "OneHot": _one_hot,
    "Trilu": _trilu,
    "EyeLike": _eye_like,
    "ReverseSequence": _reverse_sequence,
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _depth_to_space),
}  # fmt: skip
