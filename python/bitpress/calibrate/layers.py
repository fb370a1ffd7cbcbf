"""Weighted layers of a graph, and what their weights are multiplied with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..graph import Graph, Node
from ..methods import Layout

__all__ = ["Layer", "layers_of", "samples"]

PIXELS = (64, 256)  # positions of one input that a convolution's moments are taken at
MAX_HESSIAN = 1 << 27  # bytes of a layer's Hessian, which is cut into blocks of inputs where it would take more
LEAST_BLOCK = 32  # inputs; where blocks would be smaller, the diagonal alone is kept


@dataclass(frozen=True)
class Layer:
    """A node that multiplies what flows into it with stored weights, or looks them up: that is a product with ones."""

    node: Node
    weight: str
    shape: tuple[int, ...]  # of the weight
    layout: Layout

    @property
    def looks_up(self) -> bool:
        """Whether its input is the numbers of rows (an embedding)."""
        return self.node.op == "Gather"

    @property
    def source(self) -> str:
        """What flows in; of one that looks up, it may be stored."""
        return self.node.inputs[1 if self.looks_up else 0]

    @property
    def columns(self) -> int:
        """Inputs an output."""
        return self.layout.columns(self.shape)

    @property
    def outputs(self) -> int:
        """Output channels or features."""
        return math.prod(self.shape) // max(self.columns, 1)

    @property
    def has_hessian(self) -> bool:
        """Whether more than its diagonal is kept."""
        return not self.looks_up and _hessian_bytes(self.columns, self.layout) <= MAX_HESSIAN

    @property
    def nbytes(self) -> int:
        """Of its moments."""
        return _hessian_bytes(self.columns, self.layout) if self.has_hessian else 8 * self.layout.groups * self.columns


def layers_of(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> list[Layer]:
    """The Conv, Gemm, MatMul and Gather nodes that read a stored tensor of ``shapes``, in the graph's order."""
    found = []
    for node in graph.nodes:
        if len(node.inputs) < 2:
            continue
        source, weight = node.inputs[:2] if node.op != "Gather" else node.inputs[1::-1]
        shape = shapes.get(weight)
        if shape is None or (source in shapes and node.op != "Gather") or math.prod(shape) == 0:
            continue
        if node.op == "Conv" and len(shape) >= 3:
            layout = Layout(_integer(node, "group", 1))
        elif node.op in ("Gemm", "MatMul") and len(shape) == 2:
            layout = Layout(transposed=not _integer(node, "transB", 0))
        elif node.op == "Gather" and len(shape) == 2 and not _integer(node, "axis", 0):
            layout = Layout(transposed=True)
        else:
            continue
        blocks = 1 if node.op == "Gather" else _blocks(layout.columns(shape), layout)
        found.append(Layer(node, weight, shape, replace(layout, blocks=blocks)))
    return found


def _hessian_bytes(columns: int, layout: Layout) -> int:
    return 8 * layout.groups * columns * (columns // layout.blocks)


def _blocks(columns: int, layout: Layout) -> int:
    """Into how many parts a layer's inputs are cut: as few as its Hessian's bytes allow, all alike; 1 where none do."""
    least = -(-_hessian_bytes(columns, layout) // MAX_HESSIAN)
    fit = (blocks for blocks in range(max(least, 1), columns // LEAST_BLOCK + 1) if columns % blocks == 0)
    return next(fit, 1)


def samples(
    layer: Layer, x: npt.NDArray[np.float32], random: np.random.Generator, pixels: tuple[int, int] = PIXELS
) -> npt.NDArray[np.float32]:
    """What the layer's weights are multiplied with, [groups, columns, samples], for its input ``x``.

    Of a convolution's positions, the same for the whole batch, as many are drawn as there are columns, but at least and
    at most ``pixels``.
    """
    node = layer.node
    if node.op != "Conv":
        rows = x.T if node.op == "Gemm" and _integer(node, "transA", 0) else x
        return np.ascontiguousarray(rows.reshape(-1, layer.columns).T, np.float32)[None]
    kernel = layer.shape[2:]
    strides = _integers(node, "strides", (1,) * len(kernel))
    dilations = _integers(node, "dilations", (1,) * len(kernel))
    padded = np.pad(x, [(0, 0), (0, 0), *_pads(node, x.shape[2:], kernel, strides, dilations)])
    sizes = [
        (size - (k - 1) * d - 1) // s + 1
        for size, k, s, d in zip(padded.shape[2:], kernel, strides, dilations, strict=True)
    ]
    positions, least, most = math.prod(sizes), *pixels
    count = min(positions, max(least, min(most, layer.columns)))
    chosen = np.arange(positions) if count == positions else np.sort(random.choice(positions, count, replace=False))
    corners = [at * stride for at, stride in zip(np.unravel_index(chosen, sizes), strides, strict=True)]
    batch, groups, channels = x.shape[0], layer.layout.groups, x.shape[1] // layer.layout.groups
    taps = list(np.ndindex(*kernel))
    columns = np.empty((groups, channels, len(taps), batch, count), np.float32)
    for number, tap in enumerate(taps):
        at = tuple(corner + k * d for corner, k, d in zip(corners, tap, dilations, strict=True))
        seen = padded[(slice(None), slice(None), *at)].reshape(batch, groups, channels, count)
        columns[:, :, number] = seen.transpose(1, 2, 0, 3)
    return columns.reshape(groups, layer.columns, batch * count)


def _pads(
    node: Node, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    automatic = _integer(node, "auto_pad", 0)
    if not automatic:
        pads = _integers(node, "pads", (0,) * (2 * len(kernel)))
        return list(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True))
    both = []
    for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        needed = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
        less, more = needed // 2, needed - needed // 2
        both.append((less, more) if automatic == 1 else (more, less))
    return both


def _integer(node: Node, key: str, default: int) -> int:
    value = node.attributes.get(key, default)
    return int(value) if isinstance(value, int | float) else default


def _integers(node: Node, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
    value = node.attributes.get(key)
    return tuple(value) if isinstance(value, tuple | list) else default
