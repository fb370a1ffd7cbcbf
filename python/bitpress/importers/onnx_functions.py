"""Operators that we lack and that ONNX defines by others: their definition takes their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..passes.constants import FOLDABLE
from .onnx_operators import SUPPORTED

if TYPE_CHECKING:
    import onnx

__all__ = ["expand_functions"]

_STANDARD = ("", "ai.onnx")
_DOMAINS = (*_STANDARD, "ai.onnx.preview")
_NO_OPERATORS = frozenset({"Constant"})
_ROUNDS = 4  # definitions may use operators that are defined themselves


def expand_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, or an equal one with operators that ONNX defines by ones that we have. Others stay as they are."""
    if not model.HasField("graph"):
        return model
    for _ in range(_ROUNDS):
        wanted = {(node.domain, node.op_type) for node in model.graph.node if node.domain in _DOMAINS}
        wanted = {
            (domain, op)
            for domain, op in wanted
            if not (domain in _STANDARD and op in SUPPORTED | FOLDABLE | _NO_OPERATORS)
            and _is_defined(domain, op, model)
        }
        if not wanted:
            return model
        import onnx.inliner

        told = _with_defaults(model, wanted)
        try:
            model = onnx.inliner.inline_selected_functions(told, sorted(wanted), inline_schema_functions=True)
        except (RuntimeError, ValueError, TypeError):  # the inliner stumbles over absent inputs
            found = _one_by_one(told, wanted)
            if found is None:  # whoever lowers the node will name it
                return model
            model = found
    return model


def _one_by_one(model: onnx.ModelProto, wanted: set[tuple[str, str]]) -> onnx.ModelProto | None:
    """The model with the definition of each of its nodes as a function of its own, inlined."""
    import onnx
    import onnx.inliner

    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
        types = {value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)}
        for tensor in graph.initializer:
            types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        for i, node in enumerate(model.graph.node):
            if (node.domain, node.op_type) not in wanted:
                continue
            schema: Any = onnx.defs.get_schema(node.op_type, _opset(model, node.domain), node.domain)
            if not schema.has_context_dependent_function:
                continue
            told = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
            function = onnx.FunctionProto.FromString(
                schema.get_context_dependent_function(node.SerializeToString(), told)
            )
            function.name, function.domain = f"{node.op_type}.{i}", "bitpress.defined"
            del function.attribute[:], function.attribute_proto[:]
            function.attribute.extend(attribute.name for attribute in node.attribute)
            model.functions.append(function)
            node.op_type, node.domain = function.name, function.domain
        model.opset_import.append(onnx.helper.make_opsetid("bitpress.defined", 1))
        inlined: onnx.ModelProto = onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, TypeError, onnx.shape_inference.InferenceError):
        return None
    kept = [entry for entry in inlined.opset_import if entry.domain != "bitpress.defined"]
    del inlined.opset_import[:], inlined.functions[:]
    inlined.opset_import.extend(kept)
    return inlined


def _with_defaults(model: onnx.ModelProto, wanted: set[tuple[str, str]]) -> onnx.ModelProto:
    """The model whose nodes of these operators say their default attributes: the inliner does not know them."""
    import onnx

    told = onnx.ModelProto()
    told.CopyFrom(model)
    for node in told.graph.node:
        if (node.domain, node.op_type) not in wanted:
            continue
        has = {attribute.name for attribute in node.attribute}
        schema = onnx.defs.get_schema(node.op_type, _opset(model, node.domain), node.domain)
        for name, attribute in schema.attributes.items():
            if name not in has and attribute.default_value.name:
                node.attribute.add().CopyFrom(attribute.default_value)
    return told


def _opset(model: onnx.ModelProto, domain: str) -> int:
    same = _STANDARD if domain in _STANDARD else (domain,)
    return next((int(entry.version) for entry in model.opset_import if entry.domain in same), 0)


def _is_defined(domain: str, op: str, model: onnx.ModelProto) -> bool:
    import onnx

    try:
        schema: Any = onnx.defs.get_schema(op, _opset(model, domain), domain)
    except (onnx.defs.SchemaError, TypeError):  # a damaged name or opset
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)
