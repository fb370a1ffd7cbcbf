"""Casts to element types that are narrower than those in which networks run: rounded, and held in a wider type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..dtypes import DTYPES
from ..graph import Node
from ..operators import REALS
from .onnx_reader import Chain, Reader
from .onnx_tensors import dtype_name

__all__ = ["cast", "cast_to", "rounded"]

# ONNX's element type: bits of the mantissa, exponent of the least normal number, flags (1: zero has no sign, 2: powers
# of two alone), the largest finite number, and what lies above it where casts do not saturate (1: infinity, 2: NaN).
_FORMATS = {
    10: (10, -14, 0, 65504.0, 1),
    16: (7, -126, 0, (2 - 2.0**-7) * 2.0**127, 1),
    17: (3, -6, 0, 448.0, 2),
    18: (3, -7, 1, 240.0, 2),
    19: (2, -14, 0, 57344.0, 1),
    20: (2, -15, 1, 57344.0, 2),
    23: (1, 0, 0, 6.0, 0),
    24: (0, -127, 2, 2.0**127, 2),
}
_ALWAYS_OVERFLOW = (10, 16)  # no casts to them saturate
_BITS = {21: 4, 22: 4, 25: 2, 26: 2}


def cast(chain: Chain, x: str, dtype: str, element: int, saturate: bool = True) -> str:
    """A value of ``dtype`` as one of ONNX's element type; what holds it has dtype_name(element)."""
    to = dtype_name(element, chain.reader.node.name)
    if element in _FORMATS:
        mantissa, exponent, flags, most, overflow = _FORMATS[element]
        if dtype not in REALS:
            x = chain.add("Cast", x, to=DTYPES["F64"].number)
        above = overflow if element in _ALWAYS_OVERFLOW or not saturate else 0
        return chain.add("RoundTo", x, format=(mantissa, exponent, above, flags), alpha=most)
    x = chain.add("Cast", x, to=DTYPES[to].number)
    if element in _BITS:  # the lowest bits stay
        away = chain.constant(8 - _BITS[element], to)
        x = chain.add("BitShift", chain.add("BitShift", x, away), away, direction=1)
    return x


# What moves elements, or tells them apart, and so rounds nothing.
_EXACT = frozenset(
    [
        "Cast",
        "CastLike",
        "Clip",
        "Compress",
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "If",
        "Loop",
        "Max",
        "MaxPool",
        "Min",
        "Neg",
        "Abs",
        "OneHot",
        "Pad",
        "QuantizeLinear",
        "Relu",
        "Reshape",
        "ReverseSequence",
        "ScatterND",
        "ScatterElements",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "TopK",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
    ]
)


def rounded(node: Node, nodes: list[Node], elements: Mapping[str, int]) -> list[Node]:
    """The nodes that stand for an ONNX node; what they compute of type F16 or BF16 is rounded to it."""
    halves = {name: elements[name] for name in node.outputs if elements.get(name) in _ALWAYS_OVERFLOW}
    if not halves or node.op in _EXACT:
        return nodes
    wide = {name: f"{name}.wide" for name in halves}
    result = [one.renamed(wide) for one in nodes]
    for name, element in halves.items():
        mantissa, exponent, flags, most, overflow = _FORMATS[element]
        told: dict[str, Any] = {"format": (mantissa, exponent, overflow, flags), "alpha": most}
        result.append(Node("RoundTo", f"{node.name}.rounded", (wide[name],), (name,), told))
    return result


def cast_to(reader: Reader) -> Iterable[Node]:
    """Cast and CastLike."""
    element = reader.element(1) if reader.node.op == "CastLike" else int(reader.attributes["to"])
    saturate = bool(reader.attributes.get("saturate", 1))
    if element == 24 and reader.attributes.get("round_mode", b"up") != b"up":
        raise reader.refuse("such a round_mode")
    chain = Chain(reader)
    return chain.end("Identity", cast(chain, reader.input(0), reader.dtype(), element, saturate))
