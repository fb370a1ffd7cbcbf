"""What options of ``bitpress compress`` may say."""

from __future__ import annotations

import enum

__all__ = ["Bound", "Method", "Per", "Range", "Score", "Target"]


class Method(str, enum.Enum):
    """How codes are picked."""

    ROUND = "round"
    FEEDBACK = "feedback"


class Score(str, enum.Enum):
    """What ranks the weights that are pruned."""

    MAGNITUDE = "magnitude"
    WANDA = "wanda"
    SPARSEGPT = "sparsegpt"


class Range(str, enum.Enum):
    """What a scale spans."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    MSE = "mse"
    OUTPUT = "output"


class Bound(str, enum.Enum):
    """What an error is measured by."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"
    RANGE = "range"


class Target(str, enum.Enum):
    """CPUs that a file is laid out for."""

    GENERIC = "generic"
    X86_64_V3 = "x86-64-v3"
    X86_64_V4 = "x86-64-v4"
    ARMV8 = "armv8"


class Per(str, enum.Enum):
    """What shares a step."""

    TENSOR = "tensor"
    CHANNEL = "channel"
    GROUP = "group"
