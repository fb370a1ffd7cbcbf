"""A torch module as an ONNX model, by torch's own exporter (extra ``torch``)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedError

if TYPE_CHECKING:
    import onnx
    import torch

__all__ = ["export"]


def export(
    module: torch.nn.Module,
    example_inputs: Sequence[Any],
    *,
    dynamic_batch: bool = True,
    opset: int = 20,
) -> onnx.ModelProto:
    """The module, in evaluation mode, as an ONNX model.

    ``example_inputs``: a tensor for each argument. With ``dynamic_batch`` the first dimension of each is left open;
    give examples of at least two items then, since torch takes a size of one to be fixed. Raises
    UnsupportedError where torch cannot export the module.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch.onnx needs it)
        import torch
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"exporting a module needs the package {error.name} (pip install bitpress[torch])"
        ) from None
    inputs = tuple(example_inputs)
    shapes = None
    if dynamic_batch and inputs and all(isinstance(item, torch.Tensor) and item.ndim for item in inputs):
        batch = torch.export.Dim("batch")
        shapes = tuple({0: batch} for _ in inputs)
    training = module.training
    module.eval()
    try:
        import warnings

        with torch.no_grad(), warnings.catch_warnings(), _quiet("torch.onnx"):
            warnings.simplefilter("ignore")  # torch's exporter warns of its own deprecations
            program = torch.onnx.export(
                module, inputs, dynamo=True, opset_version=opset, dynamic_shapes=shapes, verbose=False
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()
        raise UnsupportedError(
            f"torch cannot export {type(module).__name__}: {reason[0] if reason else error!r}"
        ) from None
    finally:
        module.train(training)
    assert program is not None
    proto = program.model_proto
    assert isinstance(proto, onnx.ModelProto)
    return proto


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without a logger's warnings: the exporter's first one is that torchvision is not installed."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
