"""Files in and out: what may be read, what may be written, and plain safetensors files."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["Entry", "UsageProblem", "existing", "output_path", "write_safetensors"]


class UsageProblem(OSError):
    """A path that cannot be read or written; the message names it."""


def existing(path: Path, what: str = "file") -> Path:
    """The path, where it is a readable regular file; UsageProblem names it and says why not."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageProblem(f"{path}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise UsageProblem(f"{path}: is a directory, not a {what}")
    if not stat.S_ISREG(mode):
        raise UsageProblem(f"{path}: is not a regular file")
    if not os.access(path, os.R_OK):
        raise UsageProblem(f"{path}: {os.strerror(errno.EACCES)}")
    return path


def output_path(out: Path, *sources: Path) -> Path:
    """Where to write, links resolved; UsageProblem where that is an input, not a file, or in no folder.

    An older regular file may be there: it is replaced in one step when the new one is complete.
    """
    resolved = Path(os.path.realpath(out))
    if not resolved.parent.is_dir():
        raise UsageProblem(f"{out}: no such folder: {resolved.parent}")
    if resolved.exists():
        if not resolved.is_file():
            raise UsageProblem(f"{out}: is not a regular file: it would be replaced")
        for source in sources:
            if source.exists() and resolved.samefile(source):
                raise UsageProblem(f"{out}: is the input itself: choose another output")
    if not os.access(resolved.parent, os.W_OK | os.X_OK):
        raise UsageProblem(f"{out}: {os.strerror(errno.EACCES)}: {resolved.parent}")
    return resolved


@dataclass(frozen=True)
class Entry:
    """One tensor of a safetensors file to be: ``dtype`` is safetensors' name, ``bits`` an element's size."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    bits: int


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """By falling element size, so that each tensor is aligned to its element without holes."""
    return sorted(entries, key=lambda entry: -entry.bits)


def write_safetensors(
    handle: BinaryIO,
    entries: Sequence[Entry],
    data: Iterable[bytes | memoryview],
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Write a safetensors file: ``data`` yields the bytes of each of ``entries``, in order. Returns its length."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for entry in entries:
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.nbytes],
        }
        offset += entry.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    handle.write(len(text).to_bytes(8, "little") + text)
    for entry, piece in zip(entries, data, strict=True):
        if len(piece) != entry.nbytes:
            raise ValueError(f"tensor {entry.name!r} has {len(piece)} bytes, not {entry.nbytes}")
        handle.write(piece)
    return 8 + len(text) + offset
