"""LiteRT (TensorFlow Lite with XNNPACK) as a peer: torch modules as its files, run on one thread.

Needs ``pip install litert-torch`` (about a gigabyte, not in the extra ``bench``); benches skip without it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

Weights = Literal["fp32", "int8", "int4"]


def converted(module: Any, inputs: Sequence[Any], path: Path, weights: Weights) -> Path:
    """A torch module as a LiteRT file; inputs: tensors of the shapes that it will run on.

    ``int8`` and ``int4`` are LiteRT's own recipes: weights with a scale a channel, activations rounded to 8 bits as
    they come, where it has kernels for that.
    """
    litert_torch = pytest.importorskip("litert_torch", reason="pip install litert-torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        litert_torch.convert(module.eval(), tuple(inputs)).export(str(path))
        if weights != "fp32":
            from ai_edge_quantizer import quantizer, recipe

            rules = recipe.dynamic_wi8_afp32() if weights == "int8" else recipe.dynamic_wi4_afp32()
            quantizer.Quantizer(str(path), rules).quantize().export_model(str(path), overwrite=True)
    return path


def session(path: Path) -> tuple[Callable[[Sequence[np.ndarray]], np.ndarray], str]:
    """What runs the file on one thread, inputs in the module's order, and the peer's name."""
    interpreter_module = pytest.importorskip("ai_edge_litert.interpreter", reason="pip install litert-torch")
    interpreter = interpreter_module.Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    slots = interpreter.get_input_details()
    output = interpreter.get_output_details()[0]["index"]

    def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
        for slot, values in zip(slots, inputs, strict=True):
            interpreter.set_tensor(slot["index"], values.astype(slot["dtype"], copy=False))
        interpreter.invoke()
        found: np.ndarray = interpreter.get_tensor(output)
        return found

    return run, f"LiteRT {version('ai-edge-litert')}"
