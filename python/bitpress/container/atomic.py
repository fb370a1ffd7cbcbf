"""A file that is either complete or not there."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write (and seek in) that takes ``path``'s place when the block ends without an exception.

    It stands beside ``path`` as ``.NAME.XXXX.bitpress-tmp`` until file and folder are on the disk; on any exception
    it is removed and ``path`` is as it was. An older file's permissions are kept, a link stays a link. A killed
    process leaves such a temporary file behind, nothing else. Raises OSError, which names ``path``.
    """
    target = Path(os.path.realpath(path))
    mode = None
    with contextlib.suppress(FileNotFoundError):
        status = target.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{os.fspath(path)}: not a regular file")
        mode = stat.S_IMODE(status.st_mode)
    temporary = target.parent / f".{target.name[:64]}.{os.urandom(4).hex()}.bitpress-tmp"
    try:  # the file is made inside: an interrupt right after that finds it too
        with temporary.open("xb") as file:
            yield file
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, os.fspath(temporary)):
            raise type(error)(error.errno, error.strerror, os.fspath(path)) from error
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
