"""torch: state dicts, checkpoints (read with ``weights_only``, so that no pickled code runs) and modules."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FormatError, UnsupportedError
from . import ArraySource, Source, TensorSpec

if TYPE_CHECKING:
    import torch

__all__ = ["load", "of_module", "spec_of", "to_array"]

# Under which a training checkpoint is known to keep the network's own weights.
STATE_KEYS = ("state_dict", "model_state_dict", "model")
_NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "uint16": "U16",
    "int32": "I32",
    "uint32": "U32",
    "int64": "I64",
    "uint64": "U64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e8m0fnu": "F8_E8M0",
    "complex64": "C64",
}


def spec_of(name: str, tensor: torch.Tensor) -> TensorSpec:
    """dtype and shape; UnsupportedError names a tensor that is sparse, quantized, on ``meta`` or of another dtype."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if str(tensor.layout) != "torch.strided" or kind not in _NAMES:
        raise UnsupportedError(f"{name}: a {tensor.layout} tensor of {tensor.dtype} cannot be stored")
    if tensor.is_meta:
        raise UnsupportedError(f"{name}: on torch's meta device, so it has no elements")
    return TensorSpec(_NAMES[kind], tuple(tensor.shape))


def to_array(name: str, tensor: torch.Tensor) -> np.ndarray:
    """The elements as little-endian bytes, uint8 [bytes]; shares memory where the tensor is contiguous, on the CPU."""
    import torch

    spec_of(name, tensor)
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    array: np.ndarray = flat.view(torch.uint8).numpy()
    return array


def load(path: Path) -> Source:
    """A checkpoint as a Source: a state dict, or a mapping that has one under ``STATE_KEYS``; its tensors, flattened.

    Raises FormatError where the file is not a checkpoint, or one that only unpickling arbitrary objects could read;
    UnsupportedError where torch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise UnsupportedError(f"{path}: reading it needs torch (pip install bitpress[torch])") from None
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"  # older checkpoints are bare pickles, which cannot be mapped
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols and old storages
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        what = f"{path}: not a checkpoint of tensors alone, and code in it is not run"
        raise FormatError(f"{what}: {_line(error)}") from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
        raise FormatError(f"{path}: not a torch checkpoint: {_line(error)}") from None
    return ArraySource(_state(found, path))


def of_module(module: torch.nn.Module, example_inputs: Any = None) -> Source:
    """A module as a Source: its state dict, or, with ``example_inputs``, its graph too, by torch's ONNX exporter."""
    if example_inputs is None:
        return ArraySource(module.state_dict())
    from .onnx import load as load_onnx
    from .torch_export import export

    return load_onnx(export(module, example_inputs))


def _line(error: Exception) -> str:
    """The first line of a message that torch wrote."""
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__


def _state(found: Any, path: Path) -> dict[str, Any]:
    import torch

    if isinstance(found, torch.Tensor):
        return {"tensor": found}
    if isinstance(found, Mapping):
        for key in STATE_KEYS:
            if isinstance(found.get(key), Mapping):
                found = found[key]
                break
    tensors = dict(_tensors(found, ""))
    if not tensors:
        raise FormatError(f"{path}: a checkpoint without tensors")
    return tensors


def _tensors(found: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Tensors in nested mappings and lists, names joined by dots; anything else in them is passed over."""
    import torch

    if isinstance(found, torch.Tensor):
        yield prefix, found
    elif isinstance(found, Mapping):
        for key, value in found.items():
            yield from _tensors(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(found, list | tuple):
        for index, value in enumerate(found):
            yield from _tensors(value, f"{prefix}.{index}" if prefix else str(index))
