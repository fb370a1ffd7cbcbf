"""How each ONNX operator becomes one of ours: constant inputs turned into attributes (docs/format.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from ..errors import FormatError, UnsupportedError
from ..graph import Node
from ..operators import OPERATORS, REALS
from .onnx_families import CONSTANT_INPUTS, FAMILIES
from .onnx_pools import POOLS, conv_3d, window
from .onnx_quantized import QUANTIZED
from .onnx_reader import Chain, Context, Reader, plain
from .onnx_recurrent import RECURRENT
from .onnx_resize import RESIZES
from .onnx_sized import SIZED
from .onnx_sums import SUMS
from .onnx_transposed import TRANSPOSED, pad_by_index

__all__ = ["CONSTANT_INPUTS", "SUPPORTED", "Context", "lower"]


def lower(node: Node, context: Context) -> list[Node]:
    """Our nodes for one ONNX node (its attributes are ONNX's own). Raises UnsupportedError with its name and why."""
    rule = _RULES.get(node.op)
    if rule is None:
        raise UnsupportedError(f'operator {node.op} (node "{node.name}") is not supported')
    try:
        return list(rule(Reader(node, context)))
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f'operator {node.op} (node "{node.name}") is malformed: {error}') from None


def _conv(reader: Reader) -> Iterable[Node]:
    kernel = reader.attributes.get("kernel_shape")
    rank = reader.rank(1)
    if rank is None:
        if kernel is None:
            raise reader.refuse("a weight of unknown rank")
        rank = len(kernel) + 2
    if kernel is not None and len(kernel) != rank - 2:
        raise ValueError(f"kernel_shape {kernel} for a weight of {rank} dimensions")
    if rank == 5:
        return conv_3d(reader)
    if rank not in (3, 4):
        raise reader.refuse(f"{rank - 2} spatial dimensions")
    return [reader.make(3, **window(reader, rank - 2), group=int(reader.attributes.get("group", 1)))]


def _reduce_mean(reader: Reader) -> Iterable[Node]:
    axes = reader.integers(1, "axes", since=18)
    if not axes and reader.attributes.get("noop_with_empty_axes", 0):
        return [reader.make(1, "Identity")]
    keepdims = int(reader.attributes.get("keepdims", 1))
    return [reader.make(1, keepdims=keepdims, **({"axes": tuple(axes)} if axes else {}))]


def _reshape(reader: Reader) -> Iterable[Node]:
    target = reader.constant(1, "a shape")
    if target is None:
        raise ValueError("it has no shape")
    allowzero = int(reader.attributes.get("allowzero", 0))
    sizes: list[int | str] = [size if isinstance(size, str) else int(size) for size in target.ravel()]
    if any(isinstance(size, str) for size in sizes):
        sizes, allowzero = _resolve(reader, sizes, allowzero)
    return [reader.make(1, shape=tuple(sizes), allowzero=allowzero)]


def _resolve(reader: Reader, sizes: list[int | str], allowzero: int) -> tuple[list[int | str], int]:
    """Symbols in a target shape: 0 (copy) where the input has that symbol at that place, else one -1."""
    shape = reader.context.shapes.get(reader.input(0), ())
    copies_allowed = not (allowzero and 0 in sizes)
    resolved: list[int | str] = []
    for i, size in enumerate(sizes):
        copied = copies_allowed and isinstance(size, str) and i < len(shape) and shape[i] == size
        resolved.append(0 if copied else size)
    unknown = [i for i, size in enumerate(resolved) if isinstance(size, str)]
    if len(unknown) > 1 or (unknown and -1 in resolved):
        raise reader.refuse("more than one size not known")
    return [-1 if isinstance(size, str) else size for size in resolved], 0 if copies_allowed else 1


def _transpose(reader: Reader) -> Iterable[Node]:
    perm = reader.attributes.get("perm")
    rank = reader.rank()
    if perm is not None and sorted(perm) != list(range(rank if rank is not None else len(perm))):
        raise ValueError(f"perm {perm}")
    return [reader.make(1, **({"perm": tuple(perm)} if perm is not None else {}))]


def _unsqueeze(reader: Reader) -> Iterable[Node]:
    axes = reader.integers(1, "axes", since=13)
    if axes is None:
        raise ValueError("it has no axes")
    return [reader.make(1, axes=tuple(axes))]


def _squeeze(reader: Reader) -> Iterable[Node]:
    axes = reader.integers(1, "axes", since=13)
    return [reader.make(1, **({"axes": tuple(axes)} if axes else {}))]


def _softmax(reader: Reader) -> Iterable[Node]:
    if reader.opset >= 13:
        return [reader.make(1, axis=int(reader.attributes.get("axis", -1)))]
    # Before opset 13 the input is coerced to a matrix at `axis`: the same thing where only one axis follows.
    axis, rank = int(reader.attributes.get("axis", 1)), reader.rank()
    if rank is not None and axis % rank == rank - 1:
        return [reader.make(1, axis=-1)]
    shape = reader.context.shapes.get(reader.input(0))
    if shape is None or any(isinstance(size, str) for size in shape[1:]):
        raise reader.refuse(f"axis {axis} before opset 13 on an input whose sizes are not known")
    x, y = reader.input(0), reader.node.outputs[0]
    name = reader.node.name
    flat, soft = f"{y}.flat", f"{y}.softmax"
    sizes = tuple(-1 if isinstance(size, str) else size for size in shape)
    return [
        Node("Flatten", f"{name}.flatten", (x,), (flat,), {"axis": axis}),
        Node("Softmax", name, (flat,), (soft,), {"axis": -1}),
        Node("Reshape", f"{name}.reshape", (soft,), (y,), {"shape": sizes, "allowzero": 0}),
    ]


def _clip(reader: Reader) -> Iterable[Node]:
    bounds = [reader.input(1), reader.input(2)]
    if reader.opset < 11:
        low, high = (float(reader.attributes.get(key, limit)) for key, limit in (("min", -math.inf), ("max", math.inf)))
        return [reader.make(1, clip_low=low, clip_high=high)]
    if reader.dtype() in REALS and all(not name or name in reader.context.known for name in bounds):
        low, high = (reader.number(i, "a bound", limit) for i, limit in ((1, -math.inf), (2, math.inf)))
        return [reader.make(1, clip_low=low, clip_high=high)]
    chain = Chain(reader)
    steps = [(op, name) for op, name in zip(("Max", "Min"), bounds, strict=True) if name]
    last = reader.input(0)
    for op, name in steps[:-1]:
        last = chain.add(op, last, name)
    return chain.end(steps[-1][0], last, steps[-1][1]) if steps else [reader.make(1, "Identity")]


def _gemm(reader: Reader) -> Iterable[Node]:
    attributes = reader.attributes
    return [
        reader.make(
            3,
            alpha=float(attributes.get("alpha", 1.0)),
            beta=float(attributes.get("beta", 1.0)),
            transA=int(bool(attributes.get("transA", 0))),
            transB=int(bool(attributes.get("transB", 0))),
        )
    ]


def _batch_norm(reader: Reader) -> Iterable[Node]:
    if reader.attributes.get("training_mode", 0):
        raise reader.refuse("training_mode")
    if any(reader.node.outputs[1:]):
        raise reader.refuse("more than one output")
    return [reader.make(5, epsilon=float(reader.attributes.get("epsilon", 1e-5)))]


def _pad(reader: Reader) -> Iterable[Node]:
    mode = reader.attributes.get("mode", b"constant").decode()
    given = reader.integers(1, "pads", since=11, attribute="pads")
    if given is None or len(given) % 2:
        raise ValueError("its pads are not pairs")
    axes = reader.integers(3, "axes")
    if axes is not None:
        rank = reader.rank()
        if rank is None:
            raise reader.refuse("axes on an input of unknown rank")
        if 2 * len(axes) != len(given):
            raise ValueError("it has not two pads an axis")
        pads = [0] * (2 * rank)
        for i, axis in enumerate(axes):
            pads[axis % rank], pads[axis % rank + rank] = given[i], given[i + len(axes)]
        given = pads
    if mode != "constant":
        return pad_by_index(reader, mode, given)
    if any(pad < 0 for pad in given):
        raise reader.refuse("negative pads")
    value = float(reader.attributes.get("value", 0.0)) if reader.opset < 11 else reader.number(2, "a value", 0.0)
    return [reader.make(1, pads=tuple(given), value=value)]


def _concat(reader: Reader) -> Iterable[Node]:
    return [reader.make(None, axis=int(reader.attributes["axis"]))]


def _gelu(reader: Reader) -> Iterable[Node]:
    approximate = reader.attributes.get("approximate", b"none").decode()
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate {approximate!r}")
    return [reader.make(1, approximate=int(approximate == "tanh"))]


def _dropout(reader: Reader) -> Iterable[Node]:
    if any(reader.node.outputs[1:]):
        raise reader.refuse("a mask output")
    training = reader.constant(2, "training_mode")
    if training is not None and training.any():
        raise reader.refuse("training_mode")
    return [reader.make(1, "Identity")]


def _arg_max(reader: Reader) -> Iterable[Node]:
    keys: Sequence[tuple[str, int]] = (("axis", 0), ("keepdims", 1), ("select_last_index", 0))
    return [reader.make(1, **{key: int(reader.attributes.get(key, default)) for key, default in keys})]


_RULES: dict[str, Callable[[Reader], Iterable[Node]]] = {
    "Add": plain(),
    "ArgMax": _arg_max,
    "ArgMin": _arg_max,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": plain(),
    "Dropout": _dropout,
    "Erf": plain(),
    "Exp": plain(),
    "Flatten": plain(axis=1),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": plain(),
    "HardSigmoid": plain(alpha=0.2, beta=0.5),
    "HardSwish": plain(),
    "Identity": plain(),
    "LeakyRelu": plain(alpha=0.01),
    "MatMul": plain(),
    "Mul": plain(),
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": plain(),
    "Reshape": _reshape,
    "Sigmoid": plain(),
    "Softmax": _softmax,
    "Sqrt": plain(),
    "Squeeze": _squeeze,
    "Sub": plain(),
    "Tanh": plain(),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    **FAMILIES,
    **POOLS,
    **QUANTIZED,
    **RECURRENT,
    **RESIZES,
    **SIZED,
    **SUMS,
    **TRANSPOSED,
}
SUPPORTED = frozenset(_RULES)
assert set(OPERATORS) - {"RoundTo", "If", "Loop"} <= SUPPORTED  # a Cast of ONNX, and what onnx_bodies.py lowers
