"""``bitpress lzw``: a filter that codes bytes with LZW in any of its framings, and decodes them."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from .filters import Decode, File, MaxBytes, Output, Stdout, Threads, run_filter

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY = "Code any bytes with LZW, or decode them; .Z files too."
EXAMPLES = """bitpress lzw weights.bin -o weights.lzw
bitpress lzw -d weights.lzw -o weights.bin
bitpress lzw --format z notes.txt -o notes.txt.Z
bitpress lzw -d -c notes.txt.Z"""


class Format(str, enum.Enum):
    """The framings."""

    BITPRESS = "bitpress"
    Z = "z"
    TIFF = "tiff"
    GIF = "gif"


def command(
    file: File,
    decode: Decode = False,
    output: Output = None,
    stdout: Stdout = False,
    format: Annotated[
        Format | None, typer.Option(help="The framing.  [default: bitpress; with -d: z where it is a .Z file]")
    ] = None,
    max_bits: Annotated[int | None, typer.Option(min=9, max=16, help="Bits of a code, for z.  [default: 16]")] = None,
    min_code_size: Annotated[
        int | None, typer.Option(min=2, max=8, help="Bits a pixel, for gif.  [default: 8]")
    ] = None,
    max_bytes: MaxBytes = None,
    threads: Threads = 1,
) -> None:
    """Code the bytes of a file or of stdin, or decode them: our own frames, .Z files, a strip of a TIFF, a GIF's image.

    Threads serve our own frames. The input is kept. An output file is complete or not there.
    """
    for value, name, where in ((max_bits, "--max-bits", Format.Z), (min_code_size, "--min-code-size", Format.GIF)):
        if value is not None and (decode or format is not where):
            raise typer.BadParameter(f"goes with --format {where.value} only, to encode", param_hint=name)
    from bitpress import lzw

    chosen = format.value if format is not None else None

    def work(data: bytes) -> bytes:
        if decode:
            decoded: bytes = lzw.decode(data, format=chosen, max_size=max_bytes, threads=threads)
            return decoded
        return lzw.encode(
            data, format=chosen or "bitpress", max_bits=max_bits, min_code_size=min_code_size, threads=threads
        )

    run_filter(file, output, stdout, decode, max_bytes, work)
