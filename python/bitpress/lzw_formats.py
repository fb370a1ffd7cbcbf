"""LZW in all its framings: ours, `.Z` files, TIFF's strips and GIF's image data; docs/format.md section 5."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from . import _core
from .codings import _as_bytes, _check_max_size, _decode_frame
from .errors import BitpressError
from .threads import check_threads

__all__ = ["LZW_FORMATS", "Lzw", "ZFile", "lzw"]

LZW_FORMATS = ("bitpress", "z", "tiff", "gif")
"""The framings of LZW. No frame of bitpress begins as a ``.Z`` file does."""

_Z_MAGIC = b"\x1f\x9d"
_PIECE = 1 << 16  # bytes that a file is read by


def _check_format(format: str) -> None:
    if format not in LZW_FORMATS:
        raise ValueError(f"format must be one of {', '.join(LZW_FORMATS)}, not {format!r}")


def _check_code_size(min_code_size: int | None, format: str) -> None:
    if min_code_size is not None and (format != "gif" or not 2 <= min_code_size <= 8):
        raise ValueError(f"min_code_size is for format 'gif' and 2..8, not {min_code_size} for {format!r}")


class ZFile(io.RawIOBase):
    """The decoded bytes of a ``.Z`` file as a readable stream in constant memory (about 600 KiB); see ``Lzw.open``."""

    def __init__(self, source: str | os.PathLike[str] | BinaryIO) -> None:
        super().__init__()
        self._owned = isinstance(source, (str, os.PathLike))
        self._source: Any = Path(source).open("rb") if isinstance(source, (str, os.PathLike)) else source  # noqa: SIM115
        self._reader = _core.ZReader()
        self._piece = memoryview(b"")
        self._last = False

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer's beginning; how many bytes, 0 at the end. CorruptError, FormatError as ``decode``."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        target = memoryview(buffer).cast("B")
        written = 0
        try:
            while not written and len(target) and not self._reader.done:
                if not self._piece and not self._last:
                    self._piece = memoryview(self._source.read(_PIECE) or b"")
                    self._last = not self._piece
                used, written = self._reader.read(self._piece, self._last, target)
                self._piece = self._piece[used:]
        except BitpressError as error:
            name = getattr(self._source, "name", None)
            raise (type(error)(f"{os.fsdecode(name)}: {error}") if isinstance(name, (str, bytes)) else error) from None
        return written

    def close(self) -> None:
        """Closes the file, where ``open`` opened it."""
        if not self.closed and self._owned:
            self._source.close()
        super().close()


class Lzw:
    """LZW: codes for strings seen before, in four framings.

    ``bitpress``: independent chunks of 256 KiB, codes of 9 to 16 bits; what files hold. ``z``: the ``.Z`` files of
    ``compress``, as ncompress writes and reads them. ``tiff``: a strip or tile of a TIFF file (compression 5). ``gif``:
    the image data of a GIF file, from the byte that tells the code size to the empty sub-block.

    Sources: Welch, "A technique for high-performance data compression" (1984); ncompress 4.2; Page, "Continuous
    inspection schemes" (1954), for when to clear; the TIFF 6.0 specification, section 13; the GIF89a specification,
    appendix F.
    """

    def encode(
        self,
        data: Any,
        *,
        format: str = "bitpress",
        max_bits: int | None = None,
        min_code_size: int | None = None,
        threads: int = 1,
    ) -> bytes:
        """Codes any bytes-like object or array (its bytes in row-major order); deterministic.

        ``bitpress``: never longer than the data by more than 8 bytes and 3 a chunk; up to ``threads`` (0: one a core)
        code chunks side by side. ``z``: a file as
        ``compress -b max_bits`` writes it, with clears of its own; ``max_bits`` from 9 to 16 (16).
        ``gif``: pixels of ``min_code_size`` bits, 2 to 8 (8). All but the first may be longer than the data.
        ValueError: another format, an option that it does not have, one out of range, a pixel of more bits.
        """
        _check_format(format)
        threads = check_threads(threads)
        if max_bits is not None and (format != "z" or not 9 <= max_bits <= 16):
            raise ValueError(f"max_bits is for format 'z' and 9..16, not {max_bits} for {format!r}")
        _check_code_size(min_code_size, format)
        buffer = _as_bytes(data)
        if format == "z":
            return _core.encode_z(buffer, 16 if max_bits is None else max_bits)
        if format == "tiff":
            return _core.encode_tiff(buffer)
        if format == "gif":
            bits = 8 if min_code_size is None else min_code_size
            try:
                return _core.encode_gif(buffer, bits)
            except ValueError:
                raise ValueError(f"gif: a pixel has more than {bits} bits") from None
        return _core.encode("lzw", buffer, threads)

    def encode_many(
        self, blocks: Iterable[Any], *, format: str, min_code_size: int | None = None, threads: int = 1
    ) -> list[bytes]:
        """Codes strips or tiles (``tiff``) or frames (``gif``) together: for each what ``encode`` gives, but sooner.

        Four of them are coded side by side in one thread, for one alone keeps a CPU waiting; up to ``threads`` (0: one
        a core) share the blocks. Takes 330 KB a thread besides the blocks and their codes. ValueError as ``encode``.
        """
        if format not in ("tiff", "gif"):
            raise ValueError(f"encode_many is for the formats tiff and gif, not {format!r}")
        _check_code_size(min_code_size, format)
        threads = check_threads(threads)
        buffers = [_as_bytes(block) for block in blocks]
        if format == "tiff":
            return _core.encode_tiff_many(buffers, threads)
        bits = 8 if min_code_size is None else min_code_size
        try:
            return _core.encode_gif_many(buffers, bits, threads)
        except ValueError:
            raise ValueError(f"gif: a pixel has more than {bits} bits") from None

    def decode(
        self,
        blob: Any,
        *,
        format: str | None = None,
        size: int | None = None,
        max_size: int | None = None,
        out: Any = None,
        threads: int = 1,
    ) -> Any:
        """The bytes that ``encode`` was given. Without ``format`` the first two bytes tell ``z`` from ``bitpress``.

        ``size``, for ``tiff`` and ``gif``, is the decoded size, which images know: what follows it is not looked at,
        and less is an error. Without it, the data must have an end code. ``out`` and ``threads`` are for ``bitpress``:
        a writable buffer of exactly the decoded size, which is filled and returned; chunks decoded side by side.

        CorruptError: truncated or malformed. FormatError: more than ``max_size`` decoded bytes (found before anything
        is allocated). ValueError: another format, or an option that it does not have. Without ``max_size`` n bytes can
        become up to 2**18 * n.

        A ``.Z`` file has neither length nor checksum: cut between two codes it decodes, without an error, to less.
        """
        _check_max_size(max_size)
        buffer = _as_bytes(blob)
        if format is None:
            format = "z" if bytes(memoryview(buffer).cast("B")[:2]) == _Z_MAGIC else "bitpress"
        _check_format(format)
        if out is not None and format != "bitpress":
            raise ValueError("out needs a frame of format 'bitpress'")
        if size is not None and (format not in ("tiff", "gif") or size < 0):
            raise ValueError(f"size is for formats 'tiff' and 'gif' and not negative, not {size} for {format!r}")
        if format == "z":
            return _core.decode_z(buffer, max_size)
        if format == "tiff":
            return _core.decode_tiff(buffer, size, max_size)
        if format == "gif":
            return _core.decode_gif(buffer, size, max_size)
        return _decode_frame("lzw", buffer, max_size, out, threads)

    def open(self, source: str | os.PathLike[str] | BinaryIO) -> io.BufferedReader:
        """The decoded bytes of a ``.Z`` file as a binary stream, a context manager, in constant memory.

        ``source``: a path, or a binary file that is read on from where it stands and stays open. OSError: it cannot be
        opened. Reading raises CorruptError or FormatError where the file is no ``.Z`` or malformed; what stands before
        the fault has been given.
        """
        return io.BufferedReader(ZFile(source), _PIECE)


lzw = Lzw()
