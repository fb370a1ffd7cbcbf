"""A training run on disk: written whole or not at all, read back without running code from the file."""

from __future__ import annotations

import os
from typing import Any

import torch

from ..container.atomic import replacing
from ..errors import FormatError

__all__ = ["VERSION", "load_checkpoint", "save_checkpoint"]

VERSION = 1


def save_checkpoint(state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Written beside ``path``, synced and renamed: a crash leaves the older file or the new one, whole."""
    with replacing(path) as file:
        torch.save({"bitpress.checkpoint": VERSION, **state}, file)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What ``save_checkpoint`` wrote, tensors on the CPU. FormatError for any other file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what a damaged pickle can raise has no end
        raise FormatError(
            f"{path}: not a whole checkpoint ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from None
    if not isinstance(state, dict) or state.get("bitpress.checkpoint") != VERSION:
        raise FormatError(f"{path}: not a checkpoint of version {VERSION}")
    return state
