"""How each ONNX operator becomes one of ours: constant inputs turned into attributes (docs/format.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FormatError, UnsupportedError
from ..graph import Node
from ..operators import OPERATORS, is_default

__all__ = ["SUPPORTED", "Context", "lower"]


@dataclass(frozen=True)
class Context:
    """What lowering may ask: the opset, constants that have been evaluated, shapes (a string: a size not known)."""

    opset: int
    known: dict[str, np.ndarray]
    shapes: dict[str, tuple[int | str, ...]]


def lower(node: Node, context: Context) -> list[Node]:
    """Our nodes for one ONNX node (its attributes are ONNX's own). Raises UnsupportedError with its name and why."""
    rule = _RULES.get(node.op)
    if rule is None:
        raise UnsupportedError(f'operator {node.op} (node "{node.name}") is not supported')
    try:
        return list(rule(_Reader(node, context)))
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f'operator {node.op} (node "{node.name}") is malformed: {error}') from None


class _Reader:
    """One node while it is lowered."""

    def __init__(self, node: Node, context: Context) -> None:
        self.node = node
        self.opset = context.opset
        self.context = context
        self.attributes: dict[str, Any] = dict(node.attributes)

    def refuse(self, what: str) -> UnsupportedError:
        return UnsupportedError(f'operator {self.node.op} (node "{self.node.name}") is not supported with {what}')

    def input(self, index: int) -> str:
        return self.node.inputs[index] if index < len(self.node.inputs) else ""

    def constant(self, index: int, what: str) -> np.ndarray | None:
        """A constant input; None where it is absent. A value that is computed at run time is refused."""
        name = self.input(index)
        if not name:
            return None
        if name not in self.context.known:
            raise self.refuse(f"{what} that is not constant ({name!r})")
        return self.context.known[name]

    def integers(self, index: int, what: str, since: int | None = None, attribute: str = "axes") -> list[int] | None:
        """Integers that are an attribute before opset ``since`` and an input from it on."""
        if since is not None and self.opset < since:
            value = self.attributes.get(attribute)
            return None if value is None else [int(item) for item in value]
        array = self.constant(index, what)
        if array is None:
            return None
        if array.dtype == object:
            raise self.refuse(f"{what} that depends on a size not known")
        return [int(item) for item in array.ravel()]

    def number(self, index: int, what: str, default: float) -> float:
        array = self.constant(index, what)
        return default if array is None or array.size == 0 else float(array.reshape(()) if array.ndim < 2 else array)

    def rank(self, index: int = 0) -> int | None:
        name = self.input(index)
        if name in self.context.known:
            return self.context.known[name].ndim
        shape = self.context.shapes.get(name)
        return None if shape is None else len(shape)

    def make(self, inputs: int | None = None, op: str | None = None, /, **attributes: Any) -> Node:
        """The lowered node: the first ``inputs`` of its inputs (without trailing absent ones), its first output.

        An attribute that has its default is left out.
        """
        op = op or self.node.op
        names = list(self.node.inputs[:inputs])
        while names and not names[-1]:
            names.pop()
        told = {key: value for key, value in attributes.items() if not is_default(op, key, value)}
        return Node(op, self.node.name, tuple(names), self.node.outputs[:1], told)


def _plain(**defaults: float) -> Callable[[_Reader], Iterable[Node]]:
    """An operator whose attributes stay as they are; ``defaults`` names them."""

    def rule(reader: _Reader) -> Iterable[Node]:
        values = {key: type(default)(reader.attributes.get(key, default)) for key, default in defaults.items()}
        return [reader.make(**values)]

    return rule


def _window(reader: _Reader, spatial: int) -> dict[str, Any]:
    """strides, pads, dilations and auto_pad of Conv and the pools."""
    if spatial not in (1, 2):
        raise reader.refuse(f"{spatial} spatial dimensions")
    attributes = reader.attributes
    window = {
        "strides": tuple(attributes.get("strides", [1] * spatial)),
        "pads": tuple(attributes.get("pads", [0] * (2 * spatial))),
        "dilations": tuple(attributes.get("dilations", [1] * spatial)),
    }
    auto_pad = attributes.get("auto_pad", b"NOTSET").decode()
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad {auto_pad!r}")
    if auto_pad != "NOTSET":
        window["pads"] = (0,) * (2 * spatial)
    for key, values in window.items():
        if len(values) != spatial * (2 if key == "pads" else 1):
            raise ValueError(f"{key} has {len(values)} entries for {spatial} spatial dimensions")
        if any(value < (0 if key == "pads" else 1) for value in values):
            if key == "pads":
                raise reader.refuse("negative pads")
            raise ValueError(f"{key} {values}")
    if auto_pad.startswith("SAME"):
        window["auto_pad"] = 1 if auto_pad == "SAME_UPPER" else 2  # type: ignore[assignment]
    return window


def _conv(reader: _Reader) -> Iterable[Node]:
    kernel = reader.attributes.get("kernel_shape")
    rank = reader.rank(1)
    if rank is None:
        if kernel is None:
            raise reader.refuse("a weight of unknown rank")
        rank = len(kernel) + 2
    if kernel is not None and len(kernel) != rank - 2:
        raise ValueError(f"kernel_shape {kernel} for a weight of {rank} dimensions")
    return [reader.make(3, **_window(reader, rank - 2), group=int(reader.attributes.get("group", 1)))]


def _pool(reader: _Reader) -> Iterable[Node]:
    if len(reader.node.outputs) > 1 and reader.node.outputs[1]:
        raise reader.refuse("a second output (indices)")
    kernel = tuple(reader.attributes["kernel_shape"])
    extra = {"ceil_mode": int(reader.attributes.get("ceil_mode", 0))}
    if reader.node.op == "AveragePool":
        extra["count_include_pad"] = int(reader.attributes.get("count_include_pad", 0))
    return [reader.make(1, kernel_shape=kernel, **_window(reader, len(kernel)), **extra)]


def _global_max_pool(reader: _Reader) -> Iterable[Node]:
    shape = reader.context.shapes.get(reader.input(0))
    if shape is None or any(isinstance(size, str) for size in shape[2:]):
        raise reader.refuse("spatial sizes that are not known")
    return [reader.make(1, "MaxPool", kernel_shape=tuple(shape[2:]))]


def _reduce_mean(reader: _Reader) -> Iterable[Node]:
    axes = reader.integers(1, "axes", since=18)
    if not axes and reader.attributes.get("noop_with_empty_axes", 0):
        return [reader.make(1, "Identity")]
    keepdims = int(reader.attributes.get("keepdims", 1))
    return [reader.make(1, keepdims=keepdims, **({"axes": tuple(axes)} if axes else {}))]


def _reshape(reader: _Reader) -> Iterable[Node]:
    target = reader.constant(1, "a shape")
    if target is None:
        raise ValueError("it has no shape")
    allowzero = int(reader.attributes.get("allowzero", 0))
    sizes: list[int | str] = [size if isinstance(size, str) else int(size) for size in target.ravel()]
    if any(isinstance(size, str) for size in sizes):
        sizes, allowzero = _resolve(reader, sizes, allowzero)
    return [reader.make(1, shape=tuple(sizes), allowzero=allowzero)]


def _resolve(reader: _Reader, sizes: list[int | str], allowzero: int) -> tuple[list[int | str], int]:
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


def _transpose(reader: _Reader) -> Iterable[Node]:
    perm = reader.attributes.get("perm")
    rank = reader.rank()
    if perm is not None and sorted(perm) != list(range(rank if rank is not None else len(perm))):
        raise ValueError(f"perm {perm}")
    return [reader.make(1, **({"perm": tuple(perm)} if perm is not None else {}))]


def _unsqueeze(reader: _Reader) -> Iterable[Node]:
    axes = reader.integers(1, "axes", since=13)
    if axes is None:
        raise ValueError("it has no axes")
    return [reader.make(1, axes=tuple(axes))]


def _squeeze(reader: _Reader) -> Iterable[Node]:
    axes = reader.integers(1, "axes", since=13)
    return [reader.make(1, **({"axes": tuple(axes)} if axes else {}))]


def _softmax(reader: _Reader) -> Iterable[Node]:
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


def _clip(reader: _Reader) -> Iterable[Node]:
    low, high = reader.number(1, "a bound", -math.inf), reader.number(2, "a bound", math.inf)
    return [reader.make(1, clip_low=low, clip_high=high)]


def _gemm(reader: _Reader) -> Iterable[Node]:
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


def _batch_norm(reader: _Reader) -> Iterable[Node]:
    if reader.attributes.get("training_mode", 0):
        raise reader.refuse("training_mode")
    if any(reader.node.outputs[1:]):
        raise reader.refuse("more than one output")
    return [reader.make(5, epsilon=float(reader.attributes.get("epsilon", 1e-5)))]


def _pad(reader: _Reader) -> Iterable[Node]:
    mode = reader.attributes.get("mode", b"constant").decode()
    if mode != "constant":
        raise reader.refuse(f"mode {mode}")
    given = reader.integers(1, "pads")
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
    if any(pad < 0 for pad in given):
        raise reader.refuse("negative pads")
    return [reader.make(1, pads=tuple(given), value=reader.number(2, "a value", 0.0))]


def _concat(reader: _Reader) -> Iterable[Node]:
    return [reader.make(None, axis=int(reader.attributes["axis"]))]


def _gelu(reader: _Reader) -> Iterable[Node]:
    approximate = reader.attributes.get("approximate", b"none").decode()
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate {approximate!r}")
    return [reader.make(1, approximate=int(approximate == "tanh"))]


def _dropout(reader: _Reader) -> Iterable[Node]:
    if any(reader.node.outputs[1:]):
        raise reader.refuse("a mask output")
    training = reader.constant(2, "training_mode")
    if training is not None and training.any():
        raise reader.refuse("training_mode")
    return [reader.make(1, "Identity")]


def _sum(reader: _Reader) -> Iterable[Node]:
    """Sum of any number of inputs: a chain of Adds."""
    names, output = reader.node.inputs, reader.node.outputs[0]
    if len(names) == 1:
        return [reader.make(1, "Identity")]
    nodes: list[Node] = []
    total = names[0]
    for i, name in enumerate(names[1:], 1):
        result = output if i == len(names) - 1 else f"{output}.sum{i}"
        nodes.append(Node("Add", reader.node.name if i == 1 else f"{reader.node.name}.{i}", (total, name), (result,)))
        total = result
    return nodes


def _arg_max(reader: _Reader) -> Iterable[Node]:
    keys: Sequence[tuple[str, int]] = (("axis", 0), ("keepdims", 1), ("select_last_index", 0))
    return [reader.make(1, **{key: int(reader.attributes.get(key, default)) for key, default in keys})]


_RULES: dict[str, Callable[[_Reader], Iterable[Node]]] = {
    "Add": _plain(),
    "ArgMax": _arg_max,
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _plain(),
    "Dropout": _dropout,
    "Erf": _plain(),
    "Exp": _plain(),
    "Flatten": _plain(axis=1),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _plain(),
    "GlobalMaxPool": _global_max_pool,
    "HardSigmoid": _plain(alpha=0.2, beta=0.5),
    "HardSwish": _plain(),
    "Identity": _plain(),
    "LeakyRelu": _plain(alpha=0.01),
    "MatMul": _plain(),
    "MaxPool": _pool,
    "Mul": _plain(),
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": _plain(),
    "Reshape": _reshape,
    "Sigmoid": _plain(),
    "Softmax": _softmax,
    "Sqrt": _plain(),
    "Squeeze": _squeeze,
    "Sub": _plain(),
    "Sum": _sum,
    "Tanh": _plain(),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
SUPPORTED = frozenset(_RULES)
assert set(OPERATORS) <= SUPPORTED
