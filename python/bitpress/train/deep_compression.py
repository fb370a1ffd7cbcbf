"""Deep Compression as published (Han, Mao and Dally 2016, arXiv:1510.00149): prune, retrain, share weights by k-means,
retrain the centroids, Huffman-code indices and positions."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import FormatError, SchemeError
from ..model import Model
from ..recipe import Recipe, Rule
from ..scheme import Scheme
from ..tensor import PackedTensor, pack
from .batches import Loader
from .distill import fit
from .prepare import names_of, prepare, pressed_in

__all__ = ["deep_compression", "deep_decompression", "k_means", "relative", "unrelative"]

_LAYERS = "deep_compression.layers"


def k_means(values: npt.NDArray[Any], count: int, rounds: int = 50) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Centroids, float32 [at most count], rising, and each value's, by Lloyd's rounds from a linear beginning.

    ``values``: [n], n >= 1. The paper found equal distances between least and greatest the best beginning.
    """
    flat = values.reshape(-1).astype(np.float64)
    centroids = np.unique(np.linspace(flat.min(), flat.max(), count))
    for _ in range(rounds):
        index = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, flat)
        total = np.bincount(index, flat, centroids.size)
        members = np.bincount(index, minlength=centroids.size)
        moved = np.where(members > 0, total / np.maximum(members, 1), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = np.sort(moved)
    index = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, flat)
    used, index = np.unique(index, return_inverse=True)
    return centroids[used].astype(np.float32), index.astype(np.int64)


def relative(mask: npt.NDArray[np.bool_], bits: int) -> npt.NDArray[np.uint8]:
    """How many zeros lie before each survivor, in row-major order: symbols of ``bits`` bits, 1 to 8.

    The greatest symbol stands for as many zeros and no survivor (the paper stores a zero weight there, which costs an
    index more). Zeros after the last survivor are not told.
    """
    most = 2**bits - 1
    places = np.flatnonzero(mask.reshape(-1))
    gaps = np.diff(places, prepend=-1) - 1
    full, rest = gaps // most, gaps % most
    symbols = np.full(int(full.sum()) + gaps.size, most, np.uint8)
    symbols[np.cumsum(full + 1) - 1] = rest
    return symbols


def unrelative(symbols: npt.NDArray[np.uint8], bits: int, size: int) -> npt.NDArray[np.bool_]:
    """The mask, flat, that ``relative`` told. FormatError where it does not fit into ``size``."""
    most = 2**bits - 1
    ends = np.cumsum(np.where(symbols == most, most, symbols.astype(np.int64) + 1))
    places = ends[symbols != most] - 1
    if places.size and int(places[-1]) >= size:
        raise FormatError(f"positions beyond the {size} weights")
    mask = np.zeros(size, np.bool_)
    mask[places] = True
    return mask


class _Shared(nn.Module):
    """A parametrization: survivors are centroids, which learn the sum of their members' gradients."""

    mask: Tensor
    index: Tensor

    def __init__(self, centroids: npt.NDArray[np.float32], index: npt.NDArray[np.int64], mask: Tensor) -> None:
        super().__init__()
        self.centroids = nn.Parameter(torch.from_numpy(centroids).to(mask.device))
        self.register_buffer("mask", mask)
        self.register_buffer("index", torch.from_numpy(index).to(mask.device))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that the centroids make."""
        return torch.zeros_like(weight).masked_scatter(self.mask, self.centroids[self.index])


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
    **options: Any,
) -> Model:
    """Press a trained ``module`` in place by the published recipe, and return its file.

    1. Of each weight of two dimensions or more the share ``keep`` of greatest magnitudes survives, the rest is zero;
    2. survivors learn on for ``epochs[0]``; 3. those of a layer become 2**``bits`` shared values, by k-means from a
    linear beginning; 4. these learn on for ``epochs[1]``; 5. their indices, and how many zeros lie before each survivor
    (``index_bits``), are Huffman-coded. ``keep`` and ``bits`` are numbers, or numbers by name pattern. ``options`` are
    those of ``fit``.

    Biases are float32, as in the paper. The file holds, for each layer, the U8 tensors ``NAME.indices`` and
    ``NAME.gaps`` and its ``NAME.centroids``: bitpress has no codebook values to run from, so ``deep_decompression``
    makes weights of them. The module then has exactly these. Shapes and index bits stand in the file's metadata.
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
            survivors = weight.detach()[masks[name]].cpu().numpy()
            if not survivors.size:
                raise SchemeError(f"{name}: no weight survives: keep more")
            shared = _Shared(*k_means(survivors, 2 ** int(_of(bits, name, "bits"))), masks[name])
            parametrize.register_parametrization(owner, attribute, shared, unsafe=True)
    fit(module, loader, epochs=epochs[1], seed=seed + 1, name="centroids", **{**options, "after_step": None})
    packed: dict[str, PackedTensor] = {}
    layers: dict[str, list[int]] = {}
    coded = Scheme.lossless(coding="huffman")
    for name, where in places.items():
        owner, attribute = where[0]
        shared = owner.parametrizations[attribute][0]
        layers[name] = list(shared.mask.shape)
        packed[f"{name}.indices"] = pack(shared.index.cpu().numpy().astype(np.uint8), coded)
        packed[f"{name}.gaps"] = pack(relative(shared.mask.cpu().numpy(), index_bits), coded)
        packed[f"{name}.centroids"] = pack(shared.centroids.detach().cpu().numpy().copy())
        for each, title in where:
            parametrize.remove_parametrizations(each, title, leave_parametrized=True)
    for name, value in module.state_dict().items():
        if name not in layers:
            packed[name] = pack(value.detach().cpu().numpy().copy())
    return Model(packed, None, {_LAYERS: json.dumps({"bits": index_bits, "shapes": layers}, separators=(",", ":"))})


def deep_decompression(model: Model) -> dict[str, npt.NDArray[Any]]:
    """The state dict that a file of ``deep_compression`` holds. FormatError where it is another's, or contradicts
    itself."""
    try:
        told = json.loads(model.metadata[_LAYERS])
        bits, shapes = int(told["bits"]), {str(name): tuple(map(int, dims)) for name, dims in told["shapes"].items()}
        arrays = {name: tensor.unpack() for name, tensor in model.tensors.items()}
        for name, shape in shapes.items():
            symbols, index, centroids = (arrays.pop(f"{name}.{part}") for part in ("gaps", "indices", "centroids"))
            weight = np.zeros(shape, np.float32)
            weight.reshape(-1)[unrelative(symbols, bits, weight.size)] = centroids[index]
            arrays[name] = weight
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise FormatError(f"not a file of deep_compression: {error!r}") from None
    return arrays
