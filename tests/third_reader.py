"""A reader of bitpress files written from docs/format.md alone, in plain Python: it shares no line with the library.

``read(data)`` checks everything that the page lets a reader check and gives back the file's tensors as bytes. It is
slow and short on purpose; where it needs more than the page says, the page is wrong.

    python tests/third_reader.py FILE    lists a file
"""

from __future__ import annotations

import itertools
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from third_bits import Refused, must
from third_bounded import bounded
from third_delta import read_base
from third_graph import list_graph
from third_hash import xxh64
from third_json import strict_json
from third_mask import mask_bits
from third_values import elements_of, product, scale_count
from third_wide import coded, wide_codes

# -- section 3

TYPES = [("BOOL", 8), ("U8", 8), ("I8", 8), ("F8_E5M2", 8), ("F8_E4M3", 8), ("I16", 16), ("U16", 16), ("F16", 16),
         ("BF16", 16), ("I32", 32), ("U32", 32), ("F32", 32), ("I64", 64), ("U64", 64), ("F64", 64), ("F8_E8M0", 8),
         ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("C64", 64)]  # fmt: skip
ROLES = {"data": 0, "codes": 1, "mask": 2, "scales": 3, "zeros": 4, "codebook": 5}
LARGE = 4096


@dataclass
class Stream:
    role: str
    coding: int
    stored: int
    decoded: int
    offset: int
    checksum: int
    kind: int = 0  # 0 large, 1 small pressed, 2..5 small plain
    padded: int = 0
    codes: int = 0  # how many its frame holds, one a byte; 0: it is plain
    bits: int = 0
    array: tuple[bool, tuple[int, ...]] | None = None  # of a bounded frame: whether F64, and its dims
    panels: tuple[int, int, bool, int] | None = None  # outputs, inputs, whether outputs are rows, bits of a code


@dataclass
class Tensor:
    name: str
    dtype: str
    bits: int  # an element
    shape: list[int]
    structure: int  # 0 dense, 1 bitmap, 2 N:M, 3 block
    pattern: tuple[int, int]  # N and M, or rows and columns of a block; else 0, 0
    code_bits: int  # 0: values are kept
    affine: bool
    granularity: int
    axis: int
    group: int
    survivors: int
    vector: int = 0  # elements an entry of its codebook; 0: it has none
    book: int | None = None  # which tensor's codebook it shares
    streams: list[Stream] = field(default_factory=list)
    data: bytes = b""  # the elements, decoded
    decoded: dict[str, bytes] = field(default_factory=dict)

    @property
    def elements(self) -> int:
        return product(self.shape)

    @property
    def plain(self) -> bool:
        name_ok = self.name != "__metadata__" and not self.name.startswith("bitpress.")
        return not self.structure and not self.code_bits and self.streams[0].coding == 0 and name_ok


@dataclass
class File:
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    graph: list[str]
    deltas: dict[str, tuple[int, int]]  # whose data is not their elements yet


def up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


# -- sections 1 and 2


def read(data: bytes) -> File:
    must(len(data) >= 8, "no length word")
    n = int.from_bytes(data[:8], "little")
    must(n % 8 == 0 and n <= 100_000_000 and 8 + n <= len(data), "length of the JSON")
    manifest, sections = read_manifest(data, 8 + n)
    tensors = list(read_tensors(sections))
    deltas = read_base(sections, tensors)
    read_order(sections, [tensor.name for tensor in tensors])
    place(data, 8 + n, len(manifest), tensors)
    metadata: dict[str, str] = {}
    if 5 in sections:
        metadata = strict_json(sections[5][1])
        must(metadata and all(type(value) is str for value in metadata.values()), "metadata")
    check_json(data[8 : 8 + n], len(manifest), tensors, metadata)
    for tensor in tensors:
        for stream in tensor.streams:
            stored = data[stream.offset : stream.offset + stream.stored]
            padding = data[stream.offset + stream.stored : stream.offset + stream.padded]
            must(not any(padding), "padding")
            must(xxh64(stored + padding) == stream.checksum, f"checksum of {tensor.name}")
            tensor.decoded[stream.role] = undo(stored, stream)
        if tensor.book is not None:
            tensor.decoded["codebook"] = tensors[tensor.book].decoded["codebook"]
        tensor.data = elements_of(tensor)
    graph = list_graph(sections[6][1], [tensor.name for tensor in tensors]) if 6 in sections else []
    return File({tensor.name: tensor for tensor in tensors}, metadata, graph, deltas)


def read_manifest(data: bytes, at: int) -> tuple[bytes, dict[int, tuple[int, bytes]]]:
    must(len(data) >= at + 40, "manifest")
    magic, version, count, m, length, head_sum, own_sum = struct.unpack_from("<8sHHIQQQ", data, at)
    must(magic == b"BITPRESS" and version == 0 and count <= 16, "magic, version or sections")
    must(m % 8 == 0 and 40 + 8 * count <= m and at + m <= len(data), "length of the manifest")
    must(length == len(data), "length of the file")
    manifest = data[at : at + m]
    must(xxh64(data[:at]) == head_sum, "checksum of the head")
    must(xxh64(manifest[40:], xxh64(manifest[:32])) == own_sum, "checksum of the manifest")
    sections: dict[int, tuple[int, bytes]] = {}
    where, last = 40 + 8 * count, 0
    for kind, flags, size in struct.iter_unpack("<HHI", manifest[40:where]):
        must(kind > last, "order of sections")
        must(flags & ~(3 if kind == 3 else 1) == 0, "flags")
        must(kind in (1, 2, 3, 4, 5, 6, 19) or not flags & 1, "a required section that is not known")
        must(kind in (5, 6) or kind in range(7, 19) or kind > 19 or flags & 1, "flags of a known section")
        must(kind not in (5, 6) or not flags & 1, "flags of a known section")
        must(where + size <= m, "a section outside the manifest")
        must(not any(manifest[where + size : min(m, up(where + size, 8))]), "bytes between sections")
        sections[kind] = flags, manifest[where : where + size]
        where, last = up(where + size, 8), kind
    must(where == m and {1, 2, 3, 4} <= sections.keys(), "end of the manifest")
    return manifest, sections


def read_tensors(sections: dict[int, tuple[int, bytes]]) -> Iterator[Tensor]:
    flags, raw = sections[3]
    width = 8 if flags & 2 else 4
    must(len(sections[1][1]) % 20 == 0 and len(sections[2][1]) % 16 == 0 and len(raw) % width == 0, "whole records")
    numbers = [int.from_bytes(raw[i : i + width], "little") for i in range(0, len(raw), width)]
    streams = list(struct.iter_unpack("<QQ", sections[2][1]))
    records = list(struct.iter_unpack("<IIIIBBBB", sections[1][1]))
    names = sections[4][1]
    next_name = next_number = next_stream = 0
    done: list[Tensor] = []
    for index, (name_at, number, first, _, dtype, shape_byte, value_byte, flag_byte) in enumerate(records):
        must((name_at, number, first) == (next_name, next_number, next_stream), "records follow each other")
        next_name = records[index + 1][0] if index + 1 < len(records) else len(names)
        must(name_at < next_name <= len(names), "name")
        try:
            name = names[name_at:next_name].decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("a name is not UTF-8") from None
        must(dtype < len(TYPES) and shape_byte & 15 <= 8 and shape_byte >> 4 <= 3, "type, rank or structure")
        values = value_byte & 15
        code_bits = 16 if value_byte == 3 else value_byte >> 4
        must(values in (0, 3, 4, 5), "values")
        must(values in (3, 4) or code_bits == flag_byte == 0, "bits and flags")
        must(values != 4 or (1 <= code_bits <= 8 and not flag_byte & 1), "bits and flags of a codebook")
        must(values != 5 or (shape_byte >> 4 == 0 and TYPES[dtype][0] in ("F32", "F64")), "bounded values of this type")
        must(values not in (3, 4) or TYPES[dtype][0] in ("F16", "BF16", "F32", "F64"), "codes of this type")
        granularity, axis, rank = flag_byte >> 1 & 3, flag_byte >> 3 & 7, shape_byte & 15
        shares = flag_byte >> 6
        must(granularity <= 2 and shares <= (values == 4), "granularity")
        must(axis < rank if granularity == 1 else axis == 0, "axis")
        structure = shape_byte >> 4
        more = (granularity == 2) + (values == 4) + shares + (structure >= 2) + (structure in (1, 3))
        must(number + rank + more <= len(numbers), "numbers")
        shape = numbers[number : number + rank]
        must(product(shape) < 1 << 63, "shape")
        next_number = number + rank + more
        group = numbers[number + rank] if granularity == 2 else 0
        must(granularity != 2 or 1 <= group < 1 << 32, "group size")
        pattern = read_pattern(structure, numbers[number + rank + (granularity == 2) + (values == 4) + shares :])
        must(structure != 2 or product(shape) % pattern[1] == 0, "groups of N:M")
        must(not sum(pattern) or code_bits != 1 or flag_byte & 1 or values != 3, "one symmetric bit has no zero")
        survivors = numbers[next_number - 1] if structure in (1, 3) else product(shape)
        survivors = survivors // pattern[1] * pattern[0] if structure == 2 else survivors
        must(survivors <= product(shape), "survivors")
        vector = numbers[number + rank + (granularity == 2)] if values == 4 else 0
        must(values != 4 or 1 <= vector <= (1 if structure else 8), "vectors of a codebook")
        must(product(shape) % (vector or 1) == 0, "elements of a codebook of vectors")
        tensor = Tensor(
            name,
            *TYPES[dtype],
            shape,
            structure,
            pattern,
            code_bits,
            bool(flag_byte & 1),
            granularity,
            axis,
            group,
            survivors,
            vector,
            numbers[number + rank + (granularity == 2) + 1] if shares else None,
        )
        check_book(tensor, done)
        done.append(tensor)
        must(not structure or code_bits or tensor.bits % 8 == 0, "a mask of elements that are not whole bytes")
        for role, decoded in lengths(tensor):
            must(next_stream < len(streams), "streams")
            checksum, word = streams[next_stream]
            next_stream += 1
            coding = word >> 48 & 255
            layout = word >> 56
            must(coding in (0, 1, 2, 3, 4) and layout in (0, 1, 2, 3, 4, 5), "coding or layout")
            must((layout == 3) == (values == 5) and (layout != 3 or coding == 2), "a layout of bounded values")
            coded_codes = coding != 0 and role == "codes"
            must(layout != 1 or (coded_codes and code_bits < 8 and coding in (1, 2)), "a layout of codes")
            must((layout == 2) == (coded_codes and code_bits > 8), "a layout of wide codes")
            stored = decoded
            if coding:
                must(next_number < len(numbers), "numbers")
                stored = numbers[next_number]
                next_number += 1
            tensor.streams.append(Stream(role, coding, stored, decoded, word & (1 << 48) - 1, checksum))
            if layout > 3:
                tensor.streams[-1].panels = read_panels(tensor, role, layout == 4)
            elif layout == 3:
                tensor.streams[-1].array = tensor.dtype == "F64", tuple(shape)
            elif layout:
                tensor.streams[-1].codes, tensor.streams[-1].bits = survivors // (vector or 1), code_bits
        yield tensor
    must((next_name, next_number, next_stream) == (len(names), len(numbers), len(streams)), "records end sections")


def read_panels(tensor: Tensor, role: str, rows: bool) -> tuple[int, int, bool, int]:
    """Outputs, inputs, whether outputs are rows, bits: of a tensor that fills panels."""
    bits = tensor.code_bits
    must(role == "codes" and not tensor.structure and not tensor.vector and bits in (2, 4, 8), "panels of such codes")
    must(len(tensor.shape) == 2, "panels of a matrix")
    outputs, inputs = tensor.shape if rows else tensor.shape[::-1]
    must(outputs % 16 == 0 and inputs % (32 // bits) == 0, "full panels")
    return outputs, inputs, rows, bits


def check_book(tensor: Tensor, before: list[Tensor]) -> None:
    """Whose codebook it has: that of a tensor before with one of its own, of as many entries of the same size."""
    if tensor.book is None:
        return
    must(tensor.book < len(before), "a codebook of a tensor that is not before")
    owner = before[tensor.book]
    must(owner.book is None and owner.elements > 0 and tensor.elements > 0, "a codebook that is not there")
    must((owner.code_bits, owner.vector) == (tensor.code_bits, tensor.vector), "a codebook of another size")


def read_pattern(structure: int, numbers: list[int]) -> tuple[int, int]:
    """N and M, or rows and columns of a block."""
    if structure < 2:
        return 0, 0
    first, second = numbers[0] & 0xFFFF, numbers[0] >> 16
    if structure == 2:
        must(1 <= first < second <= 16, "N:M")
    else:
        must(second < 1 << 16 and 2 <= first * second <= 4096, "blocks")
    return first, second


def lengths(tensor: Tensor) -> Iterator[tuple[str, int]]:
    """Role and decoded length of each stream (sections 2 and 4)."""
    if not tensor.code_bits:
        yield "data", -(-tensor.survivors * tensor.bits // 8)
    else:
        yield "codes", -(-(tensor.survivors // (tensor.vector or 1)) * tensor.code_bits // 8)
    if tensor.structure:
        yield "mask", -(-mask_bits(tensor) // 8)
    if tensor.code_bits and (not tensor.vector or tensor.granularity):
        count = scale_count(tensor)
        yield "scales", 4 * count
        if tensor.affine:
            yield "zeros", count * (2 if tensor.code_bits > 8 else 1)
    if tensor.vector and tensor.book is None:
        yield "codebook", 4 * tensor.vector * 2**tensor.code_bits if tensor.elements else 0


def read_order(sections: dict[int, tuple[int, bytes]], names: list[str]) -> None:
    order = [record[3] for record in struct.iter_unpack("<IIIIBBBB", sections[1][1])]
    must(all(index < len(names) for index in order), "order of names")
    sorted_names = [names[index].encode() for index in order]
    must(all(a < b for a, b in itertools.pairwise(sorted_names)), "names rise")


def place(data: bytes, manifest_at: int, m: int, tensors: list[Tensor]) -> None:
    """Gives each stream its kind and padding, and checks that offsets are where the lengths say."""
    for tensor in tensors:
        for stream in tensor.streams:
            small = {64: 2, 32: 3, 16: 4}.get(tensor.bits, 5) if tensor.plain else 1
            stream.kind = 0 if stream.stored >= LARGE else small
            stream.padded = up(stream.stored, {0: 64, 1: 8}.get(stream.kind, 1))
    at = manifest_at + m
    ordered = sorted(
        ((s.kind, i, k) for i, t in enumerate(tensors) for k, s in enumerate(t.streams)), key=lambda x: x[0]
    )
    must(not ordered or ordered[0][0] != 0 or at % 64 == 0, "alignment")
    for _, i, k in ordered:
        stream = tensors[i].streams[k]
        must(stream.offset == at, f"place of {tensors[i].name}")
        at += stream.padded
        must(at <= len(data), f"{tensors[i].name} is outside the file")
    must(at == len(data), "the file ends with its last stream")


def check_json(text: bytes, m: int, tensors: list[Tensor], metadata: dict[str, str]) -> None:
    table = strict_json(text)
    must(table.pop("__metadata__", None) == {"format": "bitpress", **metadata}, "__metadata__")
    base = None
    expected: dict[str, tuple[str, list[int], list[int]]] = {"bitpress.manifest": ("U8", [m], [0, m])}
    small: list[int] = []
    pads = 0
    ordered = [(stream.kind, tensor, stream) for tensor in tensors for stream in tensor.streams]
    for kind, tensor, stream in sorted(ordered, key=lambda item: item[0]):
        base = stream.offset - m if base is None else base
        begin, end = stream.offset - base, stream.offset - base + stream.padded
        if kind == 1:
            small += [begin, end]
        elif tensor.plain:
            expected[tensor.name] = (tensor.dtype, tensor.shape, [begin, begin + stream.stored])
            if stream.padded != stream.stored:
                expected[f"bitpress.pad.{pads}"] = ("U8", [stream.padded - stream.stored], [begin + stream.stored, end])
                pads += 1
        else:
            expected[f"bitpress.{stream.role}:{tensor.name}"] = ("U8", [end - begin], [begin, end])
    if small and small[-1] != small[0]:
        expected["bitpress.small"] = ("U8", [small[-1] - small[0]], [small[0], small[-1]])
    must(table.keys() == expected.keys(), "tensors of the JSON")
    for name, (dtype, shape, offsets) in expected.items():
        entry = table[name]
        must(entry == {"dtype": dtype, "shape": shape, "data_offsets": offsets}, f"{name} in the JSON")
        must(not any(type(number) is bool for number in entry["shape"] + entry["data_offsets"]), f"{name} in the JSON")


# -- section 5


def undo(stored: bytes, stream: Stream) -> bytes:
    out = uncoded(stored, stream)
    if stream.panels is None:
        return out
    outputs, inputs, rows, b = stream.panels
    packed = 0
    for o in range(outputs):
        for i in range(inputs):
            byte = o // 16 * 2 * inputs * b + i // (32 // b) * 64 + o % 16 * 4 + i % 4
            code = out[byte] >> i % (32 // b) // 4 * b & (1 << b) - 1
            packed |= code << (o * inputs + i if rows else i * outputs + o) * b
    return packed.to_bytes(stream.decoded, "little")


def uncoded(stored: bytes, stream: Stream) -> bytes:
    if stream.coding == 0:
        return stored
    if stream.array is not None:
        dims, out = bounded(stored)
        must(stream.array == (bool(stored[0] & 1), dims), "another array")
        return out
    if stream.bits > 8:
        return wide_codes(stored, stream.coding, stream.bits, stream.codes)
    out = coded(stored, stream.coding)
    if stream.bits:
        must(len(out) == stream.codes and all(code < 1 << stream.bits for code in out), "codes one a byte")
        packed = sum(code << i * stream.bits for i, code in enumerate(out))
        return packed.to_bytes(stream.decoded, "little")
    must(len(out) == stream.decoded, "decoded length")
    return out


def main() -> None:
    file = read(Path(sys.argv[1]).read_bytes())
    for tensor in file.tensors.values():
        parts = ", ".join(f"{s.role} {s.stored} bytes at {s.offset} (coding {s.coding})" for s in tensor.streams)
        print(f"{tensor.name!r}: {tensor.dtype} {tensor.shape}: {parts}")
    for line in file.graph:
        print(line)
    print(file.metadata)


if __name__ == "__main__":
    main()
