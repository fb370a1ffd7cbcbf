"""Files that lie: every bit flip and truncation, and headers built by name, are refused quickly and in one line."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged_files import NAMES, NUMBERS, STREAMS, TENSORS, Forge, xxh64
from hypothesis import given, settings
from hypothesis import strategies as st

import bitpress as bp
from bitpress.container import Container, verify, write
from bitpress.tensor import TensorSpec


def make(path: Path, metadata: dict[str, str] | None = None, graph: bytes = b"") -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(6, 20)).astype(np.float32)
    values[np.abs(values) < 0.5] = 0
    few = rng.integers(0, 2, (5, 200)).astype(np.float32)
    arrays = {
        "aa": (values, bp.Scheme()),
        "bb": (few, bp.Scheme.int(4, axis=0, coding="huffman")),
        "cc": (values, bp.Scheme.int(3, group_size=6, sparse=True, symmetric=False)),
        "dd": (rng.integers(0, 9, 4500).astype(np.uint8), bp.Scheme()),
    }
    packed = {name: bp.pack(array, scheme) for name, (array, scheme) in arrays.items()}
    specs = [TensorSpec(name, tensor.dtype, tensor.shape, tensor.scheme) for name, tensor in packed.items()]
    write(path, specs, packed.values(), metadata=metadata, graph=graph)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "good"
    make(path)
    return path.read_bytes()


def test_the_forge_gives_back_what_it_took(good: bytes) -> None:
    Container(memoryview(Forge(good).build()), "same")
    forge = Forge(good)
    forge.sections.append([77, 0, bytearray(b"a section of a later version")])  # skippable: allowed
    container = Container(memoryview(forge.build()), "later")
    assert list(container.tensors) == ["aa", "bb", "cc", "dd"]
    assert all(container.packed(name).elements for name in container.tensors)


def set_scheme(forge: Forge, tensor: int, offset: int, value: int) -> None:
    forge.put(TENSORS, 20 * tensor + offset, "B", value)


def move_stream(forge: Forge, stream: int, by: int) -> None:
    old = struct.unpack_from("<Q", forge.section(STREAMS), 16 * stream + 8)[0]
    forge.put(STREAMS, 16 * stream + 8, "Q", old + by)


def set_stream_byte(forge: Forge, stream: int, at: int, value: int) -> None:
    forge.put(STREAMS, 16 * stream + at, "B", value)


def rename(forge: Forge, old: bytes, new: bytes) -> None:
    section = next(section for section in forge.sections if section[0] == NAMES)
    section[2] = bytearray(section[2].replace(old, new))


def set_section(forge: Forge, kind: int, at: int, value: int) -> None:
    next(section for section in forge.sections if section[0] == kind)[at] = value


def json_text(forge: Forge, text: bytes) -> None:
    forge.text = text


def edit_json(forge: Forge, **entry: Any) -> None:
    forge.json["aa"].update(entry)


def duplicate_key(forge: Forge) -> None:
    forge.text = (
        json.dumps(forge.json).encode()[:-1] + b', "aa": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}'
    )


Edit = Callable[[Forge], Any]
# name: (what is done to the file, what the line must say)
HOSTILE: dict[str, tuple[Edit, str]] = {
    "2^60 elements": (lambda f: f.number(0, 0, 1 << 60, wide=True), "'aa': (its shape|a stream is longer)"),
    "2^60 elements under a coding": (lambda f: f.number(1, 0, 1 << 52, wide=True), "'bb': "),
    "a shape whose product overflows": (lambda f: f.number(3, 0, (1 << 64) - 1, wide=True), "'dd': its shape"),
    "a coded length beyond the file": (lambda f: f.number(1, 2, 1 << 31), "'bb': a stream is longer than the file"),
    "more survivors than elements": (lambda f: f.number(2, 3, 121), "'cc': more survivors"),
    "fewer survivors": (lambda f: f.number(2, 3, 1), "not fill|in its place"),
    "group size zero": (lambda f: f.number(2, 2, 0), "'cc': its group size"),
    "overlapping streams": (lambda f: move_stream(f, 7, -64), "'dd': a stream is not in its place"),
    "a stream beyond the file": (lambda f: move_stream(f, 0, 1 << 40), "'aa': a stream is not in its place"),
    "a stream inside the manifest": (lambda f: move_stream(f, 0, -5000), "a stream is not in its place"),
    "swapped streams": (lambda f: (move_stream(f, 1, 8), move_stream(f, 2, -8)), "a stream is not in its place"),
    "an unknown coding": (lambda f: set_stream_byte(f, 0, 14, 5), "'aa': unknown coding"),
    "an unknown layout": (lambda f: set_stream_byte(f, 0, 15, 6), "'aa': unknown layout"),
    "a bounded layout of what is not": (lambda f: set_stream_byte(f, 0, 15, 3), "'aa': a layout or coding"),
    "codes where there are none": (lambda f: set_stream_byte(f, 0, 15, 1), "'aa': a layout of codes"),
    "wide codes where there are none": (lambda f: set_stream_byte(f, 0, 15, 2), "'aa': a layout of codes"),
    "wide codes of four bits": (lambda f: set_stream_byte(f, 1, 15, 2), "'bb': a layout that its codes"),
    "raw bytes under a coding": (lambda f: set_stream_byte(f, 7, 14, 1), "'dd': its streams do not fit"),
    "a duplicate name": (lambda f: rename(f, b"bb", b"aa"), "'aa': its name is there twice"),
    "names out of order": (lambda f: rename(f, b"bb", b"zz"), "the order of names does not rise"),
    "an order of names out of range": (lambda f: f.put(TENSORS, 12, "I", 4), "the order of names is out of range"),
    "an order that names one twice": (lambda f: f.put(TENSORS, 12, "I", 1), "there twice|does not rise"),
    "a name that is not UTF-8": (lambda f: rename(f, b"bb", b"b\xff"), "its name is not UTF-8"),
    "a name with a surrogate": (lambda f: rename(f, b"bbccdd", b"b\xed\xa0\x80cd"), "UTF-8"),
    "an empty name": (lambda f: f.put(TENSORS, 20, "I", 0), "'?aa'?: no name|tensor 0: no name"),
    "names beyond the section": (lambda f: f.put(TENSORS, 20, "I", 1 << 31), "no name"),
    "names too long": (lambda f: rename(f, b"dd", b"dddd"), "JSON header|differ|lacks"),
    "an unknown type": (lambda f: set_scheme(f, 0, 16, 20), "'aa': unknown element type"),
    "nine dimensions": (lambda f: set_scheme(f, 0, 17, 9), "'aa': more than 8 dimensions"),
    "a reserved structure": (lambda f: set_scheme(f, 0, 17, 0x42), "'aa': unknown structure"),
    "reserved values": (lambda f: set_scheme(f, 0, 18, 1), "'aa': unknown kind of values"),
    "nine bits": (lambda f: set_scheme(f, 1, 18, 0x93), "'bb': a layout that its codes"),
    "sixteen bits": (lambda f: set_scheme(f, 1, 18, 0x03), "'bb': a layout that its codes"),
    "bits of kept values": (lambda f: set_scheme(f, 0, 18, 0x40), "'aa': fields that kept values do not have"),
    "an unknown granularity": (lambda f: set_scheme(f, 1, 19, 6), "'bb': unknown granularity"),
    "an axis beyond the rank": (lambda f: set_scheme(f, 1, 19, 2 | 2 << 3), "'bb': no such axis"),
    "a zero field that is not": (lambda f: set_scheme(f, 1, 19, 2 | 0x40), "'bb': a zero field"),
    "codes of a whole-number type": (lambda f: set_scheme(f, 1, 16, 12), "'bb': its streams do not fit"),
    "a missing number": (lambda f: f.section(NUMBERS).__delitem__(slice(-4, None)), "too few numbers"),
    "a number too many": (lambda f: f.section(NUMBERS).extend(b"\0" * 4), "of no tensor"),
    "a missing stream": (lambda f: f.section(STREAMS).__delitem__(slice(-16, None)), "too few streams"),
    "half a record": (lambda f: f.section(TENSORS).extend(b"\0" * 4), "not a whole number of records"),
    "streams of no tensor": (lambda f: f.section(STREAMS).extend(b"\0" * 16), "of no tensor"),
    "records that do not follow": (lambda f: f.put(TENSORS, 24, "I", 1), "'bb': its record does not follow"),
    "a newer version": (lambda f: setattr(f, "version", 1), "newer version"),
    "another magic": (lambda f: setattr(f, "magic", b"BITPRESs"), "its manifest does not begin as one"),
    "an unknown required section": (lambda f: f.sections.append([77, 1, bytearray(8)]), "section that this version"),
    "a reserved required section": (lambda f: f.sections.append([17, 1, bytearray(8)]), "section that this version"),
    "a section twice": (lambda f: f.sections.append([NAMES, 1, bytearray()]), "order of their types"),
    "sections out of order": (lambda f: f.sections.reverse(), "order of their types"),
    "a missing section": (lambda f: f.sections.pop(2), "a required section is missing"),
    "a section with a new flag": (lambda f: set_section(f, NAMES, 1, 5), "flag of a newer version"),
    "names that may be skipped": (lambda f: set_section(f, NAMES, 1, 0), "section's flags are wrong"),
    "seventeen sections": (lambda f: f.sections.extend([[i, 0, bytearray()] for i in range(80, 93)]), "too many"),
    "bytes between sections": (lambda f: setattr(f, "gap", b"\1"), "bytes between sections are not zero"),
    "a length beyond the file": (lambda f: setattr(f, "length", 1 << 40), "shorter than it says"),
    "a length before the file's end": (lambda f: setattr(f, "length", 64), "longer than it says"),
    "bytes after the last stream": (lambda f: setattr(f, "streams_data", f.streams_data + bytes(64)), "not fill"),
    "deep JSON": (lambda f: json_text(f, b'{"a":' + b"[" * 200_000), "nested too deep|malformed"),
    "a duplicate JSON key": (duplicate_key, "the key 'aa' twice"),
    "NaN in the JSON": (lambda f: edit_json(f, shape=[float("nan"), 20]), "NaN, which is no whole number"),
    "a fraction in the JSON": (lambda f: edit_json(f, shape=[6.0, 20]), "which is no whole number"),
    "a huge number in the JSON": (lambda f: edit_json(f, shape=[10**4000, 20]), "a number of 4001 digits"),
    "a truth value in the JSON": (lambda f: edit_json(f, shape=[True, 120]), "differ in 'aa'"),
    "another shape in the JSON": (lambda f: edit_json(f, shape=[20, 6]), "differ in 'aa'"),
    "another type in the JSON": (lambda f: edit_json(f, dtype="I32"), "differ in 'aa'"),
    "another place in the JSON": (lambda f: edit_json(f, data_offsets=[0, 480]), "differ in 'aa'"),
    "one more field in the JSON": (lambda f: edit_json(f, more=1), "differ in 'aa'"),
    "a missing tensor in the JSON": (lambda f: f.json.pop("aa"), "lacks 'aa'"),
    "one more tensor in the JSON": (
        lambda f: f.json.update(zz={"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
        "differ in 'zz'",
    ),
    "another metadata in the JSON": (lambda f: f.json["__metadata__"].update(a="b"), "__metadata__"),
    "JSON that is a list": (lambda f: json_text(f, b"{" + b"}"), "lacks|__metadata__"),
    "JSON that is not UTF-8": (lambda f: json_text(f, b'{"\xff":1}'), "not UTF-8"),
    "JSON that goes on": (lambda f: json_text(f, json.dumps(f.json).encode() + b" 1"), "malformed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused(name: str, good: bytes) -> None:
    edit, complaint = HOSTILE[name]
    forge = Forge(good)
    edit(forge)
    data = memoryview(forge.build())
    spent = []
    for _ in range(3):
        before = time.process_time()
        with pytest.raises(bp.FormatError, match=complaint) as caught:
            Container(data, "evil.safetensors")
        spent.append(time.process_time() - before)
        line = str(caught.value)
        assert line.startswith("evil.safetensors: ") and "\n" not in line and len(line) < 300
    assert min(spent) < 0.010
    tracemalloc.start()
    with pytest.raises(bp.FormatError):
        Container(data, "evil.safetensors")
    assert tracemalloc.get_traced_memory()[1] < 20 * len(data) + 200_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "shorter than 8 bytes"),
        (b"\xff" * 7, "shorter than 8 bytes"),
        (b"\xff" * 64, "not a bitpress file"),
        ((1 << 60).to_bytes(8, "little") + b"{}" + bytes(60), "not a bitpress file"),
        ((100_000_001).to_bytes(8, "little") + b"{}" + bytes(60), "not a bitpress file"),
        ((100_000_000).to_bytes(8, "little") + b"{}" + bytes(60), "ends inside its JSON"),
        ((0).to_bytes(8, "little") + b"BITPRESS" + bytes(60), "not a bitpress file"),
        ((2).to_bytes(8, "little") + b"{}", "not a bitpress file"),
        ((8).to_bytes(8, "little") + b"{}      BITPRESS", "inside its manifest"),
        ((9).to_bytes(8, "little") + b"{}       BITPRESS" + bytes(64), "not a multiple of 8"),
        ((8).to_bytes(8, "little") + b"{}      BITPRESS" + bytes(64), "manifest's length is wrong"),
    ],
)
def test_bytes_that_are_no_file(data: bytes, complaint: str) -> None:
    with pytest.raises(bp.FormatError, match=complaint):
        Container(memoryview(data), "x")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with one stream of each kind of place, of 1.5 KB."""
    path = tmp_path_factory.mktemp("small") / "small"
    rng = np.random.default_rng(1)
    arrays = {
        "b": (rng.normal(size=5).astype(np.float32), bp.Scheme()),
        "w": (rng.integers(0, 2, (5, 60)).astype(np.float32), bp.Scheme.int(4, axis=0, coding="huffman")),
    }
    packed = {name: bp.pack(array, scheme) for name, (array, scheme) in arrays.items()}
    specs = [TensorSpec(name, tensor.dtype, tensor.shape, tensor.scheme) for name, tensor in packed.items()]
    write(path, specs, packed.values(), metadata={"k": "v"}, graph=b"")
    return path.read_bytes()


def one_line(error: BaseException) -> bool:
    text = str(error)
    return text.startswith("x: ") and "\n" not in text and len(text) < 200


def test_every_bit_flip_is_found(small: bytes) -> None:
    assert len(small) < 2000
    broken = bytearray(small)
    for bit in range(8 * len(small)):
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(bp.FormatError) as caught:
            Container(memoryview(broken), "x")
        assert one_line(caught.value), bit
        broken[bit // 8] ^= 1 << bit % 8
    Container(memoryview(broken), "x")


def test_every_truncation_is_found(small: bytes) -> None:
    for size in range(len(small)):
        with pytest.raises(bp.FormatError) as caught:
            Container(memoryview(small)[:size], "x")
        assert one_line(caught.value), size
    with pytest.raises(bp.FormatError, match="longer than it says"):
        Container(memoryview(small + b"\0"), "x")


def test_verify_and_load_find_flips_in_files(small: bytes, tmp_path: Path) -> None:
    """The same through the public functions: every byte once, and every truncation."""
    path = tmp_path / "x"
    for at in range(len(small)):
        broken = bytearray(small)
        broken[at] ^= 1 << at % 8
        path.write_bytes(broken if at % 2 else small[:at])
        findings = verify(path)
        assert findings and all(line.startswith(f"{path}: ") and "\n" not in line for line in findings)
        with pytest.raises(bp.FormatError):
            bp.load(path)
        with pytest.raises(bp.FormatError):
            bp.load_file(path)


def test_verify_names_each_tensor_that_is_damaged(good: bytes, tmp_path: Path) -> None:
    container = Container(memoryview(good), "x")
    broken = bytearray(good)
    for name in ("aa", "dd"):
        broken[container.tensors[name].streams[0].offset + 5] ^= 4
    (tmp_path / "x").write_bytes(broken)
    findings = verify(tmp_path / "x")
    assert [line.removeprefix(f"{tmp_path / 'x'}: ") for line in findings] == [
        "tensor 'aa': checksum of its data",
        "tensor 'dd': checksum of its data",
    ]
    with bp.safe_open(tmp_path / "x") as file:  # what is whole can be read
        assert file.get_tensor("bb").shape == (5, 200)
        with pytest.raises(bp.CorruptError, match="tensor 'aa': checksum"):
            file.get_tensor("aa")


@pytest.mark.parametrize(
    ("name", "role", "value"),
    [
        ("cc", 1, b"\xff"),
        ("cc", 2, b"\0\0\x80\xbf"),
        ("cc", 2, b"\0\0\xc0\x7f"),
        ("cc", 3, b"\xff"),
        ("bb", 0, b"\xf4\3\x7f"),
    ],
    ids=["mask", "negative scale", "NaN scale", "zero", "Huffman frame"],
)
def test_streams_that_are_nonsense_are_refused(good: bytes, name: str, role: int, value: bytes) -> None:
    """A forger has every checksum right, but what a stream holds cannot be."""
    tensor = Container(memoryview(good), "x").tensors[name]
    stream = tensor.streams[role]
    forge = Forge(good)
    at = stream.offset - (len(good) - len(forge.streams_data))
    data = bytearray(forge.streams_data)
    assert data[at : at + len(value)] != value
    data[at : at + len(value)] = value
    forge.streams_data = bytes(data)
    forge.put(STREAMS, 16 * ({"bb": 1, "cc": 3}[name] + role), "Q", xxh64(data[at : at + tensor.padded(stream)]))
    with pytest.raises(bp.FormatError, match=f"x: tensor '{name}': "):
        Container(memoryview(forge.build()), "x").packed(name).unpack()


def test_a_stream_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    zeros = bp.pack(np.zeros(300 << 20, np.uint8), bp.Scheme.lossless())
    write(path, [TensorSpec("w", "U8", zeros.shape, zeros.scheme)], [zeros])
    assert path.stat().st_size < 20_000
    with pytest.raises(bp.FormatError, match=r"bomb: its streams claim 314572800 bytes when decoded, .*max_bytes"):
        bp.load(path)
    assert verify(path)[0].startswith(f"{path}: its streams claim")
    assert bp.load(path, max_bytes=300 << 20).tensors["w"].nbytes == 300 << 20


def test_100000_entries_take_linear_time_and_memory(tmp_path: Path) -> None:
    spent = []
    for count in (12_500, 100_000):
        array = bp.pack(np.float32(1), bp.Scheme())
        specs = [TensorSpec(f"layers.{i}.weight", "F32", (), bp.Scheme()) for i in range(count)]
        path = tmp_path / str(count)
        write(path, specs, (array for _ in range(count)))
        data = memoryview(path.read_bytes())
        before = time.process_time()
        assert len(Container(data, "x").tensors) == count
        spent.append(time.process_time() - before)
        if count == 12_500:
            tracemalloc.start()
            Container(data, "x")
            assert tracemalloc.get_traced_memory()[1] < 30 * len(data)
            tracemalloc.stop()
    assert spent[1] < 8 * 4 * spent[0] + 0.1
    # The last two names become one: seen only after all others were.
    forge = Forge(bytes(data))
    names = forge.section(NAMES)
    first, second = f"layers.{count - 2}.weight".encode(), f"layers.{count - 1}.weight".encode()
    names[names.index(second) :] = first
    broken = memoryview(forge.build())
    before = time.process_time()
    with pytest.raises(bp.FormatError, match="there twice"):
        Container(broken, "x")
    assert time.process_time() - before < 1


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_with_right_checksums_is_refused_or_read(good: bytes, data: st.DataObject) -> None:
    """Random edits of a sealed manifest: load() refuses them or hands out tensors that are sound."""
    forge = Forge(good)
    for _ in range(data.draw(st.integers(1, 4))):
        section = data.draw(st.sampled_from(forge.sections))[2]
        if section:
            at = data.draw(st.integers(0, len(section) - 1))
            flips = [section[at] ^ 1 << k for k in range(8)]
            section[at] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(flips)))
    try:
        container = Container(memoryview(forge.build()), "x")
        for name in container.tensors:
            container.packed(name).unpack()
    except (bp.FormatError, bp.UnsupportedError) as error:
        assert "\n" not in str(error)
