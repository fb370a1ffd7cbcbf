"""First and second moments of the inputs of layers, streamed over the calibration data."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..errors import CalibrationError
from ..graph import Graph, Node
from ..methods import Statistics
from ..model import Model
from ..session import Session
from ..tensor import PackedTensor
from .data import Data
from .layers import Layer, samples

__all__ = ["measure"]

UNSEEN = 0.5  # how often a row counts as looked up that was not

Packer = Callable[[str], PackedTensor]


def measure(
    graph: Graph,
    tensor: Packer,
    layers: Sequence[Layer],
    data: Data,
    *,
    seed: int = 0,
    means_only: bool = False,
) -> dict[str, Statistics]:
    """The moments of the layers' inputs, by the name of the node's first output.

    ``tensor`` gives each stored tensor as the network is to be run with. Positions of a convolution are drawn by
    ``seed`` and that name. CalibrationError where an activation is not finite.
    """
    session, inputs = _session(graph, tensor, layers)
    stored = {name: tensor(name).unpack() for name in set(inputs) & set(graph.stored())}
    sums = [_Sums(layer, means_only) for layer in layers]
    generators = [np.random.default_rng((seed, zlib.crc32(layer.node.outputs[0].encode()))) for layer in layers]
    for batch in data:
        results = {**stored, **batch, **(session.run(batch) if session is not None else {})}
        for name, layer, total, random in zip(inputs, layers, sums, generators, strict=True):
            if layer.looks_up:
                total.count_rows(results[name])
            else:
                total.add(samples(layer, results[name], random))
    return {layer.node.outputs[0]: total.statistics() for layer, total in zip(layers, sums, strict=True)}


def _session(graph: Graph, tensor: Packer, layers: Sequence[Layer]) -> tuple[Session | None, list[str]]:
    """What runs the network as far as the layers' inputs, and their names; None where they are the graph's own."""
    inputs = [layer.source for layer in layers]
    given = {value.name for value in graph.inputs} | set(graph.stored())
    wanted = tuple(graph.value(name) for name in dict.fromkeys(inputs) if name not in given)
    if not wanted:
        return None, inputs
    needed = {value.name for value in wanted}
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            nodes.append(node)
            needed.update(node.reads)
    part = replace(graph, nodes=tuple(reversed(nodes)), outputs=wanted)
    return Session(Model({name: tensor(name) for name in part.stored()}, part), check="none"), inputs


class _Sums:
    def __init__(self, layer: Layer, means_only: bool) -> None:
        parts, columns = layer.layout.parts, layer.columns // layer.layout.blocks
        self.layer = layer
        self.count = 0
        self.mean = np.zeros((parts, columns))
        self.squares = np.zeros((parts, columns))
        full = layer.has_hessian and not means_only
        self.hessian = np.zeros((parts, columns, columns)) if full else None

    def add(self, x: npt.NDArray[np.float32]) -> None:
        """``x``: [groups, columns, samples]."""
        x = x.reshape(*self.mean.shape, -1)
        self.count += x.shape[2]
        self.mean += x.sum(2, dtype=np.float64)
        if self.hessian is None:
            self.squares += np.einsum("gcs,gcs->gc", x, x, dtype=np.float64)
            return
        with np.errstate(over="ignore", invalid="ignore"):
            self.hessian += x @ x.transpose(0, 2, 1)

    def count_rows(self, numbers: npt.NDArray[np.integer]) -> None:
        """``numbers``: of the rows that are looked up, any shape."""
        rows = np.where(numbers < 0, numbers + self.layer.columns, numbers).reshape(-1)
        self.count += rows.size
        self.mean += np.bincount(rows, minlength=self.layer.columns)

    def frequencies(self) -> Statistics:
        """Of rows in other inputs: the root of what was counted, for seldom ones are counted badly, and unseen ones too
        are looked up some day."""
        found = np.sqrt(self.mean + UNSEEN)
        found /= found.sum()
        return Statistics(self.layer.layout, found, found, self.count)

    def statistics(self) -> Statistics:
        if self.layer.looks_up:
            return self.frequencies()
        hessian = self.hessian
        diagonal = self.squares / self.count
        if hessian is not None:
            hessian = hessian / self.count
            diagonal = np.diagonal(hessian, axis1=1, axis2=2).copy()
        if not (np.isfinite(self.mean).all() and np.isfinite(diagonal).all()):
            raise CalibrationError(f"{self.layer.weight}: calibration gives NaN, infinity or more at the layer's input")
        return Statistics(self.layer.layout, diagonal, self.mean / self.count, self.count, hessian)
