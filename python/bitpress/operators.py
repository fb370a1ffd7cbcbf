"""The operators and attributes of a stored graph and their numbers (docs/format.md, section 6; csrc/ops/*.def)."""

from __future__ import annotations

__all__ = ["ATTRIBUTES", "OPERATORS", "TAKES_CLIP", "is_default"]

OPERATORS: dict[str, int] = {
    name: number
    for number, name in enumerate(
        [
            "Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Sigmoid", "Tanh", "Softmax",
            "BatchNormalization", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Reshape", "Flatten",
            "Transpose", "Unsqueeze", "Squeeze", "Concat", "Pad", "Identity", "HardSwish", "HardSigmoid", "LeakyRelu",
            "Erf", "Gelu", "Exp", "Sqrt", "ArgMax",
        ],
        start=1,
    )
}  # fmt: skip

# Operators that take a fused activation, the attributes clip_low and clip_high.
TAKES_CLIP = frozenset({"Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "BatchNormalization"})

INTEGER, FLOAT, INTEGERS = 1, 2, 3

# name: (number, type)
ATTRIBUTES: dict[str, tuple[int, int]] = {
    "strides": (1, INTEGERS),
    "pads": (2, INTEGERS),
    "dilations": (3, INTEGERS),
    "group": (4, INTEGER),
    "kernel_shape": (5, INTEGERS),
    "auto_pad": (6, INTEGER),
    "ceil_mode": (7, INTEGER),
    "count_include_pad": (8, INTEGER),
    "alpha": (9, FLOAT),
    "beta": (10, FLOAT),
    "transA": (11, INTEGER),
    "transB": (12, INTEGER),
    "axis": (13, INTEGER),
    "axes": (14, INTEGERS),
    "keepdims": (15, INTEGER),
    "perm": (16, INTEGERS),
    "shape": (17, INTEGERS),
    "allowzero": (18, INTEGER),
    "epsilon": (19, FLOAT),
    "clip_low": (20, FLOAT),
    "clip_high": (21, FLOAT),
    "value": (22, FLOAT),
    "approximate": (23, INTEGER),
    "select_last_index": (24, INTEGER),
}

_DEFAULT_ONES = frozenset({"strides", "dilations", "group", "keepdims"})
_DEFAULT_ZEROS = frozenset(
    {"pads", "auto_pad", "ceil_mode", "count_include_pad", "transA", "transB", "allowzero", "approximate"}
    | {"select_last_index"}
)


def is_default(op: str, attribute: str, value: object) -> bool:
    """Whether an attribute says what its absence says (docs/format.md's table); False where that depends on more."""
    if op == "Pad":
        return False
    if op == "Gemm" and attribute in ("alpha", "beta"):
        return value == 1.0
    default = 1 if attribute in _DEFAULT_ONES else 0 if attribute in _DEFAULT_ZEROS else None
    entries = value if isinstance(value, tuple | list) else (value,)
    return default is not None and all(entry == default for entry in entries)
