"""The same step by tools that others know: their real files, their own runtime. What is not installed has no line."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .table import Row

__all__ = ["Outputs", "installed", "int8_row", "onnxruntime_run", "plain_rows"]

Outputs = npt.NDArray[np.float32]


def installed(package: str) -> bool:
    """Whether a package can be imported, without doing so."""
    return importlib.util.find_spec(package) is not None


def _safetensors(tensors: Mapping[str, npt.NDArray[np.generic]], path: Path) -> Path:
    """The tensors as they are, by the safetensors package."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
    return path


def _zstd(source: Path) -> tuple[Path, int]:
    """``source`` under zstd, beside it, and the level: 19, or 9 where that would take a minute."""
    import zstandard

    level = 19 if source.stat().st_size < 4 << 20 else 9
    path = source.with_name(source.name + ".zst")
    path.write_bytes(zstandard.ZstdCompressor(level=level).compress(source.read_bytes()))
    return path, level


def _onnxruntime_int8(source: Path, path: Path) -> Path:
    """An ONNX file's weights in 8 bits a tensor's channel, by onnxruntime's ``quantize_dynamic``."""
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    before = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it recommends a pre-processing that changes nothing here
    try:
        quantize_dynamic(source, path, weight_type=QuantType.QUInt8, per_channel=True)
    finally:
        logging.root.setLevel(before)
    return path


def onnxruntime_run(
    path: Path, inputs: npt.NDArray[np.float32], batch: int = 256
) -> tuple[npt.NDArray[np.float32], float]:
    """Outputs for all rows, on one thread, and the seconds that took."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    began = time.perf_counter()
    outputs = [session.run(None, {name: inputs[i : i + batch]})[0] for i in range(0, len(inputs), batch)]
    return np.concatenate(outputs), time.perf_counter() - began


def _row(step: str, path: Path, began: float, score: float | None = None) -> Row:
    """A peer's line, for a file made since ``began``."""
    return Row(step, path.name, path.stat().st_size, score, time.perf_counter() - began, peer=True)


def plain_rows(tensors: Mapping[str, npt.NDArray[np.generic]], path: Path) -> list[Row]:
    """The tensors in a file of the safetensors package, and that file under zstd."""
    if not installed("safetensors"):
        return []
    began = time.perf_counter()
    rows = [_row("fp32 safetensors", _safetensors(tensors, path), began)]
    if installed("zstandard"):
        began = time.perf_counter()
        packed, level = _zstd(path)
        rows.append(_row(f"fp32 + zstd -{level}", packed, began))
    return rows


def int8_row(
    source: Path, path: Path, inputs: Outputs, score: Callable[[Outputs], float], batch: int = 256
) -> list[Row]:
    """An ONNX file at 8 bits by onnxruntime, scored on its outputs for ``inputs``."""
    if not installed("onnxruntime"):
        return []
    began = time.perf_counter()
    row = _row("int8 by onnxruntime", _onnxruntime_int8(source, path), began)
    return [replace(row, score=score(onnxruntime_run(path, inputs, batch)[0]))]
