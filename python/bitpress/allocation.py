"""Bits, zeros or a rate for each layer: where the network's output suffers least, under a limit of size or of error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .compression import compress
from .dtypes import array_bytes
from .errors import SchemeError
from .graph import Graph
from .methods import Sensitivity, Settings, Statistics, method, pruning
from .methods.rate import entropy, share_of_chance
from .model import Model
from .recipe import Recipe, Rule
from .scheme import Granularity, Integer, Scheme, Structure
from .session import Session
from .tensor import PackedTensor, Role, pack

if TYPE_CHECKING:
    from .calibrate import Data, Layer
    from .passes.biases import Bias

__all__ = ["allocate"]

PROBES = 4  # runs of the network, of up to four inputs each, that a layer's effect is measured with
HESSIAN_BYTES = 1 << 28
RATES = tuple(1e-5 * 8.0**k for k in range(6))  # at which a rate-aware layer is pressed
NETWORK_RATES = tuple(0.004 * 4.0**k for k in range(5))  # the same, of the network's variance
SHARES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)  # of zeros
BETWEEN = 12  # rates between two of them, whose bytes and errors are interpolated

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Choice:
    """A layer at some bits, share of zeros or rate: bytes, and what it adds to the outputs' mean squared error."""

    setting: float
    nbytes: float
    cost: float


def allocate(
    source: Any,
    nbytes: int | None = None,
    *,
    calibration: Any,
    error: float | None = None,
    recipe: Recipe | None = None,
    bits: Sequence[int] = (3, 4, 5, 6, 7, 8),
    sparsity: Sequence[float] = SHARES,
    sensitivity: Mapping[str, Sensitivity] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Recipe:
    """A recipe of one rule a layer, whose file takes about ``nbytes``: a file to be read, edited and given to compress.

    Each layer that a calibrated rule of ``recipe`` matches (``Recipe.feedback()`` by default) is pressed at each number
    of ``bits``; where the rule prunes, at each ``sparsity`` (0: dense) in the rule's own bits; with ``Recipe.rate()``
    at six rates. What its error does to the network's outputs is measured at one of them, that of the others follows in
    proportion to the layer's own error; and the settings are those of the least sum under the limit (a Lagrange
    multiplier; Shoham and Gersho 1988). Sizes are the entropy of codes and masks: those of rANS, to a percent or so.

    ``error``, instead of ``nbytes``: the most that the sum may be, as a share of the outputs' variance; the file is
    then the smallest. ``sensitivity`` (`bitpress.torch.sensitivity`): with ``Recipe.rate()``, one rate then serves all
    layers, and that of a file of ``nbytes`` is found; give it to ``compress`` too.

    ``source`` and ``calibration`` are those of ``compress``; ``progress(layer, done, layers)``. SchemeError where the
    limit cannot be reached, or no rule is calibrated or prunes.
    """
    from .calibrate import read_data  # here and below only where it is used: it takes a while to import

    if (nbytes is None) is (error is None):
        raise SchemeError("give a limit: nbytes or error, one of them")
    base = Recipe.feedback(coding="rans") if recipe is None else recipe
    exact = compress(source, replace(base, rules=(Rule("*", Scheme.int(8), op="none"),)))
    if exact.graph is None:
        raise SchemeError("bits can be allotted to a network, such as an ONNX file, not to tensors alone")
    rules = dict(_rules(exact, base))
    if not rules:
        raise SchemeError("no rule of the recipe that matches a layer is calibrated or prunes")
    if sensitivity is not None and (nbytes is None or any(rule.method != "rate" for rule in rules.values())):
        raise SchemeError("sensitivity goes with nbytes and rules of the method rate alone")
    work = _Work(exact, exact.graph, rules, read_data(calibration, exact.graph), seed)
    choices = {}
    for layer, statistics in work.measured():
        if sensitivity is not None:
            choices[layer.weight] = work.sizes(layer, replace(statistics, sensitivity=sensitivity.get(layer.weight)))
        else:
            tried: Sequence[float] = sparsity if rules[layer.weight].prunes else bits
            choices[layer.weight] = work.choices(layer, statistics, sorted(set(tried)))
        if progress is not None:
            progress(layer.weight, len(choices), len(rules))
    added = sum(4 * bias.outputs for bias in work.biases.values() if bias.is_new)
    if error is not None:
        chosen = _smallest(choices, error)
    else:
        assert nbytes is not None
        limit = nbytes - _rest(source, base, rules) - added
        if sensitivity is not None:
            return replace(base, rules=tuple(_at(rule, _one_rate(choices, limit)) for rule in base.rules))
        chosen = _least(choices, limit)
    found = [
        replace(_with(rule, chosen[name].setting), pattern=_literal(name), op=None) for name, rule in rules.items()
    ]
    return replace(base, rules=(*found, *base.rules))


def _rules(exact: Model, base: Recipe) -> Iterator[tuple[str, Rule]]:
    """The rule of each layer, by its weight, in the graph's order."""
    from .calibrate import layers_of

    assert exact.graph is not None
    specs = {spec.name: spec for spec in exact.specs()}
    for layer in layers_of(exact.graph, {name: spec.shape for name, spec in specs.items()}):
        rule = base.rule_for(layer.weight, layer.shape, specs[layer.weight].dtype, layer.node.op)
        if rule is None or not isinstance(rule.scheme.values, Integer):
            continue
        if rule.prunes and (rule.sparsity is None or rule.scope == "model" or rule.scheme.structure is Structure.NM):
            raise SchemeError(f"{layer.weight}: only a sparsity of each tensor, and not of N:M, can be allotted")
        if rule.is_calibrated or rule.prunes:
            yield layer.weight, rule


class _Work:
    def __init__(self, exact: Model, graph: Graph, rules: Mapping[str, Rule], data: Data, seed: int) -> None:
        from .calibrate import layers_of
        from .passes.biases import with_biases

        shapes = {spec.name: spec.shape for spec in exact.specs()}
        layers = {layer.weight: layer for layer in reversed(layers_of(graph, shapes)) if layer.weight in rules}
        self.layers = [layers[name] for name in rules]
        corrected = [(layer.node.outputs[0], layer.outputs) for layer in self.layers if rules[layer.weight].correct]
        self.graph, self.biases = with_biases(graph, corrected, shapes)
        self.exact = exact
        self.rules = rules
        self.data = data
        self.seed = seed
        self.probes = data[:: max(1, len(data) // PROBES)][:PROBES]
        self.outputs = self.run({})
        self.strength = float(sum(np.var(y, dtype=np.float64) for y in self.outputs)) or 1.0

    def measured(self) -> Iterator[tuple[Layer, Statistics]]:
        from .calibrate import measure

        left = list(self.layers)
        while left:
            portion = [left.pop(0)]
            while left and sum(layer.nbytes for layer in portion) + left[0].nbytes <= HESSIAN_BYTES:
                portion.append(left.pop(0))
            found = measure(self.graph, self.tensor, portion, self.data, seed=self.seed)
            for layer in portion:
                yield layer, found[layer.node.outputs[0]]

    def tensor(self, name: str) -> PackedTensor:
        new = next((bias for bias in self.biases.values() if bias.is_new and bias.name == name), None)
        return self.exact.tensors[name] if new is None else pack(np.zeros(new.outputs, np.float32))

    def run(self, changed: Mapping[str, PackedTensor]) -> list[npt.NDArray[np.float32]]:
        """Every output for every probe, with these tensors instead of the exact ones."""
        tensors = {name: changed.get(name) or self.tensor(name) for name in self.graph.stored()}
        session = Session(Model(tensors, self.graph), check="none")
        return [y for batch in self.probes for y in session.run(batch).values()]

    def choices(self, layer: Layer, statistics: Statistics, settings: Sequence[float]) -> list[_Choice]:
        rule, matrices = self.rules[layer.weight], layer.layout.matrices
        source = self.exact.tensors[layer.weight]
        exact = source.unpack()
        bias = self.biases.get(layer.node.outputs[0])
        sizes, errors, effects = [], [], []
        known = statistics.centred() if rule.method == "rate" and bias is not None else statistics
        expected = known.shrunk(share_of_chance(known, rule.shrink)) if rule.method == "rate" else known
        tried = RATES if rule.method == "rate" else settings
        for setting in tried:
            packed = self.packed(layer, setting, known)
            difference = matrices(packed.unpack()).astype(np.float64) - matrices(exact)
            moved = statistics.shift(matrices(packed.unpack()), matrices(exact))
            mended = 0.0 if bias is None or rule.method == "rate" else float((moved**2).sum())  # by the bias
            sizes.append(_coded_bytes(packed))
            errors.append(max(float(expected.error(difference).sum()) - mended, 0.0))
            seen = float(known.error(difference).sum()) - mended
            if setting == tried[len(tried) // 3] and seen > 0:
                changed = {layer.weight: packed} | ({} if bias is None else {bias.name: self.moved(bias, moved)})
                effects.append(self.effect(changed) / seen)
        weight = effects[0] if effects else 0.0
        found = zip(tried, sizes, errors, strict=True)
        choices = [_Choice(setting, size, weight * error) for setting, size, error in found]
        return _between(choices) if rule.method == "rate" else choices

    def packed(self, layer: Layer, setting: float, known: Statistics) -> PackedTensor:
        """The layer's weights by its rule at a setting."""
        rule, source = _with(self.rules[layer.weight], setting), self.exact.tensors[layer.weight]
        scheme = _along(rule.scheme, layer)
        data = array_bytes(source.unpack())
        if rule.prunes:
            data = pruning.prune(data, source.dtype, layer.shape, scheme, rule, statistics=known, name=layer.weight)
        settings = Settings.of(rule, known)
        return method(rule.method).pack(data, source.dtype, layer.shape, scheme, name=layer.weight, settings=settings)

    def sizes(self, layer: Layer, statistics: Statistics) -> list[_Choice]:
        """Bytes at each rate of the network; errors follow from the rate."""
        known = statistics if self.biases.get(layer.node.outputs[0]) is None else statistics.centred()
        return [_Choice(rate, _coded_bytes(self.packed(layer, rate, known)), 0.0) for rate in NETWORK_RATES]

    def moved(self, bias: Bias, by: npt.NDArray[np.float64]) -> PackedTensor:
        before = self.tensor(bias.name).unpack()
        return pack((before - bias.factor * by.reshape(before.shape)).astype(before.dtype))

    def effect(self, changed: Mapping[str, PackedTensor]) -> float:
        """Mean squared error of the outputs as a share of their variance."""
        errors = [
            np.mean((y - z).astype(np.float64) ** 2) for y, z in zip(self.run(changed), self.outputs, strict=True)
        ]
        return float(sum(errors)) / self.strength


def _between(choices: list[_Choice]) -> list[_Choice]:
    """More choices between these: bytes in a straight line over the rate's logarithm, cost on logarithmic scales."""
    at = np.linspace(0, len(choices) - 1, (len(choices) - 1) * BETWEEN + 1)
    whole = np.arange(len(choices))
    rates, costs = (
        np.exp(np.interp(at, whole, np.log(np.maximum(column, 1e-300))))
        for column in ([each.setting for each in choices], [each.cost for each in choices])
    )
    sizes = np.interp(at, whole, [each.nbytes for each in choices])
    return [_Choice(float(f"{rate:.3g}"), nbytes, cost) for rate, nbytes, cost in zip(rates, sizes, costs, strict=True)]


def _least(choices: Mapping[str, list[_Choice]], limit: float) -> dict[str, _Choice]:
    """The choice for each layer: of least cost in all that fits."""

    def best(price: float) -> dict[str, _Choice]:
        return {
            name: min(items, key=lambda c: (c.cost + price * c.nbytes, c.nbytes)) for name, items in choices.items()
        }

    def size(chosen: Mapping[str, _Choice]) -> float:
        return sum(choice.nbytes for choice in chosen.values())

    smallest = {name: min(items, key=lambda c: c.nbytes) for name, items in choices.items()}
    if size(smallest) > limit:
        raise SchemeError(
            f"the layers take {size(smallest):.0f} bytes at least, and {max(limit, 0):.0f} are left for them"
        )
    low, high = 1e-30, 1e30  # cost a byte
    if size(best(0.0)) <= limit:
        return best(0.0)
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if size(best(middle)) <= limit else (middle, high)
    chosen = best(high) if size(best(high)) <= limit else smallest
    # What is left over goes to the single steps that gain most a byte.
    while True:
        left = limit - size(chosen)
        steps = [
            ((chosen[name].cost - c.cost) / (c.nbytes - chosen[name].nbytes), name, c)
            for name, items in choices.items()
            for c in items
            if 0 < c.nbytes - chosen[name].nbytes <= left and c.cost < chosen[name].cost
        ]
        if not steps:
            return chosen
        _, name, choice = max(steps, key=lambda step: step[:2])
        chosen = {**chosen, name: choice}


def _smallest(choices: Mapping[str, list[_Choice]], error: float) -> dict[str, _Choice]:
    """The choice for each layer: of the fewest bytes in all whose costs stay under the limit."""
    least = sum(min(choice.cost for choice in items) for items in choices.values())
    if not error >= least:
        raise SchemeError(f"the layers have an error of {least:.3g} at least, and the limit is {error:.3g}")
    turned = {name: [_Choice(c.setting, c.cost, c.nbytes) for c in items] for name, items in choices.items()}
    return {name: _Choice(c.setting, c.cost, c.nbytes) for name, c in _least(turned, error).items()}


def _one_rate(choices: Mapping[str, list[_Choice]], limit: float) -> float:
    """The rate at which all layers together take so many bytes: bytes in straight lines over the rate's logarithm."""
    sizes = np.array([[choice.nbytes for choice in items] for items in choices.values()]).sum(0)
    if limit < sizes[-1]:
        raise SchemeError(f"the layers take {sizes[-1]:.0f} bytes at least, and {max(limit, 0):.0f} are left for them")
    rates = np.log(NETWORK_RATES)
    return float(f"{math.exp(np.interp(-limit, -sizes, rates)):.4g}")


def _at(rule: Rule, rate: float) -> Rule:
    return replace(rule, rate=rate) if rule.method == "rate" and rule.is_calibrated else rule


def _rest(source: Any, base: Recipe, rules: Mapping[str, Rule]) -> float:
    """Bytes of the file that are not the layers' streams."""
    import tempfile

    uncalibrated = tuple(_plain(rule) if rule.is_calibrated or rule.prunes else rule for rule in base.rules)
    plain = compress(source, replace(base, rules=uncalibrated))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plain.bp"
        plain.save(path)
        return path.stat().st_size - sum(_coded_bytes(plain.tensors[name]) for name in rules)


def _plain(rule: Rule) -> Rule:
    """A rule of eight bits, without calibration and zeros, for the same tensors."""
    dense = replace(rule, sparsity=None, threshold=None, score="magnitude", scheme=_dense(rule.scheme))
    return replace(_with(replace(dense, method="round"), 8), range="minmax", correct=False)


def _dense(scheme: Scheme) -> Scheme:
    return replace(scheme, structure=Structure.DENSE, pattern=(0, 0))


def _coded_bytes(tensor: PackedTensor) -> float:
    """Bytes of a tensor whose codes, and bytes of the mask, take their entropy, where they are coded."""
    sizes = {role: float(stream.nbytes) for role, stream in tensor.streams.items()}
    if tensor.scheme.coding != "raw":
        sizes[Role.CODES] = entropy(tensor.codes()[tensor.mask()]) / 8
        if Role.MASK in sizes:
            sizes[Role.MASK] = min(sizes[Role.MASK], entropy(np.frombuffer(tensor.streams[Role.MASK], np.uint8)) / 8)
    return sum(sizes.values())


def _with(rule: Rule, setting: float) -> Rule:
    """A rule of so many bits; of such a share of zeros, where it prunes; of such a rate, where it is rate-aware."""
    if rule.method == "rate":
        return replace(rule, rate=setting)
    if rule.prunes:
        if setting == 0:
            return replace(rule, sparsity=None, score="magnitude", scheme=_dense(rule.scheme))
        return replace(rule, sparsity=setting)
    assert isinstance(rule.scheme.values, Integer)
    return replace(rule, scheme=replace(rule.scheme, values=replace(rule.scheme.values, bits=int(setting))))


def _along(scheme: Scheme, layer: Layer) -> Scheme:
    """A scheme of an axis along the layer's outputs."""
    assert isinstance(scheme.values, Integer)
    if scheme.values.granularity is not Granularity.AXIS:
        return scheme
    return replace(scheme, values=replace(scheme.values, axis=int(layer.layout.transposed)))


def _literal(name: str) -> str:
    """A pattern that matches this name alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
