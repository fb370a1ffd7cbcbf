"""Calibration data: what a caller may give, checked against the network's inputs and cut to what one run takes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dtypes import FLOATS
from ..errors import CalibrationError
from ..graph import Graph, Value
from .sources import drawn

__all__ = ["Batch", "Data", "read_data"]

ROWS = 4  # inputs that are run together

Batch = dict[str, npt.NDArray[Any]]
Data = list[Batch]


def read_data(calibration: Any, graph: Graph, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Data:
    """Calibration data as batches that the graph's session can run, each of at most ``ROWS`` inputs where it may vary.

    ``calibration``: a mapping of input names to arrays whose first axis is the batch; an array, of a network of one
    input; an iterable of such, or of tuples that begin with the inputs in their order, as a torch loader gives them
    (labels after them are left out); the path of an .npz that holds a mapping; or "none": inputs are drawn, with a
    warning (``shapes``: of the stored tensors). CalibrationError says what is wrong with it: nothing there, a name too
    many or too few, a dtype of another kind than the input's, a shape that does not fit, NaN or infinity.
    """
    if isinstance(calibration, str) and calibration == "none":
        given: list[Any] = [drawn(graph, shapes or {})]
    elif isinstance(calibration, str | os.PathLike):
        given = [_npz(Path(calibration))]
    elif isinstance(calibration, Mapping) or hasattr(calibration, "__array__"):
        given = [calibration]
    elif isinstance(calibration, Iterable):
        given = list(calibration)
    else:
        raise CalibrationError(f"calibration must be a mapping, an iterable of them or a path, not {calibration!r:.60}")
    data = [piece for number, batch in enumerate(given) for piece in _pieces(batch, number, graph)]
    if not data:
        raise CalibrationError("calibration holds no inputs")
    return data


def _npz(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise CalibrationError(f"{path}: not an .npz file")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except Exception as error:  # ValueError, and zipfile's and zlib's own
            raise CalibrationError(f"{path}: damaged: {error}") from None


def _pieces(batch: Any, number: int, graph: Graph) -> Iterator[Batch]:
    if hasattr(batch, "__array__"):
        batch = (batch,)
    if isinstance(batch, tuple | list) and len(batch) >= len(graph.inputs):
        batch = {value.name: array for value, array in zip(graph.inputs, batch, strict=False)}
    if not isinstance(batch, Mapping):
        raise CalibrationError(f"calibration batch {number}: give a mapping of input names, not {type(batch).__name__}")
    known = {value.name: value for value in graph.inputs}
    names = ", ".join(map(repr, known)) or "none"
    for name in batch:
        if name not in known:
            raise CalibrationError(f"calibration: no input {name!r}; inputs are {names}")
    arrays = {}
    for name, value in known.items():
        if name not in batch:
            raise CalibrationError(f"calibration: input {name!r} is missing")
        arrays[name] = _checked(name, np.asarray(batch[name]), value)
    if not arrays or any(array.size == 0 for array in arrays.values()):
        return
    yield from _split(arrays, known)


def _checked(name: str, array: npt.NDArray[Any], value: Value) -> npt.NDArray[Any]:
    where = f"calibration: input {name!r}"
    floating = value.dtype in FLOATS
    if (array.dtype.kind == "f") is not floating:
        raise CalibrationError(f"{where}: dtype must be {'floating' if floating else value.dtype}, not {array.dtype}")
    shape = value.shape
    fits = shape is None or (
        len(shape) == array.ndim
        and all(axis == 0 or want in (-1, got) for axis, (want, got) in enumerate(zip(shape, array.shape, strict=True)))
        and (not shape or shape[0] == -1 or array.shape[0] % max(shape[0], 1) == 0)
    )
    if not fits:
        wanted = "x".join("?" if dim == -1 else str(dim) for dim in shape or ()) or "a scalar"
        raise CalibrationError(f"{where}: shape must be {wanted}, not {'x'.join(map(str, array.shape)) or 'a scalar'}")
    if not floating:
        return array
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(floats).all():
        raise CalibrationError(f"{where}: NaN or infinity")
    return floats


def _split(arrays: Batch, known: Mapping[str, Value]) -> Iterator[Batch]:
    """Cut batches to what one run takes: the graph's own batch size, or ``ROWS``."""
    shapes = {name: value.shape for name, value in known.items()}
    if any(not shape for shape in shapes.values()):
        yield arrays
        return
    sizes = {array.shape[0] for array in arrays.values()}
    steps = {shape[0] for shape in shapes.values() if shape and shape[0] != -1}
    if len(steps) > 1:  # inputs whose first axes differ: not a batch
        yield arrays
        return
    if len(sizes) > 1:
        raise CalibrationError(f"calibration: inputs of different batches: {', '.join(map(str, sorted(sizes)))}")
    step = steps.pop() if steps else ROWS
    for start in range(0, sizes.pop(), max(step, 1)):
        yield {name: array[start : start + max(step, 1)] for name, array in arrays.items()}
