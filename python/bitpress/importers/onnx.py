"""ONNX files: the graph and a reader of its tensors. Needs the onnx package alone (extra ``onnx``), not onnxruntime."""

from __future__ import annotations

import itertools
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import dtype_of
from ..errors import BitpressError, FormatError, UnsupportedError
from ..graph import MAX_RANK, Graph, Node, Value
from ..operators import RUN_TYPES
from ..passes.constants import FOLDABLE, MAX_ELEMENTS, fold_constants
from ..passes.dead_code import remove_dead_code
from . import TensorSpec
from .onnx_functions import expand_functions
from .onnx_narrow import rounded
from .onnx_operators import SUPPORTED, Context, lower
from .onnx_tensors import OnnxTensor, Place, constant_tensor, dtype_name
from .onnx_types import typed_values
from .onnx_wire import split

if TYPE_CHECKING:
    import onnx

__all__ = ["OLDEST_OPSET", "OnnxSource", "load"]

OLDEST_OPSET = 7
_STANDARD = ("", "ai.onnx")


class OnnxSource:
    """A Source (see ``bitpress.importers``) over an ONNX model: its graph, and the tensors that the graph reads."""

    def __init__(self, graph: Graph, stored: Mapping[str, OnnxTensor | np.ndarray]) -> None:
        self._graph = graph
        self._stored = dict(stored)

    @property
    def graph(self) -> Graph:
        """The network that reads the tensors."""
        return self._graph

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """Every tensor that the graph reads, by name."""
        return {
            name: TensorSpec(tensor.dtype, tensor.shape)
            if isinstance(tensor, OnnxTensor)
            else TensorSpec(dtype_of(tensor), tensor.shape)
            for name, tensor in self._stored.items()
        }

    def read(self, name: str) -> np.ndarray:
        """The tensor's elements: a read-only view of the mapped file for external data, else of the parsed model."""
        tensor = self._stored[name]
        return tensor.read() if isinstance(tensor, OnnxTensor) else tensor

    def arrays(self) -> Mapping[str, np.ndarray]:
        """The tensors as a mapping that reads each when it is asked for."""
        return _Arrays(self)


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
) -> OnnxSource:
    """An ONNX model, opset 7 or newer, as a Source.

    ``model``: a path, or a ModelProto (then ``folder`` is where its external data lies). ``input_shapes`` fixes shapes
    of graph inputs that the model leaves open. Raises FormatError for a file that is not an ONNX model or contradicts
    itself, UnsupportedError for an operator that bitpress does not have; both name the file.
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
        proto = expand_functions(proto)
        return _Importer(proto, root, places, input_shapes or {}).source()
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
        raise FormatError(f"not an ONNX model ({_line(error)})") from None
    return proto, {number: Place(path, offset, length) for number, (offset, length) in places.items()}


def _printable(text: str) -> str:
    """The text with line breaks and other control characters, which names in a file may have, spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _line(error: Exception) -> str:
    """The first line of a message that another package wrote."""
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__


class _Importer:
    def __init__(
        self,
        proto: onnx.ModelProto,
        root: Path | None,
        places: Mapping[int, Place],
        input_shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.proto = proto
        self.root = root
        self.places = places
        self.input_shapes = input_shapes
        self.stored: dict[str, OnnxTensor] = {}
        self.known: dict[str, np.ndarray] = {}

    def source(self) -> OnnxSource:
        opset = self.opset()
        if self.proto.graph.sparse_initializer:
            raise UnsupportedError("sparse initializers are not supported")
        self.collect_tensors()
        skeleton = self.inferred(self.skeleton())
        graph = skeleton.graph
        known_values, shapes = self.values(graph)
        nodes = [self.node(node) for node in graph.node]
        self.check_order(nodes, known_values)
        left, known = fold_constants(nodes, self.known, shapes)
        outputs = tuple(self.described(value.name, known_values, known) for value in graph.output)
        left = self.needed(left, {value.name for value in outputs})
        dtypes = {name: value.dtype for name, value in known_values.items()}
        fed = tuple(value.name for value in graph.input if value.name not in self.stored)
        context = Context(opset, known, shapes, dtypes, fed, self.elements(graph))
        lowered = [result for node in left for result in rounded(node, lower(node, context), context.elements)]
        known_values = typed_values(lowered, known_values, known, outputs)
        inputs = tuple(known_values[name] for name in fed)
        for value in (*inputs, *outputs):
            if value.dtype not in RUN_TYPES:
                raise UnsupportedError(f"{value.name!r} is {value.dtype}, in which no network runs")
        if not outputs:
            raise FormatError("the graph has no output")
        result = remove_dead_code(Graph(inputs, outputs, tuple(lowered), known_values))
        return self.finish(result, known)

    def opset(self) -> int:
        if not self.proto.HasField("graph") or not self.proto.opset_import:
            raise FormatError("not an ONNX model (it has no graph or no opset)")
        versions = [entry.version for entry in self.proto.opset_import if entry.domain in _STANDARD]
        if not versions:
            raise FormatError("it imports no standard operators")
        if versions[0] < OLDEST_OPSET:
            raise UnsupportedError(
                f"opset {versions[0]} is not supported: {OLDEST_OPSET} is the oldest (onnx.version_converter)"
            )
        return int(versions[0])

    def collect_tensors(self) -> None:
        """Initializers and the tensors of Constant nodes; the small ones are read at once."""
        places = [self.places.get(i) for i in range(len(self.proto.graph.initializer))]
        protos = [(tensor.name, tensor) for tensor in self.proto.graph.initializer]
        for node in self.proto.graph.node:
            if node.op_type == "Constant" and node.domain in _STANDARD:
                protos.append((node.output[0] if node.output else "", constant_tensor(node)))
        for (name, tensor), place in itertools.zip_longest(protos, places):
            if not name or name in self.stored or name in self.known:
                raise FormatError(f"tensor {name!r} is defined twice" if name else "a tensor has no name")
            found = OnnxTensor(name, tensor, self.root, place)
            self.stored[name] = found
            most = MAX_ELEMENTS if found.dtype in ("I64", "I32", "BOOL") else 64
            if found.elements <= most and not found.mapped:
                array = found.read()
                self.known[name] = array.astype(np.float32) if found.dtype in ("F16", "BF16") else array

    def skeleton(self) -> onnx.ModelProto:
        """The model without its large tensors: they become inputs of known shape, for shape inference."""
        import onnx

        model = onnx.ModelProto(ir_version=max(self.proto.ir_version, 4))
        model.opset_import.extend(self.proto.opset_import)
        model.functions.extend(self.proto.functions)
        graph = self.proto.graph
        model.graph.name = graph.name or "graph"
        model.graph.node.extend(
            node for node in graph.node if not (node.op_type == "Constant" and node.domain in _STANDARD)
        )
        model.graph.input.extend(value for value in graph.input if value.name not in self.stored)
        model.graph.output.extend(graph.output)
        model.graph.value_info.extend(graph.value_info)
        for name, tensor in self.stored.items():
            if name in self.known:
                small = model.graph.initializer.add()
                small.CopyFrom(tensor.proto)
                small.name = name
            else:
                info = onnx.helper.make_tensor_value_info(name, tensor.proto.data_type, tensor.shape)
                model.graph.input.append(info)
        for value in model.graph.input:
            if value.name in self.input_shapes:
                dims = value.type.tensor_type.shape.dim
                del dims[:]
                for size in self.input_shapes[value.name]:
                    dims.add().dim_value = size
        return model

    def inferred(self, model: onnx.ModelProto) -> onnx.ModelProto:
        import onnx
        import onnx.inliner

        try:
            if model.functions:
                model = onnx.inliner.inline_local_functions(model)
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
            self.check_operators(model.graph)
            self.check_model(model)
        except BitpressError:
            raise
        except onnx.checker.ValidationError as error:
            raise FormatError(f"not a valid ONNX model ({_line(error)})") from None
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError) as error:
            raise FormatError(f"its shapes cannot be inferred ({_line(error)})") from None
        return model

    def check_operators(self, graph: onnx.GraphProto) -> None:
        """Names what bitpress does not have, before anything else is found wrong with it."""
        for node in self.needed([self.node(node) for node in graph.node], {value.name for value in graph.output}):
            if node.op not in SUPPORTED | FOLDABLE:
                raise UnsupportedError(f'operator {node.op} (node "{node.name}") is not supported')

    @staticmethod
    def check_model(model: onnx.ModelProto) -> None:
        """The onnx package's own checks. They want each output to have a shape, which not every exporter writes."""
        import onnx

        checked = onnx.ModelProto()
        checked.CopyFrom(model)
        for value in checked.graph.output:
            if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
                value.type.tensor_type.shape.SetInParent()
        onnx.checker.check_model(checked)

    def values(self, graph: onnx.GraphProto) -> tuple[dict[str, Value], dict[str, tuple[int | str, ...]]]:
        values: dict[str, Value] = {}
        shapes: dict[str, tuple[int | str, ...]] = {}
        for info in (*graph.value_info, *graph.output, *graph.input):
            tensor = info.type.tensor_type
            if not info.type.HasField("tensor_type"):
                if info in graph.value_info:
                    continue
                raise UnsupportedError(f"{info.name!r} is not a tensor")
            shape = None
            if tensor.HasField("shape"):
                sizes = tuple(
                    dim.dim_value if dim.HasField("dim_value") else dim.dim_param or f"{info.name}[{i}]"
                    for i, dim in enumerate(tensor.shape.dim)
                )
                if any(isinstance(size, int) and not 0 <= size < 2**40 for size in sizes):
                    raise FormatError(f"{info.name!r} has a size that cannot be: {sizes}")
                if len(sizes) > MAX_RANK:
                    raise UnsupportedError(
                        f"{info.name!r} has {len(sizes)} dimensions; at most {MAX_RANK} are supported"
                    )
                shapes[info.name] = sizes
                shape = tuple(size if isinstance(size, int) else -1 for size in sizes)
            values[info.name] = Value(info.name, dtype_name(tensor.elem_type, info.name), shape)
        for name, stored in self.stored.items():
            values[name] = Value(name, stored.dtype, stored.shape)
            shapes[name] = stored.shape
        return values, shapes

    def elements(self, graph: onnx.GraphProto) -> dict[str, int]:
        """ONNX's element type of each value."""
        found = {
            info.name: int(info.type.tensor_type.elem_type)
            for info in (*graph.value_info, *graph.output, *graph.input)
            if info.type.HasField("tensor_type")
        }
        return found | {name: int(tensor.proto.data_type) for name, tensor in self.stored.items()}

    def node(self, node: onnx.NodeProto) -> Node:
        import onnx

        op = node.op_type if node.domain in _STANDARD else f"{node.domain}.{node.op_type}"
        attributes: dict[str, Any] = {}
        for attribute in node.attribute:
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                raise UnsupportedError(f'operator {op} (node "{node.name}") is not supported')
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, onnx.TensorProto):
                read = OnnxTensor(attribute.name, value, None).read()
                value = read.astype(np.float32) if read.dtype.name in ("float16", "bfloat16") else read
            attributes[attribute.name] = value
        return Node(op, node.name or "/".join(node.output), tuple(node.input), tuple(node.output), attributes)

    def check_order(self, nodes: list[Node], values: Mapping[str, Value]) -> None:
        ready = set(self.stored) | {name for name in values if name in self.stored}
        ready |= {info.name for info in self.proto.graph.input}
        for node in nodes:
            for name in node.inputs:
                if name and name not in ready:
                    raise FormatError(f'node "{node.name}" reads {name!r} before it is written')
            for name in node.outputs:
                if name and name in ready:
                    raise FormatError(f"value {name!r} is written twice")
                ready.add(name)
        for info in self.proto.graph.output:
            if info.name not in ready:
                raise FormatError(f"output {info.name!r} is never written")

    @staticmethod
    def needed(nodes: list[Node], outputs: set[str]) -> list[Node]:
        """Without nodes that no output depends on: they need not be supported."""
        read, kept = set(outputs), list[Node]()
        for node in reversed(nodes):
            if any(name in read for name in node.outputs):
                kept.append(node)
                read.update(node.inputs)
        return kept[::-1]

    @staticmethod
    def described(name: str, values: Mapping[str, Value], known: Mapping[str, np.ndarray]) -> Value:
        if name in known and known[name].dtype != object:
            return Value(name, dtype_of(known[name]), known[name].shape)
        return values.get(name, Value(name))

    def finish(self, graph: Graph, known: Mapping[str, np.ndarray]) -> OnnxSource:
        """The source of a graph: what it reads is an initializer, or a constant that was evaluated."""
        stored: dict[str, OnnxTensor | np.ndarray] = {}
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
        return OnnxSource(Graph(graph.inputs, graph.outputs, graph.nodes, values), stored)
