"""Calibration: run a network on a handful of inputs, measure what each weighted layer sees, and press it by that.

torch-free: the graph is run on our own Session, cut so that the layers' inputs are its outputs. Layers are measured a
few at a time, so that memory holds the Hessians of these (256 MiB, or one layer's), the calibration data, the
activations of four inputs, and the packed weights so far.
"""

from __future__ import annotations

from .data import Data, read_data
from .layers import Layer, layers_of
from .moments import measure
from .press import Progress, press_layers
from .sources import drawn, images, texts

__all__ = [
    "Data", "Layer", "Progress", "drawn", "images", "layers_of", "measure", "press_layers", "read_data", "texts",
]  # fmt: skip
