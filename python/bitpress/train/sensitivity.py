"""What a network's outputs feel of each layer's errors, by torch's autograd on its graph."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..calibrate import Data, Layer, layers_of, measure, read_data
from ..compression import compress
from ..errors import CalibrationError, UnsupportedError
from ..graph import Graph, Node
from ..methods import Sensitivity, Statistics
from ..model import Model
from ..passes.biases import with_biases
from ..recipe import Recipe, Rule
from ..scheme import Scheme
from .interpreter import run

__all__ = ["sensitivity"]

GRAM_BYTES = 1 << 28
EPSILON = 1e-10  # of the outputs' mean square: a variance below it is rounding's

Doubles = npt.NDArray[np.float64]


def sensitivity(
    source: Any, calibration: Any, *, gradients: int = 64, recipe: Recipe | None = None, seed: int = 0
) -> dict[str, Sensitivity]:
    """For each weighted layer of a network what its outputs feel of it, by the weight's name: `bitpress.compress` takes
    it.

    ``source`` and ``calibration`` are those of ``compress``; ``recipe`` says which layers there are (those that
    ``Recipe.rate`` presses by default). ``gradients``: of random projections of the outputs, over the batches in turn;
    kept of them is each layer's Gram matrix, [outputs, outputs]. Where a layer's bias can be corrected, gradients are
    taken about the mean of its inputs.

    Memory holds the network, its activations for one batch, and the matrices of a few layers at a time (256 MiB, or
    one layer's), for which the network is run anew; what was found lies in a temporary file. Raises UnsupportedError
    for an operator that has no derivative here, CalibrationError for inputs that do not fit the network and outputs
    that do not vary.
    """
    wanted = recipe or Recipe.rate()
    model = compress(source, replace(wanted, rules=(Rule("*", Scheme.int(8), op="none"),)))
    if model.graph is None:
        raise UnsupportedError("sensitivity is that of a network, such as an ONNX file, not of tensors alone")
    data = read_data(calibration, model.graph)
    count = min(gradients, len(data))
    chosen = [data[i * len(data) // count] for i in range(count)]
    layers = _layers(model, model.graph, wanted)
    if not layers:
        raise CalibrationError("no rule of the recipe that matches a layer is calibrated")
    found: dict[str, Sensitivity] = {}
    with tempfile.TemporaryFile() as file:  # what is mapped outlives it
        work = _Work(model, model.graph, layers, chosen, file)
        for portion in _portions(layers):
            work.begin(portion)
            random = torch.Generator().manual_seed(seed)  # the same projections for all
            for number in range(gradients):
                work.add(chosen[number % count], random, first=number < count and not found)
            found |= work.results()
    return found


def _layers(model: Model, graph: Graph, recipe: Recipe) -> list[Layer]:
    """The layers that the recipe calibrates, one a weight."""
    specs = {spec.name: spec for spec in model.specs()}
    found: dict[str, Layer] = {}
    for layer in layers_of(graph, {name: spec.shape for name, spec in specs.items()}):
        rule = recipe.rule_for(layer.weight, layer.shape, specs[layer.weight].dtype, layer.node.op)
        if rule is not None and rule.is_calibrated:
            found.setdefault(layer.weight, layer)
    return list(found.values())


def _portions(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """As many layers as GRAM_BYTES holds the matrices of: sums of float64 and of squares in float32."""
    portion: list[Layer] = []
    size = 0
    for layer in layers:
        groups = layer.layout.groups
        numbers = groups * (layer.outputs // groups) ** 2 + (layer.nbytes // 8 if layer.has_hessian else 0)
        nbytes = 12 * numbers
        if portion and size + nbytes > GRAM_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(layer)
        size += nbytes
    yield portion


class _Work:
    def __init__(self, model: Model, graph: Graph, layers: Sequence[Layer], data: Data, file: IO[bytes]) -> None:
        self.graph = graph
        self.file = file
        self.tensors = {name: torch.tensor(model.tensors[name].unpack()) for name in graph.stored()}
        self.known = measure(graph, model.tensors.__getitem__, layers, data, means_only=True)
        outputs = [(layer.node.outputs[0], layer.outputs) for layer in layers]
        _, biases = with_biases(graph, outputs, {name: tuple(each.shape) for name, each in self.tensors.items()})
        readers = graph.consumers()
        self.centred = {layer.weight for layer in layers if layer.node.outputs[0] in biases}
        self.centred -= {name for name, nodes in readers.items() if len(nodes) > 1}
        self.weights = sum(self.tensors[layer.weight].numel() for layer in layers)
        self.rows: list[Doubles] = []

    def begin(self, layers: Sequence[Layer]) -> None:
        """Measure these layers from now on."""
        self.layers = layers
        self.grams = {layer.weight: (_Gram(), _Gram()) for layer in layers}  # of outputs, of inputs
        self.inputs = 0  # how many went into them

    def add(self, batch: Mapping[str, npt.NDArray[Any]], random: torch.Generator, *, first: bool) -> None:
        """A random projection of the outputs for one batch. Its inputs' parts are independent, so that their products
        vanish in the mean; ``first``: the outputs count for the variance.
        """
        weights = {layer.weight: self.tensors[layer.weight].detach().requires_grad_() for layer in self.layers}
        moved: dict[str, Tensor] = {}
        by_output = {layer.node.outputs[0]: layer for layer in self.layers}

        def watch(node: Node, result: Tensor) -> Tensor:
            layer = by_output.get(node.outputs[0])
            if layer is None or layer.weight not in self.centred:
                return result
            shape = (layer.outputs,) if node.op != "Conv" else (layer.outputs, *[1] * (result.ndim - 2))
            moved[layer.weight] = torch.zeros(shape, requires_grad=True)
            return result + moved[layer.weight]

        inputs = {name: torch.from_numpy(array) for name, array in batch.items()}
        outputs = [
            y for y in run(self.graph, {**self.tensors, **weights}, inputs, watch).values() if y.is_floating_point()
        ]
        projected = sum(((y * torch.randn(y.shape, generator=random)).sum() for y in outputs), torch.zeros(()))
        names, biased = list(weights), list(moved)
        wanted = [*weights.values(), *moved.values()]
        found = torch.autograd.grad(projected, wanted, allow_unused=True)
        slopes = dict(zip(biased, found[len(names) :], strict=True))
        for layer, gradient in zip(self.layers, found, strict=False):
            if gradient is not None:
                self.take(layer, gradient, slopes.get(layer.weight))
        size = len(next(iter(batch.values())))
        self.inputs += size
        if first:
            self.rows.append(np.concatenate([y.detach().double().reshape(size, -1).numpy() for y in outputs], 1))

    def take(self, layer: Layer, gradient: Tensor, slope: Tensor | None) -> None:
        """Add the Gram matrix of a layer's gradient; ``slope`` is that by what is added to its outputs."""
        layout = layer.layout
        x = layout.matrices(gradient.numpy())
        if layer.looks_up:
            x = x[:, :, x[0].any(0)]
        if slope is not None:
            mean = self.known[layer.node.outputs[0]].mean[:, None, :]
            slopes = np.repeat(slope.numpy().reshape(layout.groups, -1, 1), layout.blocks, 0)
            x = x - slopes * mean.astype(np.float32)
        of_outputs, of_inputs = self.grams[layer.weight]
        of_outputs.add(layout.summed(x @ x.transpose(0, 2, 1)))
        if layer.has_hessian:
            of_inputs.add(x.transpose(0, 2, 1) @ x)

    def results(self) -> dict[str, Sensitivity]:
        rows = np.concatenate(self.rows)
        variance = float(np.square(rows - rows.mean(0)).sum(1).mean())
        if not EPSILON * float(np.square(rows).sum(1).mean()) < variance < np.inf:
            raise CalibrationError("the network's outputs do not vary over the calibration inputs, or are not finite")
        found = {}
        for layer in self.layers:
            layout = layer.layout
            strength = self.strength(layer, self.known[layer.node.outputs[0]])[:, None, None]
            of_outputs, of_inputs = (gram.mean(self.inputs * variance) for gram in self.grams.pop(layer.weight))
            if of_outputs is None:  # nothing of it reaches the outputs
                continue
            if of_inputs is not None:
                total = layout.summed(np.trace(of_inputs, axis1=1, axis2=2))[:, None, None]
                share = np.repeat(strength / np.where(total > 0, total, 1.0), layout.blocks, 0)
                of_inputs = self.kept(of_inputs * share)
            found[layer.weight] = Sensitivity(self.kept(of_outputs / strength), of_inputs, self.weights)
        return found

    def kept(self, array: Doubles) -> Doubles:
        """The same in the file, mapped into memory."""
        at = self.file.seek(0, 2)
        self.file.write(np.ascontiguousarray(array).data)
        self.file.flush()
        return np.memmap(self.file, np.float64, "c", at, array.shape)

    def strength(self, layer: Layer, known: Statistics) -> Doubles:
        """The mean squared length of what the layer's weights multiply, about its mean where a bias takes that."""
        squares = known.diagonal - known.mean**2 if layer.weight in self.centred else known.diagonal
        total = layer.layout.summed(squares.sum(1))
        return np.asarray(np.where(total > 0, total, 1.0))


class _Gram:
    """A mean of Gram matrices, [groups, n, n], whose entries off the diagonal are shrunk by what chance makes of them
    (Schaefer and Strimmer 2005): by the share of their squares that is the variance of their means.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sum: Doubles | None = None
        self.squares: Doubles | None = None

    def add(self, gram: npt.NDArray[np.float32]) -> None:
        wide = gram.astype(np.float64)
        self.count += 1
        self.sum = wide if self.sum is None else self.sum + wide
        squares = np.square(gram, dtype=np.float32)
        self.squares = squares if self.squares is None else self.squares + squares

    def mean(self, over: float) -> Doubles | None:
        """The sum over this number."""
        if self.sum is None or self.squares is None:
            return None
        mean = self.sum / self.count
        chance = np.maximum(self.squares / self.count - mean**2, 0) / max(self.count - 1, 1)
        at = np.arange(mean.shape[1])
        diagonal = mean[:, at, at]
        scale = np.where(diagonal > 0, diagonal, np.inf)
        weight = 1 / (scale[:, :, None] * scale[:, None, :])
        weight[:, at, at] = 0
        by_chance, seen = (chance * weight).sum((1, 2)), (mean**2 * weight).sum((1, 2))
        kept = 1 - np.minimum(by_chance / np.where(seen > 0, seen, 1.0), 1.0)
        result = self.sum * kept[:, None, None] / over
        result[:, at, at] = self.sum[:, at, at] / over
        return np.asarray(result)
