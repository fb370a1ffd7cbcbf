"""Press the layers of a network one after the other, each with what calibration knows of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..dtypes import FLOATS
from ..graph import Graph
from ..methods import Sensitivity, Statistics
from ..passes.biases import Bias, with_biases
from ..plans import LazyTensors, Plan
from ..recipe import Rule
from ..tensor import PackedTensor, TensorSpec
from .data import Data
from .layers import Layer, layers_of
from .moments import measure
from .resume import Kept, Offsets

__all__ = ["Progress", "press_layers"]

HESSIAN_BYTES = 1 << 28

Progress = Callable[[str, int, int], None]
Unit = list[Layer]  # all that read one weight


def press_layers(
    graph: Graph,
    tensors: LazyTensors,
    data: Data,
    sensitivity: Mapping[str, Sensitivity],
    *,
    seed: int = 0,
    progress: Progress | None = None,
    resume: Path | None = None,
) -> Graph:
    """Press every layer whose rule is calibrated: its plan gets the packed weights, and its bias an offset.

    What ``resume`` keeps of a run of the same network, recipe and calibration is taken, and what is done is kept. The
    graph that comes back reads the biases that had to be added, whose plans are added too.
    """
    plans = tensors.plans
    units = _units(graph, plans)
    corrected = [
        (layer.node.outputs[0], layer.outputs) for unit in units if _rule(plans, unit).correct for layer in unit
    ]
    shapes = {name: plan.spec.shape for name, plan in plans.items()}
    graph, biases = with_biases(graph, corrected, shapes)
    biases = {output: bias for output, bias in biases.items() if bias.is_new or _movable(plans[bias.name])}
    for bias in biases.values():
        if bias.is_new:
            tensors.added.add(bias.name)
            plans[bias.name] = Plan(TensorSpec(bias.name, "F32", (bias.outputs,)), None)
    work = _Work(graph, tensors, data, seed, biases, sensitivity)
    kept = None if resume is None else Kept(resume, graph, tensors, data, sensitivity, seed)
    waiting = [unit for unit in units if kept is None or not work.restore(unit, kept)]
    done = len(units) - len(waiting)
    for portion in _portions(waiting, plans):
        for unit, statistics in zip(portion, work.measured(portion), strict=True):
            offsets = work.press(unit, statistics)
            if kept is not None:
                packed = plans[unit[0].weight].packed
                assert packed is not None
                kept.keep(unit[0].weight, packed, offsets)
            done += 1
            if progress is not None:
                progress(unit[0].weight, done, len(units))
    return graph


def _rule(plans: Mapping[str, Plan], unit: Unit) -> Rule:
    rule = plans[unit[0].weight].rule
    assert rule is not None
    return rule


def _movable(plan: Plan) -> bool:
    """Whether a bias can take an offset: it is stored as the floats that it is, or rounded after that."""
    if plan.spec.dtype not in FLOATS:
        return False
    return plan.rule is None or not (plan.rule.is_calibrated or plan.rule.prunes)


def _units(graph: Graph, plans: Mapping[str, Plan]) -> list[Unit]:
    """The layers to be calibrated by the weight that they read, in the graph's order."""
    units: dict[str, Unit] = {}
    for layer in layers_of(graph, {name: plan.spec.shape for name, plan in plans.items()}):
        rule = plans[layer.weight].rule
        if rule is not None and rule.is_calibrated:
            unit = units.setdefault(layer.weight, [])
            if not unit or (unit[0].layout, unit[0].columns) == (layer.layout, layer.columns):
                unit.append(layer)
    return list(units.values())


def _portions(units: list[Unit], plans: Mapping[str, Plan]) -> Iterator[list[Unit]]:
    """Units measured in one run: as many as HESSIAN_BYTES holds; where inputs are pressed, those of one input."""
    portion: list[Unit] = []
    for unit in units:
        if portion:
            size = sum(layer.nbytes for other in (*portion, unit) for layer in other)
            pressed = any(_rule(plans, other).inputs == "pressed" for other in (portion[-1], unit))
            if size > HESSIAN_BYTES or (pressed and portion[-1][0].source != unit[0].source):
                yield portion
                portion = []
        portion.append(unit)
    if portion:
        yield portion


class _Work:
    def __init__(
        self,
        graph: Graph,
        tensors: LazyTensors,
        data: Data,
        seed: int,
        biases: Mapping[str, Bias],
        sensitivity: Mapping[str, Sensitivity],
    ) -> None:
        self.graph = graph
        self.tensors = tensors
        self.data = data
        self.seed = seed
        self.biases = biases
        self.sensitivity = sensitivity
        self.targets: dict[str, Statistics] | None = None  # means of exact inputs, where moments are of pressed ones

    def measured(self, portion: list[Unit]) -> list[dict[str, Statistics]]:
        """For each unit the statistics of its layers, by the layer's first output."""
        pressed = _rule(self.tensors.plans, portion[0]).inputs == "pressed"
        layers = [layer for unit in portion for layer in unit]
        tensor = self.pressed if pressed else self.tensors.exact
        found = measure(self.graph, tensor, layers, self.data, seed=self.seed)
        if pressed:
            means = self.exact_means()
            found = {output: replace(each, target_mean=means[output].mean) for output, each in found.items()}
        return [{layer.node.outputs[0]: found[layer.node.outputs[0]] for layer in unit} for unit in portion]

    def exact_means(self) -> dict[str, Statistics]:
        if self.targets is None:
            layers = [
                layer
                for unit in _units(self.graph, self.tensors.plans)
                for layer in unit
                if _rule(self.tensors.plans, unit).inputs == "pressed"
            ]
            self.targets = measure(self.graph, self.tensors.exact, layers, self.data, seed=self.seed, means_only=True)
        return self.targets

    def pressed(self, name: str) -> PackedTensor:
        """A tensor as far as it is pressed by now."""
        plan = self.tensors.plans[name]
        waits = plan.packed is None and plan.rule is not None and plan.rule.is_calibrated
        return self.tensors.exact(name) if waits else self.tensors[name]

    def restore(self, unit: Unit, kept: Kept) -> bool:
        """Take what a run before has made of a weight, if it has."""
        found = kept.load(unit[0].weight)
        if found is None:
            return False
        plan = self.tensors.plans[unit[0].weight]
        plan.packed, offsets = found
        plan.spec = replace(plan.spec, scheme=plan.packed.scheme)
        for name, offset in offsets.items():
            self.tensors.plans[name].offset = offset
        return True

    def press(self, unit: Unit, statistics: Mapping[str, Statistics]) -> Offsets:
        """Press a weight; the offsets that its layers' biases got."""
        name, plan = unit[0].weight, self.tensors.plans[unit[0].weight]
        known = _together(list(statistics.values()))
        mended = all(layer.node.outputs[0] in self.biases for layer in unit)
        centred = mended and plan.rule is not None and plan.rule.method == "rate"
        known = replace(known.centred() if centred else known, sensitivity=self.sensitivity.get(name))
        plan.packed = self.tensors.pack(name, known)
        plan.spec = replace(plan.spec, scheme=plan.packed.scheme)  # a method may pick the granularity
        exact = self.tensors.exact(name).unpack()
        packed = plan.packed.unpack()
        offsets: Offsets = {}
        for layer in unit:
            bias = self.biases.get(layer.node.outputs[0])
            if bias is not None:
                matrices = layer.layout.matrices
                moved = statistics[layer.node.outputs[0]].shift(matrices(packed), matrices(exact))
                target = self.tensors.plans[bias.name]
                target.offset = offsets[bias.name] = (-bias.factor * moved).reshape(target.spec.shape)
        return offsets


def _together(parts: list[Statistics]) -> Statistics:
    """The moments of all of a shared weight's inputs."""
    if len(parts) == 1:
        return parts[0]
    shares = np.array([part.count for part in parts]) / sum(part.count for part in parts)
    hessians = [part.hessian for part in parts if part.hessian is not None]
    return Statistics(
        parts[0].layout,
        np.asarray(sum(share * part.diagonal for share, part in zip(shares, parts, strict=True))),
        np.asarray(sum(share * part.mean for share, part in zip(shares, parts, strict=True))),
        sum(part.count for part in parts),
        np.asarray(sum(share * hessian for share, hessian in zip(shares, hessians, strict=True))) if hessians else None,
    )
