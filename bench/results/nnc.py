"""NNCodec (ISO/IEC 15938-17, Fraunhofer HHI) as a peer: its bitstream of a state dict, written and decoded."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt

__all__ = ["installed", "pressed"]

Arrays = dict[str, npt.NDArray[np.float32]]
# What it imports for its own examples (torchvision, TensorFlow, data sets), none of which coding needs.
UNUSED = ("use_case_init", "tensorflow_model", "applications", "applications.utils", "applications.datasets")


def installed() -> bool:
    """Whether the package is there: pip install --no-deps nncodec."""
    return importlib.util.find_spec("nncodec") is not None


def _library() -> ModuleType:
    for name in UNUSED:
        sys.modules.setdefault(f"nncodec.framework.{name}", mock.MagicMock(__path__=[], __spec__=None))
    return importlib.import_module("nncodec.nnc")


def pressed(tensors: Mapping[str, npt.NDArray[Any]], path: Path, qp: int) -> Arrays:
    """Write the bitstream of some tensors, with its step sizes optimised (``opt_qp``) and dependent quantization, to
    ``path``; what it decodes to."""
    library = _library()
    given = {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
    library.compress(given, bitstream_path=str(path), qp=qp, opt_qp=True, use_dq=True, row_skipping=True)
    decoded: Mapping[str, Any] = library.decompress(str(path))
    return {name: np.asarray(decoded[name], np.float32).reshape(array.shape) for name, array in given.items()}
