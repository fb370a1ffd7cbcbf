"""An ONNX model until nothing more becomes known of it: definitions in place of operators that we lack, shapes
inferred, constants folded, loops and branches unrolled."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BitpressError, FormatError, UnsupportedError
from ..graph import MAX_RANK, Node, Value
from ..passes.constants import FOLDABLE, MAX_ELEMENTS, fold_constants
from .onnx_codes import QuantizedTensor
from .onnx_control import CONTROL, Unroller
from .onnx_dequantized import take_quantized
from .onnx_functions import expand_functions
from .onnx_operators import SUPPORTED
from .onnx_sequences import SEQUENCES, Sequences
from .onnx_tensors import CARRIERS, OnnxTensor, Place, constant_tensor, dtype_name

if TYPE_CHECKING:
    import onnx

__all__ = ["OLDEST_OPSET", "Settled", "first_line", "needed"]

OLDEST_OPSET = 7
_STANDARD = ("", "ai.onnx")
_ROUNDS = 300  # of inference, folding and unrolling


def first_line(error: Exception) -> str:
    """The first line of a message that another package wrote."""
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__


def needed(nodes: list[Node], outputs: set[str]) -> list[Node]:
    """Without nodes that no output depends on: they need not be supported."""
    read, kept = set(outputs), list[Node]()
    for node in reversed(nodes):
        if any(name in read for name in node.outputs):
            kept.append(node)
            read.update(node.inputs)
    return kept[::-1]


def _version(proto: onnx.ModelProto) -> int:
    return next((int(entry.version) for entry in proto.opset_import if entry.domain in _STANDARD), 0)


def is_old(proto: onnx.ModelProto) -> bool:
    """Whether its opset is older than those that bitpress knows."""
    return proto.HasField("graph") and 1 <= _version(proto) < OLDEST_OPSET


def modern(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same model in an opset that bitpress knows, by the onnx package's converter."""
    import onnx.version_converter

    try:
        converted: onnx.ModelProto = onnx.version_converter.convert_version(proto, OLDEST_OPSET + 1)
    except (RuntimeError, ValueError, TypeError) as error:
        raise UnsupportedError(
            f"opset {_version(proto)} is not supported: {OLDEST_OPSET} is the oldest, and it cannot be converted "
            f"({first_line(error)})"
        ) from None
    return converted


class Settled:
    """A model's graph and what is known of it.

    ``nodes`` are what constant folding leaves of ``all_nodes``; attributes and inputs are ONNX's own. ``known``:
    constants by name. ``shapes`` has a string for a size that is not known. ``elements``: ONNX's element types.
    ``stored``: initializers.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        root: Path | None,
        places: Mapping[int, Place],
        input_shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.proto = expand_functions(proto)
        self.root = root
        self.places = places
        self.input_shapes = input_shapes
        self.stored: dict[str, OnnxTensor | QuantizedTensor] = {}
        self.known: dict[str, np.ndarray] = {}
        self.elements: dict[str, int] = {}
        self.opset = self._opset()
        if self.proto.graph.sparse_initializer:
            raise UnsupportedError("sparse initializers are not supported")
        self.collect_tensors()
        self.nodes_at_first = self.take_codes()
        self.model = self.inferred(self.skeleton(), first=True)
        self.check_order()
        self.settle()

    @property
    def graph(self) -> onnx.GraphProto:
        """The graph as it is now."""
        return self.model.graph

    def settle(self) -> None:
        """Infer, fold and unroll until nothing changes; again, without them, where loops had to be left half done."""
        stored, known = dict(self.stored), dict(self.known)
        left: set[str] = set()
        while more := self.settle_but(left):
            left |= more
            self.stored, self.known = dict(stored), dict(known)
            self.model = self.inferred(self.skeleton())

    def settle_but(self, left: set[str]) -> set[str]:
        """As above, but for the loops that write these values. What loops it should have left too."""
        unroller, sequences = Unroller(self.opset, left), Sequences(self.opset)
        for _ in range(_ROUNDS):
            self.values, self.shapes = self.described()
            self.elements = self.element_types()
            self.all_nodes = [self.node(node) for node in self.graph.node]
            self.nodes, known = fold_constants(self.all_nodes, self.known, self.shapes)
            unpacked = sequences.replace(self.graph, known, self.shapes)
            if unroller.replace(self.graph, known, self.shapes) or unpacked:
                self.model = expand_functions(self.model)
                self.absorb_constants()
            elif not self.fix(known):
                self.known = known
                return {node.output[0] for node in self.graph.node if node.output and node.output[0] in unroller.turns}
            if unroller.too_long:
                return unroller.too_long
            self.model = self.inferred(self.model)
        raise UnsupportedError("its loops have too many turns")

    def fix(self, known: Mapping[str, np.ndarray]) -> bool:
        """Tells shape inference what was folded, where shapes are missing; whether there was something to tell."""
        written = [name for node in self.nodes for name in node.outputs if name]
        missing = [name for name in written if not all(isinstance(s, int) for s in self.shapes.get(name, ("?",)))]
        fresh = {
            name: array
            for name, array in known.items()
            if name not in self.known and array.dtype != object and self.elements.get(name, 0) not in CARRIERS
        }
        if not missing or not fresh:
            return False
        self.known.update(fresh)
        kept = [node for node in self.graph.node if not all(name in fresh for name in node.output)]
        for node in kept:
            if any(name in fresh for name in node.output):
                return False
        copies = _copies(kept)
        del self.graph.node[:]
        self.graph.node.extend(copies)
        import onnx

        self.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in fresh.items())
        return True

    def absorb_constants(self) -> None:
        """Constant nodes that came with definitions and bodies become tensors."""
        import onnx

        kept = []
        for node in self.graph.node:
            if node.op_type != "Constant" or node.domain not in _STANDARD:
                kept.append(node)
                continue
            name, tensor = node.output[0], constant_tensor(node)
            self.keep(name, OnnxTensor(name, tensor, self.root))
            if name in self.known:
                small = self.graph.initializer.add()
                small.CopyFrom(tensor)
                small.name = name
            else:
                info = onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
                self.graph.input.append(info)
        copies = _copies(kept)
        del self.graph.node[:]
        self.graph.node.extend(copies)

    def take_codes(self) -> list[onnx.NodeProto]:
        """The nodes that are left when constants that are dequantized are tensors."""
        import onnx

        nodes = [
            node for node in self.proto.graph.node if not (node.op_type == "Constant" and node.domain in _STANDARD)
        ]
        held = {name: tensor for name, tensor in self.stored.items() if isinstance(tensor, OnnxTensor)}
        left, taken = take_quantized(nodes, held, {value.name for value in self.proto.graph.output})
        for name, tensor in taken.items():
            if isinstance(tensor, QuantizedTensor):
                self.stored[name] = tensor
            else:
                self.keep(name, OnnxTensor(name, onnx.numpy_helper.from_array(tensor, name), None))
        return left

    def keep(self, name: str, tensor: OnnxTensor) -> None:
        """A tensor under its name; a small one is read at once."""
        if not name or name in self.stored or name in self.known:
            raise FormatError(f"tensor {name!r} is defined twice" if name else "a tensor has no name")
        self.stored[name] = tensor
        most = MAX_ELEMENTS if tensor.dtype in ("I64", "I32", "BOOL") else 64
        if tensor.elements <= most and not tensor.mapped:
            array = tensor.read()
            self.known[name] = array.astype(np.float32) if tensor.dtype in ("F16", "BF16") else array

    def _opset(self) -> int:
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
            self.keep(name, OnnxTensor(name, tensor, self.root, place))

    def skeleton(self) -> onnx.ModelProto:
        """The model without its large tensors: they become inputs of known shape, for shape inference."""
        import onnx

        model = onnx.ModelProto(ir_version=max(self.proto.ir_version, 4))
        model.opset_import.extend(self.proto.opset_import)
        model.functions.extend(self.proto.functions)
        graph = self.proto.graph
        model.graph.name = graph.name or "graph"
        model.graph.node.extend(self.nodes_at_first)
        model.graph.input.extend(value for value in graph.input if value.name not in self.stored)
        model.graph.output.extend(graph.output)
        model.graph.value_info.extend(graph.value_info)
        for name, tensor in self.stored.items():
            if name in self.known and isinstance(tensor, OnnxTensor):
                small = model.graph.initializer.add()
                small.CopyFrom(tensor.proto)
                small.name = name
            else:
                info = onnx.helper.make_tensor_value_info(name, tensor.element, tensor.shape)
                model.graph.input.append(info)
        for value in model.graph.input:
            if value.name in self.input_shapes:
                dims = value.type.tensor_type.shape.dim
                del dims[:]
                for size in self.input_shapes[value.name]:
                    dims.add().dim_value = size
        return model

    def inferred(self, model: onnx.ModelProto, first: bool = False) -> onnx.ModelProto:
        """The model with what onnx's shape inference says; the ``first`` time it is checked too."""
        import onnx
        import onnx.inliner

        try:
            if model.functions:
                model = onnx.inliner.inline_local_functions(model)
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
            self.check_operators(model.graph)
            if first:
                self.check_model(model)
        except BitpressError:
            raise
        except onnx.checker.ValidationError as error:
            raise FormatError(f"not a valid ONNX model ({first_line(error)})") from None
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError) as error:
            raise FormatError(f"its shapes cannot be inferred ({first_line(error)})") from None
        return model

    def check_operators(self, graph: onnx.GraphProto) -> None:
        """Names what bitpress does not have, before anything else is found wrong with it."""
        for node in needed([self.node(node) for node in graph.node], {value.name for value in graph.output}):
            if node.op not in SUPPORTED | FOLDABLE | CONTROL | SEQUENCES:
                raise UnsupportedError(f'operator {node.op} (node "{node.name}") is not supported')

    @staticmethod
    def check_model(model: onnx.ModelProto) -> None:
        """The onnx package's own checks. They want each input and output to have a shape, which not all models say."""
        import onnx

        checked = onnx.ModelProto()
        checked.CopyFrom(model)
        for value in (*checked.graph.input, *checked.graph.output):
            if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
                value.type.tensor_type.shape.SetInParent()
        onnx.checker.check_model(checked)

    def described(self) -> tuple[dict[str, Value], dict[str, tuple[int | str, ...]]]:
        """What is known of each value, and its shape with a string for a size that is not known."""
        graph = self.graph
        values: dict[str, Value] = {}
        shapes: dict[str, tuple[int | str, ...]] = {}
        for info in (*graph.value_info, *graph.output, *graph.input):
            tensor = info.type.tensor_type
            if not info.type.HasField("tensor_type"):
                if all(info is not value for value in graph.input):
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

    def element_types(self) -> dict[str, int]:
        """ONNX's element type of each value."""
        graph = self.graph
        found = {
            info.name: int(info.type.tensor_type.elem_type)
            for info in (*graph.value_info, *graph.output, *graph.input)
            if info.type.HasField("tensor_type")
        }
        return found | {name: tensor.element for name, tensor in self.stored.items()}

    def node(self, node: onnx.NodeProto) -> Node:
        """A node with its attributes read; one with bodies reads what they read."""
        import onnx

        op = node.op_type if node.domain in _STANDARD else f"{node.domain}.{node.op_type}"
        attributes: dict[str, Any] = {}
        inputs = list(node.input)
        for attribute in node.attribute:
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                if op not in CONTROL:
                    raise UnsupportedError(f'operator {op} (node "{node.name}") is not supported')
                inputs += outer_names(attribute.g)
                continue
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, onnx.TensorProto):
                read = OnnxTensor(attribute.name, value, None).read()
                value = read.astype(np.float32) if read.dtype.name in ("float16", "bfloat16") else read
            attributes[attribute.name] = value
        if op == "CastLike" and len(inputs) == 2 and self.elements.get(inputs[1]):
            op, attributes["to"] = "Cast", self.elements[inputs.pop()]
        return Node(op, node.name or "/".join(node.output), tuple(inputs), tuple(node.output), attributes)

    def check_order(self) -> None:
        """Each value is written once, before it is read."""
        nodes = [self.node(node) for node in self.graph.node]
        ready = set(self.stored)
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


def outer_names(graph: onnx.GraphProto) -> list[str]:
    """What a body reads of the graph around it."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {name for node in graph.node for name in node.output}
    read = [name for node in graph.node for name in node.input] + [value.name for value in graph.output]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                read += outer_names(attribute.g)
    return [name for name in dict.fromkeys(read) if name and name not in own]


def _copies(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    import onnx

    result = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        result.append(copy)
    return result
