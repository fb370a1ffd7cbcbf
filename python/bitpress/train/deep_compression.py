"""Deep Compression as published (Han, Mao and Dally 2016, arXiv:1510.00149): prune, retrain, share weights by k-means,
retrain the centroids, Huffman-code indices and positions."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..codebooks import Clusters, cluster
from ..errors import SchemeError
from ..model import Model
from ..recipe import Recipe, Rule
from ..scheme import Codebook, Scheme, Structure
from ..tensor import PackedTensor, pack
from .batches import Loader
from .convert import with_graph
from .distill import fit
from .prepare import names_of, prepare, pressed_in

__all__ = ["deep_compression"]


class _Shared(nn.Module):
    """A parametrization: survivors are centroids, which learn the sum of their members' gradients."""

    mask: Tensor
    index: Tensor

    def __init__(self, found: Clusters, mask: Tensor, values: Codebook) -> None:
        super().__init__()
        self.scheme = Scheme(Structure.BITMAP, values, "huffman")
        self.centroids = nn.Parameter(torch.from_numpy(found.book[:, 0].copy()).to(mask.device))
        self.register_buffer("mask", mask)
        self.register_buffer(
            "index", torch.from_numpy(found.codes.reshape(mask.shape).astype(np.int64)).to(mask.device)
        )

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that the centroids make."""
        return torch.where(self.mask, self.centroids[self.index], torch.zeros_like(weight))

    @torch.no_grad()
    def packed(self) -> PackedTensor:
        """The weight as it is stored."""
        codes = self.index.cpu().numpy().astype(np.uint8)
        book = self.centroids.detach().cpu().numpy().copy()
        none = np.zeros(0, np.float32)
        return PackedTensor.from_codes(codes, none, self.scheme, mask=self.mask.cpu().numpy(), book=book)


def _of(table: Mapping[str, float] | float, name: str, what: str) -> float:
    if not isinstance(table, Mapping):
        return table
    for pattern, value in table.items():
        if fnmatch.fnmatchcase(name, pattern):
            return value
    raise SchemeError(f"{name}: no {what} is given for it")


def deep_compression(
    module: nn.Module,
    loader: Loader,
    *,
    keep: Mapping[str, float] | float,
    bits: Mapping[str, float] | float = 5,
    index_bits: int = 5,
    epochs: tuple[int, int] = (10, 5),
    seed: int = 0,
    example_inputs: Sequence[Any] | None = None,
    **options: Any,
) -> Model:
    """Press a trained ``module`` in place by the published recipe, and return its file.

    1. Of each weight of two dimensions or more the share ``keep`` of greatest magnitudes survives, the rest is zero;
    2. survivors learn on for ``epochs[0]``; 3. those of a layer become 2**``bits`` shared values, by k-means
    (`bitpress.codebooks`); 4. these learn on for ``epochs[1]``; 5. their indices and the bitmap of where they stand are
    Huffman-coded. ``keep`` and ``bits`` (1 to 8) are numbers, or numbers by name pattern. ``options`` are those of
    ``fit``.

    Biases are float32, as in the paper. The paper tells positions by the zeros between survivors, Huffman-coded; a
    coded bitmap takes about as much, and the file runs as it is: with ``example_inputs`` the Model has the graph, as
    ``convert``'s. The module then has exactly the file's weights.
    """
    names = [name for name, weight in module.named_parameters() if weight.dim() > 1]
    rules = [Rule(name, Scheme(), sparsity=1 - _of(keep, name, "keep")) for name in names]
    press = prepare(module, Recipe(tuple(rules)))
    fit(module, loader, epochs=epochs[0], seed=seed, name="retrain", **{**options, "after_step": press.step})
    masks = {pressed.name: pressed.mask.clone() for pressed, _ in pressed_in(module) if pressed.mask is not None}
    places = names_of(module)
    for name, where in places.items():
        for owner, attribute in where:
            parametrize.remove_parametrizations(owner, attribute, leave_parametrized=True)
            weight = getattr(owner, attribute)
            mask = masks[name]
            if not mask.any():
                raise SchemeError(f"{name}: no weight survives: keep more")
            values = Codebook(int(_of(bits, name, "bits")))
            found = cluster(weight.detach().cpu().numpy(), values, mask=mask.cpu().numpy(), name=name)
            shared = _Shared(found, mask, values)
            parametrize.register_parametrization(owner, attribute, shared, unsafe=True)
    fit(module, loader, epochs=epochs[1], seed=seed + 1, name="centroids", **{**options, "after_step": None})
    packed: dict[str, PackedTensor] = {}
    for name, where in places.items():
        owner, attribute = where[0]
        packed[name] = owner.parametrizations[attribute][0].packed()
        for each, title in where:
            parametrize.remove_parametrizations(each, title, leave_parametrized=True)
    for name, value in module.state_dict().items():
        if name not in packed:
            packed[name] = pack(value.detach().cpu().numpy().copy())
    return with_graph(module, packed, example_inputs)
