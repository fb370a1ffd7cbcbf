"""torch sources: state dicts, checkpoints, modules, and checkpoints that hold more than tensors."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp

torch = pytest.importorskip("torch", reason="needs torch: pip install torch")
from torch import nn  # noqa: E402

LOSSLESS = bp.Recipe.lossless()


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)
    ).eval()


def same(model: bp.Model, state: dict[str, torch.Tensor]) -> None:
    assert list(model.tensors) == list(state)
    for name, tensor in state.items():
        assert model.tensors[name].shape == tuple(tensor.shape)
        assert bytes(model.tensors[name].to_bytes()) == raw(tensor)


DTYPES = [
    *(
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.uint16,
        torch.uint32,
        torch.uint64,
    ),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.float8_e8m0fnu, torch.complex64),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(dtype: torch.dtype) -> None:
    tensor = torch.randint(0, 2, (4, 6)).to(dtype)
    state = {"t": tensor, "one": tensor[0, 0], "none": tensor[:0]}
    same(bp.compress(state, LOSSLESS), state)


def test_layouts_of_memory() -> None:
    base = torch.randn(6, 8)
    views = {"t": base.t(), "s": base[::2, 1:5], "e": base[:1].expand(4, 8), "g": base.clone().requires_grad_()}
    same(bp.compress(views, LOSSLESS), {name: view.detach() for name, view in views.items()})
    turned = torch.randn(5, dtype=torch.complex64)
    assert bytes(bp.compress({"c": turned.conj()}).tensors["c"].to_bytes()) == raw(turned.conj().resolve_conj())


@pytest.mark.parametrize("kind", ["module", "state dict"])
def test_modules_and_state_dicts(kind: str) -> None:
    net = network()
    same(bp.compress(net if kind == "module" else net.state_dict(), LOSSLESS), net.state_dict())
    assert bp.compress(net).graph is None


@pytest.mark.parametrize("wrap", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_checkpoints(tmp_path: Path, wrap: str | None, zipped: bool) -> None:
    state = network().state_dict()
    found = state if wrap is None else {wrap: state, "epoch": 3, "optimizer": {"lr": torch.tensor(0.1)}}
    path = tmp_path / "net.pt"
    torch.save(found, path, _use_new_zipfile_serialization=zipped)
    same(bp.compress(path, LOSSLESS), state)


def test_tied_weights_come_back_under_each_name(tmp_path: Path) -> None:
    embedding = nn.Embedding(50, 40)
    head = nn.Linear(40, 50, bias=False)
    head.weight = embedding.weight
    net = nn.ModuleDict({"embedding": embedding, "head": head})
    torch.save(net.state_dict(), tmp_path / "tied.pth")
    for source in (net, net.state_dict(), tmp_path / "tied.pth"):
        model = bp.compress(source)
        one, other = model.tensors["embedding.weight"], model.tensors["head.weight"]
        assert one.streams == other.streams and "int8" in str(one.scheme)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/nonexistent/evil"),))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "evil": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "bare.bin").write_bytes(pickle.dumps({"evil": Evil()}))
    torch.save(network(), tmp_path / "module.pt")
    for name in ("evil.pt", "bare.bin", "module.pt"):
        with pytest.raises(
            bp.FormatError, match=f"{name}: not a (checkpoint of tensors alone|torch checkpoint)"
        ) as error:
            bp.compress(tmp_path / name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"garbage", b"PK\x03\x04" + bytes(40), b"\x80\x02."])
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(bp.FormatError, match=r"net\.pth: "):
        bp.compress(path)


def test_a_cut_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(network().state_dict(), path)
    whole = path.read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(bp.FormatError):
            bp.compress(path)


def test_a_checkpoint_without_tensors(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "net.pt")
    with pytest.raises(bp.FormatError, match="without tensors"):
        bp.compress(tmp_path / "net.pt")


def test_tensors_that_cannot_be_stored_are_named() -> None:
    for tensor in (torch.eye(3).to_sparse(), torch.empty(2, device="meta"), torch.ones(2, dtype=torch.complex128)):
        with pytest.raises(bp.UnsupportedError, match=r"^odd: "):
            bp.compress({"odd": tensor})


def test_a_module_with_example_inputs_has_a_graph() -> None:
    pytest.importorskip("onnxscript", reason="needs onnxscript: pip install bitpress[torch]")
    net = network()
    model = bp.compress(net, example_inputs=[torch.randn(2, 3, 8, 8)])
    assert model.graph is not None
    assert [node.op for node in model.graph.nodes] == ["Conv", "Reshape", "Gemm"]  # the norm is folded, Relu fused
    assert str(model.tensors["4.weight"].scheme) == "int8 axis 0 + huffman"


def test_channels_follow_the_consumer() -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install bitpress[onnx]")
    from onnx import TensorProto, helper, numpy_helper

    weights = {
        "mm": np.random.default_rng(0).standard_normal((48, 64)).astype(np.float32),
        "gemm": np.random.default_rng(1).standard_normal((64, 40)).astype(np.float32),
        "gemm_t": np.random.default_rng(2).standard_normal((30, 40)).astype(np.float32),
        "added": np.random.default_rng(3).standard_normal((60, 30)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "mm"], ["a"]),
        helper.make_node("Gemm", ["a", "gemm"], ["b"]),
        helper.make_node("Gemm", ["b", "gemm_t"], ["c"], transB=1),
        helper.make_node("Add", ["c", "added"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [60, 48])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [60, 30])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(proto)
    model = bp.compress(proto)
    schemes = {name: str(tensor.scheme) for name, tensor in model.tensors.items()}
    expected = {"mm": 1, "gemm": 1, "gemm_t": 0}
    assert schemes == {name: f"int8 axis {axis} + huffman" for name, axis in expected.items()} | {"added": "keep"}
