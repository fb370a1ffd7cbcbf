"""If and Loop whose course is found at run time: each body is imported as a model of its own and owned by its node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UnsupportedError
from ..graph import Body, Graph, Node, Value
from .onnx_codes import QuantizedTensor
from .onnx_tensors import CARRIERS, OnnxTensor

if TYPE_CHECKING:
    import onnx

    from .onnx_settle import Settled

__all__ = ["MOST_TURNS", "Bodies", "Tensor"]

Tensor = OnnxTensor | QuantizedTensor | np.ndarray
Import = Callable[["onnx.ModelProto"], tuple[Graph, Mapping[str, Tensor]]]
MOST_TURNS = 1 << 20  # that a runtime lets a loop take


class Bodies:
    """Lowers the nodes of a settled graph that own bodies. ``tensors``: what the bodies store, under their names.

    ``bound``: the most turns of a loop whose number of turns no constant says.
    """

    def __init__(self, settled: Settled, bound: int, import_model: Import) -> None:
        self.settled = settled
        self.bound = bound
        self.tensors: dict[str, Tensor] = {}
        self._import = import_model
        self._protos = {node.output[0]: node for node in settled.graph.node if node.output}

    def lower(self, node: Node) -> Node:
        """Our node for an If or a Loop."""
        proto = self._protos[node.outputs[0]]
        graphs = {attribute.name: attribute.g for attribute in proto.attribute if attribute.HasField("g")}
        outputs = tuple(name or f"{node.outputs[0]}.{i}" for i, name in enumerate(proto.output))
        if node.op == "If":
            kinds = [self.settled.elements.get(name, 0) for name in proto.output]
            bodies = tuple(self._body(node, name, graphs[name], [], kinds) for name in ("then_branch", "else_branch"))
            return Node("If", node.name, (proto.input[0],), outputs, {}, bodies)
        if node.op != "Loop":
            raise UnsupportedError(
                f'operator {node.op} (node "{node.name}") is not supported over a length that is not known'
            )
        inputs = tuple([*proto.input, "", ""][: max(len(proto.input), 2)])
        carried = inputs[2:]
        kinds = [9, *(self.settled.elements.get(name, 0) for name in carried)]
        kinds += [self.settled.elements.get(name, 0) for name in proto.output[len(carried) :]]
        body = self._body(node, "body", graphs["body"], carried, kinds)
        return Node("Loop", node.name, inputs, outputs, {"bound": self._turns(node, inputs[0])}, (body,))

    def _turns(self, node: Node, name: str) -> int:
        told = self.settled.known.get(name)
        turns = self.bound if told is None or told.dtype == object else max(int(told.ravel()[0]), 1)
        if turns > MOST_TURNS:
            raise UnsupportedError(
                f'operator Loop (node "{node.name}") is not supported with {turns} turns, at most {MOST_TURNS}'
            )
        return turns

    def _body(
        self, node: Node, name: str, graph: onnx.GraphProto, carried: Sequence[str], kinds: Sequence[int]
    ) -> Body:
        import onnx

        model = onnx.ModelProto(ir_version=max(self.settled.proto.ir_version, 4))
        model.opset_import.extend(self.settled.proto.opset_import)
        model.graph.name = name
        model.graph.node.extend(graph.node)
        model.graph.initializer.extend(graph.initializer)
        model.graph.output.extend(graph.output)
        for value, kind in zip(model.graph.output, kinds, strict=True):
            if not value.HasField("type") and kind:
                value.type.tensor_type.elem_type = kind
        own = [value.name for value in graph.input]
        model.graph.input.extend(self._inputs(graph, carried))
        for outer in self._outer(graph):
            self._capture(model.graph, outer, node)
        found, tensors = self._import(model)
        prefix = f"{node.outputs[0]}/{name}/"
        inside = {value.name for value in found.inputs if value.name in own}
        inside |= set(tensors) | {value.name for value in _all_values(found)}
        inside -= {value.name for value in found.inputs if value.name not in own}
        table = {known: prefix + known for known in inside}
        self.tensors |= {table[known]: tensor for known, tensor in tensors.items()}
        by_name = {value.name: value for value in found.inputs}
        values = {value.name: value for value in (*found.outputs, *found.values.values())}
        inputs = tuple(Value(known, by_name[known].dtype) for known in own)  # sizes follow when a run is planned
        outputs = tuple(value.name for value in found.outputs)
        return Body(inputs, outputs, found.nodes, values).renamed(table)

    def _outer(self, graph: onnx.GraphProto) -> list[str]:
        from .onnx_settle import outer_names

        return outer_names(graph)

    def _inputs(self, graph: onnx.GraphProto, carried: Sequence[str]) -> Iterable[onnx.ValueInfoProto]:
        """A loop's own values, of the types and shapes that they begin with."""
        import onnx

        for place, value in enumerate(graph.input):
            if place < 2:
                kind = onnx.TensorProto.BOOL if place else onnx.TensorProto.INT64
                yield onnx.helper.make_tensor_value_info(value.name, kind, [])
            else:
                yield self._described(value.name, carried[place - 2])

    def _described(self, name: str, outer: str) -> onnx.ValueInfoProto:
        import onnx

        known, shape = self.settled.known.get(outer), self.settled.shapes.get(outer)
        if known is not None and known.dtype != object:
            shape = known.shape
        element = self.settled.elements.get(outer)
        if element is None and known is not None:
            element = onnx.helper.np_dtype_to_tensor_dtype(known.dtype)
        if element is None:
            raise UnsupportedError(f"{outer!r} is not a tensor, and a body reads it")
        info: onnx.ValueInfoProto = onnx.helper.make_tensor_value_info(name, element, shape)
        return info

    def _capture(self, graph: onnx.GraphProto, name: str, node: Node) -> None:
        """What a body reads of the values around it: a constant where it is a small one, else an input."""
        import onnx

        known = self.settled.known.get(name)
        stored = self.settled.stored.get(name)
        if isinstance(stored, OnnxTensor) and name in self.settled.known:
            graph.initializer.add().CopyFrom(stored.proto)
            graph.initializer[-1].name = name
        elif known is not None and known.dtype != object and self.settled.elements.get(name, 0) not in CARRIERS:
            graph.initializer.append(onnx.numpy_helper.from_array(known, name))
        elif known is not None and known.dtype == object:
            raise UnsupportedError(
                f'operator {node.op} (node "{node.name}") is not supported with a body that reads a size not known'
            )
        else:
            graph.input.append(self._described(name, name))


def _all_values(graph: Graph) -> Iterable[Value]:
    """What the nodes write, those in bodies too."""

    def written(nodes: Sequence[Node]) -> Iterable[Value]:
        for node in nodes:
            yield from (Value(name) for name in node.outputs)
            for body in node.bodies:
                yield from body.inputs
                yield from written(body.nodes)

    return written(graph.nodes)
