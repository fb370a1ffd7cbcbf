"""convert: a prepared module becomes the network that the file holds, and that network as a Model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..compression import compress
from ..errors import SchemeError
from ..graph import Graph
from ..methods import method
from ..model import Model
from ..recipe import Recipe
from ..scheme import Codebook, Coded, Granularity, Structure
from ..tensor import PackedTensor, Role
from .activations import remove_rounded_inputs
from .prepare import names_of
from .pressed import Pressed

__all__ = ["convert", "with_graph"]


@torch.no_grad()
def convert(
    module: nn.Module,
    recipe: Recipe | None = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    metadata: dict[str, str] | None = None,
) -> Model:
    """End the training of a prepared module: it becomes the very network that the returned Model holds, bit for bit.

    In place: each pressed parameter is a plain one again, with the values that the file gives back (pruned weights are
    +0); rounded activations are dropped. ``recipe``: for tensors that ``prepare`` left alone (by default they are
    stored as they are); what it rounds, the module gets back rounded too. Tied parameters stay tied and are stored
    once, under their first name.

    With ``example_inputs`` (a tensor for each argument, of two rows or more) the Model has the graph, by torch's ONNX
    exporter, and can be run; without, it is the state dict. Raises SchemeError where the module is not prepared, or
    where the exporter changed a pressed tensor so that its codes cannot hold it.
    """
    places = names_of(module)
    if not places:
        raise SchemeError("the module is not prepared: nothing to convert")
    packed: dict[str, PackedTensor] = {}
    for name, where in places.items():
        owner, attribute = where[0]
        chain = owner.parametrizations[attribute]
        pressed: Pressed = chain[0]
        packed[name] = pressed.packed(chain.original.detach())
        values = torch.from_numpy(packed[name].unpack().copy()).to(chain.original.device)
        for each, title in where:
            parametrize.remove_parametrizations(each, title, leave_parametrized=False)
        getattr(owner, attribute).copy_(values)
    remove_rounded_inputs(module)
    packed |= _rest(module, recipe or Recipe(), packed)
    return with_graph(module, packed, example_inputs, metadata)


def with_graph(
    module: nn.Module,
    packed: dict[str, PackedTensor],
    example_inputs: Sequence[Any] | None,
    metadata: dict[str, str] | None = None,
) -> Model:
    """The Model of a module whose state dict ``packed`` holds bit for bit: with its graph where there are inputs."""
    if example_inputs is None:
        return Model(packed, None, metadata or {})
    plain = compress(module, Recipe(), example_inputs=example_inputs)
    assert plain.graph is not None
    tensors, graph = _into(plain.tensors, plain.graph, packed)
    return Model(tensors, graph, {**plain.metadata, **(metadata or {})})


def _rest(module: nn.Module, recipe: Recipe, done: dict[str, PackedTensor]) -> dict[str, PackedTensor]:
    """The state dict's other tensors, each once; what the recipe rounds is put back into the module."""
    seen = {id(value) for name, value in module.state_dict(keep_vars=True).items() if name in done}
    kept = Recipe(tuple(replace(rule, sparsity=None, threshold=None) for rule in recipe.rules), recipe.ignore)
    packed: dict[str, PackedTensor] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor) or id(value) in seen:
            continue
        seen.add(id(value))
        plain = compress({name: value}, Recipe()).tensors[name]
        rule = kept.rule_for(name, plain.shape, plain.dtype)
        if rule is not None and plain.elements:
            plain = method(rule.method).pack(plain.to_bytes(), plain.dtype, plain.shape, rule.scheme, name=name)
            if isinstance(rule.scheme.values, Coded):
                value.copy_(torch.from_numpy(plain.unpack().copy()))
        packed[name] = plain
    return packed


def _into(plain: Any, graph: Graph, packed: dict[str, PackedTensor]) -> tuple[dict[str, PackedTensor], Graph]:
    """The graph's tensors, each by the packed one that holds its elements: under its name, else by its elements."""
    by_bytes: dict[bytes, str] = {}
    for name, tensor in packed.items():
        for candidate in (tensor, _transposed(tensor)):
            if candidate is not None:
                by_bytes.setdefault(_key(candidate), name)
    tensors: dict[str, PackedTensor] = {}
    found: set[str] = set()
    for name in plain:
        exact = plain[name]
        held = packed.get(name)
        if held is None or _key(held) != _key(exact):
            held = packed.get(by_bytes.get(_key(exact), ""))
            if held is not None and held.shape != exact.shape:
                held = _transposed(held)
        tensors[name] = exact if held is None else held
        if held is not None:
            found.add(by_bytes[_key(exact)])
    lost = [
        name
        for name, tensor in packed.items()
        if isinstance(tensor.scheme.values, Coded) and by_bytes[_key(tensor)] not in found
    ]
    if lost:
        raise SchemeError(f"{lost[0]}: the exported graph does not read it as it is, so its codes cannot be stored")
    return tensors, graph


def _key(tensor: PackedTensor) -> bytes:
    """What tells equal elements: a hash, since a network may be large."""
    about = hashlib.sha256(repr((tensor.dtype, tensor.shape)).encode())
    about.update(tensor.to_bytes())
    return about.digest()


def _transposed(tensor: PackedTensor) -> PackedTensor | None:
    """A matrix the other way round; None for other tensors, and for scales a group, vectors and N:M, which follow
    rows."""
    if len(tensor.shape) != 2 or tensor.scheme.structure is Structure.NM:
        return None
    values = tensor.scheme.values
    if not isinstance(values, Coded) or values.granularity is Granularity.GROUP:
        return None
    if isinstance(values, Codebook) and values.vector > 1:
        return None
    scheme = tensor.scheme
    if values.granularity is Granularity.AXIS:
        scheme = replace(scheme, values=replace(values, axis=1 - values.axis))
    options: dict[str, Any] = {"dtype": tensor.dtype}
    if scheme.is_sparse:
        scheme = replace(scheme, pattern=scheme.pattern[::-1])
        options["mask"] = np.ascontiguousarray(tensor.mask().T)
    if Role.ZEROS in tensor.streams:
        options["zeros"] = tensor.zeros()
    if Role.CODEBOOK in tensor.streams:
        options["book"] = tensor.book()
    return PackedTensor.from_codes(np.ascontiguousarray(tensor.codes().T), tensor.scales(), scheme, **options)
