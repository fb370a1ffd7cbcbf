"""Windows beyond what the runtime has: poolings and convolutions in three dimensions, LpPool, unpooling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..graph import Node
from .onnx_reader import Chain, Reader, Rule

__all__ = ["POOLS", "conv_3d", "pool_3d", "window"]


def window(reader: Reader, spatial: int) -> dict[str, Any]:
    """strides, pads, dilations and auto_pad of Conv and the pools."""
    attributes = reader.attributes
    found = {
        "strides": tuple(attributes.get("strides", [1] * spatial)),
        "pads": tuple(attributes.get("pads", [0] * (2 * spatial))),
        "dilations": tuple(attributes.get("dilations", [1] * spatial)),
    }
    auto_pad = attributes.get("auto_pad", b"NOTSET").decode()
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad {auto_pad!r}")
    if auto_pad != "NOTSET":
        found["pads"] = (0,) * (2 * spatial)
    for key, values in found.items():
        if len(values) != spatial * (2 if key == "pads" else 1):
            raise ValueError(f"{key} has {len(values)} entries for {spatial} spatial dimensions")
        if any(value < (0 if key == "pads" else 1) for value in values):
            if key == "pads":
                raise reader.refuse("negative pads")
            raise ValueError(f"{key} {values}")
    if auto_pad.startswith("SAME"):
        found["auto_pad"] = 1 if auto_pad == "SAME_UPPER" else 2  # type: ignore[assignment]
    return found


def _part(told: dict[str, Any], axes: tuple[int, ...], spatial: int) -> dict[str, Any]:
    """The window along some of its axes; along a second one it is 1 wide where there is but one."""
    found: dict[str, Any] = {
        key: tuple(told[key][axis] for axis in axes) for key in ("strides", "dilations", "kernel_shape") if key in told
    }
    pads = [told["pads"][axis + side * spatial] for side in (0, 1) for axis in axes]
    if len(axes) == 1:
        found = {key: (*values, 1) for key, values in found.items()}
        pads = [pads[0], 0, pads[1], 0]
    return {**{key: value for key, value in told.items() if key not in found}, **found, "pads": tuple(pads)}


def pool_3d(chain: Chain, op: str, x: str, told: dict[str, Any]) -> str:
    """MaxPool or AveragePool over three axes: first over the last two, then over the first of them."""
    reader = chain.reader
    channels, depth, height, width = (reader.size(axis) for axis in (1, 2, 3, 4))
    planes = chain.add("Reshape", x, shape=(-1, channels * depth, height, width))
    planes = chain.add(op, planes, **_part(told, (1, 2), 3))
    out = [_outputs(size, told, axis) for axis, size in enumerate((depth, height, width))]
    lines = chain.add("Reshape", planes, shape=(-1, channels, depth, out[1] * out[2]))
    lines = chain.add(op, lines, **_part(told, (0,), 3))
    return chain.add("Reshape", lines, shape=(-1, channels, *out))


def _outputs(size: int, told: dict[str, Any], axis: int) -> int:
    """How many windows fit along an axis."""
    stride: int
    stride, spatial = told["strides"][axis], len(told["strides"])
    if told.get("auto_pad"):
        return -(-size // stride)
    begin, end = told["pads"][axis], told["pads"][axis + spatial]
    room = size + begin + end - ((told["kernel_shape"][axis] - 1) * told["dilations"][axis] + 1)
    if room < 0:
        raise ValueError("a window is larger than the input")
    count: int = room // stride + 1
    partial = told.get("ceil_mode", 0) and room % stride and count * stride < size + begin
    return count + 1 if partial else count


def conv_3d(reader: Reader) -> Iterable[Node]:
    """A convolution over three axes: a sum over the taps of the first of convolutions over the other two."""
    chain, told = Chain(reader), window(reader, 3)
    kernel = [reader.size(axis, 1) for axis in (2, 3, 4)]
    told["kernel_shape"] = tuple(kernel)
    channels, depth, height, width = (reader.size(axis) for axis in (1, 2, 3, 4))
    if kernel[0] > 64:
        raise reader.refuse(f"a kernel of {kernel[0]} planes")
    out = [_outputs(size, told, axis) for axis, size in enumerate((depth, height, width))]
    begin, end = told["pads"][0], told["pads"][3]
    if told.get("auto_pad"):
        reach = (out[0] - 1) * told["strides"][0] + (kernel[0] - 1) * told["dilations"][0] + 1
        pads = max(reach - depth, 0)
        begin = pads // 2 if told["auto_pad"] == 1 else pads - pads // 2
        end = pads - begin
    x = chain.add("Transpose", reader.input(0), perm=(0, 2, 1, 3, 4))
    if begin or end:
        x = chain.add("Pad", x, pads=(0, begin, 0, 0, 0, 0, end, 0, 0, 0), value=0.0)
    planar = {key: value for key, value in _part(told, (1, 2), 3).items() if key != "kernel_shape"}
    total, filters = "", reader.size(0, 1)
    for tap in range(kernel[0]):
        first, step = tap * told["dilations"][0], told["strides"][0]
        seen = chain.add("Slice", x, starts=(first,), ends=(first + (out[0] - 1) * step + 1,), axes=(1,), steps=(step,))
        flat = chain.add("Reshape", seen, shape=(-1, channels, height, width))
        weight = chain.add("Slice", reader.input(1), starts=(tap,), ends=(tap + 1,), axes=(2,))
        inputs = [flat, chain.add("Squeeze", weight, axes=(2,))]
        if tap == 0 and reader.input(2):
            inputs.append(reader.input(2))
        part = chain.add("Conv", *inputs, group=int(reader.attributes.get("group", 1)), **planar)
        total = chain.add("Add", total, part) if total else part
    split = chain.add("Reshape", total, shape=(-1, out[0], filters, out[1], out[2]))
    return chain.end("Transpose", split, perm=(0, 2, 1, 3, 4))


def pool(reader: Reader) -> Iterable[Node]:
    """MaxPool, AveragePool and LpPool."""
    op = reader.node.op
    kernel = tuple(reader.attributes["kernel_shape"])
    if len(kernel) not in (1, 2, 3):
        raise reader.refuse(f"{len(kernel)} spatial dimensions")
    told = {**window(reader, len(kernel)), "kernel_shape": kernel}
    told["ceil_mode"] = int(reader.attributes.get("ceil_mode", 0))
    if op == "AveragePool":
        told["count_include_pad"] = int(reader.attributes.get("count_include_pad", 0))
    chain, x = Chain(reader), reader.input(0)
    narrow = reader.dtype() if op == "MaxPool" and reader.dtype() in ("I8", "U8") else ""
    if reader.output(1):
        return _max_with_places(reader, told)
    if op != "LpPool" and len(kernel) < 3 and not narrow:
        return [reader.make(1, **told)]

    def do(kind: str, name: str) -> str:
        return pool_3d(chain, kind, name, told) if len(kernel) == 3 else chain.add(kind, name, **told)

    if op != "LpPool":
        from ..dtypes import DTYPES

        wide = chain.add("Cast", x, to=DTYPES["F32"].number) if narrow else x
        return chain.end(
            "Cast" if narrow else "Identity", do(op, wide), **({"to": DTYPES[narrow].number} if narrow else {})
        )
    if told["ceil_mode"]:
        raise reader.refuse("ceil_mode")
    told["count_include_pad"] = 1
    p = float(reader.attributes.get("p", 2))
    powers = chain.add("Pow", chain.add("Abs", x), chain.constant(p))
    total = chain.add("Mul", do("AveragePool", powers), chain.constant(float(np.prod(kernel))))
    return chain.end("Pow", total, chain.constant(1.0 / p))


def _max_with_places(reader: Reader, told: dict[str, Any]) -> Iterable[Node]:
    """MaxPool and where in the input each maximum stands: the windows are gathered, one column a tap."""
    kernel, spatial = told["kernel_shape"], len(told["kernel_shape"])
    sizes = [reader.size(axis) for axis in range(2, 2 + spatial)]
    out = [_outputs(size, told, axis) for axis, size in enumerate(sizes)]
    places = np.zeros([*out, *kernel], np.int64)
    inside = np.ones(places.shape, bool)
    for axis, size in enumerate(sizes):
        begin = told["pads"][axis]
        if told.get("auto_pad"):
            reach = (out[axis] - 1) * told["strides"][axis] + (kernel[axis] - 1) * told["dilations"][axis] + 1
            pads = max(reach - size, 0)
            begin = pads // 2 if told["auto_pad"] == 1 else pads - pads // 2
        at = (
            np.arange(out[axis])[:, None] * told["strides"][axis]
            + np.arange(kernel[axis]) * told["dilations"][axis]
            - begin
        )
        shape = [1] * (2 * spatial)
        shape[axis], shape[spatial + axis] = at.shape
        inside &= ((at >= 0) & (at < size)).reshape(shape)
        places = places * size + np.clip(at, 0, size - 1).reshape(shape)
    count, taps = int(np.prod(out)), int(np.prod(kernel))
    if count * taps > 1 << 22:
        raise reader.refuse("a second output (indices) of so many windows")
    planes, area = reader.size(0) * reader.size(1), int(np.prod(sizes))
    chain = Chain(reader)
    flat = chain.add("Reshape", reader.input(0), shape=(planes, area))
    index = places.reshape(count, taps)
    seen = chain.add("Gather", flat, chain.constant(index, "I64"), axis=1)
    low = chain.constant(-np.inf) if reader.dtype() in ("F32", "F64") else None
    if low is None:
        raise reader.refuse(f"a second output (indices) for {reader.dtype()}")
    seen = chain.add("Where", chain.constant(inside.reshape(count, taps), "BOOL"), seen, low)
    best = chain.add("ArgMax", seen, axis=2)
    rows = chain.add("Expand", chain.constant(index[None], "I64"), shape=(planes, count, taps))
    at = chain.add("GatherElements", rows, best, axis=2)
    value = chain.add("GatherElements", seen, best, axis=2)
    if int(reader.attributes.get("storage_order", 0)):
        if spatial != 2:
            raise reader.refuse("storage_order")
        columns = np.arange(area).reshape(sizes).T.copy().ravel().argsort()
        at = chain.add("Gather", chain.constant(columns, "I64"), at, axis=0)
    offsets = chain.constant((np.arange(planes) * area).reshape(-1, 1, 1), "I64")
    target = (reader.size(0), reader.size(1), *out)
    chain.end("Reshape", chain.add("Add", at, offsets), output=1, shape=target)
    return chain.end("Reshape", value, shape=target)


def _unpool(reader: Reader) -> Iterable[Node]:
    """MaxUnpool: the elements where their indices say, zeros elsewhere."""
    kernel = reader.attributes["kernel_shape"]
    spatial = len(kernel)
    strides = reader.attributes.get("strides", [1] * spatial)
    pads = reader.attributes.get("pads", [0] * (2 * spatial))
    batch, channels = reader.size(0), reader.size(1)
    own = [(reader.size(2 + i) - 1) * strides[i] + kernel[i] - pads[i] - pads[i + spatial] for i in range(spatial)]
    own = [batch, channels, *own]
    given = reader.integers(2, "an output shape")
    target = given or own
    if (
        int(np.prod(target)) > 1 << 22
        or len(target) != len(own)
        or any(t < o for t, o in zip(target, own, strict=True))
    ):
        raise reader.refuse("such an output shape")
    chain = Chain(reader)
    places = chain.add("Reshape", reader.input(1), shape=(-1,))
    zeros = chain.constant(np.zeros(int(np.prod(own))))
    flat = chain.add("ScatterElements", zeros, places, chain.add("Reshape", reader.input(0), shape=(-1,)), axis=0)
    small = chain.add("Reshape", flat, shape=tuple(own))
    wider = [t - o for t, o in zip(target, own, strict=True)]
    if not any(wider):
        return chain.end("Identity", small)
    return chain.end("Pad", small, pads=(*[0] * len(own), *wider), value=0.0)


POOLS: dict[str, Rule] = {"MaxPool": pool, "AveragePool": pool, "LpPool": pool, "MaxUnpool": _unpool}
