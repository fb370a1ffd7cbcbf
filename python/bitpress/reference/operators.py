"""Every operator of a stored graph in numpy, written to be read: the oracle of csrc/ops.

Inputs and results are arrays of the shapes that ONNX gives; sums are taken in float64 and rounded to float32 once, so
that a test's bound is that of the code under test alone. Attributes are those of docs/format.md, section 6.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .more_operators import OPERATORS as MORE
from .selection import OPERATORS as SELECTION
from .sized import SIZED

__all__ = ["OPERATORS"]

Array = np.ndarray
Sizes = Sequence[int]


def _f32(x: Array) -> Array:
    return np.asarray(x, dtype=np.float32)


def _f64(x: Array) -> Array:
    return np.asarray(x, dtype=np.float64)


def padding(
    sizes: Sizes, kernel: Sizes, strides: Sizes, pads: Sizes, dilations: Sizes, auto_pad: int
) -> list[tuple[int, int]]:
    """(before, after) an axis. auto_pad 1, 2: what ceil(size / stride) outputs need, the odd one after, before."""
    if auto_pad == 0:
        return [(pads[i], pads[i + len(kernel)]) for i in range(len(kernel))]
    result = []
    for size, taps, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
        result.append((total // 2, total - total // 2) if auto_pad == 1 else (total - total // 2, total // 2))
    return result


def output_size(size: int, taps: int, stride: int, pad: tuple[int, int], dilation: int, ceil_mode: int = 0) -> int:
    """How many windows fit. With ceil_mode a last, partial window counts if it begins inside the input or its padding
    before it (ONNX, MaxPool)."""
    room = size + sum(pad) - ((taps - 1) * dilation + 1)
    if not ceil_mode:
        return room // stride + 1
    outputs = -(-room // stride) + 1
    return outputs - 1 if (outputs - 1) * stride >= size + pad[0] else outputs


def conv(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    strides: Sizes | None = None,
    pads: Sizes | None = None,
    dilations: Sizes | None = None,
    group: int = 1,
    auto_pad: int = 0,
) -> Array:
    """x: (N, C, spatial...), w: (M, C / group, taps...), b: (M,). One matrix product a tap of the kernel."""
    kernel, n = w.shape[2:], w.ndim - 2
    strides, dilations = strides or (1,) * n, dilations or (1,) * n
    pad = padding(x.shape[2:], kernel, strides, pads or (0,) * (2 * n), dilations, auto_pad)
    padded = np.pad(_f64(x), [(0, 0), (0, 0), *pad])
    out = [output_size(x.shape[2 + i], kernel[i], strides[i], pad[i], dilations[i]) for i in range(n)]
    channels, filters = x.shape[1] // group, w.shape[0] // group
    result = np.zeros((x.shape[0], w.shape[0], *out))
    for tap in itertools.product(*(range(size) for size in kernel)):
        window: Any = tuple(
            slice(tap[i] * dilations[i], tap[i] * dilations[i] + (out[i] - 1) * strides[i] + 1, strides[i])
            for i in range(n)
        )
        seen = padded[(..., *window)].reshape(x.shape[0], group, channels, -1)
        every: Any = slice(None)
        weights = _f64(w[(every, every, *tap)]).reshape(group, filters, channels)
        result += np.matmul(weights, seen).reshape(result.shape)
    if b is not None:
        result += _f64(b).reshape(-1, *(1,) * n)
    return _f32(result)


def gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    """alpha * a @ b + beta * c, where c broadcasts."""
    left, right = _f64(a.T if transA else a), _f64(b.T if transB else b)
    result = alpha * (left @ right)
    return _f32(result if c is None else result + beta * _f64(c))


def matmul(a: Array, b: Array, *, transB: int = 0) -> Array:
    b = b.T if transB else b
    return _f32(np.matmul(_f64(a), _f64(b))) if a.dtype == np.float32 else np.asarray(np.matmul(a, b))


def clip(x: Array, *, clip_low: float = -math.inf, clip_high: float = math.inf) -> Array:
    """min(max(x, low), high): the high bound wins where they cross."""
    return _f32(np.minimum(np.maximum(x, np.float32(clip_low)), np.float32(clip_high)))


def softmax(x: Array, *, axis: int = -1) -> Array:
    shifted = _f64(x) - _f64(x).max(axis=axis, keepdims=True)
    return _f32(np.exp(shifted) / np.exp(shifted).sum(axis=axis, keepdims=True))


def batch_normalization(x: Array, scale: Array, b: Array, mean: Array, var: Array, *, epsilon: float = 1e-5) -> Array:
    """Over axis 1, with given statistics (inference)."""
    scale, b, mean, var = (_f64(array).reshape(-1, *(1,) * (x.ndim - 2)) for array in (scale, b, mean, var))
    return _f32((_f64(x) - mean) / np.sqrt(var + epsilon) * scale + b)


def _windows(
    x: Array, kernel: Sizes, strides: Sizes, pads: Sizes, dilations: Sizes, auto_pad: int, ceil_mode: int, fill: float
) -> tuple[Array, list[tuple[int, int]]]:
    """(taps, N, C, out...): what each tap of the window sees; ``fill`` outside. And the padding."""
    n = len(kernel)
    pad = padding(x.shape[2:], kernel, strides, pads, dilations, auto_pad)
    out = [output_size(x.shape[2 + i], kernel[i], strides[i], pad[i], dilations[i], ceil_mode) for i in range(n)]
    reach = [(out[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 for i in range(n)]
    after = [max(reach[i] - x.shape[2 + i] - pad[i][0], 0) for i in range(n)]
    padded = np.pad(_f64(x), [(0, 0), (0, 0), *((pad[i][0], after[i]) for i in range(n))], constant_values=fill)
    taps = []
    for tap in itertools.product(*(range(size) for size in kernel)):
        first = [tap[i] * dilations[i] for i in range(n)]
        window: Any = tuple(slice(first[i], first[i] + (out[i] - 1) * strides[i] + 1, strides[i]) for i in range(n))
        taps.append(padded[(..., *window)])
    return np.stack(taps), pad


def max_pool(
    x: Array,
    *,
    kernel_shape: Sizes,
    strides: Sizes | None = None,
    pads: Sizes | None = None,
    dilations: Sizes | None = None,
    auto_pad: int = 0,
    ceil_mode: int = 0,
) -> Array:
    ones = (1,) * len(kernel_shape)
    args = (kernel_shape, strides or ones, pads or (0,) * (2 * len(ones)), dilations or ones, auto_pad, ceil_mode)
    return _f32(_windows(x, *args, -math.inf)[0].max(axis=0))


def average_pool(
    x: Array,
    *,
    kernel_shape: Sizes,
    strides: Sizes | None = None,
    pads: Sizes | None = None,
    dilations: Sizes | None = None,
    auto_pad: int = 0,
    ceil_mode: int = 0,
    count_include_pad: int = 0,
) -> Array:
    """The mean of what is inside the input or, with count_include_pad, inside the padding too (never of what ceil_mode
    adds past the padding)."""
    ones = (1,) * len(kernel_shape)
    args = (kernel_shape, strides or ones, pads or (0,) * (2 * len(ones)), dilations or ones, auto_pad, ceil_mode)
    seen, pad = _windows(x, *args, 0.0)
    counted = np.ones((1, 1, *x.shape[2:]))
    if count_include_pad:
        counted = np.pad(counted, [(0, 0), (0, 0), *pad], constant_values=1.0)
        # the padding is part of the input now, so that only what ceil_mode adds is outside
        counts, _ = _windows(counted, *args[:2], (0,) * (2 * len(ones)), args[3], 0, ceil_mode, 0.0)
        inside: Any = tuple(slice(0, size) for size in seen.shape[3:])
        counts = counts[(..., *inside)]
    else:
        counts, _ = _windows(counted, *args, 0.0)
    return _f32(seen.sum(axis=0) / counts.sum(axis=0))


def global_average_pool(x: Array) -> Array:
    return _f32(_f64(x).mean(axis=tuple(range(2, x.ndim)), keepdims=True))


def reduce_mean(x: Array, *, axes: Sizes | None = None, keepdims: int = 1) -> Array:
    return _f32(_f64(x).mean(axis=tuple(axes) if axes else None, keepdims=bool(keepdims)))


def reshape(x: Array, *, shape: Sizes, allowzero: int = 0) -> Array:
    """0 copies the input's size at that place, unless allowzero; one -1 takes what is left."""
    return x.reshape([x.shape[i] if size == 0 and not allowzero else size for i, size in enumerate(shape)])


def flatten(x: Array, *, axis: int = 1) -> Array:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1 if x.size else math.prod(x.shape[axis:]))


def transpose(x: Array, *, perm: Sizes | None = None) -> Array:
    return np.ascontiguousarray(np.transpose(x, perm))


def unsqueeze(x: Array, *, axes: Sizes) -> Array:
    return np.expand_dims(x, tuple(axes))


def squeeze(x: Array, *, axes: Sizes | None = None) -> Array:
    return np.squeeze(x, tuple(axes) if axes else None)


def concat(*parts: Array, axis: int) -> Array:
    return np.concatenate(parts, axis=axis)


def pad(x: Array, *, pads: Sizes, value: float = 0.0) -> Array:
    pairs = [(pads[i], pads[i + x.ndim]) for i in range(x.ndim)]
    return np.pad(x, pairs, constant_values=np.float32(value))


def hard_sigmoid(x: Array, *, alpha: float = 0.2, beta: float = 0.5) -> Array:
    return _f32(np.clip(alpha * _f64(x) + beta, 0.0, 1.0))


def hard_swish(x: Array) -> Array:
    return _f32(_f64(x) * np.clip(_f64(x) / 6 + 0.5, 0.0, 1.0))


def erf(x: Array) -> Array:
    return _f32(np.array([math.erf(value) for value in _f64(x).ravel()]).reshape(x.shape))


def gelu(x: Array, *, approximate: int = 0) -> Array:
    """x * Phi(x) (Hendrycks and Gimpel, 2016), exact by erf or by their tanh formula."""
    wide = _f64(x)
    if approximate:
        return _f32(0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))))
    phi = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in wide.ravel()]).reshape(x.shape)
    return _f32(wide * phi)


def sigmoid(x: Array) -> Array:
    return _f32(0.5 * (1 + np.tanh(0.5 * _f64(x))))


def arg_max(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    if select_last_index:
        found = x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis=axis)
    else:
        found = np.argmax(x, axis=axis)
    return np.expand_dims(found, axis) if keepdims else found


def divide(a: Array, b: Array) -> Array:
    """Integers towards zero, as C does."""
    if a.dtype.kind == "f":
        return np.asarray(a / b, a.dtype)
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)


OPERATORS: dict[str, Callable[..., Array]] = {
    "Add": lambda a, b: np.asarray(a + b, a.dtype),
    "ArgMax": arg_max,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "Div": divide,
    "Erf": erf,
    "Exp": lambda x: _f32(np.exp(_f64(x))),
    "Flatten": flatten,
    "Gelu": gelu,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Identity": lambda x: x,
    "LeakyRelu": lambda x, *, alpha=0.01: _f32(np.where(x < 0, np.float32(alpha) * x, x)),
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": lambda a, b: np.asarray(a * b, a.dtype),
    "Pad": pad,
    "ReduceMean": reduce_mean,
    "Relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "Reshape": reshape,
    "Sigmoid": sigmoid,
    "Softmax": softmax,
    "Sqrt": lambda x: np.sqrt(x),
    "Squeeze": squeeze,
    "Sub": lambda a, b: np.asarray(a - b, a.dtype),
    "Tanh": lambda x: _f32(np.tanh(_f64(x))),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    **MORE,
    **SELECTION,
    **SIZED,
}
