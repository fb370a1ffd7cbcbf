"""What the filters `huffman`, `rans` and `lzw` share: bytes of a file or stdin in, bytes to a file or stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bitpress.container.atomic import replacing

from .files import UsageProblem, existing, output_path

__all__ = ["Decode", "File", "MaxBytes", "Output", "Stdout", "Threads", "plain_filter", "run_filter"]

File = Annotated[Path, typer.Argument(help="The file to read; - is stdin.")]
Decode = Annotated[bool, typer.Option("--decode", "-d", help="Decode instead of encode.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; - is stdout.")]
Stdout = Annotated[bool, typer.Option("--stdout", "-c", help="Write to stdout.")]
MaxBytes = Annotated[int | None, typer.Option(min=0, help="With -d: the most bytes that may be written.")]
Threads = Annotated[int, typer.Option("--threads", "-T", min=0, help="Code chunks side by side; 0: one a core.")]

_DASH = Path("-")


def _target(file: Path, output: Path | None, stdout: bool, decode: bool) -> Path | None:
    """The file to write, None for stdout; BadParameter where none is named, or two are."""
    if stdout and output not in (None, _DASH):
        raise typer.BadParameter("goes not with -c", param_hint="--output")
    if not stdout and output is None and file != _DASH:
        raise typer.BadParameter("is needed, or -c for stdout", param_hint="--output")
    if not stdout and output not in (None, _DASH):
        assert output is not None
        return output_path(output, *([] if file == _DASH else [file]))
    if not decode and sys.stdout.isatty():
        raise UsageProblem("stdout: is a terminal: coded bytes are not for it; -o names a file")
    return None


def run_filter(
    file: Path,
    output: Path | None,
    stdout: bool,
    decode: bool,
    max_bytes: int | None,
    work: Callable[[bytes], bytes],
) -> None:
    """Read all of ``file``, write all of ``work`` of it. An error names the file; then nothing is written."""
    from bitpress import BitpressError

    if max_bytes is not None and not decode:
        raise typer.BadParameter("goes with -d only", param_hint="--max-bytes")
    if file != _DASH:
        existing(file)
    target = _target(file, output, stdout, decode)
    data = sys.stdin.buffer.read() if file == _DASH else file.read_bytes()
    try:
        result = work(data)
    except ValueError as error:  # every BitpressError is one
        kind = type(error) if isinstance(error, BitpressError) else UsageProblem
        raise kind(f"{'stdin' if file == _DASH else file}: {error}") from None
    if target is None:
        sys.stdout.buffer.write(result)
        sys.stdout.buffer.flush()
        return
    with replacing(target) as handle:
        handle.write(result)


def plain_filter(coding: str, title: str) -> tuple[str, str, Callable[..., None]]:
    """Summary, examples and command of a coding without options; ``coding`` is its name in `bitpress`."""

    def command(
        file: File,
        decode: Decode = False,
        output: Output = None,
        stdout: Stdout = False,
        max_bytes: MaxBytes = None,
        threads: Threads = 1,
    ) -> None:
        """Code the bytes of a file or of stdin as one frame, or decode a frame.

        The input is kept. An output file is complete or not there.
        """
        import bitpress

        coder: Any = getattr(bitpress, coding)

        def work(data: bytes) -> bytes:
            if decode:
                decoded: bytes = coder.decode(data, max_size=max_bytes, threads=threads)
                return decoded
            coded: bytes = coder.encode(data, threads=threads)
            return coded

        run_filter(file, output, stdout, decode, max_bytes, work)

    examples = f"""bitpress {coding} weights.bin -o weights.{coding}
bitpress {coding} -d weights.{coding} -o weights.bin
cat weights.bin | bitpress {coding} - | bitpress {coding} -d - | cmp - weights.bin"""
    return f"Code any bytes with {title}, or decode them.", examples, command
