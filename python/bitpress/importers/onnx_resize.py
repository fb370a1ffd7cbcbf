"""Resize and its elder Upsample: one matrix an axis, from ONNX's definition of where each output element looks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..graph import Node
from .onnx_reader import Chain, Reader, Rule

__all__ = ["RESIZES"]


def _places(size: int, out: int, scale: float, how: str, roi: tuple[float, float]) -> np.ndarray:
    """Where in the input each output element lies."""
    at = np.arange(out, dtype=np.float64)
    if how == "align_corners":
        length = scale * size  # which the scale need not make whole
        return at * ((size - 1) / (length - 1)) if length != 1 else at * 0.0
    if how == "asymmetric":
        return at / scale
    if how == "pytorch_half_pixel":
        return (at + 0.5) / scale - 0.5 if out > 1 else at * 0.0 - 0.0
    if how == "half_pixel":
        return (at + 0.5) / scale - 0.5
    if how == "half_pixel_symmetric":
        adjustment = out / (scale * size)
        return size / 2 * (1 - adjustment) + (at + 0.5) / scale - 0.5
    if how == "tf_crop_and_resize":
        start, end = roi
        step = (end - start) * (size - 1) / (out - 1) if out > 1 else 0.0
        return start * (size - 1) + at * step if out > 1 else np.full(1, 0.5 * (start + end) * (size - 1))
    raise ValueError(f"coordinate_transformation_mode {how!r}")


def _nearest(places: np.ndarray, how: str) -> np.ndarray:
    rules = {
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
        "floor": np.floor(places),
        "ceil": np.ceil(places),
    }
    return np.asarray(rules[how], np.int64)


def _kernel(distance: np.ndarray, mode: str, a: float) -> np.ndarray:
    """The weight of an element at a distance: a triangle, or Keys' cubic (1981)."""
    d = np.abs(distance)
    if mode == "linear":
        return np.asarray(np.maximum(1 - d, 0.0))
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _matrix(
    places: np.ndarray, size: int, scale: float, mode: str, a: float, antialias: bool, exclude: bool
) -> np.ndarray:
    """Input elements x output elements."""
    stretch = min(scale, 1.0) if antialias else 1.0
    reach = math.ceil((2 if mode == "cubic" else 1) / stretch)
    matrix = np.zeros((size, len(places)))
    for column, place in enumerate(places):
        near = np.arange(math.floor(place) - reach + 1, math.floor(place) + reach + 1)
        weights = _kernel((near - place) * stretch, mode, a)
        if exclude:
            weights = np.where((near < 0) | (near >= size), 0.0, weights)
        if exclude or antialias:
            weights = weights / weights.sum()
        np.add.at(matrix[:, column], np.clip(near, 0, size - 1), weights)
    return matrix


def _targets(reader: Reader, axes: Sequence[int]) -> list[tuple[int, int, float]]:
    """(axis, output size, scale) of each resized axis."""
    upsample = reader.node.op == "Upsample"
    scales = reader.constant(1 if upsample or reader.opset < 11 else 2, "scales")
    sizes = None if upsample or reader.opset < 11 else reader.integers(3, "sizes")
    if scales is None and reader.attributes.get("scales") is not None:
        scales = np.array(reader.attributes["scales"])
    result = []
    if scales is not None and scales.size:
        for axis, scale in zip(axes, scales.ravel(), strict=True):
            result.append((axis, math.floor(reader.size(axis) * float(scale)), float(scale)))
        return result
    if sizes is None:
        raise ValueError("it has neither scales nor sizes")
    policy = reader.attributes.get("keep_aspect_ratio_policy", b"stretch").decode()
    ratios = [size / reader.size(axis) for axis, size in zip(axes, sizes, strict=True)]
    if policy != "stretch":
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        return [(axis, math.floor(ratio * reader.size(axis) + 0.5), ratio) for axis in axes]
    return [(axis, size, ratio) for axis, size, ratio in zip(axes, sizes, ratios, strict=True)]


def _resize(reader: Reader) -> Iterable[Node]:
    attributes = reader.attributes
    mode = attributes.get("mode", b"nearest").decode()
    mode = "linear" if mode in ("bilinear", "trilinear") else mode
    old = reader.opset < 11 or reader.node.op == "Upsample"
    how = "asymmetric" if old else attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    rank = len(reader.sizes())
    axes = [int(axis) % rank for axis in attributes.get("axes", range(rank))]
    roi = reader.constant(1, "a region") if how == "tf_crop_and_resize" else None
    antialias, exclude = bool(attributes.get("antialias", 0)), bool(attributes.get("exclude_outside", 0))
    if roi is not None and mode != "nearest" and float(attributes.get("extrapolation_value", 0.0)) != 0.0:
        raise reader.refuse("an extrapolation_value")
    chain, x = Chain(reader), reader.input(0)
    for i, (axis, out, scale) in enumerate(_targets(reader, axes)):
        size = reader.size(axis)
        if out < 1:
            raise reader.refuse("an output without elements")
        if out == size and scale == 1.0 and roi is None:
            continue
        crop = (float(roi.ravel()[i]), float(roi.ravel()[i + len(axes)])) if roi is not None else (0.0, 1.0)
        places = _places(size, out, scale, how, crop)
        outside = (places < 0) | (places > size - 1) if roi is not None else np.zeros(out, bool)
        if mode == "nearest" and not outside.any():
            rule = "floor" if old else attributes.get("nearest_mode", b"round_prefer_floor").decode()
            picked = np.clip(_nearest(places, rule), 0, size - 1)
            x = chain.add("Gather", x, chain.constant(picked, "I64"), axis=axis)
            continue
        matrix = _matrix(places, size, scale, mode, float(attributes.get("cubic_coeff_a", -0.75)), antialias, exclude)
        matrix[:, outside] = 0.0
        perm = (*(k for k in range(rank) if k != axis), axis)
        last = x if axis == rank - 1 else chain.add("Transpose", x, perm=perm)
        x = chain.add("MatMul", last, chain.constant(matrix))
        if axis != rank - 1:
            x = chain.add("Transpose", x, perm=tuple(int(k) for k in np.argsort(perm)))
    return chain.end("Identity", x)


RESIZES: dict[str, Rule] = {"Resize": _resize, "Upsample": _resize}
