"""Constant weights of quantized ONNX, found before shapes are inferred: what would dequantize them at run time goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BitpressError, FormatError, UnsupportedError
from .onnx_codes import QuantizedTensor, quantized
from .onnx_tensors import OnnxTensor

if TYPE_CHECKING:
    import onnx

__all__ = ["MICROSOFT", "RULES", "Taken", "take_quantized"]

MICROSOFT = "com.microsoft"
_STANDARD = ("", "ai.onnx")
Stored = Mapping[str, OnnxTensor]
Taken = dict[str, QuantizedTensor | np.ndarray]


def take_quantized(
    nodes: Iterable[onnx.NodeProto], stored: Stored, outputs: Set[str]
) -> tuple[list[onnx.NodeProto], Taken]:
    """The nodes without those that only dequantize ``stored`` tensors, and what these make, by name.

    DequantizeLinear of constants; onnxruntime's MatMulNBits and GatherBlockQuantized, whose products and rows are read
    from codes; its QLinearAdd and the like, which become their float operators between codes. Dequantized I32 (biases)
    are float32 arrays.
    """
    listed = list(nodes)
    taken: Taken = {}
    left: list[onnx.NodeProto] = []
    waiting = listed[::-1]
    while waiting:
        node = waiting.pop()
        rule = RULES.get((node.domain if node.domain not in _STANDARD else "", node.op_type))
        found = None if rule is None else _applied(rule, _Constants(node, stored, listed, taken, outputs))
        if found is None:
            left.append(node)
        else:  # among them may be one that dequantizes a constant
            waiting.extend(reversed(found))
    return left, taken


def _applied(rule: Rule, of: _Constants) -> list[onnx.NodeProto] | None:
    try:
        return rule(of)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        if isinstance(error, BitpressError):
            raise
        raise FormatError(f'operator {of.node.op_type} (node "{of.node.name}") is malformed: {error}') from None


class _Constants:
    """One node, and the constants that it reads."""

    def __init__(
        self, node: onnx.NodeProto, stored: Stored, nodes: Sequence[onnx.NodeProto], taken: Taken, outputs: Set[str]
    ) -> None:
        import onnx

        self.node = node
        self.nodes = nodes
        self.taken = taken
        self.outputs = outputs
        self._stored = stored
        self.attributes: dict[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}

    def name(self, index: int) -> str:
        """An input's name; "" where it is absent."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def tensor(self, index: int) -> OnnxTensor | None:
        """A stored input."""
        return self._stored.get(self.name(index))

    def array(self, index: int) -> np.ndarray | None:
        """A stored input's elements."""
        tensor = self.tensor(index)
        return None if tensor is None else tensor.read()

    def integer(self, name: str, default: int = 0) -> int:
        """An attribute."""
        return int(self.attributes.get(name, default))

    def refuse(self, what: str) -> UnsupportedError:
        """The error to raise."""
        node = self.node
        return UnsupportedError(
            f'operator {node.domain}.{node.op_type} (node "{node.name}") is not supported with {what}'
        )


Rule = Callable[[_Constants], "list[onnx.NodeProto] | None"]


def _make(of: _Constants, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    import onnx

    return onnx.helper.make_node(op, list(inputs), list(outputs), name=of.node.name or outputs[0], **attributes)


def _is_second_matrix(of: _Constants, name: str) -> bool:
    """Whether nothing but products reads a value, as their second matrix."""
    readers = [(node, i) for node in of.nodes for i, read in enumerate(node.input) if read == name]
    bodies = any(attribute.HasField("g") for node in of.nodes for attribute in node.attribute)
    plain = all(node.op_type in ("MatMul", "Gemm") and node.domain in _STANDARD and i == 1 for node, i in readers)
    return bool(readers) and plain and not bodies and name not in of.outputs


def _dequantize(of: _Constants) -> list[onnx.NodeProto] | None:
    x, scales = of.tensor(0), of.tensor(1)
    if x is None or scales is None or scales.dtype != "F32" or (of.name(2) and of.tensor(2) is None):
        return None
    if of.integer("output_dtype", 1) not in (0, 1):
        return None
    points, output = of.array(2), of.node.output[0]
    told = scales.read()
    if x.dtype == "I32" and told.size == 1 and points is None:
        of.taken[output] = x.read().astype(np.float32) * told.reshape(-1)[0]
        return []
    axis, block = of.integer("axis", 1), of.integer("block_size")
    found = quantized(output, x.shape, x.element, x.read, told, points, axis=axis, block=block)
    if found is None or (found.transposed and not _is_second_matrix(of, output)):
        return None
    of.taken[output] = found
    return []


def unpacked_bits(data: np.ndarray, bits: int, columns: int) -> np.ndarray:
    """Rows of codes that stand in bytes, the first in the lowest bits, [rows, columns] as uint8."""
    each = 8 // bits
    rows = data.reshape(-1, data.shape[-1])
    codes = rows[:, :, None] >> (np.arange(each) * bits).astype(np.uint8) & np.uint8((1 << bits) - 1)
    return np.asarray(codes.reshape(len(rows), -1)[:, :columns])


def _points(of: _Constants, index: int, bits: int, shape: tuple[int, int]) -> np.ndarray:
    """Zero points of blocks: the middle code where none are given."""
    points = of.array(index)
    if points is None:
        if of.name(index):
            raise of.refuse("zero points that are not constant")
        return np.full(shape, 1 << bits - 1)
    if points.dtype != np.uint8:
        if (points != np.rint(points)).any() or points.min() < 0 or points.max() >= 1 << bits:
            raise of.refuse("zero points that are no codes")
        return points.astype(np.int64).reshape(shape)
    return unpacked_bits(points.reshape(shape[0], -1), bits, shape[1]).astype(np.int64)


_UNSIGNED = {2: 25, 4: 21, 8: 2}  # bits: ONNX's type


def _matmul_bits(of: _Constants) -> list[onnx.NodeProto]:
    """MatMulNBits: x times the transpose of a matrix [N, K] of codes, with a scale a block of its rows."""
    k, n, bits, block = (
        of.integer(name, default) for name, default in (("K", 0), ("N", 0), ("bits", 4), ("block_size", 0))
    )
    data, scales = of.tensor(1), of.array(2)
    if data is None or scales is None or bits not in _UNSIGNED or of.name(4):
        raise of.refuse("weights that are not constant, or sorted" if bits in _UNSIGNED else f"{bits} bits")
    if scales.dtype != np.float32:
        raise of.refuse(f"scales of type {scales.dtype}")
    if k < 1 or n < 1 or block < 16:
        raise ValueError(f"blocks of {block} of {n} x {k} weights")
    blocks = -(-k // block)
    if data.elements != n * blocks * (block * bits // 8) or scales.size != n * blocks:
        raise ValueError(f"{data.elements} bytes and {scales.size} scales for {n} x {k} weights in blocks of {block}")
    rows = data.read
    found = quantized(
        f"{of.node.output[0]}.weight",
        (n, k),
        _UNSIGNED[bits],
        lambda: unpacked_bits(rows().reshape(n, -1), bits, k),
        scales.reshape(n, blocks),
        _points(of, 3, bits, (n, blocks)),
        block=block,
    )
    return _product(of, found, of.name(5))


def _product(of: _Constants, found: QuantizedTensor | None, bias: str) -> list[onnx.NodeProto]:
    if found is None:
        raise of.refuse("such scales")
    output = of.node.output[0]
    of.taken[found.name] = replace(found, shape=found.shape[::-1], transposed=True)
    product = f"{output}.product" if bias else output
    nodes = [_make(of, "MatMul", [of.name(0), found.name], [product])]
    return [*nodes, _make(of, "Add", [product, bias], [output])] if bias else nodes


def _gather_blocks(of: _Constants) -> list[onnx.NodeProto]:
    """GatherBlockQuantized: rows of a matrix of codes, with a scale a block of a row."""
    data, scales = of.tensor(0), of.array(2)
    bits, block = of.integer("bits", 4), of.integer("block_size", 128)
    if data is None or scales is None or scales.dtype != np.float32 or scales.ndim != 2:
        raise of.refuse("a table that is not constant")
    if of.integer("gather_axis") != 0 or of.integer("quantize_axis", 1) not in (1, -1) or len(data.shape) != 2:
        raise of.refuse("other axes than 0 and 1, or no matrix")
    rows, columns, element = data.shape[0], data.shape[1], data.element
    read = data.read
    if element == _UNSIGNED[8] and bits in (2, 4):  # several in a byte
        columns *= 8 // bits
        element = _UNSIGNED[bits]
        points: np.ndarray | None = _points(of, 3, bits, (rows, scales.shape[1]))
        found = quantized(of.node.output[0] + ".table", (rows, columns), element,
                          lambda: unpacked_bits(read(), bits, columns), scales, points, block=block)  # fmt: skip
    else:
        points = of.array(3)
        if points is None and element == _UNSIGNED[8]:
            points = np.full(scales.shape, 128)
        found = quantized(of.node.output[0] + ".table", data.shape, element, read, scales, points, block=block)
    if found is None:
        raise of.refuse("such scales")
    of.taken[found.name] = found
    return [_make(of, "Gather", [found.name, of.name(1)], of.node.output, axis=0)]


def _between_codes(op: str, operands: int, *kept: str) -> Rule:
    """An operator on codes as its float operator: dequantized, computed, quantized. ``kept``: attributes."""

    def rule(of: _Constants) -> list[onnx.NodeProto]:
        output, names, nodes = of.node.output[0], [], []
        for i in range(operands):
            names.append(f"{output}.in{i}")
            nodes.append(_make(of, "DequantizeLinear", [of.name(3 * i + k) for k in range(3)], [names[-1]]))
        told = {key: of.attributes[key] for key in kept if key in of.attributes}
        nodes.append(_make(of, op, names, [f"{output}.float"], **told))
        codes = [f"{output}.float", of.name(3 * operands), of.name(3 * operands + 1)]
        return [*nodes, _make(of, "QuantizeLinear", codes, [output])]

    return rule


def _pooled_codes(of: _Constants) -> list[onnx.NodeProto]:
    if of.integer("channels_last"):
        raise of.refuse("channels_last")
    return _between_codes("GlobalAveragePool", 1)(of) or []


def _gemm_of_codes(of: _Constants) -> list[onnx.NodeProto]:
    """QGemm: a bias of integers, whose scale is the product of the others'; codes of the result where asked for."""
    output = of.node.output[0]
    names = [f"{output}.in0", f"{output}.in1"]
    alpha, channels = float(of.attributes.get("alpha", 1.0)), 0 if of.integer("transB") else 1
    nodes = [
        _make(of, "DequantizeLinear", [of.name(3 * i + k) for k in range(3)], [name], axis=channels)
        for i, name in enumerate(names)
    ]
    if of.name(6):
        bias, scales = of.array(6), (of.array(1), of.array(4))
        if bias is None or scales[0] is None or scales[1] is None:
            raise of.refuse("a bias that is not constant")
        names.append(f"{output}.bias")
        of.taken[names[2]] = (bias * (alpha * scales[0] * scales[1]).reshape(-1)).astype(np.float32)
    told = {key: of.attributes[key] for key in ("alpha", "transA", "transB") if key in of.attributes}
    result = f"{output}.float" if of.name(7) else output
    nodes.append(_make(of, "Gemm", names, [result], **told))
    return [*nodes, _make(of, "QuantizeLinear", [result, of.name(7), of.name(8)], [output])] if of.name(7) else nodes


def _joined_codes(of: _Constants) -> list[onnx.NodeProto]:
    """QLinearConcat: the result's scale and zero point come first."""
    output, names, nodes = of.node.output[0], [], []
    for i in range(2, len(of.node.input), 3):
        names.append(f"{output}.in{i}")
        nodes.append(_make(of, "DequantizeLinear", [of.name(i + k) for k in range(3)], [names[-1]]))
    nodes.append(_make(of, "Concat", names, [f"{output}.float"], axis=of.integer("axis")))
    return [*nodes, _make(of, "QuantizeLinear", [f"{output}.float", of.name(0), of.name(1)], [output])]


RULES: dict[tuple[str, str], Rule] = {
    ("", "DequantizeLinear"): _dequantize,
    (MICROSOFT, "DequantizeLinear"): _dequantize,
    (MICROSOFT, "MatMulNBits"): _matmul_bits,
    (MICROSOFT, "GatherBlockQuantized"): _gather_blocks,
    (MICROSOFT, "QGemm"): _gemm_of_codes,
    (MICROSOFT, "QLinearAdd"): _between_codes("Add", 2),
    (MICROSOFT, "QLinearMul"): _between_codes("Mul", 2),
    (MICROSOFT, "QLinearSigmoid"): _between_codes("Sigmoid", 1),
    (MICROSOFT, "QLinearLeakyRelu"): _between_codes("LeakyRelu", 1, "alpha"),
    (MICROSOFT, "QLinearGlobalAveragePool"): _pooled_codes,
    (MICROSOFT, "QLinearConcat"): _joined_codes,
}
