"""``bitpress huffman``: a filter that codes bytes with Huffman's frames, and decodes them."""

from __future__ import annotations

from .filters import Decode, File, MaxBytes, Output, Stdout, of_coder, run_filter

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY = "Code any bytes with Huffman, or decode them."
EXAMPLES = """bitpress huffman weights.bin -o weights.huffman
bitpress huffman -d weights.huffman -o weights.bin
cat weights.bin | bitpress huffman - | bitpress huffman -d - | cmp - weights.bin"""


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
    from bitpress import huffman

    run_filter(file, output, stdout, decode, max_bytes, of_coder(huffman, decode, max_bytes))
