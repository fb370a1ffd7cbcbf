"""bp.Session with 16-bit activations: convolutions and matrix products by integers beside those in float32."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graph_file import GraphFile, NodeSpec, plain

from bitpress import _core
from bitpress.scheme import Scheme
from bitpress.session import Session
from bitpress.tensor import pack

RNG = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [(1, 3, 7, 7), (2, 70, 5, 9)])
def test_sixteen_bit_activations(bits: int, kernel: int, size: tuple[int, ...]) -> None:
    """As with float32 activations, but for the rounding of inputs to 16 bits; blocks of k and their rests."""
    w = pack(floats(13, size[1], kernel, kernel), Scheme.int(bits, axis=0))
    tensors = {"w": w, "b": plain(floats(13))}
    nodes = [NodeSpec("Conv", ["x", "w", "b"], ["y"], {"pads": [kernel // 2] * 4, "clip_low": -1.0})]
    data = GraphFile({"x": size}, ["y"], nodes, tensors).bytes()
    x = floats(*size)
    x[0, :, 0, 0] = 0
    session = Session(data, activations="int16")
    got, want = session.run({"x": x})["y"], Session(data).run({"x": x})["y"]
    largest = np.abs(w.unpack()).max() * np.abs(x).max()
    assert np.abs(got - want).max() <= 2**-16 * 1.1 * largest * size[1] * kernel**2 + 1e-5
    assert 0 < session.memory.tile <= 65536 + 512
    x[0, 0, 2, 2] = np.nan
    assert np.array_equal(np.isnan(session.run({"x": x})["y"]), np.isnan(Session(data).run({"x": x})["y"]))


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [(1, 3, 7, 7), (2, 70, 5, 9), (1, 600, 4, 5)])
def test_eight_bit_activations(bits: int, kernel: int, size: tuple[int, ...]) -> None:
    """As with float32 activations, but for the rounding of inputs to 8 bits (weights of 1 bit: 16)."""
    w = pack(floats(13, size[1], kernel, kernel), Scheme.int(bits, axis=0))
    nodes = [NodeSpec("Conv", ["x", "w", "b"], ["y"], {"pads": [kernel // 2] * 4, "clip_low": -1.0})]
    data = GraphFile({"x": size}, ["y"], nodes, {"w": w, "b": plain(floats(13))}).bytes()
    x = floats(*size)
    x[0, :, 0, 0] = 0
    session = Session(data, activations="int8")
    got, want = session.run({"x": x})["y"], Session(data).run({"x": x})["y"]
    weights = np.abs(w.unpack()).reshape(13, -1).sum(1)[None, :, None, None]
    assert np.abs((got - want) / weights).max() <= 1.01 * np.abs(x).max() / 254 + 1e-6
    assert 0 < session.memory.tile <= 65536 + 1024
    x[0, 0, 2, 2] = np.nan
    assert np.array_equal(np.isnan(session.run({"x": x})["y"]), np.isnan(Session(data).run({"x": x})["y"]))


PRINT_BITS = """
import sys, numpy as np, bitpress as bp
data = np.load(sys.argv[1])
session = bp.Session(data["network"].tobytes(), activations=sys.argv[2])
print(session.run({"x": data["x"]})["y"].tobytes().hex())
"""


@pytest.mark.parametrize("activations", ["int16", "int8"])
def test_every_instruction_set_gives_the_same_bits(activations: str, tmp_path: Path) -> None:
    w = pack(floats(29, 70, 3, 3), Scheme.int(8, axis=0))
    nodes = [NodeSpec("Conv", ["x", "w"], ["y"], {"pads": [1, 1, 0, 1], "strides": [2, 1], "clip_high": 3.0})]
    data = GraphFile({"x": (1, 70, 9, 11)}, ["y"], nodes, {"w": w}).bytes()
    np.savez(tmp_path / "run.npz", network=np.frombuffer(data, np.uint8), x=floats(1, 70, 9, 11))
    bits = {}
    for isa in _core.isas():
        command = [sys.executable, "-c", PRINT_BITS, str(tmp_path / "run.npz"), activations]
        environment = os.environ | {"BITPRESS_ISA": isa}
        bits[isa] = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert len(set(bits.values())) == 1, bits.keys()


MATRICES = {
    "MatMul": ("MatMul", False, lambda bits: Scheme.int(bits, axis=1)),
    "Gemm": ("Gemm", False, lambda bits: Scheme.int(bits, axis=1)),
    "Gemm, transB": ("Gemm", True, lambda bits: Scheme.int(bits, axis=0)),
    "Gemm, transB, groups": ("Gemm", True, lambda bits: Scheme.int(bits, group_size=32)),
    "Gemm, one scale": ("Gemm", True, Scheme.int),
}


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 5, 3), (7, 130, 48), (9, 33, 1100)])
def test_sixteen_bit_rows(bits: int, kind: str, m: int, n: int, k: int) -> None:
    """As with float32 activations, but for the rounding of rows to 16 bits; blocks of rows, columns and k."""
    op, transposed, scheme = MATRICES[kind]
    w = pack(floats(*((n, k) if transposed else (k, n))), scheme(bits))
    attributes = {"clip_low": -1.0} | ({"transB": 1} if transposed else {}) | ({"alpha": 0.5} if op == "Gemm" else {})
    names = ["x", "w", "b"] if op == "Gemm" else ["x", "w"]
    tensors = {"w": w} | ({"b": plain(floats(n))} if op == "Gemm" else {})
    data = GraphFile({"x": (m, k)}, ["y"], [NodeSpec(op, names, ["y"], attributes)], tensors).bytes()
    x = floats(m, k)
    x[m // 2] = 0
    session = Session(data, activations="int16")
    got, want = session.run({"x": x})["y"], Session(data).run({"x": x})["y"]
    sums = np.abs(x) @ np.abs(w.unpack() if not transposed else w.unpack().T)
    largest = np.abs(w.unpack()).max() * np.abs(x).max()
    assert np.all(np.abs(got - want) <= 2**-16 * 1.1 * largest * k + 2**-20 * sums + 1e-6)
    assert 0 < session.memory.tile <= 2**17 + 2**16
    x[0, 0] = np.inf
    assert np.isnan(session.run({"x": x})["y"][0]).all()


BYTES = {
    "MatMul": ("MatMul", False, lambda bits: Scheme.int(bits, axis=1)),
    "Gemm": ("Gemm", False, Scheme.int),
    "Gemm, transB": ("Gemm", True, lambda bits: Scheme.int(bits, axis=0)),
    "Gemm, transB, groups": ("Gemm", True, lambda bits: Scheme.int(bits, group_size=256)),
    "Gemm, transB, small groups": ("Gemm", True, lambda bits: Scheme.int(bits, group_size=32, symmetric=False)),
    "MatMul, affine": ("MatMul", False, lambda bits: Scheme.int(bits, axis=1, symmetric=False)),
    "Gemm, transB, affine groups": ("Gemm", True, lambda bits: Scheme.int(bits, group_size=128, symmetric=False)),
}


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("kind", BYTES)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 5, 128), (2, 130, 640), (9, 150, 384), (5, 33, 100), (520, 20, 256)])
def test_eight_bit_rows(bits: int, kind: str, m: int, n: int, k: int) -> None:
    """As with float32 activations, but for the rounding of rows to 8 bits."""
    op, transposed, scheme = BYTES[kind]
    w = pack(floats(*((n, k) if transposed else (k, n))), scheme(bits))
    attributes = {"clip_high": 9.0} | ({"transB": 1} if transposed else {})
    names = ["x", "w", "b"] if op == "Gemm" else ["x", "w"]
    tensors = {"w": w} | ({"b": plain(floats(n))} if op == "Gemm" else {})
    data = GraphFile({"x": (m, k)}, ["y"], [NodeSpec(op, names, ["y"], attributes)], tensors).bytes()
    x = floats(m, k)
    x[m // 2, :64] = 0
    session = Session(data, activations="int8")
    got, want = session.run({"x": x})["y"], Session(data).run({"x": x})["y"]
    weights = np.abs(w.unpack() if not transposed else w.unpack().T)
    error = np.abs(x).max(1, keepdims=True) / 254 * weights.sum(0) + 2**-18 * (np.abs(x) @ weights) + 1e-5
    assert np.all(np.abs(got - want) <= 1.01 * error)
    assert session.memory.tile <= 2**18
    x[0, 0] = np.nan
    assert np.isnan(session.run({"x": x})["y"][0]).all()


def test_batches_are_rows() -> None:
    w = pack(floats(24, 10), Scheme.int(8, axis=1))
    data = GraphFile({"x": (600, 2, 24)}, ["y"], [NodeSpec("MatMul", ["x", "w"], ["y"])], {"w": w}).bytes()
    x = floats(600, 2, 24)
    got = Session(data, activations="int16").run({"x": x})["y"]
    assert got.shape == (600, 2, 10)
    assert np.abs(got - x @ w.unpack()).max() < 1e-3


def test_other_activations_are_refused() -> None:
    data = GraphFile({"x": (2,)}, ["y"], [NodeSpec("Relu", ["x"], ["y"])], {}).bytes()
    with pytest.raises(ValueError, match="activations"):
        Session(data, activations="int4")  # type: ignore[arg-type]
