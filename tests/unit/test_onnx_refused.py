"""What the ONNX importer refuses, and how: one clear line that names the file and what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="needs the package onnx")

from onnx import TensorProto, external_data_helper, helper  # noqa: E402
from onnx_models import model, node  # noqa: E402

from bitpress.errors import BitpressError, FormatError, UnsupportedError  # noqa: E402
from bitpress.importers.onnx import load  # noqa: E402

W = np.arange(12, dtype=np.float32).reshape(4, 3)


def gemm() -> onnx.ModelProto:
    return model([node("Gemm", "x w", transB=1)], {"x": (2, 3)}, ["y"], {"w": W})


def refused(path: Path, kind: type[BitpressError], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message


def test_missing_operators_are_named() -> None:
    proto = model([node("Relu", "x", "a"), node("RandomUniformLike", "a")], {"x": (2, 3)}, ["y"])
    with pytest.raises(
        UnsupportedError,
        match=r'^ONNX model: operator RandomUniformLike \(node "RandomUniformLike_y"\) is not supported$',
    ):
        load(proto)
    other = helper.make_node("Fused", ["x"], ["y"], name="n", domain="com.example")
    proto = model([other], {"x": (2, 3)}, ["y"])
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedError, match=r'operator com\.example\.Fused \(node "n"\) is not supported'):
        load(proto)


def test_a_missing_operator_that_no_output_needs_does_no_harm() -> None:
    source = load(model([node("Relu", "x"), node("RandomUniformLike", "x", "unread")], {"x": (2, 3)}, ["y"]))
    assert [item.op for item in source.graph.nodes] == ["Relu"]


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        ([node("LpPool", "x", kernel_shape=[2, 2], ceil_mode=1)], "ceil_mode"),
        ([node("Pad", "x p", mode="mirror")], "mode mirror"),
        ([node("Reshape", "x low", "y")], r"a shape that is not constant \('low'\)"),
        ([node("BatchNormalization", "x w w w w", "y m v", training_mode=1)], "training_mode"),
    ],
)
def test_what_an_operator_does_not_do_is_named(nodes: list[onnx.NodeProto], match: str) -> None:
    tensors = {"p": np.array([0] * 8), "w": np.ones(3, np.float32)}
    with pytest.raises(UnsupportedError, match=match):
        proto = model(nodes, {"x": (1, 3, 4, 4), "low": (2,)}, ["y"], tensors)
        proto.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
        load(proto)


def test_other_types_are_named() -> None:
    proto = model([node("Softmax", "x")], {"x": (4, 3)}, {"y": TensorProto.DOUBLE})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    with pytest.raises(UnsupportedError, match=r'operator Softmax \(node "Softmax_y"\) is not supported for F64'):
        load(proto)
    proto = model([node("Identity", "x")], {"x": (4, 3)}, {"y": TensorProto.STRING})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(UnsupportedError, match="element type 8"):
        load(proto)


def test_halves_run_in_float32_and_are_rounded() -> None:
    proto = model([node("Exp", "x")], {"x": (4, 3)}, {"y": TensorProto.FLOAT16})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    source = load(proto)
    assert [item.op for item in source.graph.nodes] == ["Exp", "RoundTo"]
    assert [value.dtype for value in (*source.graph.inputs, *source.graph.outputs)] == ["F32", "F32"]


def test_old_opsets() -> None:
    source = load(model([node("Relu", "x")], {"x": (2,)}, ["y"], opset=6))  # converted
    assert [item.op for item in source.graph.nodes] == ["Relu"]
    with pytest.raises(UnsupportedError, match=r"opset 6 is not supported.*cannot be converted"):
        load(model([node("Upsample", "x", mode="nearest", scales=[1.0, 2.0])], {"x": (2, 2)}, ["y"], opset=6))


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"not an onnx file at all", b"\x08\x08" * 50, os.urandom(200)])
def test_files_that_are_no_models(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    refused(path, FormatError, "not an ONNX model|not a valid ONNX model")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent.onnx")


def changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    proto = gemm()
    change(proto)
    return proto


def _shrink(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = b"\0" * 47


def _grow(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = 2**60


def _negative(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = -4


def _fields(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].ClearField("raw_data")
    proto.graph.initializer[0].float_data.extend([1.0] * 5)


def _twice(proto: onnx.ModelProto) -> None:
    proto.graph.initializer.add().CopyFrom(proto.graph.initializer[0])


def _strings(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_type = TensorProto.STRING


def _cycle(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = "y"


def _absent(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = "nobody"


def _unwritten(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].name = "nobody"


def _attribute(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].attribute[0].type = onnx.AttributeProto.STRING


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_shrink, "tensor 'w' of shape .* has 47 bytes, not 48"),
        (_grow, "tensor 'w' .* has 48 bytes"),
        (_negative, "negative size"),
        (_fields, "has 5 elements, not 12"),
        (_twice, "defined twice"),
        (_strings, "ONNX element type 8"),
        (_cycle, "not a valid ONNX model|written twice|before it is written"),
        (_absent, "not a valid ONNX model|before it is written"),
        (_unwritten, "never written|not a valid ONNX model|no input or no output"),
        (_attribute, "."),
    ],
)
def test_hostile_models(tmp_path: Path, change: Callable[[onnx.ModelProto], object], match: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(changed(change).SerializeToString())
    refused(path, BitpressError, match)


GOOD = gemm().SerializeToString()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_never_end_in_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged = bytearray(GOOD)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(bytes(damaged))
    try:
        source = load(path)
        for name in source.tensors:
            source.read(name)
    except BitpressError as error:
        assert "\n" not in str(error)


# Large initializers and external data


def test_large_initializers_stay_in_the_file(tmp_path: Path) -> None:
    big = np.arange(3 * 2000, dtype=np.float32).reshape(2000, 3)
    proto = model([node("Gemm", "x w", "a", transB=1), node("Gemm", "a v")], {"x": (2, 3)}, ["y"], {"w": big, "v": big})
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    source = load(path)
    for name in ("w", "v"):
        array = source.read(name)
        assert np.array_equal(array, big) and array.flags.aligned
    with path.open("r+b") as file:
        file.truncate(10000)
    with pytest.raises(FormatError, match=r"'v': .* became shorter"):
        source.read("v")
    proto.graph.initializer[1].dims[0] = 1999
    path.write_bytes(proto.SerializeToString())
    refused(path, FormatError, "tensor 'v' of shape .* has 24000 bytes, not 23988")


def test_reading_a_large_model_takes_no_memory_for_its_weights(tmp_path: Path, python: Callable[..., object]) -> None:
    big = np.ones((4 << 20, 4), np.float32)  # 64 MiB
    path = tmp_path / "m.onnx"
    path.write_bytes(model([node("MatMul", "x w")], {"x": (1, 4 << 20)}, ["y"], {"w": big}).SerializeToString())
    done = python(f"""
import resource, onnx, onnx.checker, onnx.shape_inference, onnx.inliner
from bitpress.importers.onnx import load
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = load({str(path)!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, source.tensors["w"].shape)
""")
    kib, shape = done.stdout.split(" ", 1)  # type: ignore[attr-defined]
    assert shape.strip() == "(4194304, 4)" and int(kib) < 16 << 10


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "does not end|ends after byte"),
        (b"\x3a" + b"\xff" * 12, "does not end"),
        (b"\x3a\x05\x00", "ends after byte"),
        (b"\x3b", "wire type 3"),
        (b"\x3a\x03\x2a\x05\x00", "ends after byte"),
        (b"\x3a", "ends inside a number"),
    ],
)
def test_broken_fields(tmp_path: Path, data: bytes, match: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    refused(path, FormatError, match)


@pytest.fixture
def external(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    proto = model([node("Gemm", "x w b", transB=1)], {"x": (2, 3)}, ["y"], {"w": W, "b": np.ones(4, np.float32)})
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_external_data_is_mapped(external: Path) -> None:
    source = load(external)
    w = source.read("w")
    assert np.array_equal(w, W) and not w.flags.owndata and not w.flags.writeable
    assert np.array_equal(load(onnx.load(external, load_external_data=False), folder=external.parent).read("w"), W)
    assert np.array_equal(load(onnx.load(external)).read("w"), W)


def test_external_data_without_a_folder(external: Path) -> None:
    with pytest.raises(FormatError, match=r"tensor 'w' is in external file 'weights\.bin', and no folder was given"):
        load(onnx.load(external, load_external_data=False))


def point(path: Path, **entries: str) -> None:
    """Change the external data entries of the first tensor."""
    proto = onnx.load(path, load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key in entries:
            entry.value = entries[entry.key]
    path.write_bytes(proto.SerializeToString())
    assert external_data_helper.uses_external_data(proto.graph.initializer[0])


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/passwd", "", ".", "a/../../secret.bin", "link.bin", "folder/x"]
)
def test_external_data_outside_the_folder_is_refused(external: Path, location: str) -> None:
    (external.parent.parent / "secret.bin").write_bytes(bytes(100))
    (external.parent / "link.bin").symlink_to(external.parent.parent / "secret.bin")
    (external.parent / "folder").symlink_to(external.parent.parent)
    point(external, location=location)
    refused(external, FormatError, "tensor 'w' is in external file .*, outside the model's folder")


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"location": "absent.bin"}, "'absent.bin', which is not there"),
        ({"offset": "-4"}, r"bytes -4\.\."),
        ({"offset": "1000000"}, "takes bytes 1000000"),
        ({"offset": "many"}, "no number"),
        ({"length": "47"}, "has 47 external bytes, not 48"),
    ],
)
def test_external_data_out_of_bounds_is_refused(external: Path, entries: dict[str, str], match: str) -> None:
    point(external, **entries)
    refused(external, FormatError, match)
