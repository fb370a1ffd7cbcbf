"""The page of operators, docs/operators.md, made from the tables: python tools/operators.py [--write]."""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "operators.md"

HEAD = """# Operators
Made by `python tools/operators.py --write` from the runtime's table and the importer's; a test holds it current.

ONNX models of opset {oldest} and newer are imported, older ones by onnx's converter. What is not here is refused at
import with the node's name, unless ONNX defines the operator by others that are here: then its definition takes its
place. What becomes an attribute (shapes, axes, pads) must be constant, or follow from shapes that are known;
`load(path, input_shapes=...)` fixes those that a model leaves open.

## What the runtime runs
Several inputs have one type, but for indices, conditions and exponents ([format.md](format.md), section 6).

| operator | element types |
|---|---|
"""


def types_of(op: str) -> str:
    """The element types of an operator's first (of Where: second) input."""
    from bitpress.operators import NUMBERS, RUN_TYPES, accepts

    allowed = []
    for dtype in sorted(RUN_TYPES):
        plans = [[dtype], [dtype, dtype], [dtype, "I64"], [dtype, "I64", dtype], ["BOOL", dtype, dtype]]
        plans += [[dtype, "BOOL"], ["I64", "BOOL", dtype], ["F32", dtype]]
        if op in ("If", "Loop", "Compress", "NonMaxSuppression"):
            chosen = {"If": plans[:1] if dtype == "BOOL" else [], "Loop": plans[6:7], "Compress": plans[5:6]}
            plans = chosen.get(op, plans[7:])
        plans = plans[4:5] if op == "Where" else plans[:1] if not op.startswith(("Gather", "Scatter")) else plans[2:4]
        if any(accepts(op, plan) for plan in plans):
            allowed.append(dtype)
    if set(allowed) == set(RUN_TYPES):
        return "all"
    missing = sorted(NUMBERS - set(allowed))
    if "BOOL" not in allowed and len(missing) <= 1:
        return "numbers" + (f" but {missing[0]}" if missing else "")
    return " ".join(allowed)


def page() -> str:
    """The whole page."""
    from bitpress.importers.onnx import OLDEST_OPSET
    from bitpress.importers.onnx_control import CONTROL
    from bitpress.importers.onnx_dequantized import MICROSOFT
    from bitpress.importers.onnx_dequantized import RULES as QUANTIZED
    from bitpress.importers.onnx_operators import SUPPORTED
    from bitpress.importers.onnx_sequences import SEQUENCES
    from bitpress.operators import OPERATORS
    from bitpress.passes.constants import FOLDABLE

    lines = [HEAD.format(oldest=OLDEST_OPSET)]
    lines += [f"| {op} | {types_of(op)} |\n" for op in sorted(OPERATORS)]
    lines.append("\n`all`: F32 F64 I8 I16 I32 I64 U8 U16 U32 U64 BOOL; `numbers`: these without BOOL.\n")
    lowered = sorted(SUPPORTED - set(OPERATORS))
    lines.append(f"\n## What the importer turns into these\n{', '.join(lowered)}.\n")
    others = sorted(op for domain, op in QUANTIZED if domain == MICROSOFT)
    lines.append(f"\nOf onnxruntime's own ({MICROSOFT}), where weights are constant: {', '.join(others)}.\n")
    unrolled = sorted((CONTROL | SEQUENCES) - set(OPERATORS))
    lines.append(f"\n## What is unrolled where its course and lengths are known\n{', '.join(unrolled)}.\n")
    folded = sorted(FOLDABLE - SUPPORTED)
    lines.append(f"\n## What must be constant\n{', '.join(folded)}: evaluated at import.\n")
    return "".join(lines)


def main() -> int:
    """See the module; without --write, says whether the page is current."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    current = PAGE.read_text(encoding="utf-8") == page()
    print("current" if current else "docs/operators.md is old: python tools/operators.py --write")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
