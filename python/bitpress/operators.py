"""The operators and attributes of a stored graph and their numbers (docs/format.md, section 6; csrc/ops/*.def)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .dtypes import DTYPES

__all__ = ["ATTRIBUTES", "OPERATORS", "RUN_TYPES", "TAKES_CLIP", "accepts", "is_default", "result_type"]

_DTYPE_NAMES = {dtype.number: dtype.name for dtype in DTYPES.values()}

OPERATORS: dict[str, int] = {
    name: number
    for number, name in enumerate(
        [
            "Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Sigmoid", "Tanh", "Softmax",
            "BatchNormalization", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Reshape", "Flatten",
            "Transpose", "Unsqueeze", "Squeeze", "Concat", "Pad", "Identity", "HardSwish", "HardSigmoid", "LeakyRelu",
            "Erf", "Gelu", "Exp", "Sqrt", "ArgMax",
            "Abs", "Neg", "Sign", "Reciprocal", "Log", "Ceil", "Floor", "Round", "Sin", "Cos", "Tan", "Asin", "Acos",
            "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Mish",
            "Swish", "ThresholdedRelu", "Shrink", "IsNaN", "IsInf", "Not", "BitwiseNot", "Pow", "Mod", "Max", "Min",
            "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "BitwiseAnd", "BitwiseOr",
            "BitwiseXor", "BitShift", "PRelu", "Where", "Cast", "ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin",
            "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "LayerNormalization",
            "Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "Slice", "Expand", "ArgMin",
            "RoundTo", "BitCast", "CumSum", "CumProd", "TopK", "If", "Loop", "NonZero", "Compress", "Unique",
            "NonMaxSuppression", "Range", "Shape",
        ],
        start=1,
    )
}  # fmt: skip

# How many bodies an operator owns.
BODIES: dict[str, int] = {"If": 2, "Loop": 1}

# Operators that take a fused activation, the attributes clip_low and clip_high.
TAKES_CLIP = frozenset({"Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "BatchNormalization"})

# The element types that values can have at run time (stored F16 and BF16 tensors are read as F32).
REALS = frozenset({"F32", "F64"})
INTEGER_TYPES = frozenset({"I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64"})
NUMBERS = REALS | INTEGER_TYPES
RUN_TYPES = NUMBERS | {"BOOL"}
_F32 = frozenset({"F32"})
_INDICES = frozenset({"I32", "I64"})

_ACCEPTS: dict[str, frozenset[str]] = {
    op: types
    for types, ops in (
        (RUN_TYPES, "Reshape Flatten Unsqueeze Squeeze Identity Transpose Slice Expand Concat Pad Cast Where Equal "
                    "Gather GatherElements GatherND ScatterElements ScatterND BitCast NonZero Compress Shape If Loop"),
        (NUMBERS, "Add Sub Mul Div Relu Abs Sign Pow Mod Max Min Greater GreaterOrEqual Less LessOrEqual PRelu "
                  "ReduceSum ReduceProd ReduceL1 ReduceSumSquare CumSum CumProd TopK Unique Range"),
        (NUMBERS - {"U64"}, "ArgMax ArgMin"),
        ((NUMBERS | {"BOOL"}) - {"U64"}, "ReduceMax ReduceMin"),
        (REALS | {"I8", "I16", "I32", "I64"}, "Neg"),
        (REALS, "Clip Sigmoid Tanh Erf Exp Sqrt HardSigmoid LeakyRelu Reciprocal Log Ceil Floor Round Sin Cos Tan Asin "
                "Acos Atan Sinh Cosh Asinh Acosh Atanh Elu Selu Celu Softplus Softsign Mish Swish ThresholdedRelu "
                "Shrink IsNaN IsInf ReduceL2 ReduceLogSum ReduceLogSumExp RoundTo"),
        (REALS | {"I32", "I64", "U32", "U64"}, "MatMul"),
        (INTEGER_TYPES, "BitwiseNot BitwiseAnd BitwiseOr BitwiseXor BitShift"),
        (frozenset({"BOOL"}), "Not And Or Xor"),
    )
    for op in ops.split()
}  # fmt: skip
_TO_BOOL = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "IsNaN", "IsInf"})
_INDEXED = {"Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"}


def accepts(op: str, types: Sequence[str]) -> bool:
    """Whether an operator takes inputs of these element types ("" for an absent one)."""
    allowed = _ACCEPTS.get(op, _F32)
    if op in _INDEXED:
        return types[1] in _INDICES and all(name in allowed and name == types[0] for name in (types[0], *types[2:]))
    if op == "Compress":
        return types[0] in allowed and list(types[1:]) == ["BOOL"]
    if op == "NonMaxSuppression":
        wanted = ("F32", "F32", "I64", "F32", "F32")
        return len(types) > 1 and all(name in ("", want) for name, want in zip(types, wanted, strict=False))
    if op == "If":
        return list(types) == ["BOOL"]
    if op == "Loop":
        return (
            len(types) > 1
            and types[0] in ("", "I64")
            and types[1] in ("", "BOOL")
            and all(name in allowed for name in types[2:])
        )
    if op == "Where":
        return types[0] == "BOOL" and types[1] == types[2] and types[1] in allowed
    if op == "Expand":
        return types[0] in allowed
    if op == "Pow":
        return all(name in allowed for name in types)
    present = [name for name in types if name]
    return all(name in allowed and name == present[0] for name in present)


def result_type(op: str, types: Sequence[str], attributes: Mapping[str, object], output: int = 0) -> str:
    """The element type of one of an operator's outputs."""
    if op in ("TopK", "Unique") and output > 0:
        return "I64"
    if op in ("NonZero", "NonMaxSuppression", "Shape"):
        return "I64"
    if op == "RoundTo":
        return "F32"
    if op in _TO_BOOL:
        return "BOOL"
    if op in ("ArgMax", "ArgMin"):
        return "I64"
    if op in ("Cast", "BitCast"):
        return _DTYPE_NAMES[int(attributes["to"])]  # type: ignore[call-overload]
    return types[1] if op == "Where" else types[0]


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
    "starts": (25, INTEGERS),
    "ends": (26, INTEGERS),
    "steps": (27, INTEGERS),
    "to": (28, INTEGER),
    "fmod": (29, INTEGER),
    "direction": (30, INTEGER),
    "batch_dims": (31, INTEGER),
    "reduction": (32, INTEGER),
    "format": (33, INTEGERS),
    "exclusive": (34, INTEGER),
    "reverse": (35, INTEGER),
    "largest": (36, INTEGER),
    "k": (37, INTEGER),
    "bound": (38, INTEGER),
    "sorted": (39, INTEGER),
    "center_point_box": (40, INTEGER),
}

_DEFAULT_ONES = frozenset({"strides", "dilations", "group", "keepdims", "largest", "sorted"})
_DEFAULT_ZEROS = frozenset(
    {"pads", "auto_pad", "ceil_mode", "count_include_pad", "transA", "transB", "allowzero", "approximate"}
    | {"select_last_index", "fmod", "direction", "batch_dims", "reduction", "exclusive", "reverse"}
    | {"center_point_box"}
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
