"""``--calibration``: an .npz, a folder of images, a text file, or "none"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .files import existing

if TYPE_CHECKING:
    from bitpress.graph import Graph

__all__ = ["calibration_inputs"]


def calibration_inputs(given: str, source: Path, mean: float | None, std: float | None, tokenizer: Path | None) -> Any:
    """What ``bitpress.compress`` takes. Images need ``mean`` and ``std``, a text a ``tokenizer``."""
    path = Path(given)
    if given == "none":
        return given
    if path.is_dir():
        if mean is None or std is None:
            raise typer.BadParameter(
                "a folder of images needs --mean and --std, of pixels 0..255", param_hint="--calibration"
            )
        return _images(path, _graph(source), mean, std)
    existing(path, "calibration")
    if path.suffix.lower() == ".npz" or tokenizer is None:
        return path
    from bitpress.calibrate import texts

    return texts(path, existing(tokenizer, "tokenizer"), _graph(source))


def _graph(source: Path) -> Graph:
    from bitpress import Recipe, SchemeError, compress

    graph = compress(source, Recipe()).graph
    if graph is None:
        raise SchemeError(f"{source}: calibration needs a network, such as an ONNX file, not tensors alone")
    return graph


def _images(folder: Path, graph: Graph, mean: float, std: float) -> Any:
    from bitpress import CalibrationError
    from bitpress.calibrate import images

    if len(graph.inputs) != 1 or len(shape := graph.inputs[0].shape or ()) != 4 or shape[1] != 3 or min(shape[2:]) < 1:
        raise CalibrationError("images calibrate a network of one input, batch x 3 x height x width, of a fixed size")
    return {graph.inputs[0].name: images(folder, (shape[2], shape[3]), mean=mean, std=std)}
