"""A training run on disk: written whole or not at all, read back without running code from the file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from ..errors import FormatError

__all__ = ["VERSION", "load_checkpoint", "save_checkpoint"]

VERSION = 1


def save_checkpoint(state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write beside ``path``, sync, rename: a crash leaves the older file or the new one, whole."""
    path = Path(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            torch.save({"bitpress.checkpoint": VERSION, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
        raise FormatError(f"{path}: not a checkpoint of bitpress {VERSION=}")
    return state
