"""bitpress as an ONNX backend (onnx.backend.base): the interface by which ONNX's own suites run an engine.

    import bitpress.onnx_backend as backend
    outputs = backend.run_model(onnx.load("model.onnx"), inputs)

Graph inputs that say a shape, axes or another thing that must be constant when a model is imported are bound when the
model is run: for each new content of them it is imported again. Values of element types that are narrower than any in
which networks run (F16, BF16, 8- and 4-bit floats, 4- and 2-bit integers) are F32, U8 or I8 in a session; here they
come and go as what the model says. Sequences and optionals come as lists, arrays or None: a model is imported for their
lengths.
"""

from __future__ import annotations

import itertools
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
        self._elements = {value.name: element_type(value.type) for value in (*model.graph.input, *model.graph.output)}
        self._lists = [value for value in model.graph.input if not value.type.HasField("tensor_type")]
        self._constants = constant_inputs(model)
        self._sessions: dict[tuple[bytes, ...], Session] = {}
        self._shaped = False
        if self._constants or self._lists:
            return
        try:
            self._sessions[()] = _session(model)
        except UnsupportedError:
            self._constants = small_inputs(model)
            self._shaped = True
            if not self._constants and not any(_is_open(value) for value in model.graph.input):
                raise

    @property
    def fixed(self) -> tuple[str, ...]:
        """The graph inputs that are bound when the model is run."""
        return tuple(self._constants)

    @property
    def elements(self) -> Mapping[str, int]:
        """ONNX's element type of each graph input and output."""
        return self._elements

    def run(self, inputs: Any, **kwargs: Any) -> tuple[np.ndarray, ...]:
        """The outputs for one array an input, in the graph's order (or by name)."""
        if self._lists:
            told = inputs if isinstance(inputs, dict) else dict(zip(self._names, inputs, strict=False))
            flat, parts = without_lists(self._model, told)
            return BackendRep(flat).run(parts)
        if isinstance(inputs, dict):
            arrays = {name: np.asarray(array) for name, array in inputs.items()}
        else:
            given = inputs if isinstance(inputs, Sequence) else [inputs]
            arrays = {name: np.asarray(array) for name, array in zip(self._names, given, strict=True)}
        fixed = {name: arrays[name] for name in self._constants}
        key = tuple(str((array.dtype, array.shape)).encode() + array.tobytes() for array in fixed.values())
        shapes = {name: array.shape for name, array in arrays.items() if name not in fixed} if self._shaped else {}
        key += tuple(str(shape).encode() for shape in shapes.values())
        if key not in self._sessions:
            try:
                self._sessions[key] = _session(bind(self._model, fixed), shapes)
            except UnsupportedError:  # what it lacks may follow from small inputs and from shapes
                if self._shaped:
                    raise
                self._constants += [name for name in small_inputs(self._model) if name not in fixed]
                self._shaped = True
                return self.run(arrays)
        session = self._sessions[key]
        found = session.run(
            {value.name: to_run(arrays[value.name], self._elements[value.name]) for value in session.inputs}
        )
        return tuple(self._result(value.name, found) for value in self._model.graph.output)

    def _result(self, name: str, found: Mapping[str, np.ndarray]) -> Any:
        """An output; a list of its items where it is a sequence."""
        element = self._elements[name]
        if name in found:
            return from_run(found[name], element)
        count = next(i for i in itertools.count() if f"{name}[{i}]" not in found)
        return [from_run(found[f"{name}[{i}]"], element) for i in range(count)]


def element_type(kind: onnx.TypeProto) -> int:
    """ONNX's element type of a tensor, or of what a sequence or an optional holds."""
    if kind.HasField("optional_type"):
        return element_type(kind.optional_type.elem_type)
    if kind.HasField("sequence_type"):
        return element_type(kind.sequence_type.elem_type)
    return int(kind.tensor_type.elem_type)


def without_lists(model: onnx.ModelProto, given: Mapping[str, Any]) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model with a graph input for each item of its sequences and optionals, and the inputs so."""
    flat = onnx.ModelProto()
    flat.CopyFrom(model)
    inputs, nodes, parts = [], [], {}
    make = onnx.helper.make_node
    for value in model.graph.input:
        content, name = given.get(value.name), value.name
        if value.type.HasField("tensor_type"):
            inputs.append(value)
            parts[name] = content
            continue
        optional, element = value.type.HasField("optional_type"), element_type(value.type)
        if optional and content is None:
            nodes.append(make("Optional", [], [name], type=value.type.optional_type.elem_type))
            continue
        items = content if isinstance(content, list | tuple) else [content]
        names = [f"{name}[{i}]" for i in range(len(items))]
        inputs += [
            onnx.helper.make_tensor_value_info(n, element, np.shape(a)) for n, a in zip(names, items, strict=True)
        ]
        parts.update(zip(names, items, strict=True))
        inner = names[0] if names else ""
        if isinstance(content, list | tuple):
            inner = f"{name}.items" if optional else name
            nodes.append(
                make("SequenceConstruct", names, [inner])
                if names
                else make("SequenceEmpty", [], [inner], dtype=element)
            )
        if optional:
            nodes.append(make("Optional", [inner], [name]))
    kept = list(flat.graph.node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del flat.graph.input[:], flat.graph.node[:]
    flat.graph.input.extend(inputs)
    flat.graph.node.extend([*nodes, *copies])
    return flat, parts


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


def small_inputs(model: onnx.ModelProto) -> list[str]:
    """The graph inputs that are one number, or few whole numbers or truth values: shapes, counts and conditions."""
    kinds = (onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    stored = {tensor.name for tensor in model.graph.initializer}
    found = []
    for value in model.graph.input:
        tensor = value.type.tensor_type
        if value.name in stored or len(tensor.shape.dim) > 1 or not value.type.HasField("tensor_type"):
            continue
        if tensor.elem_type not in kinds and len(tensor.shape.dim) > 0:
            continue
        if all(dim.dim_value <= 64 for dim in tensor.shape.dim):
            found.append(value.name)
    return found


def bind(model: onnx.ModelProto, fixed: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The model with these inputs as initializers."""
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    kept = [value for value in bound.graph.input if value.name not in fixed]
    del bound.graph.input[:]
    bound.graph.input.extend(kept)
    bound.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in fixed.items())
    return bound


def _is_open(value: onnx.ValueInfoProto) -> bool:
    """Whether the model leaves sizes of a graph input open."""
    return any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)


def _session(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Session:
    return Session(compress(load(model, input_shapes=shapes), Recipe.lossless(coding="raw")))


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
