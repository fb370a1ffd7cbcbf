"""Counts which of ONNX's generated operator cases run and are right, here and in onnxruntime.

    PYTHONPATH=python python bench/onnx_suites.py [--peer] [--write] [--list REASON]

Training and string operators are left out of neither engine's total: they are named apart. ``--write`` renews
tests/conformance/counts.csv: per operator, how many cases there are and how many pass.
"""

from __future__ import annotations

import argparse
import collections
import csv
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COUNTS = Path(__file__).parents[1] / "tests" / "conformance" / "counts.csv"

TRAINING = {"Adagrad", "Adam", "Momentum", "Gradient"}
STRINGS = {"StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", "TfIdfVectorizer", "LabelEncoder"}


def cases() -> list[Any]:
    """All generated cases, by name."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the generators divide by zero on purpose
        found = sorted(collect_testcases(None), key=lambda case: case.name)
    for case in found:  # some keep their arrays as the files do
        case.data_sets[:] = [tuple([_array(item) for item in part] for part in pair) for pair in case.data_sets]
    return found


SHIPPED = ("pytorch-converted", "pytorch-operator", "simple")


def shipped(suite: str) -> list[Any]:
    """The cases of a suite that the onnx wheel holds as files, by name, as ``cases`` gives them."""
    import onnx
    from onnx.backend.test.case.test_case import TestCase

    found = []
    for path in sorted((Path(onnx.__file__).parent / "backend" / "test" / "data" / suite).glob("*/model.onnx")):
        model = onnx.load(path)
        stored = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in stored]
        sets = [
            tuple(
                [_read(folder / f"{kind}_{i}.pb", value) for i, value in enumerate(values)]
                for kind, values in (("input", inputs), ("output", model.graph.output))
            )
            for folder in sorted(path.parent.glob("test_data_set_*"))
        ]
        found.append(TestCase(path.parent.name, path.parent.name, None, None, model, sets, suite, 1e-3, 1e-6))
    return found


def _read(path: Path, value: Any) -> Any:
    from onnx import SequenceProto, TensorProto, numpy_helper

    if value.type.HasField("sequence_type"):
        return numpy_helper.to_list(SequenceProto.FromString(path.read_bytes()))
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


def _array(item: Any) -> Any:
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(item) if isinstance(item, TensorProto) else item


def operators(case: Any) -> frozenset[str]:
    """The operators that a case uses."""
    return frozenset(node.op_type for node in case.model.graph.node)


def family(case: Any) -> str:
    """What a case tests: its operator, or the name before ``_expanded`` where it is the operator's definition."""
    if "_expanded" in case.name:
        return "(definitions)"
    ops = operators(case)
    return next(iter(ops)) if len(ops) == 1 else "(several)"


def in_scope(case: Any) -> bool:
    """Whether it is neither about training nor about strings."""
    if operators(case) & (TRAINING | STRINGS):
        return False
    arrays = [np.asarray(a) for pair in case.data_sets for part in pair for a in part if isinstance(a, np.ndarray)]
    return all(array.dtype.kind not in "OUS" for array in arrays)


def outcome(case: Any, run: Callable[[Any, list[Any]], Any]) -> str:
    """ "" where every result is right; "wrong: ..." for a wrong one, else why it was refused."""
    for inputs, expected in case.data_sets:
        try:
            found = run(case.model, inputs)
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        for ours, theirs in zip(found, expected, strict=True):
            wrong = difference(ours, theirs, case)
            if wrong:
                return f"wrong: {wrong}"
    return ""


def difference(ours: Any, theirs: Any, case: Any) -> str:
    """What differs; "" where nothing does: within the case's own tolerance, or of floats that have fewer bits than
    float32, two units in the last place (whose reference rounds each sum); of Fourier transforms, whose reference is a
    float32 one, 2^-22 of the largest number."""
    if isinstance(theirs, list):
        if not isinstance(ours, list) or len(ours) != len(theirs):
            return "not such a sequence"
        return next((d for a, b in zip(ours, theirs, strict=True) if (d := difference(a, b, case))), "")
    if theirs is None:
        return "" if ours is None else "not none"
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
    if theirs.dtype.kind in "OUS":
        return "" if ours.tolist() == theirs.tolist() else "other strings"
    if theirs.dtype.kind in "biu":
        return "" if np.array_equal(ours, theirs) else "other numbers"
    if theirs.dtype.name in ("float16", "bfloat16"):
        rtol = max(case.rtol, 2.0**-9 if theirs.dtype.name == "float16" else 2.0**-6)
        same = ours.astype(np.float32), theirs.astype(np.float32)
        return "" if np.allclose(*same, rtol=rtol, atol=case.atol, equal_nan=True) else "other numbers"
    if theirs.dtype.kind not in "fc":
        same = ours.astype(np.float32), theirs.astype(np.float32)
        return "" if np.allclose(*same, rtol=case.rtol, atol=case.atol, equal_nan=True) else "other numbers"
    atol = case.atol
    if operators(case) & {"DFT", "STFT"} and theirs.size:
        atol = max(atol, 2.0**-22 * float(np.abs(theirs).max()))
    return "" if np.allclose(ours, theirs, rtol=case.rtol, atol=atol, equal_nan=True) else "other numbers"


def by_bitpress(model: Any, inputs: list[Any]) -> Any:
    """Ours."""
    import bitpress.onnx_backend as backend

    return backend.run_model(model, inputs)


def by_onnxruntime(model: Any, inputs: list[Any]) -> Any:
    """The peer's."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=False)))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", action="store_true", help="run onnxruntime too")
    parser.add_argument("--write", action="store_true", help="renew the committed counts")
    parser.add_argument("--list", help="print the cases whose outcome has this word")
    options = parser.parse_args()
    found = cases()
    ours, theirs, total = (collections.Counter[str]() for _ in range(3))
    scope = 0
    reasons = collections.Counter[str]()
    for case in found:
        name = family(case)
        total[name] += 1
        scope += in_scope(case)
        result = outcome(case, by_bitpress)
        ours[name] += result == ""
        if options.list is not None and options.list in result and result:
            print(f"{case.name}: {result}")
        reasons["passed" if not result else "wrong" if result.startswith("wrong") else "refused"] += 1
        if options.peer:
            theirs[name] += outcome(case, by_onnxruntime) == ""
    print(f"bitpress {sum(ours.values())} of {len(found)} ({scope} without training and strings); {dict(reasons)}")
    if options.peer:
        print(f"onnxruntime {sum(theirs.values())} of {len(found)}")
    for suite in SHIPPED:
        kept = shipped(suite)
        told = f"{suite}: bitpress {sum(outcome(case, by_bitpress) == '' for case in kept)} of {len(kept)}"
        if options.peer:
            told += f", onnxruntime {sum(outcome(case, by_onnxruntime) == '' for case in kept)}"
        print(told)
    if options.write:
        with COUNTS.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["operator", "cases", "passed"])
            writer.writerows([name, total[name], ours[name]] for name in sorted(total))


if __name__ == "__main__":
    sys.exit(main())
