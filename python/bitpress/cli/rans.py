"""``bitpress rans``: a filter that codes bytes with rANS's frames, and decodes them."""

from __future__ import annotations

from .filters import Decode, File, MaxBytes, Output, Stdout, of_coder, run_filter

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY = "Code any bytes with rANS, or decode them."
EXAMPLES = """bitpress rans weights.bin -o weights.rans
bitpress rans -d weights.rans -o weights.bin
cat weights.bin | bitpress rans - | bitpress rans -d - | cmp - weights.bin"""


def command(
    file: File,
    decode: Decode = False,
    output: Output = None,
    stdout: Stdout = False,
    max_bytes: MaxBytes = None,
) -> None:
    """Code the bytes of a file or of stdin as one frame, or decode a frame.

    The input is kept. An output file is complete or not there.
    """
    from bitpress import rans

    run_filter(file, output, stdout, decode, max_bytes, of_coder(rans, decode, max_bytes))
