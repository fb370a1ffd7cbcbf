"""The element types of what lowered nodes write, and whether our operators take what they read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..dtypes import dtype_of
from ..errors import FormatError, UnsupportedError
from ..graph import Node, Value
from ..operators import accepts, result_type

__all__ = ["typed_values"]


def typed_values(
    nodes: Iterable[Node], values: Mapping[str, Value], known: Mapping[str, np.ndarray], outputs: Iterable[Value]
) -> dict[str, Value]:
    """``values`` with the type of everything that ``nodes`` write.

    Raises UnsupportedError, with the node's name, where an operator does not run in the types that it is given.
    """
    found = dict(values)

    def type_of(name: str) -> str:
        if name in known and known[name].dtype != object:
            return dtype_of(known[name])
        dtype = found[name].dtype if name in found else "F32"
        return "F32" if dtype in ("F16", "BF16") else dtype  # stored ones are read so

    for node in nodes:
        types = [type_of(name) if name else "" for name in node.inputs]
        if not accepts(node.op, types):
            told = ", ".join(name for name in types if name)
            raise UnsupportedError(f'operator {node.op} (node "{node.name}") is not supported for {told}')
        for place, name in enumerate(node.outputs):
            if node.bodies:
                given = node.bodies[0].outputs[place + (node.op == "Loop")]
                inside = node.bodies[0].values.get(given)
                dtype = type_of(given) if inside is None else inside.dtype
                dtype = "F32" if dtype in ("F16", "BF16") else dtype
            else:
                dtype = result_type(node.op, types, node.attributes, place)
            before = found.get(name)
            found[name] = Value(name, dtype, before.shape if before is not None else None)
    for value in outputs:
        if value.name in found and found[value.name].dtype != value.dtype:
            raise FormatError(f"output {value.name!r} is {found[value.name].dtype}, not {value.dtype}")
    return found
