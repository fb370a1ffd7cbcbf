"""A Graph run in torch, node by node, so that autograd sees it: what a Session computes, with derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..dtypes import DTYPES
from ..errors import UnsupportedError
from ..graph import Graph, Node

__all__ = ["run"]

Watch = Callable[[Node, Tensor], Tensor]
_TORCH_DTYPES = {
    "F32": torch.float32, "F64": torch.float64, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
    "I64": torch.int64, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_DTYPE_NAMES = {dtype.number: dtype.name for dtype in DTYPES.values()}


def run(
    graph: Graph, tensors: Mapping[str, Tensor], inputs: Mapping[str, Tensor], watch: Watch | None = None
) -> dict[str, Tensor]:
    """The graph's outputs by name. ``watch`` sees what each node makes, before an activation fused into it, and gives
    what takes its place. UnsupportedError names an operator that has no derivative here.
    """
    values: dict[str, Tensor] = {**tensors, **inputs}
    for node in graph.nodes:
        operator = _OPERATORS.get(node.op)
        if operator is None or len(node.outputs) != 1:
            raise UnsupportedError(f'operator {node.op} (node "{node.name}") has no derivative here')
        result = operator(node, [values[name] for name in node.inputs if name])
        if watch is not None:
            result = watch(node, result)
        low, high = node.attributes.get("clip_low"), node.attributes.get("clip_high")
        if low is not None or high is not None:
            result = result.clamp(_bound(low, -math.inf), _bound(high, math.inf))
        values[node.outputs[0]] = result
    return {value.name: values[value.name] for value in graph.outputs}


def _bound(value: Any, usual: float) -> float:
    return usual if value is None else float(value)


def _number(node: Node, key: str, default: float) -> Any:
    return node.attributes.get(key, default)


def _numbers(node: Node, key: str, default: Sequence[int]) -> list[int]:
    value: Any = node.attributes.get(key)
    return list(default) if value is None else list(value)


def _padded(node: Node, x: Tensor, kernel: Sequence[int], value: float) -> Tensor:
    """With the node's padding at the ends of its last axes (docs/format.md, section 6: auto_pad)."""
    axes = len(kernel)
    pads = _numbers(node, "pads", [0] * 2 * axes)
    if (same := _number(node, "auto_pad", 0)) != 0:
        strides, dilations = _numbers(node, "strides", [1] * axes), _numbers(node, "dilations", [1] * axes)
        for axis, (size, k, s, d) in enumerate(zip(x.shape[2:], kernel, strides, dilations, strict=True)):
            needed = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
            less, more = needed // 2, needed - needed // 2
            pads[axis], pads[axes + axis] = (less, more) if same == 1 else (more, less)
    if not any(pads):
        return x
    return F.pad(x, [end for axis in reversed(range(axes)) for end in (pads[axis], pads[axes + axis])], value=value)


def _conv(node: Node, given: list[Tensor]) -> Tensor:
    x, weight, *bias = given
    axes = weight.ndim - 2
    if axes not in (1, 2):
        raise UnsupportedError(f'Conv of {axes} axes (node "{node.name}") has no derivative here')
    convolve: Any = F.conv1d if axes == 1 else F.conv2d
    x = _padded(node, x, weight.shape[2:], 0.0)
    strides, dilations = _numbers(node, "strides", [1] * axes), _numbers(node, "dilations", [1] * axes)
    result: Tensor = convolve(x, weight, bias[0] if bias else None, strides, 0, dilations, _number(node, "group", 1))
    return result


def _gemm(node: Node, given: list[Tensor]) -> Tensor:
    a, b, *c = given
    a = a.T if _number(node, "transA", 0) else a
    b = b.T if _number(node, "transB", 0) else b
    product: Tensor = _number(node, "alpha", 1.0) * (a @ b)
    return product.add(c[0], alpha=_number(node, "beta", 1.0)) if c else product


def _matmul(node: Node, given: list[Tensor]) -> Tensor:
    a, b = given
    return a @ (b.mT if _number(node, "transB", 0) else b)


def _norm(node: Node, given: list[Tensor]) -> Tensor:
    x, scale, *bias = given
    shape = x.shape[int(_number(node, "axis", -1)) % x.ndim :]
    shift = bias[0].reshape(shape) if bias else None
    return F.layer_norm(x, shape, scale.reshape(shape), shift, float(_number(node, "epsilon", 1e-5)))


def _batch_norm(node: Node, given: list[Tensor]) -> Tensor:
    x, scale, bias, mean, variance = given
    return F.batch_norm(x, mean, variance, scale, bias, eps=float(_number(node, "epsilon", 1e-5)))


def _pool(node: Node, given: list[Tensor]) -> Tensor:
    kernel = _numbers(node, "kernel_shape", [])
    axes = len(kernel)
    strides = _numbers(node, "strides", [1] * axes)
    if axes not in (1, 2) or _number(node, "ceil_mode", 0):
        raise UnsupportedError(f'{node.op} (node "{node.name}") of this kind has no derivative here')
    if node.op == "MaxPool":
        x = _padded(node, given[0], kernel, -math.inf)
        most = F.max_pool1d if axes == 1 else F.max_pool2d
        result: Tensor = most(x, kernel, strides, 0, _numbers(node, "dilations", [1] * axes))
        return result
    mean: Any = F.avg_pool1d if axes == 1 else F.avg_pool2d
    x = _padded(node, given[0], kernel, 0.0)
    total: Tensor = mean(x, kernel, strides)
    if not _number(node, "count_include_pad", 0) and x is not given[0]:
        total = total / mean(_padded(node, torch.ones_like(given[0]), kernel, 0.0), kernel, strides)
    return total


def _axes(node: Node, x: Tensor) -> list[int]:
    return _numbers(node, "axes", range(x.ndim))


def _reduced(node: Node, given: list[Tensor]) -> Tensor:
    x = given[0]
    axes, keep = _axes(node, x), bool(_number(node, "keepdims", 1))
    if node.op == "ReduceMean":
        return x.mean(axes, keep)
    if node.op == "ReduceSum":
        return x.sum(axes, keep)
    length: Tensor = torch.linalg.vector_norm(x, 2, axes, keep)
    return length


def _reshape(node: Node, given: list[Tensor]) -> Tensor:
    shape = _numbers(node, "shape", [])
    kept = not _number(node, "allowzero", 0)
    return given[0].reshape([given[0].shape[i] if n == 0 and kept else n for i, n in enumerate(shape)])


def _unsqueeze(node: Node, given: list[Tensor]) -> Tensor:
    x, axes = given[0], _numbers(node, "axes", [])
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _expand(node: Node, given: list[Tensor]) -> Tensor:
    shape = np.broadcast_shapes(*(tuple(like.shape) for like in given), tuple(_numbers(node, "shape", [])))
    return given[0].expand(shape)


def _gather(node: Node, given: list[Tensor]) -> Tensor:
    x, index = given
    axis = int(_number(node, "axis", 0)) % x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index)
    if axis == 0:
        return F.embedding(index, x) if x.ndim == 2 else x[index]
    return x.index_select(axis, index.reshape(-1)).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _cast(node: Node, given: list[Tensor]) -> Tensor:
    name = _DTYPE_NAMES.get(int(_number(node, "to", 0)), "")
    if name not in _TORCH_DTYPES:
        raise UnsupportedError(f'Cast to {name} (node "{node.name}") has no derivative here')
    return given[0].to(_TORCH_DTYPES[name])


def _slice(node: Node, given: list[Tensor]) -> Tensor:
    x = given[0]
    starts, ends = _numbers(node, "starts", []), _numbers(node, "ends", [])
    steps = _numbers(node, "steps", [1] * len(starts))
    if any(step < 1 for step in steps):
        raise UnsupportedError(f'Slice backward (node "{node.name}") has no derivative here')
    index: list[slice] = [slice(None)] * x.ndim
    for axis, start, end, step in zip(_numbers(node, "axes", range(len(starts))), starts, ends, steps, strict=True):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _of(function: Callable[..., Tensor]) -> Callable[[Node, list[Tensor]], Tensor]:
    return lambda node, given: function(*given)


_OPERATORS: dict[str, Callable[[Node, list[Tensor]], Tensor]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "LayerNormalization": _norm,
    "BatchNormalization": _batch_norm,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Reshape": _reshape,
    "Unsqueeze": _unsqueeze,
    "Expand": _expand,
    "ReduceMean": _reduced,
    "ReduceSum": _reduced,
    "ReduceL2": _reduced,
    "Gather": _gather,
    "Cast": _cast,
    **{name: _of(getattr(torch, name.lower())) for name in ("Add", "Sub", "Mul", "Div", "Where", "Pow")},
    **{name: _of(getattr(torch, name.lower())) for name in ("Sigmoid", "Tanh", "Relu", "Erf", "Exp", "Sqrt", "Log")},
    **{name: _of(getattr(torch, name.lower())) for name in ("Abs", "Neg", "Reciprocal")},
    **{name: _of(getattr(torch, f"{name.lower()}imum")) for name in ("Max", "Min")},
    "Identity": _of(lambda x: x),
    "HardSwish": _of(F.hardswish),
    "Clip": _of(lambda x: x),
    "Slice": _slice,
    "Softmax": lambda node, given: given[0].softmax(int(_number(node, "axis", -1))),
    "Gelu": lambda node, given: F.gelu(given[0], approximate="tanh" if _number(node, "approximate", 0) else "none"),
    "GlobalAveragePool": lambda node, given: given[0].mean(list(range(2, given[0].ndim)), True),
    "Flatten": lambda node, given: given[0].reshape(math.prod(given[0].shape[: int(_number(node, "axis", 1))]), -1),
    "Transpose": lambda node, given: given[0].permute(_numbers(node, "perm", range(given[0].ndim)[::-1])),
    "Squeeze": lambda node, given: given[0].squeeze(
        tuple(_numbers(node, "axes", [i for i, n in enumerate(given[0].shape) if n == 1]))
    ),
    "Concat": lambda node, given: torch.cat(given, int(_number(node, "axis", 0))),
    "Swish": lambda node, given: given[0] * torch.sigmoid(_number(node, "alpha", 1.0) * given[0]),
    "LeakyRelu": lambda node, given: F.leaky_relu(given[0], float(_number(node, "alpha", 0.01))),
    "HardSigmoid": lambda node, given: (_number(node, "alpha", 0.2) * given[0] + _number(node, "beta", 0.5)).clamp(
        0, 1
    ),
}
