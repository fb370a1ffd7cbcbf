"""press_: layers of a torch module hold their weights packed, in place, and unpack them when they run."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..compression import compress
from ..dtypes import array_bytes
from ..errors import BitpressError, FormatError, SchemeError
from ..importers.torch import to_array
from ..recipe import Recipe
from ..scheme import Integer, Keep, Scheme
from ..tensor import PackedTensor, Report, Role

__all__ = ["PackedWeight", "PressReport", "press_"]

_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}


class PackedWeight(nn.Module):
    """A weight as its streams: uint8 buffers named by role, and how they are to be read in the extra state.

    ``state_dict`` is made of tensors alone, so ``torch.load(weights_only=True)`` reads it; loading checks every byte
    that later reads rely on, and takes streams of any length that fit what is loaded.
    """

    def __init__(self, tensor: PackedTensor) -> None:
        super().__init__()
        self._about: dict[str, Any] = {}
        self._hold(tensor)

    def _hold(self, tensor: PackedTensor) -> None:
        self._about = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "scheme": [int(number) for number in tensor.scheme.numbers],
            "coding": tensor.scheme.coding,
        }
        for name in [role.name.lower() for role in Role]:
            self._buffers.pop(name, None)
        for role, stream in tensor.streams.items():
            self.register_buffer(role.name.lower(), torch.from_numpy(np.frombuffer(stream, np.uint8).copy()))

    @property
    def tensor(self) -> PackedTensor:
        """The same streams as a PackedTensor, sharing memory where they are on the CPU."""
        return _tensor_of(self._about, dict(self._buffers))

    def unpack(self) -> Tensor:
        """The weight, on the buffers' device."""
        tensor = self.tensor
        return _floats(bytearray(tensor.to_bytes()), tensor.dtype, tensor.shape).to(self._device())

    def rows(self, indices: Tensor) -> Tensor:
        """Those rows of the first axis, [indices, ...]: the others are not unpacked."""
        tensor = self.tensor
        width = math.prod(tensor.shape[1:])
        if not isinstance(tensor.scheme.values, Integer) or tensor.scheme.is_sparse:
            return self.unpack()[indices.to(self._device())]
        values = np.empty((len(indices), width), np.float32)
        for place, row in enumerate(indices.tolist()):
            values[place] = tensor.floats(row * width, width)
        made = torch.from_numpy(values).to(_DTYPES[tensor.dtype]).reshape(len(indices), *tensor.shape[1:])
        return made.to(self._device())

    def _device(self) -> torch.device:
        return next(self.buffers()).device

    def get_extra_state(self) -> Tensor:
        """How the streams are to be read: JSON as bytes, since a state dict is of tensors."""
        return torch.frombuffer(bytearray(json.dumps(self._about).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Nothing: it is read together with the streams."""

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        about = state_dict.get(f"{prefix}_extra_state")
        if about is None:
            missing_keys.append(f"{prefix}_extra_state")
            return
        roles = {role.name.lower() for role in Role}
        names = [key.removeprefix(prefix) for key in state_dict if key.startswith(prefix)]
        unexpected_keys += [f"{prefix}{name}" for name in names if name not in roles and name != "_extra_state"]
        try:
            described = json.loads(about.cpu().numpy().tobytes())
            tensor = _tensor_of(described, {name: state_dict[prefix + name] for name in names if name in roles})
            if list(tensor.shape) != self._about["shape"]:
                raise FormatError(f"a weight of {list(tensor.shape)} for one of {self._about['shape']}")
            tensor.check(prefix.rstrip("."))
        except (BitpressError, ValueError, TypeError, KeyError, AttributeError) as error:
            error_msgs.append(f"{prefix.rstrip('.')}: not a packed weight for this layer: {error}")
            return
        device = self._device()
        self._hold(tensor)
        self.to(device)


def _tensor_of(about: dict[str, Any], buffers: dict[str, Tensor | None]) -> PackedTensor:
    streams = {
        Role[key.upper()]: array_bytes(to_array(key, value)) for key, value in buffers.items() if value is not None
    }
    if about["dtype"] not in _DTYPES:
        raise FormatError(f"a weight of {about['dtype']}")
    numbers: Any = (*about["scheme"][:3], bool(about["scheme"][3]), *about["scheme"][4:])
    scheme = Scheme.from_numbers(numbers, about["coding"])
    return PackedTensor(about["dtype"], tuple(about["shape"]), scheme, streams)


def _floats(data: bytearray, dtype: str, shape: tuple[int, ...]) -> Tensor:
    return torch.frombuffer(data, dtype=_DTYPES[dtype]).reshape(shape)


class _Packed:
    """What the packed layers share: ``weight`` is unpacked each time it is read, and cannot be trained or set."""

    packed: PackedWeight

    @property
    def weight(self) -> Tensor:
        weight = self.packed.unpack()
        bias = getattr(self, "bias", None)
        return weight if bias is None else weight.to(bias.dtype)


class PackedLinear(_Packed, nn.Linear):  # type: ignore[override]
    """nn.Linear over a packed weight."""


class PackedConv1d(_Packed, nn.Conv1d):  # type: ignore[override]
    """nn.Conv1d over a packed weight."""


class PackedConv2d(_Packed, nn.Conv2d):  # type: ignore[override]
    """nn.Conv2d over a packed weight."""


class PackedEmbedding(_Packed, nn.Embedding):  # type: ignore[override]
    """nn.Embedding over a packed table, of which only the rows that are asked for are unpacked."""

    def forward(self, input: Tensor) -> Tensor:
        if self.max_norm is not None or input.numel() == 0:
            return functional.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type)
        if int(input.min()) < 0 or int(input.max()) >= self.num_embeddings:
            raise IndexError("index out of range in self")
        rows, places = torch.unique(input, return_inverse=True)
        return self.packed.rows(rows)[places.to(self.packed._device())]


_PACKED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: PackedLinear,
    nn.Conv1d: PackedConv1d,
    nn.Conv2d: PackedConv2d,
    nn.Embedding: PackedEmbedding,
}


@dataclass(frozen=True)
class PressReport:
    """What press_ did: of each weight, once where it is tied, its name and what it takes; ``str`` is a table."""

    weights: dict[str, Report]
    kept: int  # bytes of parameters and buffers that are as they were

    @property
    def nbytes(self) -> int:
        """Bytes of all parameters and buffers now."""
        return self.kept + sum(report.nbytes for report in self.weights.values())

    @property
    def source_bytes(self) -> int:
        """Bytes of all parameters and buffers before."""
        return self.kept + sum(report.source_bytes for report in self.weights.values())

    def __str__(self) -> str:
        width = max((len(name) for name in self.weights), default=0)
        lines = [
            f"{name:<{width}}  {report.scheme}  {report.source_bytes:,} -> {report.nbytes:,} bytes"
            for name, report in self.weights.items()
        ]
        return "\n".join([*lines, f"all  {self.source_bytes:,} -> {self.nbytes:,} bytes"])


def press_(module: nn.Module, recipe: Recipe | None = None) -> PressReport:
    """Swap the weights of a module's Linear, Conv1d, Conv2d and Embedding layers for packed ones, in place.

    ``recipe`` (8-bit integers by default) is matched with the parameters' names; weights that it leaves as they are and
    subclasses of those layers, are not touched. A layer keeps its identity, hooks and bias, and its class becomes a
    subclass of what it was whose ``weight`` is unpacked each time it is read (an Embedding unpacks the rows it is asked
    for), so that memory holds the packed bytes and one layer's floats. Results are those of the rounded weights in
    torch; to run from the packed codes, export to a file. Tied weights are packed once and stay tied; gradients reach
    inputs and biases, not packed weights. ``state_dict`` holds the streams, ``load_state_dict`` takes them into a
    module that was pressed too, with any recipe; deepcopy and pickle work.

    Returns a report. Raises SchemeError where the recipe cannot hold a weight or needs calibration, or where a weight
    is parametrized.
    """
    places = _places(module)
    weights = {names[0]: layers[0].weight.detach() for names, layers in places}
    packed = compress(weights, Recipe.int(8) if recipe is None else recipe).tensors if weights else {}
    reports: dict[str, Report] = {}
    for names, layers in places:
        tensor = packed[names[0]]
        if not tensor.scheme.is_sparse and isinstance(tensor.scheme.values, Keep):
            continue
        reports[names[0]] = tensor.report()
        device = layers[0].weight.device
        held = PackedWeight(tensor).to(device)
        for layer in layers:
            del layer._parameters["weight"]
            layer.__class__ = _PACKED[type(layer)]
            layer.add_module("packed", held)
    owned = {id(value): value for value in (*module.parameters(), *module.buffers())}
    streams = {id(buffer) for each in module.modules() if isinstance(each, PackedWeight) for buffer in each.buffers()}
    kept = sum(value.numel() * value.element_size() for key, value in owned.items() if key not in streams)
    return PressReport(reports, kept)


def _places(module: nn.Module) -> list[tuple[list[str], list[Any]]]:
    """Each weight that can be packed, with the names and layers that share it."""
    found: dict[int, tuple[list[str], list[Any]]] = {}
    held_elsewhere: dict[int, str] = {}
    for path, layer in module.named_modules():
        for name, parameter in layer.named_parameters(recurse=False):
            full = f"{path}.{name}" if path else name
            if name == "weight" and type(layer) in _PACKED:
                names, layers = found.setdefault(id(parameter), ([], []))
                names.append(full)
                layers.append(layer)
            else:
                held_elsewhere[id(parameter)] = full
        if hasattr(layer, "parametrizations") and "weight" in layer.parametrizations:
            raise SchemeError(f"{path or 'the module'}: its weight is parametrized: convert it first")
    return [place for key, place in found.items() if key not in held_elsewhere]
