"""Where calibration inputs may come from beside arrays: a folder of images, a text file, or nowhere."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dtypes import FLOATS
from ..errors import CalibrationError
from ..graph import Graph, Value

__all__ = ["drawn", "images", "texts"]

Floats = npt.NDArray[np.float32]
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
LEAST = 0.7  # of an image's shorter side, that a crop takes
DRAWN = 64  # inputs that stand in for none
MAX_TEXT = 1 << 26  # bytes read of a text file


def images(
    folder: str | os.PathLike[str],
    size: tuple[int, int],
    *,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    count: int = 256,
    seed: int = 0,
) -> Floats:
    """Crops of the images of a folder, (pixel - mean) / std, float32 [count, 3, height, width].

    ``size``: height and width. ``mean`` and ``std``: of pixels 0..255, one or one a channel, as the network was
    trained: another scale calibrates for inputs that never come. Images are taken in turn, by name; crops are squares
    of 0.7 to 1 of the shorter side, half of them mirrored, drawn by ``seed``. Needs pillow. CalibrationError where
    there are none, or one cannot be read.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise CalibrationError("images need pillow: pip install pillow") from None
    files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise CalibrationError(f"{os.fspath(folder)}: no images: {', '.join(sorted(SUFFIXES))}")
    shift, scale = (np.broadcast_to(np.asarray(each, np.float32), (3,))[:, None, None] for each in (mean, std))
    if not (np.isfinite(shift).all() and np.isfinite(scale).all() and scale.all()):
        raise CalibrationError(f"mean and std must be finite, and std not 0: {mean}, {std}")
    height, width = size
    random = np.random.default_rng(seed)
    found = np.empty((count, 3, height, width), np.float32)
    for i in range(count):
        path = files[i % len(files)]
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise CalibrationError(f"{path}: not an image that can be read: {error}") from None
        side = min(picture.size) * random.uniform(LEAST, 1.0)
        left, top = random.uniform(0, picture.width - side), random.uniform(0, picture.height - side)
        box = (left, top, left + side, top + side)
        pixels = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box), np.float32)
        pixels = pixels[:, ::-1] if random.random() < 0.5 else pixels
        found[i] = (pixels.transpose(2, 0, 1) - shift) / scale
    return found


def texts(path: str | os.PathLike[str], tokenizer: str | os.PathLike[str], graph: Graph, *, count: int = 512) -> Any:
    """Rows of tokens of a text file, for a network of token numbers: a mapping of its inputs to int arrays.

    ``tokenizer``: a tokenizer.json, read by the package tokenizers. Lines are put one after the other, so that rows are
    full and nothing is padding; each row has the marks that the tokenizer puts around a sentence. The inputs' second
    dimension must be fixed. The input whose name holds "mask" is all ones, one with "type" all zeros.
    """
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise CalibrationError("a text needs tokenizers: pip install tokenizers") from None
    wanted = [value for value in graph.inputs if "mask" not in value.name and "type" not in value.name]
    if len(wanted) != 1 or wanted[0].dtype in FLOATS or len(wanted[0].shape or ()) != 2:
        raise CalibrationError("a text calibrates a network of one input of token numbers, rows x tokens")
    tokens = (wanted[0].shape or (0, -1))[1]
    if tokens < 3:
        raise CalibrationError(f"input {wanted[0].name!r}: its number of tokens is open: fix it at export")
    try:
        words = Tokenizer.from_file(os.fspath(tokenizer))
    except Exception as error:  # its own kinds
        raise CalibrationError(f"{os.fspath(tokenizer)}: not a tokenizer.json: {error}") from None
    words.no_truncation()
    words.no_padding()
    with Path(path).open("rb") as file:
        lines = file.read(MAX_TEXT).decode("utf-8", "replace").splitlines()
    marks = words.encode("").ids
    first, last = marks[: (len(marks) + 1) // 2], marks[(len(marks) + 1) // 2 :]
    inside = tokens - len(marks)
    ids: list[int] = []
    for encoding in words.encode_batch([line for line in lines if line.strip()], add_special_tokens=False):
        ids += encoding.ids
        if len(ids) >= count * inside:
            break
    rows = [[*first, *ids[at : at + inside], *last] for at in range(0, len(ids) - inside + 1, inside)][:count]
    if not rows:
        raise CalibrationError(f"{os.fspath(path)}: {len(ids)} tokens, and a row takes {inside}")
    numbers = np.array(rows, np.int64)
    given = {wanted[0].name: numbers}
    for value in graph.inputs:
        if value.name not in given:
            given[value.name] = np.full_like(numbers, "mask" in value.name)
    return given


def drawn(graph: Graph, shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Inputs where there are none: standard normal floats, token numbers of any row of the table that they look up.

    A warning says what that loses. ``shapes``: of the stored tensors. CalibrationError where a shape is open beyond
    the batch.
    """
    warnings.warn(
        "calibrated on random inputs: errors are weighed for inputs that the network never sees, and biases corrected"
        " by them; some tens of real inputs, without labels, give a far better network at the same size",
        stacklevel=4,
    )
    random = np.random.default_rng(seed)
    return {value.name: _drawn(value, graph, shapes, random) for value in graph.inputs}


def _drawn(
    value: Value, graph: Graph, shapes: Mapping[str, tuple[int, ...]], random: np.random.Generator
) -> npt.NDArray[Any]:
    shape = value.shape
    if shape is None or any(dim < 0 for dim in shape[1:]):
        raise CalibrationError(f"input {value.name!r}: its shape is open: give real inputs")
    shape = shape if not shape or shape[0] > 0 else (DRAWN, *shape[1:])
    if value.dtype in FLOATS:
        return random.standard_normal(shape, np.float32)
    looked_up = [
        shapes[node.inputs[0]][int(axis) if isinstance(axis := node.attributes.get("axis", 0), int | float) else 0]
        for node in graph.consumers().get(value.name, [])
        if node.op == "Gather" and node.inputs[1] == value.name and node.inputs[0] in shapes
    ]
    return random.integers(0, min(looked_up), shape) if looked_up else np.ones(shape, np.int64)
