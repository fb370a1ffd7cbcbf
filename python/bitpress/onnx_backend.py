"""bitpress as an ONNX backend (onnx.backend.base): the interface by which ONNX's own suites run an engine.

    import bitpress.onnx_backend as backend
    outputs = backend.run_model(onnx.load("model.onnx"), inputs)

Graph inputs that say a shape, axes or another thing that must be constant when a model is imported are bound when the
model is run: for each new content of them it is imported again. Values of element types that are narrower than any in
which networks run (F16, BF16, 8- and 4-bit floats, 4- and 2-bit integers) are F32, U8 or I8 in a session; here they
come and go as what the model says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.backend.base

from .compression import compress
from .dtypes import numpy_dtype
from .errors import UnsupportedError
from .importers.onnx import load
from .importers.onnx_operators import CONSTANT_INPUTS
from .importers.onnx_tensors import CARRIERS
from .recipe import Recipe
from .session import Session

__all__ = [
    "Backend",
    "BackendRep",
    "bind",
    "constant_inputs",
    "from_run",
    "prepare",
    "run_model",
    "supports_device",
    "to_run",
]


class BackendRep(onnx.backend.base.BackendRep):
    """A model made ready to run."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        stored = {tensor.name for tensor in model.graph.initializer}
        self._names = [value.name for value in model.graph.input if value.name not in stored]
        self._elements = {
            value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)
        }
        self._constants = constant_inputs(model)
        self._sessions: dict[tuple[bytes, ...], Session] = {}
        if not self._constants:
            self._sessions[()] = _session(model)

    def run(self, inputs: Any, **kwargs: Any) -> tuple[np.ndarray, ...]:
        """The outputs for one array an input, in the graph's order (or by name)."""
        if isinstance(inputs, dict):
            arrays = {name: np.asarray(array) for name, array in inputs.items()}
        else:
            given = inputs if isinstance(inputs, Sequence) else [inputs]
            arrays = {name: np.asarray(array) for name, array in zip(self._names, given, strict=True)}
        fixed = {name: arrays[name] for name in self._constants}
        key = tuple(str((array.dtype, array.shape)).encode() + array.tobytes() for array in fixed.values())
        if key not in self._sessions:
            self._sessions[key] = _session(bind(self._model, fixed))
        session = self._sessions[key]
        found = session.run(
            {value.name: to_run(arrays[value.name], self._elements[value.name]) for value in session.inputs}
        )
        return tuple(from_run(found[value.name], self._elements[value.name]) for value in self._model.graph.output)


def to_run(array: np.ndarray, element: int) -> np.ndarray:
    """An array of ONNX's element type as a session takes it."""
    return array.astype(numpy_dtype(CARRIERS[element])) if element in CARRIERS else array


def from_run(array: np.ndarray, element: int) -> np.ndarray:
    """A session's array as ONNX's element type."""
    if element not in CARRIERS:
        return array
    if element == onnx.TensorProto.FLOAT8E8M0:  # powers of two: the exponent is the code
        codes = np.where(np.isnan(array), 255, np.frexp(array)[1].astype(np.int64) + 126)
        return codes.astype(np.uint8).view(onnx.helper.tensor_dtype_to_np_dtype(element))
    with np.errstate(all="ignore"):
        return array.astype(onnx.helper.tensor_dtype_to_np_dtype(element))


def constant_inputs(model: onnx.ModelProto) -> list[str]:
    """The graph inputs that must be constant when a model is imported."""
    read = {
        node.input[place]
        for node in model.graph.node
        for place in CONSTANT_INPUTS.get(node.op_type, ())
        if place < len(node.input)
    }
    stored = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name in read and value.name not in stored]


def bind(model: onnx.ModelProto, fixed: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The model with these inputs as initializers."""
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    kept = [value for value in bound.graph.input if value.name not in fixed]
    del bound.graph.input[:]
    bound.graph.input.extend(kept)
    bound.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in fixed.items())
    return bound


def _session(model: onnx.ModelProto) -> Session:
    return Session(compress(load(model), Recipe.lossless(coding="raw")))


class Backend(onnx.backend.base.Backend):
    """onnx.backend.base.Backend over bitpress sessions; tensors are kept bit for bit."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> BackendRep:
        """A representation that runs the model. Raises UnsupportedError, with the node's name, where it cannot."""
        if not cls.supports_device(device):
            raise UnsupportedError(f"device {device!r}: networks run on the CPU")
        return BackendRep(model)

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Prepare the model and run it once."""
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether ``device`` is a CPU."""
        return device.split(":")[0] == "CPU"


prepare = Backend.prepare
run_model = Backend.run_model
supports_device = Backend.supports_device
