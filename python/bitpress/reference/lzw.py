"""LZW in plain Python: the oracle of csrc/codings/lzw*.cpp, byte for byte. Malformed input: ValueError.

Sources: Welch 1984; for ``.Z``: ncompress 4.2, Page 1954; TIFF 6.0, section 13; GIF89a, appendix F.
"""

from __future__ import annotations

from .frame import CODED, FILL, STORED, BitReader, BitWriter, read_frame, write_frame

__all__ = ["decode", "decode_gif", "decode_tiff", "decode_z", "encode", "encode_gif", "encode_tiff", "encode_z"]

CHUNK_LOG = 18
CHECK_GAP = 10_000
MOST_LOST = 256


def _width(limit: int) -> int:
    """Bits of a code below ``limit``."""
    return max(9, (limit - 1).bit_length())


def _encode_chunk(start: int, chunk: bytes, may_share: bool = False) -> tuple[int, int, bytes]:
    if len(chunk) == 1:
        return STORED, 0, chunk
    strings = {bytes([byte]): byte for byte in range(256)}
    bits, count, current = BitWriter(), 0, chunk[:1]
    for byte in chunk[1:]:
        longer = current + bytes([byte])
        if longer in strings:
            current = longer
            continue
        bits.put(strings[current], _width(min(256 + count, 65536)))
        count += 1
        if len(strings) < 65536:
            strings[longer] = len(strings)
        current = bytes([byte])
    bits.put(strings[current], _width(min(256 + count, 65536)))
    return CODED, 0, bits.bytes()


def encode(data: bytes) -> bytes:
    """A frame: the very bytes that the native encoder writes."""
    return write_frame(data, CHUNK_LOG, b"", _encode_chunk)


def _decode_chunk(stored: bytes, decoded: int) -> bytes:
    strings = [bytes([byte]) for byte in range(256)]
    bits, out, before, i = BitReader(stored), bytearray(), b"", 0
    while len(out) < decoded:
        code = bits.take(_width(min(256 + i, 65536)))
        if i > 0 and len(strings) < 65536:  # the string that the code before began to define
            if code > len(strings):
                raise ValueError("a code is not defined")
            strings.append(before + (strings[code] if code < len(strings) else before)[:1])
        if code >= len(strings):
            raise ValueError("a code is not defined")
        before = strings[code]
        out += before
        i += 1
    if len(out) > decoded or bits.finish() != len(stored):
        raise ValueError("the codes do not end with their chunk")
    return bytes(out)


def decode(blob: bytes) -> bytes:
    """The bytes that a frame holds."""
    frame = read_frame(blob)
    if frame.has_table:
        raise ValueError("LZW has no shared table")
    out = []
    for chunk in frame.chunks(0):
        if chunk.streams_log:
            raise ValueError("LZW has one stream")
        if chunk.kind == STORED:
            out.append(chunk.stored)
        elif chunk.kind == FILL:
            out.append(chunk.stored * chunk.decoded_bytes)
        else:
            out.append(_decode_chunk(chunk.stored, chunk.decoded_bytes))
    return b"".join(out)


def _z_newest(i: int, first: int, max_bits: int) -> int:
    """The newest word before code i > 0 after the last clear."""
    return min(first - 1 + i, 1 << max_bits)


def _z_width(i: int, width: int, first: int, max_bits: int) -> int:
    """The width of code i, that of the code before being ``width``."""
    widest = max(max_bits, 10)  # with max_bits = 9 a full dictionary is told in 10 bits
    wider = i > 0 and width < widest and _z_newest(i, first, max_bits) > (1 << width) - 1
    return width + 1 if wider else width


def encode_z(data: bytes, max_bits: int = 16, *, block: bool = True) -> bytes:
    """A ``.Z`` file: the bytes of the native encoder. ``block=False``: without clears, as decoders read them."""
    first = 257 if block else 256
    head = bytes([0x1F, 0x9D, max_bits | (128 if block else 0)])
    if not data:
        return head
    bits, group = BitWriter(), 0

    def end_group(width: int) -> None:
        nonlocal group
        bits.put(0, -(bits.count - group) % (8 * width))
        group = bits.count

    strings = {bytes([byte]): byte for byte in range(256)}
    following, width, i = first, 9, 0
    grown: tuple[int, int] | None = None  # bytes of data and of codes from the last clear to the full dictionary
    seen, lost = (0, 0), 0
    current = data[:1]
    for position, byte in enumerate(data[1:], start=1):
        longer = current + bytes([byte])
        if longer in strings:
            current = longer
            continue
        bits.put(strings[current], width)
        i += 1
        if following < 2**max_bits:
            strings[longer] = following
            following += 1
        current = bytes([byte])
        wider = _z_width(i, width, first, max_bits)
        if wider != width:
            end_group(width)
            width = wider
        if not block or following < 2**max_bits or (grown and position - seen[0] < CHECK_GAP):
            continue
        more = position - seen[0], bits.count // 8 - seen[1]
        seen = position, bits.count // 8
        if grown is None:
            grown = more
            continue
        lost = max(0, lost + more[1] - more[0] * grown[1] // grown[0])
        if lost > MOST_LOST:
            bits.put(256, width)
            end_group(width)
            strings = {bytes([byte]): byte for byte in range(256)}
            following, width, i, grown, lost = first, 9, 0, None, 0
    bits.put(strings[current], width)
    return head + bits.bytes()


def decode_z(blob: bytes) -> bytes:
    """The bytes that a ``.Z`` file holds."""
    if len(blob) < 3 or blob[:2] != b"\x1f\x9d" or blob[2] & 0x60 or not 9 <= blob[2] & 31 <= 16:
        raise ValueError("not a .Z file that can be read")
    max_bits, block = blob[2] & 31, blob[2] >= 128
    first = 257 if block else 256
    out: list[bytes] = []
    bits, group, width, i = BitReader(blob[3:]), 0, 9, 0
    starts = dict[int, bytes]()
    before = b""
    total = 8 * len(bits.data)

    def end_group() -> None:
        nonlocal group
        bits.position += -(bits.position - group) % (8 * width)
        group = bits.position

    while total - bits.position >= 8:
        wider = _z_width(i, width, first, max_bits)
        if wider != width:
            end_group()
            width = wider
        code = bits.take(width)
        if code == 256 and block and out:
            end_group()
            starts, width, i = {}, 9, 0
            continue
        newest = _z_newest(i, first, max_bits)
        if code >= 256 and (i == 0 or not first <= code <= newest or code >= 2**max_bits):
            raise ValueError("a code is not defined")
        if i > 0 and newest < 2**max_bits:
            starts[newest] = before + (before if code == newest else starts.get(code, bytes([code % 256])))[:1]
        before = bytes([code]) if code < 256 else starts[code]
        out.append(before)
        i += 1
    if bits.position < total:
        bits.finish()
    return b"".join(out)


def _image_codes(data: bytes, literals: int, early: int, clear_at: int) -> list[tuple[int, int]]:
    """(code, width): a clear first, one whenever word ``clear_at`` was defined, and an end."""
    clear, end, first = literals, literals + 1, literals + 2
    widest = 12
    narrow = width = literals.bit_length()
    newest, strings = first - 1, {bytes([byte]): byte for byte in range(literals)}
    codes, current = [(clear, width)], data[:1]

    def put(code: int) -> None:
        nonlocal width, newest
        codes.append((code, width))
        newest += 1
        if width < widest and newest + early > 2**width - 1:
            width += 1

    for byte in data[1:]:
        longer = current + bytes([byte])
        if longer in strings:
            current = longer
            continue
        put(strings[current])
        strings[longer] = newest
        if newest == clear_at:
            codes.append((clear, width))
            newest, width, strings = first - 1, narrow, {bytes([byte]): byte for byte in range(literals)}
        current = bytes([byte])
    if data:
        put(strings[current])
    return [*codes, (end, width)]


def _pack(codes: list[tuple[int, int]], high_first: bool) -> bytes:
    bits = "".join(f"{code:0{width}b}"[:: 1 if high_first else -1] for code, width in codes)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8][:: 1 if high_first else -1], 2) for i in range(0, len(bits), 8))


def _decode_image(data: bytes, literals: int, early: int, high_first: bool, size: int | None) -> bytes:
    clear, end, first = literals, literals + 1, literals + 2
    bits = "".join(f"{byte:08b}"[:: 1 if high_first else -1] for byte in data)
    narrow = width = literals.bit_length()
    at, newest, before, out = 0, first - 1, b"", bytearray()
    strings: dict[int, bytes] = {}
    while size is None or len(out) < size:
        if before and width < 12 and newest + early > 2**width - 1:
            width += 1
        if at + width > len(bits):
            raise ValueError("the codes end too early")
        code = int(bits[at : at + width][:: 1 if high_first else -1], 2)
        at += width
        if code == end:
            break
        if code == clear:
            newest, width, before, strings = first - 1, narrow, b"", {}
            continue
        if code > end and not ((before and code <= newest < 4096) or code in strings):
            raise ValueError("a code is not defined")
        if before and newest < 4096:
            strings[newest] = before + (before if code == newest else strings.get(code, bytes([code % 256])))[:1]
        before = bytes([code]) if code < literals else strings[code]
        out += before
        newest = min(newest + 1, 4096)
    if size is not None and len(out) < size:
        raise ValueError("there is less than the size")
    return bytes(out if size is None else out[:size])


def encode_tiff(data: bytes, *, old: bool = False) -> bytes:
    """A strip of a TIFF file; ``old``: as before 1988, low bits first, which the native encoder does not write."""
    return _pack(_image_codes(data, 256, 0 if old else 1, 4093), not old)


def decode_tiff(blob: bytes, size: int | None = None) -> bytes:
    """The bytes of a strip, up to its end code or ``size``."""
    old = len(blob) >= 2 and blob[0] == 0 and blob[1] & 1 == 1
    return _decode_image(blob, 256, 0 if old else 1, not old, size)


def encode_gif(data: bytes, min_code_size: int = 8) -> bytes:
    """A GIF's image data, from the minimum code size to the empty sub-block."""
    codes = _pack(_image_codes(data, 2**min_code_size, 0, 4095), False)
    blocks = [codes[i : i + 255] for i in range(0, len(codes), 255)]
    return bytes([min_code_size]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def decode_gif(blob: bytes, size: int | None = None) -> bytes:
    """The pixels of a GIF's image data."""
    if not blob or not 2 <= blob[0] <= 8:
        raise ValueError("no minimum code size")
    codes, at = b"", 1
    while True:
        if at >= len(blob) or at + blob[at] >= len(blob):
            raise ValueError("the sub-blocks are cut off")
        length = blob[at]
        codes += blob[at + 1 : at + 1 + length]
        at += 1 + length
        if not length:
            break
    if at != len(blob):
        raise ValueError("bytes follow the last sub-block")
    return _decode_image(codes, 2 ** blob[0], 0, False, size)
