"""Codes in panels: the same tensors, the same results to the bit; files for a target; files that lie about it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged_files import STREAMS, Forge

import bitpress as bp
from bitpress import _core, panels
from bitpress.container import Container, verify, write
from bitpress.errors import BitpressError, SchemeError
from bitpress.graph import Graph, Node, Value
from bitpress.model import Model
from bitpress.panels import Order
from bitpress.reference.panels import stand_in_panels
from bitpress.scheme import Scheme
from bitpress.targets import TARGETS
from bitpress.tensor import Role, TensorSpec

RNG = np.random.default_rng(12)
ORDERS = [Order.ROW_PANELS, Order.COLUMN_PANELS]


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


def matrix(outputs: int, inputs: int, scheme: Scheme, order: Order) -> bp.PackedTensor:
    rows = order is Order.ROW_PANELS
    return bp.pack(floats(outputs, inputs) if rows else floats(inputs, outputs), scheme)


def stored(tmp_path: Path, tensor: bp.PackedTensor, order: Order) -> Path:
    path = tmp_path / "net.bp"
    write(path, [TensorSpec("w", tensor.dtype, tensor.shape, tensor.scheme, order)], [tensor])
    return path


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("size", [(16, 16), (48, 80), (0, 16), (16, 0)])
def test_they_stand_as_the_page_says(bits: int, order: Order, size: tuple[int, int]) -> None:
    tensor = matrix(*size, Scheme.int(bits), order)
    codes = tensor.codes() if order is Order.ROW_PANELS else tensor.codes().T
    got = panels.to_panels(tensor.streams[Role.CODES], bits, tensor.shape, order)
    assert bytes(got) == stand_in_panels(codes, bits)
    assert panels.from_panels(got, bits, tensor.shape, order) == tensor.streams[Role.CODES]


@pytest.mark.parametrize("coding", ["raw", "huffman", "rans", "lzw", "auto"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_round_trip(bits: int, order: Order, coding: str, tmp_path: Path) -> None:
    scheme = Scheme.int(bits, axis=0, coding=coding, symmetric=bits != 4)
    tensor = matrix(64, 96, scheme, order)
    path = stored(tmp_path, tensor, order)
    assert verify(path) == []
    with Container.open(path) as file:
        assert file.tensors["w"].order is order
        assert np.array_equal(file.packed("w").unpack(), tensor.unpack())
        if coding == "raw":
            assert file.stored("w", Role.CODES) != tensor.streams[Role.CODES]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("scheme", [Scheme.int(3), Scheme.int(8, sparse=True), Scheme(), Scheme.codebook(4)])
def test_what_has_no_panels_is_refused(scheme: Scheme, order: Order, tmp_path: Path) -> None:
    with pytest.raises(SchemeError, match="does not fill panels"):
        stored(tmp_path, matrix(32, 32, scheme, order), order)


@pytest.mark.parametrize("shape", [(8, 32), (32, 4), (16, 1, 16), (256,)])
def test_what_does_not_fill_them_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(SchemeError, match="does not fill panels"):
        stored(tmp_path, bp.pack(floats(*shape), Scheme.int(4)), Order.ROW_PANELS)


@pytest.mark.parametrize(
    ("tensor", "stream", "layout"),
    [
        (bp.pack(floats(32, 32), Scheme.int(4)), 1, 4),  # scales
        (bp.pack(floats(32, 32), Scheme()), 0, 4),
        (bp.pack(floats(32, 32), Scheme.int(3)), 0, 4),
        (bp.pack(floats(32, 32), Scheme.int(16)), 0, 5),
        (bp.pack(floats(32, 32), Scheme.int(4, sparse=True)), 0, 4),
        (bp.pack(floats(32, 32), Scheme.codebook(4)), 0, 4),
        (bp.pack(floats(40, 32), Scheme.int(4)), 0, 4),
        (bp.pack(floats(40, 32), Scheme.int(8)), 0, 4),
        (bp.pack(floats(32, 28), Scheme.int(4)), 0, 4),
        (bp.pack(floats(32, 40), Scheme.int(4)), 0, 5),
        (bp.pack(floats(32, 32, 1), Scheme.int(4)), 0, 4),
        (bp.pack(floats(32, 32), Scheme.int(4)), 0, 6),
    ],
)
def test_a_file_that_lies_about_them_is_refused(
    tensor: bp.PackedTensor, stream: int, layout: int, tmp_path: Path
) -> None:
    forge = Forge(stored(tmp_path, tensor, Order.ELEMENTS).read_bytes())
    forge.put(STREAMS, 16 * stream + 15, "B", layout)
    with pytest.raises(bp.FormatError, match=r"layout|panels"):
        Container(memoryview(forge.build()), "forged")


def test_either_order_of_a_square_matrix_is_believed(tmp_path: Path) -> None:
    """The layout is what says how codes stand: with another one it is another tensor, and as safe to read."""
    tensor = bp.pack(floats(32, 32), Scheme.int(8, axis=0))
    data = stored(tmp_path, tensor, Order.ROW_PANELS).read_bytes()
    forge = Forge(data)
    forge.put(STREAMS, 15, "B", 5)
    turned = Container(memoryview(forge.build()), "forged").packed("w")
    assert np.array_equal(turned.codes(), tensor.codes().T)


# -- networks

SCHEMES = {
    "int8": Scheme.int(8, axis=0),
    "int4": Scheme.int(4, axis=0),
    "int2 affine": Scheme.int(2, axis=0, symmetric=False),
    "int4 a tensor": Scheme.int(4),
    "int4 groups": Scheme.int(4, group_size=32),
    "int8 groups affine": Scheme.int(8, group_size=24, symmetric=False),
    "int2 long groups": Scheme.int(2, group_size=512),
}
SIZES = [(48, 96), (80, 320), (112, 1536)]


def network(outputs: int, inputs: int, scheme: Scheme, transposed: bool) -> Model:
    w = floats(outputs, inputs) if transposed else floats(inputs, outputs)
    if not transposed and scheme.numbers[4] == 1:
        scheme = replace(scheme, values=replace(scheme.values, axis=1))  # type: ignore[call-overload]
    node = Node("MatMul", "product", ("x", "w"), ("y",), {"transB": 1} if transposed else {})
    graph = Graph((Value("x", "F32", (-1, inputs)),), (Value("y", "F32", (-1, outputs)),), (node,))
    return Model({"w": bp.pack(w, scheme)}, graph)


def saved(model: Model, path: Path, target: str | None) -> bytes:
    replace(model, target=target).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "transposed"),
    [(name, transposed) for name in SCHEMES for transposed in (True, False) if transposed or "groups" not in name],
)
def test_results_do_not_depend_on_the_target(
    name: str, transposed: bool, size: tuple[int, int], tmp_path: Path
) -> None:
    model = network(*size, SCHEMES[name], transposed)
    generic = saved(model, tmp_path / "generic", "generic")
    assert generic == saved(model, tmp_path / "none", None)
    laid_out = saved(model, tmp_path / "v4", "x86-64-v4")
    with Container.open(tmp_path / "v4") as file:
        assert file.tensors["w"].order is (Order.ROW_PANELS if transposed else Order.COLUMN_PANELS)
    for activations in ("float32", "int16", "int8"):
        for load in ("map", "unpack"):
            sessions = [bp.Session(data, activations=activations, load=load) for data in (generic, laid_out)]
            for m in (1, 3, 4, 17):
                x = floats(m, size[1])
                want, got = (session.run({"x": x})["y"] for session in sessions)
                assert np.array_equal(want, got), (activations, load, m)


@pytest.mark.parametrize("load", ["map", "tile"])
@pytest.mark.parametrize("coding", ["huffman", "rans"])
def test_coded_panels_run(coding: str, load: Any, tmp_path: Path) -> None:
    model = network(64, 256, Scheme.int(8, axis=0, coding=coding), True)
    x = floats(5, 256)
    runs = [
        bp.Session(saved(model, tmp_path / target, target), load=load, activations="int8").run({"x": x})["y"]
        for target in TARGETS
    ]
    assert all(np.array_equal(runs[0], each) for each in runs[1:])


def test_threads_and_memory(tmp_path: Path) -> None:
    """Panels of bytes are read in place: no tile; of less, one panel a worker is spread."""
    x = floats(40, 512)
    for bits, tile in ((8, 0), (4, 16 * 256)):  # blocks of 256 inputs
        model = network(640, 512, Scheme.int(bits, axis=0), True)
        generic = bp.Session(saved(model, tmp_path / "g", "generic"), activations="int8")
        laid_out = saved(model, tmp_path / "v4", "x86-64-v4")
        want = generic.run({"x": x})["y"]
        alone = bp.Session(laid_out, activations="int8")
        assert np.array_equal(alone.run({"x": x})["y"], want)
        assert alone.memory.tile == tile < generic.memory.tile
        assert np.array_equal(bp.Session(laid_out, activations="int8", threads=2).run({"x": x})["y"], want)


def test_what_others_read_too_stays_as_it_is(tmp_path: Path) -> None:
    w = bp.pack(floats(32, 32), Scheme.int(8, axis=0))
    product = Node("Gemm", "product", ("x", "w"), ("y",), {"transB": 1})
    x, z = Value("x", "F32", (32, 32)), Value("z", "F32", (32, 32))
    cases = {
        "read as an array": (product, Node("Add", "sum", ("y", "w"), ("z",), {})),
        "read both ways": (product, Node("MatMul", "other", ("y", "w"), ("z",), {})),
        "the first matrix": (Node("MatMul", "first", ("w", "x"), ("z",), {}),),
        "scaled": (Node("Gemm", "scaled", ("x", "w"), ("z",), {"transB": 1, "alpha": 0.5}),),
    }
    for name, nodes in cases.items():
        model = Model({"w": w}, Graph((x,), (z,), nodes), target="armv8")
        assert [spec.order for spec in model.specs()] == [Order.ELEMENTS], name
    assert [spec.order for spec in Model({"w": w}, target="armv8").specs()] == [Order.ELEMENTS]


@pytest.mark.parametrize("target", TARGETS[1:])
@pytest.mark.parametrize(("bits", "transposed"), [(8, True), (4, True), (2, True), (4, False), (8, False)])
def test_each_target_has_what_pays_there(bits: int, transposed: bool, target: str) -> None:
    """Rows of 2- and 4-bit codes are laid out for AVX-512 alone; columns, which all would transpose, for all."""
    model = replace(network(32, 64, Scheme.int(bits, axis=0), transposed), target=target)
    rows = Order.ROW_PANELS if bits == 8 or target == "x86-64-v4" else Order.ELEMENTS
    assert [spec.order for spec in model.specs()] == [rows if transposed else Order.COLUMN_PANELS]


def test_a_file_is_saved_again_as_it_was(tmp_path: Path) -> None:
    model = network(32, 64, Scheme.int(4, axis=0), True)
    data = saved(model, tmp_path / "a", "x86-64-v4")
    loaded = bp.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == data
    assert saved(loaded, tmp_path / "c", "generic") == saved(model, tmp_path / "d", "generic") != data


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(SchemeError, match="no target 'x86'"):
        bp.compress({"w": floats(4, 4)}, target="x86")


def test_a_resaved_file_is_put_back(tmp_path: Path) -> None:
    import safetensors.numpy

    model = network(64, 512, Scheme.int(8, axis=0), False)
    data = saved(model, tmp_path / "a", "x86-64-v4")
    tensors = safetensors.numpy.load(data)
    (tmp_path / "b").write_bytes(safetensors.numpy.save(tensors, {"format": "bitpress"}))
    want = model.tensors["w"].unpack()
    assert np.array_equal(bp.load(tmp_path / "b", resaved=True).tensors["w"].unpack(), want)


PRINT_BITS = """
import sys, numpy as np, bitpress as bp
data = np.load(sys.argv[1])
session = bp.Session(data["network"].tobytes(), activations=sys.argv[2])
print(session.run({"x": data["x"]})["y"].tobytes().hex())
"""


@pytest.mark.parametrize(
    ("name", "activations"),
    [("int8", "int16"), ("int8", "int8"), ("int4 groups", "int16"), ("int4 groups", "int8"), ("int2 affine", "int8")],
)
def test_every_instruction_set_gives_the_same_bits(name: str, activations: str, tmp_path: Path) -> None:
    model = network(48, 96, SCHEMES[name], True)
    files = {
        target: np.frombuffer(saved(model, tmp_path / target, target), np.uint8) for target in ("generic", "x86-64-v4")
    }
    x = floats(5, 96)
    bits = set()
    for target, network_bytes in files.items():
        np.savez(tmp_path / f"{target}.npz", network=network_bytes, x=x)
        for isa in _core.isas():
            command = [sys.executable, "-c", PRINT_BITS, str(tmp_path / f"{target}.npz"), activations]
            environment = os.environ | {"BITPRESS_ISA": isa}
            bits.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(bits) == 1


def test_flips_in_a_laid_out_network_are_refused(tmp_path: Path) -> None:
    data = saved(network(32, 64, Scheme.int(4, axis=0), True), tmp_path / "a", "x86-64-v4")
    for at in np.random.default_rng(0).integers(0, 8 * len(data), 60):
        broken = bytearray(data)
        broken[at // 8] ^= 1 << at % 8
        with pytest.raises(BitpressError):
            bp.Session(bytes(broken))
