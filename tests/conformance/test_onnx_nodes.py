"""ONNX's own operator tests (onnx.backend.test), for the operators that bitpress has.

What our attributes take (axes, shapes, bounds, pads) are inputs in these tests; they are made constants first.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

import bitpress as bp
from bitpress.errors import ShapeError, UnsupportedError
from bitpress.importers.onnx import load
from bitpress.importers.onnx_operators import SUPPORTED
from bitpress.model import Model
from bitpress.passes import optimize
from bitpress.reference import interpreter
from bitpress.session import Session

onnx = pytest.importorskip("onnx", reason="needs the package onnx")

# Operators whose inputs after the first become attributes.
CONSTANT_INPUTS = {"Clip", "Dropout", "Pad", "ReduceMean", "Reshape", "Squeeze", "Unsqueeze"}

FLOOR = 185  # of onnx 1.16 and newer

# What the operators we have do not do, by a word in the name or reason of the refusal.
REFUSED = ("networks run in F32", "training_mode", "a mask output", "indices", "mode edge", "mode reflect", "mode wrap",
           "is not a tensor", "no elements", "3 spatial dimensions", "ONNX element type")  # fmt: skip


@cache
def cases() -> dict[str, Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the generators divide by zero on purpose
        found = collect_testcases(None)
    # test_constant has no input: there is nothing to run
    known = SUPPORTED | {"Constant"}
    return {
        case.name: case
        for case in found
        if {node.op_type for node in case.model.graph.node} <= known and case.name != "test_constant"
    }


def constant_inputs(case: Any) -> tuple[Any, list[tuple[dict[str, np.ndarray], list[np.ndarray]]]]:
    """The model with its constants as initializers, and (inputs by name, outputs) of each data set."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    names = [value.name for value in graph.input]
    fixed = {name for node in graph.node if node.op_type in CONSTANT_INPUTS for name in node.input[1:]} & set(names)
    sets = []
    for inputs, outputs in case.data_sets:
        sets.append((dict(zip(names, inputs, strict=True)), outputs))
    for name in fixed:
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(sets[0][0][name]), name))
    kept = [value for value in graph.input if value.name not in fixed]
    del graph.input[:]
    graph.input.extend(kept)
    return model, [({k: v for k, v in inputs.items() if k not in fixed}, outputs) for inputs, outputs in sets]


def by_interpreter(graph: Any, tensors: Mapping[str, np.ndarray], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    found = interpreter.run(graph, tensors, inputs)
    return [found[value.name] for value in graph.outputs]


def run_all(run: Any) -> tuple[list[str], dict[str, str]]:
    """Names of the cases that passed, and why each other one was refused. A wrong answer raises."""
    passed, refused = [], {}
    for name, case in cases().items():
        model, sets = constant_inputs(case)
        try:
            source = load(model)
            graph, tensors = optimize(source.graph, source.arrays())
            for inputs, expected in sets:
                found = run(graph, tensors, inputs)
                for ours, theirs in zip(found, expected, strict=True):
                    assert ours.shape == theirs.shape, name
                    assert ours.dtype == theirs.dtype, name
                    np.testing.assert_allclose(ours, theirs, rtol=case.rtol, atol=1e-5, err_msg=name)
        except (UnsupportedError, ShapeError) as error:
            refused[name] = str(error)
        else:
            passed.append(name)
    return passed, refused


def by_session(graph: Any, tensors: Mapping[str, np.ndarray], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = Session(Model({name: bp.pack(array) for name, array in tensors.items()}, graph))
    found = session.run(inputs)
    return [found[value.name] for value in graph.outputs]


@pytest.mark.parametrize("run", [by_interpreter, by_session])
def test_operators(run: Any) -> None:
    passed, refused = run_all(run)
    strange = {name: why for name, why in refused.items() if not any(word in why for word in REFUSED)}
    assert strange == {}
    assert len(passed) >= FLOOR, f"{len(passed)} cases passed"
    seen = {node.op_type for name in passed for node in cases()[name].model.graph.node}
    assert seen >= SUPPORTED - {"Constant"}, f"no case for {SUPPORTED - seen}"
