"""ConvTranspose, Col2Im and Pad's modes, by what the runtime has: zeros between, filters flipped, picked indices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..graph import Node
from .onnx_reader import Chain, Reader, Rule

__all__ = ["TRANSPOSED", "pad_by_index"]

_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def pad_by_index(reader: Reader, mode: str, pads: Sequence[int]) -> Iterable[Node]:
    """Padding that repeats elements: each axis is gathered by its padded places. Negative pads cut first."""
    if mode not in _MODES:
        raise reader.refuse(f"mode {mode}")
    chain, x, rank = Chain(reader), reader.input(0), len(pads) // 2
    for axis in range(rank):
        begin, end = pads[axis], pads[axis + rank]
        if begin == end == 0:
            continue
        size = reader.size(axis)
        places = np.arange(size)[max(-begin, 0) : size - max(-end, 0)]
        if not len(places) or max(begin, end) > 1 << 20:
            raise reader.refuse(f"pads {begin} and {end} of {size}")
        places = np.pad(places, (max(begin, 0), max(end, 0)), mode=_MODES[mode])  # type: ignore[call-overload]
        x = chain.add("Gather", x, chain.constant(places, "I64"), axis=axis)
    return chain.end("Identity", x)


def _spread(chain: Chain, x: str, channels: int, sizes: Sequence[int], strides: Sequence[int]) -> str:
    """The elements with stride - 1 zeros between neighbours."""
    if all(stride == 1 for stride in strides):
        return x
    rank = 2 + 2 * len(sizes)
    x = chain.add("Reshape", x, shape=(-1, channels, *(item for size in sizes for item in (size, 1))))
    ends = [0, 0] + [item for stride in strides for item in (0, stride - 1)]
    x = chain.add("Pad", x, pads=(*[0] * rank, *ends), value=0.0)
    wide = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    x = chain.add("Reshape", x, shape=(-1, channels, *wide))
    kept = tuple((size - 1) * stride + 1 for size, stride in zip(sizes, strides, strict=True))
    axes = tuple(range(2, 2 + len(sizes)))
    return chain.add("Slice", x, starts=(0,) * len(sizes), ends=kept, axes=axes)


def _transposed(
    chain: Chain, x: str, weight: str, shape: Sequence[int], bias: str, sizes: Sequence[int], group: int,
    strides: Sequence[int], dilations: Sequence[int], begins: Sequence[int], out: Sequence[int],
) -> str:  # fmt: skip
    """The transpose of a convolution with a weight of (C, M / group, taps...): a convolution of spread elements."""
    spatial = len(sizes)
    channels, filters, kernel = shape[0], shape[1], shape[2:]
    axes = tuple(range(2, 2 + spatial))
    if any(size > 1 for size in kernel):
        last = (-1,) * spatial
        ends = (-(2**62),) * spatial
        weight = chain.add("Slice", weight, starts=last, ends=ends, axes=axes, steps=last)
    weight = chain.add("Reshape", weight, shape=(group, channels // group, filters, *kernel))
    weight = chain.add("Transpose", weight, perm=(0, 2, 1, *(axis + 1 for axis in axes)))
    weight = chain.add("Reshape", weight, shape=(group * filters, channels // group, *kernel))
    x = _spread(chain, x, channels, sizes, strides)
    before, after = [], []
    for i in range(spatial):
        reach = dilations[i] * (kernel[i] - 1)
        length = (sizes[i] - 1) * strides[i] + 1
        before.append(reach - begins[i])
        after.append(out[i] + reach - length - before[-1])
    cuts = [max(-pad, 0) for pad in (*before, *after)]
    if any(cuts):
        lengths = [(sizes[i] - 1) * strides[i] + 1 for i in range(spatial)]
        ends = tuple(lengths[i] - cuts[i + spatial] for i in range(spatial))
        if any(end <= begin for begin, end in zip(cuts, ends, strict=False)):
            raise chain.reader.refuse("an output that sees no input")
        x = chain.add("Slice", x, starts=tuple(cuts[:spatial]), ends=ends, axes=axes)
    pads = tuple(max(pad, 0) for pad in (*before, *after))
    inputs = [x, weight] + ([bias] if bias else [])
    return chain.add("Conv", *inputs, pads=pads, strides=(1,) * spatial, dilations=tuple(dilations), group=group)


def _conv_transpose(reader: Reader) -> Iterable[Node]:
    attributes = reader.attributes
    shape = [reader.size(axis, 1) for axis in range(len(reader.sizes(1)))]
    spatial, group = len(shape) - 2, int(attributes.get("group", 1))
    if spatial not in (1, 2):
        raise reader.refuse(f"{spatial} spatial dimensions")
    sizes = [reader.size(2 + i) for i in range(spatial)]
    strides = list(attributes.get("strides", [1] * spatial))
    dilations = list(attributes.get("dilations", [1] * spatial))
    extra = list(attributes.get("output_padding", [0] * spatial))
    pads = list(attributes.get("pads", [0] * (2 * spatial)))
    if min(*strides, *dilations, group) < 1 or min(*extra, *pads) < 0 or shape[0] % group:
        raise ValueError("its strides, pads or groups cannot be")
    auto_pad = attributes.get("auto_pad", b"NOTSET").decode()
    full = [(sizes[i] - 1) * strides[i] + extra[i] + (shape[2 + i] - 1) * dilations[i] + 1 for i in range(spatial)]
    target = list(attributes.get("output_shape", []))[-spatial:]
    if not target and auto_pad.startswith("SAME"):
        target = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    if target:
        total = [max(full[i] - target[i], 0) for i in range(spatial)]
        begins = [item // 2 if auto_pad == "SAME_UPPER" else item - item // 2 for item in total]
        out = target
    else:
        begins = pads[:spatial] if auto_pad == "NOTSET" else [0] * spatial
        ends = pads[spatial:] if auto_pad == "NOTSET" else [0] * spatial
        out = [full[i] - begins[i] - ends[i] for i in range(spatial)]
    if min(out) < 1 or math.prod(out) > 1 << 40:
        raise ValueError(f"an output of {out}")
    chain = Chain(reader)
    told = (group, strides, dilations, begins, out)
    return chain.end(
        "Identity", _transposed(chain, reader.input(0), reader.input(1), shape, reader.input(2), sizes, *told)
    )


def _col2im(reader: Reader) -> Iterable[Node]:
    """Blocks added up where they lie: a transposed convolution with a filter a tap."""
    image, block = reader.integers(1, "an image shape"), reader.integers(2, "a block shape")
    if image is None or block is None or len(image) != len(block) or len(image) not in (1, 2):
        raise reader.refuse("such an image")
    spatial = len(image)
    strides = list(reader.attributes.get("strides", [1] * spatial))
    dilations = list(reader.attributes.get("dilations", [1] * spatial))
    pads = list(reader.attributes.get("pads", [0] * (2 * spatial)))
    taps = math.prod(block)
    channels = reader.size(1)
    if channels % taps or channels * taps > 1 << 22:
        raise reader.refuse(f"{channels} channels")
    sizes = [
        (image[i] + pads[i] + pads[i + spatial] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1
        for i in range(spatial)
    ]
    chain = Chain(reader)
    x = chain.add("Reshape", reader.input(0), shape=(-1, channels, *sizes))
    weight = np.tile(np.eye(taps).reshape(taps, 1, *block), (channels // taps, *[1] * (spatial + 1)))
    told = (channels // taps, strides, dilations, pads[:spatial], image)
    shape = (channels, 1, *block)
    return chain.end("Identity", _transposed(chain, x, chain.constant(weight), shape, "", sizes, *told))


TRANSPOSED: dict[str, Rule] = {"ConvTranspose": _conv_transpose, "Col2Im": _col2im}
