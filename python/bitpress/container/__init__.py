"""The container (docs/format.md): a safetensors file whose first tensor is our manifest."""

from __future__ import annotations

import os

from ..errors import FormatError
from .base import Base
from .reader import Container, is_plain_safetensors, map_file, verify
from .recover import recover
from .writer import write

__all__ = ["Base", "Container", "open_container", "verify", "write"]


def open_container(
    path: str | os.PathLike[str],
    *,
    full: bool = True,
    resaved: bool = False,
    max_bytes: int | None = None,
    base: Base | None = None,
) -> Container:
    """Open a file. ``resaved``: put it back first where another safetensors tool wrote it again.

    Raises as ``Container`` does; FormatError that names the way out for a safetensors file that is none of ours, or
    one of ours that was re-saved.
    """
    try:
        return Container.open(path, full=full, max_bytes=max_bytes, base=base)
    except FormatError as error:
        if is_plain_safetensors(map_file(path)):
            name = os.fspath(path)
            raise FormatError(
                f"{name}: a safetensors file, but not one that bitpress wrote: `bitpress compress {name}` makes one"
            ) from None
        if not resaved:
            raise
        reason = error
    try:
        return recover(path, max_bytes=max_bytes, base=base)
    except FormatError:
        raise reason from None
