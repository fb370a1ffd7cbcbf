"""RNN, GRU and LSTM, lowered a turn at a time, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_models import node
from test_onnx_control import floats, same, value

pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


CASES: list[tuple[str, dict[str, Any]]] = [
    *((op, told) for op in GATES for told in (
        {},
        {"direction": "reverse"},
        {"direction": "bidirectional", "bias": True, "state": True},
        {"bias": True, "lengths": True},
        {"bias": True, "lengths": True, "direction": "bidirectional"},
        {"clip": 0.3, "state": True},
    )),
    ("GRU", {"linear_before_reset": 1, "bias": True}),
    ("LSTM", {"peepholes": True, "bias": True, "direction": "bidirectional"}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "given"), CASES, ids=str)
@pytest.mark.parametrize(("turns", "batch", "size", "hidden"), [(5, 2, 3, 4), (1, 1, 1, 1)])
def test_recurrent(op: str, given: dict[str, Any], turns: int, batch: int, size: int, hidden: int) -> None:
    told = dict(given)
    ways, gates = 2 if told.get("direction") == "bidirectional" else 1, GATES[op]
    inputs = {"x": floats(turns, batch, size)}
    stored: dict[str, Any] = {"w": floats(ways, gates * hidden, size), "r": floats(ways, gates * hidden, hidden)}
    names = ["x", "w", "r", "", "", "", "", ""]
    if told.pop("bias", False):
        stored["b"], names[3] = floats(ways, 2 * gates * hidden), "b"
    if told.pop("lengths", False):
        stored["n"], names[4] = np.array([turns, max(turns - 2, 1)][:batch], np.int32), "n"
    if told.pop("state", False):
        stored["h"], names[5] = floats(ways, batch, hidden), "h"
        if op == "LSTM":
            stored["c"], names[6] = floats(ways, batch, hidden), "c"
    if told.pop("peepholes", False):
        stored["p"], names[7] = floats(ways, 3 * hidden), "p"
    while not names[-1]:
        names.pop()
    outputs = ["y", "y_h", "y_c"][: 3 if op == "LSTM" else 2]
    made = node(op, "", " ".join(outputs), hidden_size=hidden, **told)
    made.input[:] = names
    same([made], inputs, [value(name) for name in outputs], stored)
