"""ONNX's own operator tests (onnx.backend.test): what we claim is right, and how many cases pass is on record.

A case may be refused, with a reason; a wrong answer is an error. counts.csv has the cases that pass, per operator: when
it gets better, ``bench/onnx_suites.py --write`` renews it.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpress.compression import compress
from bitpress.errors import BitpressError
from bitpress.recipe import Recipe
from bitpress.reference import interpreter

onnx = pytest.importorskip("onnx", reason="needs the package onnx")

sys.path.append(str(Path(__file__).parents[2] / "bench"))

import onnx_suites  # noqa: E402

# The newest opset that the counts were taken with; another onnx has other cases.
COUNTED = "1.23"


@cache
def cases() -> list[Any]:
    return onnx_suites.cases()


@cache
def outcomes() -> dict[str, str]:
    return {case.name: onnx_suites.outcome(case, onnx_suites.by_bitpress) for case in cases()}


def test_no_answer_is_wrong() -> None:
    assert {name: why for name, why in outcomes().items() if why.startswith("wrong")} == {}


def test_refusals_are_ours() -> None:
    """Never another package's exception: one of bitpress, or the complaint about an input's dtype."""
    kinds = ("FormatError", "ShapeError", "UnsupportedError", "TypeError: model: input")
    strange = {name: why for name, why in outcomes().items() if why and not why.startswith(kinds)}
    assert strange == {}


def test_the_counts_are_those_on_record() -> None:
    if not onnx.__version__.startswith(COUNTED):
        pytest.skip(f"the counts are those of onnx {COUNTED}: pip install 'onnx=={COUNTED}.*'")
    total, passed = Counter[str](), Counter[str]()
    for case in cases():
        total[onnx_suites.family(case)] += 1
        passed[onnx_suites.family(case)] += outcomes()[case.name] == ""
    with onnx_suites.COUNTS.open(newline="") as file:
        rows = {row["operator"]: (int(row["cases"]), int(row["passed"])) for row in csv.DictReader(file)}
    assert rows == {name: (total[name], passed[name]) for name in total}


@pytest.mark.parametrize(("suite", "least"), [("pytorch-converted", 79), ("pytorch-operator", 35), ("simple", 15)])
def test_the_suites_that_the_wheel_ships(suite: str, least: int) -> None:
    """At least that many of their cases are right, and none is wrong: what is not right is refused."""
    found = {case.name: onnx_suites.outcome(case, onnx_suites.by_bitpress) for case in onnx_suites.shipped(suite)}
    assert {name: why for name, why in found.items() if why.startswith("wrong")} == {}
    assert sum(why == "" for why in found.values()) >= least


def test_the_reference_agrees() -> None:
    """The numpy interpreter on the graphs that the session ran."""
    from bitpress.importers.onnx import load
    from bitpress.onnx_backend import BackendRep, bind, from_run, to_run, without_lists

    for case in cases():
        if outcomes()[case.name] or "_expanded" in case.name:
            continue
        for inputs, expected in case.data_sets:
            given = dict(zip([value.name for value in case.model.graph.input], inputs, strict=False))
            proto = case.model
            if any(not value.type.HasField("tensor_type") for value in proto.graph.input):
                proto, given = without_lists(proto, given)
            arrays = {name: np.asarray(array) for name, array in given.items()}
            rep = BackendRep(proto)
            rep.run(arrays)
            fixed = {name: arrays[name] for name in rep.fixed}
            model = compress(load(bind(proto, fixed)), Recipe.lossless(coding="raw"))
            tensors = {name: tensor.unpack() for name, tensor in model.tensors.items()}
            wide = {name: array.astype(np.float32) for name, array in tensors.items() if array.dtype.itemsize == 2
                    and array.dtype.name in ("float16", "bfloat16")}  # fmt: skip
            elements = rep.elements
            fed = {name: to_run(array, elements[name]) for name, array in arrays.items()}
            with np.errstate(all="ignore"):
                found = interpreter.run(model.graph, tensors | wide, fed)
            for value, theirs in zip(case.model.graph.output, expected, strict=False):
                if value.name in found:
                    ours = from_run(found[value.name], elements[value.name])
                    assert onnx_suites.difference(ours, theirs, case) == "", case.name


def test_the_backend_interface() -> None:
    import bitpress.onnx_backend as backend

    node = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:]))
    x = np.array([1, 2], np.float32)
    assert backend.run_model(model, [x])[0].tolist() == [2, 4]
    assert backend.prepare(model).run({"x": x})[0].tolist() == [2, 4]
    assert backend.supports_device("CPU:0") and not backend.supports_device("CUDA")
    with pytest.raises(BitpressError, match="CUDA"):
        backend.prepare(model, "CUDA")
