"""ONNX files: the graph and a reader of its tensors. Needs the onnx package alone (extra ``onnx``), not onnxruntime."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..dtypes import dtype_of
from ..errors import BitpressError, FormatError, UnsupportedError
from ..graph import Graph, Node, Value
from ..operators import RUN_TYPES
from ..passes.dead_code import remove_dead_code
from . import TensorSpec
from .onnx_bodies import MOST_TURNS, Bodies, Tensor
from .onnx_codes import QuantizedTensor
from .onnx_control import CONTROL
from .onnx_narrow import rounded
from .onnx_operators import Context, lower
from .onnx_settle import OLDEST_OPSET, Settled, first_line, is_old, modern, needed
from .onnx_tensors import Place
from .onnx_types import typed_values
from .onnx_wire import split

if TYPE_CHECKING:
    import onnx

__all__ = ["OLDEST_OPSET", "OnnxSource", "load"]


class OnnxSource:
    """A Source (see ``bitpress.importers``) over an ONNX model: its graph, and the tensors that the graph reads."""

    def __init__(self, graph: Graph, stored: Mapping[str, Tensor]) -> None:
        self._graph = graph
        self._stored = dict(stored)

    @property
    def graph(self) -> Graph:
        """The network that reads the tensors."""
        return self._graph

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """Every tensor that the graph reads, by name."""
        return {name: _spec(tensor) for name, tensor in self._stored.items()}

    @property
    def stored(self) -> Mapping[str, Tensor]:
        """The tensors by name, as the model holds them."""
        return self._stored

    @property
    def quantized(self) -> Mapping[str, QuantizedTensor]:
        """The tensors that the model holds as codes."""
        return {name: tensor for name, tensor in self._stored.items() if isinstance(tensor, QuantizedTensor)}

    def read(self, name: str) -> np.ndarray:
        """The tensor's elements: a read-only view of the mapped file for external data, else of the parsed model."""
        tensor = self._stored[name]
        return tensor if isinstance(tensor, np.ndarray) else tensor.read()

    def arrays(self) -> Mapping[str, np.ndarray]:
        """The tensors as a mapping that reads each when it is asked for."""
        return _Arrays(self)


def _spec(tensor: Tensor) -> TensorSpec:
    if isinstance(tensor, np.ndarray):
        return TensorSpec(dtype_of(tensor), tensor.shape)
    return TensorSpec(tensor.dtype, tensor.held if isinstance(tensor, QuantizedTensor) else tensor.shape)


class _Arrays(Mapping[str, np.ndarray]):
    def __init__(self, source: OnnxSource) -> None:
        self._source = source

    def __getitem__(self, name: str) -> np.ndarray:
        return self._source.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._source._stored)

    def __len__(self) -> int:
        return len(self._source._stored)


def load(
    model: str | os.PathLike[str] | onnx.ModelProto,
    *,
    folder: str | os.PathLike[str] | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    bound: int = 1024,
) -> OnnxSource:
    """An ONNX model, opset 7 or newer, as a Source.

    ``model``: a path, or a ModelProto (then ``folder`` is where its external data lies). ``input_shapes`` fixes shapes
    of graph inputs that the model leaves open. ``bound``: the most turns of a loop, and numbers of a Range, that depend
    on data: memory is planned for so many, and a run that needs more ends with an error. Raises FormatError for a file
    that is not an ONNX model or contradicts itself, UnsupportedError for an operator that bitpress does not have; both
    name the file.
    """
    where = os.fspath(model) if isinstance(model, str | os.PathLike) else "ONNX model"
    try:
        root = Path(folder) if folder is not None else None
        places: dict[int, Place] = {}
        if isinstance(model, str | os.PathLike):
            proto, places = _parse(Path(model))
            root = root or Path(model).parent
        else:
            proto = model
        if is_old(proto):
            proto, places = modern(_whole(Path(model)) if isinstance(model, str | os.PathLike) else proto), {}
        if not 1 <= bound <= MOST_TURNS:
            raise ValueError(f"bound must be 1 to {MOST_TURNS}, not {bound}")
        return _Importer(Settled(proto, root, places, input_shapes or {}), bound).source()
    except BitpressError as error:
        raise type(error)(_printable(f"{where}: {error}")) from None
    except UnicodeDecodeError:
        raise FormatError(f"{where}: a name in it is not UTF-8") from None


def _parse(path: Path) -> tuple[onnx.ModelProto, dict[int, Place]]:
    """The model without its large weights, and where in the file they are, by initializer's number."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as error:
        raise UnsupportedError(f"reading ONNX needs the package {error.name} (pip install bitpress[onnx])") from None
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise FormatError("not an ONNX model (an empty file)")
        rest, places = split(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(rest)
    except (DecodeError, RuntimeError) as error:
        raise FormatError(f"not an ONNX model ({first_line(error)})") from None
    return proto, {number: Place(path, offset, length) for number, (offset, length) in places.items()}


def _whole(path: Path) -> onnx.ModelProto:
    import onnx

    proto = onnx.ModelProto()
    proto.ParseFromString(path.read_bytes())
    return proto


def _printable(text: str) -> str:
    """The text with line breaks and other control characters, which names in a file may have, spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Importer:
    """What becomes of a model that is settled."""

    def __init__(self, settled: Settled, bound: int) -> None:
        self.settled = settled
        self.bound = bound
        self.stored = settled.stored
        self.bodies = Bodies(settled, bound, self.imported)

    def imported(self, proto: onnx.ModelProto) -> tuple[Graph, Mapping[str, Tensor]]:
        """A body's graph and what it stores."""
        source = _Importer(Settled(proto, self.settled.root, {}, {}), self.bound).source()
        return source.graph, source.stored

    def source(self) -> OnnxSource:
        known, values, graph = self.settled.known, self.settled.values, self.settled.graph
        for value in graph.output:
            if not value.type.HasField("tensor_type"):
                raise UnsupportedError(f"{value.name!r} is not a tensor")
        outputs = tuple(self.described(value.name, values, known) for value in graph.output)
        left = needed(self.settled.nodes, {value.name for value in outputs})
        dtypes = {name: value.dtype for name, value in values.items()}
        fed = tuple(value.name for value in graph.input if value.name not in self.stored)
        context = Context(
            self.settled.opset, known, self.settled.shapes, dtypes, fed, self.settled.elements, self.stored, self.bound
        )
        lowered = self.lowered(left, context, {value.name for value in outputs})
        self.stored |= context.quantized
        for name, tensor in self.bodies.tensors.items():
            if isinstance(tensor, np.ndarray):
                known[name] = tensor
            else:
                self.stored[name] = tensor
        values = typed_values(lowered, values | self.made(context), known, outputs)
        inputs = tuple(values[name] for name in fed)
        for value in (*inputs, *outputs):
            if value.dtype not in RUN_TYPES:
                raise UnsupportedError(f"{value.name!r} is {value.dtype}, in which no network runs")
        if not outputs:
            raise FormatError("the graph has no output")
        result = remove_dead_code(Graph(inputs, outputs, tuple(lowered), values))
        return self.finish(result, known)

    def lowered(self, left: list[Node], context: Context, outputs: set[str]) -> list[Node]:
        """Our nodes, in order; those that compute sizes too, where what they make is read for its numbers."""
        found: dict[int, list[Node]] = {}
        asked = set(outputs)
        kept = {id(node) for node in left}
        places = list(enumerate(self.settled.all_nodes))
        for place, node in places:
            if id(node) in kept:
                found[place] = self.lower(node, context)
                asked.update(name for one in found[place] for name in one.reads)
        for place, node in reversed(places):
            sizes = [name for name in node.outputs if name in asked and name in context.known]
            if any(context.known[name].dtype == object for name in sizes) and place not in found:
                found[place] = self.lower(node, context)
                asked.update(name for one in found[place] for name in one.reads)
        return [node for place in sorted(found) for node in found[place]]

    def lower(self, node: Node, context: Context) -> list[Node]:
        """Our nodes for one of the model's."""
        made = [self.bodies.lower(node)] if node.op in CONTROL else lower(node, context)
        return rounded(node, made, context.elements)

    def made(self, context: Context) -> dict[str, Value]:
        """Tensors that came up while nodes were lowered."""
        values = _codes(context.quantized)
        for name, tensor in self.bodies.tensors.items():
            spec = _spec(tensor)
            values[name] = Value(name, spec.dtype, spec.shape)
        return values

    @staticmethod
    def described(name: str, values: Mapping[str, Value], known: Mapping[str, np.ndarray]) -> Value:
        if name in known and known[name].dtype != object:
            return Value(name, dtype_of(known[name]), known[name].shape)
        return values.get(name, Value(name))

    def finish(self, graph: Graph, known: Mapping[str, np.ndarray]) -> OnnxSource:
        """The source of a graph: what it reads is an initializer, or a constant that was evaluated."""
        stored: dict[str, Tensor] = {}
        values = dict(graph.values)
        readers = graph.consumers()
        for name in graph.stored():
            if name in self.stored:
                stored[name] = self.stored[name]
            elif name in known and known[name].dtype != object:
                stored[name] = np.array(known[name], order="C")
                values[name] = Value(name, dtype_of(known[name]), known[name].shape)
            else:
                raise UnsupportedError(f"{name!r} depends on a size that is not known")
            if values[name].dtype not in RUN_TYPES | {"F16", "BF16"}:
                reader = readers[name][0] if name in readers else None
                who = f'operator {reader.op} (node "{reader.name}")' if reader else "the graph's output"
                raise UnsupportedError(f"{who} reads {name!r} of type {values[name].dtype}, in which no network runs")
        turned = {name: t for name, t in stored.items() if isinstance(t, QuantizedTensor) and t.transposed}
        values |= _codes(turned)
        nodes = tuple(_of_transposed(node, turned) for node in graph.nodes)
        return OnnxSource(Graph(graph.inputs, graph.outputs, nodes, values), stored)


def _codes(tensors: Mapping[str, QuantizedTensor]) -> dict[str, Value]:
    return {name: Value(name, tensor.dtype, tensor.held) for name, tensor in tensors.items()}


def _of_transposed(node: Node, turned: Mapping[str, QuantizedTensor]) -> Node:
    """A product whose second matrix is held transposed."""
    if len(node.inputs) < 2 or node.inputs[1] not in turned:
        return node
    other = {key: value for key, value in node.attributes.items() if key != "transB"}
    return replace(node, attributes=other if node.attributes.get("transB", 0) else {**other, "transB": 1})
