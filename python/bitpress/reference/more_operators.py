"""Oracles of the operators that are one numpy expression: the functions of elements, reductions, indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray
Sizes = Sequence[int]

__all__ = ["OPERATORS"]

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875  # Klambauer et al., 2017, as ONNX rounds


def _typed(function: Callable[..., Any]) -> Callable[..., Array]:
    """Computed in float64 where elements are floats, then rounded to the type of the first input."""

    def run(*inputs: Array, **attributes: Any) -> Array:
        wide = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
        with np.errstate(all="ignore"):
            return np.asarray(function(*wide, **attributes)).astype(inputs[0].dtype)

    return run


def _compare(function: Callable[..., Any]) -> Callable[..., Array]:
    return lambda *inputs, **attributes: np.asarray(function(*inputs, **attributes), np.bool_)


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(x, 0.0))


def _is_inf(x: Array, *, alpha: float = 1.0, beta: float = 1.0) -> Array:
    """alpha: negative infinity counts; beta: positive."""
    return np.asarray((np.isneginf(x) & bool(alpha)) | (np.isposinf(x) & bool(beta)))


def _shrink(x: Array, *, alpha: float = 0.5, beta: float = 0.0) -> Array:
    return np.where(x < -alpha, x + beta, np.where(x > alpha, x - beta, 0.0))


def _elu(x: Array, *, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(x))


def _shift(x: Array, y: Array, *, direction: int = 0) -> Array:
    return np.asarray(np.right_shift(x, y) if direction else np.left_shift(x, y))


def _mod(x: Array, y: Array, *, fmod: int = 0) -> Array:
    return np.asarray(np.fmod(x, y) if fmod else np.mod(x, y))


def _reduce(function: Callable[..., Any]) -> Callable[..., Array]:
    def run(x: Array, *, axes: Sizes | None = None, keepdims: int = 1) -> Array:
        wide = x.astype(np.float64) if x.dtype.kind == "f" else x
        axis = tuple(axes) if axes else None
        return np.asarray(function(wide, axis=axis, keepdims=bool(keepdims))).astype(x.dtype)

    return run


def _limits(x: Array) -> tuple[Any, Any]:
    """Below and above every number of a type."""
    if x.dtype.kind == "f":
        return -np.inf, np.inf
    return (False, True) if x.dtype.kind == "b" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)


def _log_sum_exp(x: Array, axis: Any, keepdims: bool) -> Array:
    most = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    most = np.where(np.isfinite(most), most, 0.0)
    total = np.log(np.sum(np.exp(x - most), axis=axis, keepdims=True)) + most
    return np.asarray(total if keepdims else total.reshape(np.sum(x, axis=axis).shape))


_TYPES = {0: np.bool_, 1: np.uint8, 2: np.int8, 5: np.int16, 6: np.uint16, 9: np.int32, 10: np.uint32, 11: np.float32,
          12: np.int64, 13: np.uint64, 14: np.float64}  # fmt: skip


def cast(x: Array, *, to: int) -> Array:
    """``to``: the file format's number of an element type."""
    return x.astype(_TYPES[to])


def layer_normalization(
    x: Array, scale: Array, bias: Array | None = None, *, axis: int = -1, epsilon: float = 1e-5
) -> Array:
    """Ba et al., 2016."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=axes, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + epsilon)
    return np.asarray(unit * scale + (0.0 if bias is None else bias), np.float32)


def gather(data: Array, indices: Array, *, axis: int = 0) -> Array:
    return np.take(data, indices, axis=axis)


def gather_elements(data: Array, indices: Array, *, axis: int = 0) -> Array:
    places: list[Array] = list(np.indices(indices.shape))
    places[axis] = indices
    return np.asarray(data[tuple(places)])


def gather_nd(data: Array, indices: Array, *, batch_dims: int = 0) -> Array:
    batches = data.shape[:batch_dims]
    rows = [data[batch][tuple(np.moveaxis(indices[batch], -1, 0))] for batch in np.ndindex(*batches)]
    return np.stack(rows).reshape(*batches, *rows[0].shape) if batch_dims else rows[0]


_UPDATES = (lambda old, new: new, np.add, np.multiply, np.maximum, np.minimum)


def scatter_elements(data: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: int = 0) -> Array:
    """reduction: 0 replace, 1 add, 2 multiply, 3 maximum, 4 minimum."""
    out = data.copy()
    for place in np.ndindex(*indices.shape):
        to = (*place[: axis % data.ndim], indices[place], *place[axis % data.ndim + 1 :])
        out[to] = _UPDATES[reduction](out[to], updates[place])
    return out


def scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: int = 0) -> Array:
    out = data.copy()
    for place in np.ndindex(*indices.shape[:-1]):
        to = tuple(indices[place])
        out[to] = _UPDATES[reduction](out[to], updates[place])
    return out


def slice_(x: Array, *, starts: Sizes, ends: Sizes, axes: Sizes, steps: Sizes | None = None) -> Array:
    cut: list[slice] = [slice(None)] * x.ndim
    for i, axis in enumerate(axes):
        step = steps[i] if steps else 1
        end = None if step < 0 and ends[i] < -x.shape[axis] else ends[i]
        cut[axis] = slice(starts[i], end, step)
    return x[tuple(cut)]


def expand(x: Array, like: Array | None = None, *, shape: Sizes) -> Array:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape), () if like is None else like.shape)).copy()


def arg_min(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    found = x.shape[axis] - 1 - np.argmin(np.flip(x, axis), axis) if select_last_index else np.argmin(x, axis)
    return np.expand_dims(found, axis) if keepdims else found


OPERATORS: dict[str, Callable[..., Array]] = {
    **{name: _typed(getattr(np, name.lower()))
       for name in ("Abs", "Sign", "Log", "Ceil", "Floor", "Sin", "Cos", "Tan", "Sinh", "Cosh")},
    **{name: _typed(getattr(np, "arc" + name[1:].lower()))
       for name in ("Asin", "Acos", "Atan", "Asinh", "Acosh", "Atanh")},
    "Neg": _typed(np.negative),
    "Reciprocal": _typed(lambda x: 1 / x),
    "Round": _typed(np.rint),
    "Elu": _typed(_elu),
    "Selu": _typed(lambda x, *, alpha=SELU_ALPHA, beta=SELU_GAMMA: beta * _elu(x, alpha=alpha)),
    "Celu": _typed(lambda x, *, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x / alpha))),
    "Softplus": _typed(_softplus),
    "Softsign": _typed(lambda x: x / (1 + np.abs(x))),
    "Mish": _typed(lambda x: x * np.tanh(_softplus(x))),
    "Swish": _typed(lambda x, *, alpha=1.0: x / (1 + np.exp(-alpha * x))),
    "ThresholdedRelu": _typed(lambda x, *, alpha=1.0: np.where(x > alpha, x, 0.0)),
    "Shrink": _typed(_shrink),
    "IsNaN": _compare(np.isnan),
    "IsInf": _compare(_is_inf),
    "Not": _compare(np.logical_not),
    "BitwiseNot": _typed(np.bitwise_not),
    "Pow": _typed(np.power),
    "Mod": _typed(_mod),
    "Max": _typed(np.maximum),
    "Min": _typed(np.minimum),
    "Equal": _compare(np.equal),
    "Greater": _compare(np.greater),
    "GreaterOrEqual": _compare(np.greater_equal),
    "Less": _compare(np.less),
    "LessOrEqual": _compare(np.less_equal),
    "And": _compare(np.logical_and),
    "Or": _compare(np.logical_or),
    "Xor": _compare(np.logical_xor),
    "BitwiseAnd": _typed(np.bitwise_and),
    "BitwiseOr": _typed(np.bitwise_or),
    "BitwiseXor": _typed(np.bitwise_xor),
    "BitShift": _typed(_shift),
    "PRelu": _typed(lambda x, slope: np.where(x < 0, x * slope, x)),
    "Where": np.where,
    "Cast": cast,
    "ReduceSum": _reduce(np.sum),
    "ReduceProd": _reduce(np.prod),
    "ReduceMax": _reduce(lambda x, **axes: np.max(x, initial=_limits(x)[0], **axes)),
    "ReduceMin": _reduce(lambda x, **axes: np.min(x, initial=_limits(x)[1], **axes)),
    "ReduceL1": _reduce(lambda x, **axes: np.sum(np.abs(x), **axes)),
    "ReduceL2": _reduce(lambda x, **axes: np.sqrt(np.sum(x * x, **axes))),
    "ReduceSumSquare": _reduce(lambda x, **axes: np.sum(x * x, **axes)),
    "ReduceLogSum": _reduce(lambda x, **axes: np.log(np.sum(x, **axes))),
    "ReduceLogSumExp": _reduce(_log_sum_exp),
    "LayerNormalization": layer_normalization,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Slice": slice_,
    "Expand": expand,
    "ArgMin": arg_min,
}  # fmt: skip
