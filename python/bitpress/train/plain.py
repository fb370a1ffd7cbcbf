"""Networks by import path, batches of plain arrays, weights in files: what a command line has to offer for training."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ..errors import FormatError, SchemeError
from ..importers import TensorSpec
from ..importers.torch import spec_of, to_array

__all__ = ["load_weights", "loader", "network", "weights"]


def network(spec: str, *, seed: int = 0) -> nn.Module:
    """The network that ``module:factory`` makes under this seed, with the current folder searched first.

    SchemeError where the text is not of this form, where importing or making fails, or where no torch module comes out.
    """
    module_name, _, factory = spec.partition(":")
    if not module_name or not factory:
        raise SchemeError(f"{spec}: write it as module:factory, such as nets:teacher")
    if "" not in sys.path:
        sys.path.insert(0, "")
    torch.manual_seed(seed)
    try:
        made = getattr(importlib.import_module(module_name), factory)()
    except Exception as error:
        raise SchemeError(f"{spec}: {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise SchemeError(f"{spec}: made a {type(made).__name__}, not a torch.nn.Module")
    return made


def _inputs(x: np.ndarray) -> Tensor:
    if x.dtype == np.uint8:
        return torch.from_numpy(x.astype(np.float32) / np.float32(255))
    if x.dtype.kind not in "fiu":
        raise SchemeError(f"x must be numbers, not {x.dtype}")
    return torch.from_numpy(x.astype(np.float32 if x.dtype.kind == "f" else np.int64))


def loader(x: np.ndarray, y: np.ndarray | None, *, batch: int, seed: int = 0, shuffle: bool = True) -> Any:
    """Batches of rows ``x`` and of class numbers ``y``, where given. SchemeError where they do not fit each other.

    uint8 rows are scaled to 0..1; other floats become float32, other whole numbers int64.
    """
    arrays = [_inputs(x)]
    if y is not None:
        if y.dtype.kind not in "iu" or y.ndim != 1:
            raise SchemeError(f"y must be one whole number a row, not {y.dtype} of {y.ndim} dimensions")
        arrays.append(torch.from_numpy(y.astype(np.int64)))
    if x.ndim == 0 or len(x) == 0:
        raise SchemeError("x is empty")
    if len({len(array) for array in arrays}) != 1:
        raise SchemeError(f"x has {len(arrays[0])} rows, y has {len(arrays[1])}")
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(*arrays), batch_size=batch, shuffle=shuffle, generator=generator)


def load_weights(path: str | os.PathLike[str], model: nn.Module) -> None:
    """Put the state dict of a .pt file into ``model``; read with weights_only. FormatError where it does not fit."""
    try:
        with warnings.catch_warnings():  # torch says more about a bad pickle than the error does
            warnings.simplefilter("ignore")
            model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, TypeError, AttributeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        said = (str(error) or type(error).__name__).splitlines()
        raise FormatError(f"{os.fspath(path)}: is no state dict of this network: {said[0]}") from None


def weights(model: nn.Module) -> Iterator[tuple[str, TensorSpec, memoryview]]:
    """Each tensor of the state dict: name, dtype and shape, bytes. UnsupportedError names one that has none."""
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor):
            yield name, spec_of(name, tensor), to_array(name, tensor).data
