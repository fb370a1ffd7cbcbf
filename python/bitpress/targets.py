"""For which CPUs a file is laid out: which of its tensors stand in panels, as products of bytes there read them."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import SchemeError
from .graph import Graph, Node
from .panels import Order, has_order
from .scheme import Granularity, Integer
from .tensor import TensorSpec

__all__ = ["TARGETS", "check_target", "orders_for"]

# Families of CPUs. All but the first multiply bytes by vectors, and read the same panels of 16 outputs by 4 inputs: a
# register of AVX-512, two of AVX2, four of NEON.
TARGETS = ("generic", "x86-64-v3", "x86-64-v4", "armv8")
_SPREADS = ("x86-64-v4",)  # where codes of 2 and 4 bits become bytes faster from panels than from rows
_MOST_GROUP = 512  # weights that share a scale, which a block of a product holds


def check_target(target: str) -> str:
    """The target; SchemeError for a name that is none."""
    if target not in TARGETS:
        raise SchemeError(f"no target {target!r}: {', '.join(TARGETS)}")
    return target


def orders_for(target: str, graph: Graph | None, specs: Sequence[TensorSpec]) -> dict[str, Order]:
    """How each tensor's codes stand in a file for ``target``: in panels where products of matrices alone read them.

    SchemeError for a target that is none.
    """
    check_target(target)
    readers = {} if graph is None or target == "generic" else graph.consumers()
    return {spec.name: _order(target, spec, readers.get(spec.name, [])) for spec in specs}


def _order(target: str, spec: TensorSpec, readers: Sequence[Node]) -> Order:
    wanted = {_wanted(spec.name, node) for node in readers}
    if len(wanted) != 1:
        return Order.ELEMENTS
    order = wanted.pop()
    values = spec.scheme.values
    narrow = isinstance(values, Integer) and values.bits < 8
    if narrow and order is Order.ROW_PANELS and target not in _SPREADS:  # packed rows are as fast there, or faster
        return Order.ELEMENTS
    return order if _fits(spec, order) else Order.ELEMENTS


def _wanted(name: str, node: Node) -> Order:
    """The order in which a node would best read a tensor."""
    if node.op not in ("Gemm", "MatMul") or [i for i, each in enumerate(node.inputs) if each == name] != [1]:
        return Order.ELEMENTS
    if node.op == "Gemm" and (node.attributes.get("transA", 0) or node.attributes.get("alpha", 1.0) != 1.0):
        return Order.ELEMENTS
    return Order.ROW_PANELS if node.attributes.get("transB", 0) else Order.COLUMN_PANELS


def _fits(spec: TensorSpec, order: Order) -> bool:
    values = spec.scheme.values
    if order is Order.ELEMENTS or not has_order(spec.shape, spec.scheme, order) or not isinstance(values, Integer):
        return False
    if values.granularity is Granularity.AXIS:
        return values.axis == (0 if order is Order.ROW_PANELS else 1)
    if values.granularity is Granularity.GROUP:
        size = min(values.group_size, spec.shape[1])
        whole = size == spec.shape[1] or size % (32 // values.bits) == 0
        return order is Order.ROW_PANELS and whole and size <= _MOST_GROUP
    return True
