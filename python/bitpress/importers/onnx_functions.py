"""Operators that we lack and that ONNX defines by others: their definition takes their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..passes.constants import FOLDABLE
from .onnx_operators import SUPPORTED

if TYPE_CHECKING:
    import onnx

__all__ = ["expand_functions"]

_ROUNDS = 4  # definitions may use operators that are defined themselves


def expand_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, or an equal one with operators that ONNX defines by ones that we have. Others stay as they are."""
    if not model.HasField("graph"):
        return model
    for _ in range(_ROUNDS):
        wanted = {node.op_type for node in model.graph.node if node.domain in ("", "ai.onnx")}
        wanted -= SUPPORTED | FOLDABLE | {"Constant"}
        wanted = {op for op in wanted if _is_defined(op, model)}
        if not wanted:
            return model
        import onnx.inliner

        model = _with_defaults(model, wanted)
        try:
            model = onnx.inliner.inline_selected_functions(
                model, [("", op) for op in sorted(wanted)], inline_schema_functions=True
            )
        except (RuntimeError, ValueError, TypeError):  # whoever lowers the node will name it
            return model
    return model


def _with_defaults(model: onnx.ModelProto, wanted: set[str]) -> onnx.ModelProto:
    """The model whose nodes of these operators say their default attributes: the inliner does not know them."""
    import onnx

    told = onnx.ModelProto()
    told.CopyFrom(model)
    for node in told.graph.node:
        if node.op_type not in wanted or node.domain not in ("", "ai.onnx"):
            continue
        has = {attribute.name for attribute in node.attribute}
        for name, attribute in onnx.defs.get_schema(node.op_type, _opset(model), "").attributes.items():
            if name not in has and attribute.default_value.name:
                node.attribute.add().CopyFrom(attribute.default_value)
    return told


def _opset(model: onnx.ModelProto) -> int:
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _is_defined(op: str, model: onnx.ModelProto) -> bool:
    import onnx

    try:
        schema: Any = onnx.defs.get_schema(op, _opset(model), "")
    except (onnx.defs.SchemaError, TypeError):  # a damaged name or opset
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)
