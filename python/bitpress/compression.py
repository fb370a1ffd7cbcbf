"""(Graph or tensors) + Recipe -> Model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .dtypes import dtype_of
from .errors import CalibrationError, SchemeError
from .graph import Graph, Node
from .importers import Source, open_source
from .methods import Sensitivity, magnitude, method
from .model import Model
from .plans import LazyTensors, Plan, Reader
from .recipe import Recipe
from .scheme import Coded, Granularity, Scheme, Structure
from .targets import check_target
from .tensor import PackedTensor, TensorSpec

if TYPE_CHECKING:
    from .calibrate import Progress

__all__ = ["compress"]


def compress(
    source: Any,
    recipe: Recipe | None = None,
    *,
    calibration: Any = None,
    sensitivity: Mapping[str, Sensitivity] | None = None,
    seed: int = 0,
    optimize: bool = True,
    example_inputs: Any = None,
    progress: Progress | None = None,
    resume: str | os.PathLike[str] | None = None,
    target: str | None = None,
) -> Model:
    """Press a network by a recipe: int8 per channel, Huffman-coded, where none is given.

    ``source``: a mapping of names to arrays or torch tensors (a state dict); a torch module; an ONNX ModelProto; or a
    path: ``.safetensors``, ``.safetensors.index.json`` (shards), a folder that holds one of them, ``.onnx`` (external
    data too), ``.pt .pth .bin .ckpt`` (torch; code in it is never run). With ``example_inputs`` (a sequence of tensors)
    a module is exported to a graph, so that the model can be run; else it is its state dict.

    ``calibration``: for rules that look at a layer's inputs (``Recipe.feedback``, the recipe where none is given): some
    tens to hundreds of typical inputs, without labels, as a mapping of input names to arrays [batch, ...], an array for
    a network of one input, an iterable of such (a torch loader too), the path of an .npz, or "none", for random inputs
    and a warning; `bitpress.calibrate` has ``images`` and ``texts`` that make them. The network is run on them, its
    layers are pressed at once, in the graph's order, and kept in memory packed; ``seed`` draws which positions of a
    convolution are looked at, and ``progress(layer, done, layers)`` is called after each. ``resume``: a folder that
    keeps each layer when it is pressed; the same call, after it was killed, goes on from there to the same bytes.

    ``sensitivity``: what the outputs feel of each layer, by its weight's name (`bitpress.torch.sensitivity`);
    rate-aware rounding then weighs layers, outputs and embeddings by it.

    ``optimize``: fold batch norms and fuse activations of a graph, and hold what MatMul reads as bitmaps transposed
    ([outputs, inputs]); norms are not folded where the recipe is lossless, since that changes weights.

    ``target``: the CPUs that the file is laid out for: "generic" (the default), "x86-64-v3" (AVX2), "x86-64-v4"
    (AVX-512) or "armv8". Matrices of 2-, 4- and 8-bit codes then stand as those CPUs multiply them; every CPU runs the
    file, with the same results.

    Weights that an ONNX file holds as integer codes (DequantizeLinear of constants, the operators that multiply codes,
    MatMulNBits) are taken over: the same codes, scales and zero points, under the coding of the rule that names them.

    Tensors of a file are read, pruned and packed one by one when the model is asked for them (or saved), so a file
    larger than memory needs room for its largest tensor only; errors in a tensor's values appear then. Tensors that
    are in memory already are packed at once. The same source and recipe give the same bytes.

    Raises SchemeError where a rule cannot hold a tensor (NaN, an axis it lacks), UnsupportedError for a source, dtype
    or operator that bitpress does not have, CalibrationError for inputs that do not fit the network, FormatError for a
    file of another kind, OSError where it cannot be read.
    """
    if target is not None:
        check_target(target)
    if recipe is None:
        recipe = Recipe.int() if calibration is None else Recipe.feedback()
    opened = open_source(source, example_inputs)
    quantized: Mapping[str, Any] = getattr(opened, "quantized", {})
    graph, read, described = _optimized(opened, recipe, optimize, quantized.keys())
    readers = {} if graph is None else graph.consumers()
    plans = {
        name: _taken_over(spec, quantized[name], recipe, readers.get(name, []))
        if name in quantized
        else _plan(spec, recipe, readers.get(name, []))
        for name, spec in described.items()
    }
    _rank_models(plans, read)
    tensors = LazyTensors(plans, read)
    tensors.share_books()
    if _is_calibrated(plans, graph, calibration):
        assert graph is not None
        from .calibrate import press_layers, read_data  # only where it is asked for: it takes a while to import

        data = read_data(calibration, graph, {name: spec.shape for name, spec in described.items()})
        kept = None if resume is None else Path(resume)
        known = sensitivity or {}
        graph = press_layers(graph, tensors, data, known, seed=seed, progress=progress, resume=kept)
    metadata = {key: value for key, value in getattr(opened, "metadata", {}).items() if key != "format"}
    in_memory = not isinstance(source, str | os.PathLike)
    packed: Mapping[str, PackedTensor] = {name: tensors[name] for name in tensors} if in_memory else tensors
    return Model(packed, graph, {**metadata, **recipe.metadata}, target)


def _optimized(
    source: Source, recipe: Recipe, optimize: bool, fixed: Set[str]
) -> tuple[Graph | None, Reader, dict[str, TensorSpec]]:
    """The graph to be stored, what reads its tensors, and what they are before any scheme; ``fixed`` ones stay so."""
    described = {name: TensorSpec(name, spec.dtype, spec.shape) for name, spec in source.tensors.items()}
    if source.graph is None or not optimize:
        if recipe.channels or recipe.low_rank or recipe.equalize:
            raise SchemeError(
                "channels, equalize and low rank are for networks, such as an ONNX file, that may be optimized"
            )
        return source.graph, source.read, described
    from .passes import optimize as run_passes
    from .passes.sparse import hold_transposed

    graph, arrays = run_passes(source.graph, _Arrays(source), fold=not recipe.is_lossless, fixed=fixed)
    if recipe.channels:
        from .passes.channels import cut_channels

        graph, arrays = cut_channels(graph, arrays, recipe.channels, ignore=recipe.ignore, fixed=fixed)
    if recipe.equalize:
        from .passes.equalize import equalize

        graph, arrays = equalize(graph, arrays, ignore=recipe.ignore, fixed=fixed)
    if recipe.low_rank:
        from .passes.low_rank import split_products

        graph, arrays = split_products(graph, arrays, recipe.low_rank, ignore=recipe.ignore, fixed=fixed)
    for name in arrays.computed:
        array = arrays[name]
        described[name] = TensorSpec(name, dtype_of(array), array.shape)
    graph, arrays, turned = hold_transposed(graph, arrays, _sparse_matrices(graph, described, recipe) - fixed)
    described.update({name: replace(described[name], shape=described[name].shape[::-1]) for name in turned})
    return graph, arrays.__getitem__, {name: described[name] for name in arrays}


def _sparse_matrices(graph: Graph, described: Mapping[str, TensorSpec], recipe: Recipe) -> set[str]:
    """Second inputs of MatMul that are matrices of which the recipe makes bitmaps."""
    found = set()
    for name in {node.inputs[1] for node in graph.nodes if node.op == "MatMul"} & described.keys():
        spec = described[name]
        rule = recipe.rule_for(name, spec.shape, spec.dtype, "MatMul") if len(spec.shape) == 2 else None
        if rule is not None and rule.scheme.structure is Structure.BITMAP:
            found.add(name)
    return found


class _Arrays(Mapping[str, np.ndarray]):
    """A Source's tensors as a mapping that reads each when it is asked for."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, name: str) -> np.ndarray:
        return self._source.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._source.tensors)

    def __len__(self) -> int:
        return len(self._source.tensors)


def _plan(spec: TensorSpec, recipe: Recipe, readers: Sequence[Node]) -> Plan:
    """What becomes of a tensor; ``readers``: the nodes that read it, the first of which is what it is taken for."""
    name = spec.name
    node = readers[0] if readers else None
    rule = recipe.rule_for(name, spec.shape, spec.dtype, "" if node is None else node.op)
    if rule is None:
        return Plan(spec, None)
    method(rule.method)
    scheme = rule.scheme
    values = scheme.values
    if isinstance(values, Coded) and values.granularity is Granularity.AXIS:
        axis = _channel_axis(name, len(spec.shape), node) if rule.channel else values.axis
        if axis >= len(spec.shape):
            raise SchemeError(f"{name}: no axis {axis} in a tensor of {len(spec.shape)} dimensions")
        scheme = replace(scheme, values=replace(values, axis=axis))
    return Plan(replace(spec, scheme=_held(scheme, spec)), rule)


def _taken_over(spec: TensorSpec, source: Any, recipe: Recipe, readers: Sequence[Node]) -> Plan:
    """The plan of a tensor that comes as codes: it stays what it is, under the coding of its rule."""
    rule = recipe.rule_for(spec.name, spec.shape, spec.dtype, readers[0].op if readers else "")
    scheme = source.scheme.with_coding("raw" if rule is None else rule.scheme.coding)
    return Plan(replace(spec, scheme=scheme), None, taken=lambda: replace(source.packed(), scheme=scheme))


def _is_calibrated(plans: Mapping[str, Plan], graph: Graph | None, calibration: Any) -> bool:
    """Whether a rule looks at a layer's inputs; SchemeError where it cannot, CalibrationError where none does."""
    name = next((name for name, plan in plans.items() if plan.rule is not None and plan.rule.is_calibrated), None)
    if name is None:
        if calibration is not None:
            raise CalibrationError("calibration is given, but no rule of the recipe that matches a tensor looks at it")
        return False
    if calibration is None:
        raise SchemeError(f"{name}: its rule needs calibration: some inputs of the network")
    if graph is None:
        raise SchemeError(f"{name}: its rule needs a network to calibrate, such as an ONNX file, not tensors alone")
    return True


def _held(scheme: Scheme, spec: TensorSpec) -> Scheme:
    """A tensor without elements has nothing to press."""
    return scheme if spec.elements else Scheme()


def _channel_axis(name: str, rank: int, node: Node | None) -> int:
    """The axis along which a node's weights have one item an output channel; 0 where it is not known."""
    if node is None or rank < 2 or node.inputs.index(name) != 1:
        return 0
    if node.op == "MatMul" and not node.attributes.get("transB", 0):
        return rank - 1
    if node.op in ("Gemm", "MatMul"):
        return 0 if node.attributes.get("transB", 0) else 1
    return 1 if node.op == "ConvTranspose" else 0


def _rank_models(plans: Mapping[str, Plan], read: Reader) -> None:
    """Find the border of each rule that prunes over the whole model."""
    groups: dict[int, list[Plan]] = {}
    for plan in plans.values():
        if plan.rule is not None and plan.rule.scope == "model" and plan.rule.sparsity is not None:
            groups.setdefault(id(plan.rule), []).append(plan)
    for group in groups.values():
        rule = group[0].rule
        assert rule is not None and rule.sparsity is not None
        names = [plan.spec.name for plan in group]
        border = magnitude.find_border(names, lambda name: (read(name), plans[name].spec.dtype), rule.sparsity)
        for plan in group:
            plan.border = border
