"""Whole networks from their files, beside onnxruntime on one thread in the same run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import litert
import numpy as np
import pytest

import bitpress as bp
from bitpress.demo import networks
from bitpress.graph import Graph, Node, Value
from bitpress.model import Model
from bitpress.recipe import Recipe, Rule
from bitpress.scheme import Scheme

NETWORKS: dict[str, Callable[[], Path]] = {
    "EfficientNet-Lite0": networks.efficientnet_lite0,
    "crepe tiny": lambda: networks.crepe("tiny"),
    "crepe full": lambda: networks.crepe("full"),
}
MODULES: dict[str, Callable[[], Any]] = {
    "EfficientNet-Lite0": networks.efficientnet_module,
    "crepe tiny": lambda: networks.crepe_module("tiny"),
    "crepe full": lambda: networks.crepe_module("full"),
}
SCHEMES: dict[str, Scheme | None] = {
    "fp32": None,
    "int8": Scheme.int(8, axis=0),
    "int4": Scheme.int(4, axis=0),
    "int4, half zeros": Scheme.int(4, axis=0, sparse=True),
}


def source(name: str) -> tuple[Path, np.ndarray]:
    """The ONNX file and an input; skips where the package that holds the network is not installed."""
    try:
        path = NETWORKS[name]()
    except networks.MissingError as error:
        pytest.skip(str(error))
    import onnx

    dims = onnx.load(path, load_external_data=False).graph.input[0].type.tensor_type.shape.dim
    shape = [dim.dim_value or 1 for dim in dims]
    return path, np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def recipe(label: str) -> Recipe:
    scheme = SCHEMES[label]
    if scheme is None:
        return Recipe()
    return Recipe((Rule("*", scheme, min_elements=1024, sparsity=0.5 if "zeros" in label else None),))


@pytest.mark.parametrize("label", SCHEMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_network(benchmark: Any, name: str, label: str, tmp_path: Path) -> None:
    path, x = source(name)
    bp.compress(path, recipe(label)).save(tmp_path / "network.bp")
    session = bp.Session(tmp_path / "network.bp")
    feed = {session.inputs[0].name: x}
    benchmark.group = name
    benchmark.name = label
    benchmark(session.run, feed)


@pytest.mark.parametrize(("label", "activations"), [("int8", "int16"), ("int8", "int8"), ("int4", "int8")])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_by_integers(benchmark: Any, name: str, label: str, activations: Any, tmp_path: Path) -> None:
    path, x = source(name)
    bp.compress(path, recipe(label)).save(tmp_path / "network.bp")
    session = bp.Session(tmp_path / "network.bp", activations=activations)
    feed = {session.inputs[0].name: x}
    benchmark.group = name
    benchmark.name = f"{label}, {activations} activations"
    benchmark(session.run, feed)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_peer(benchmark: Any, name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    path, x = source(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    benchmark.group = name
    benchmark.extra_info["peer"] = f"onnxruntime {onnxruntime.__version__} fp32"
    benchmark(session.run, None, {session.get_inputs()[0].name: x})


@pytest.mark.parametrize("name", NETWORKS)
def test_network_quantized_peer(benchmark: Any, name: str, tmp_path: Path) -> None:
    """Static QDQ, which needs calibration: of numbers as those that the networks run on here."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    path, x = source(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    feed = {onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).get_inputs()[0].name: x}

    class Once(CalibrationDataReader):
        left: ClassVar = [feed]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    quantize_static(path, tmp_path / "qdq.onnx", Once(), per_channel=True, weight_type=QuantType.QInt8)
    session = onnxruntime.InferenceSession(tmp_path / "qdq.onnx", options, providers=["CPUExecutionProvider"])
    benchmark.group = name
    benchmark.extra_info["peer"] = f"onnxruntime {onnxruntime.__version__} static QDQ"
    benchmark(session.run, None, feed)


@pytest.mark.parametrize("weights", ["fp32", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_litert_peer(benchmark: Any, name: str, weights: litert.Weights, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="pip install torch")
    _, x = source(name)
    run, peer = litert.session(
        litert.converted(MODULES[name](), [torch.from_numpy(x)], tmp_path / "network.tflite", weights)
    )
    benchmark.group = name
    benchmark.extra_info["peer"] = f"{peer} {weights}"
    benchmark(run, [x])


SIZE = 4096  # of a square matrix


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((SIZE, SIZE), np.float32)


@pytest.mark.parametrize(("bits", "activations"), [(2, "int8"), (4, "int8"), (8, "int8"), (8, "int16")])
@pytest.mark.parametrize("rows", [1, 16, 128])
def test_matrix(benchmark: Any, matrix: np.ndarray, rows: int, bits: int, activations: Any) -> None:
    scheme = Scheme.int(bits, axis=0) if bits == 8 else Scheme.int(bits, group_size=128)
    node = Node("Gemm", "product", ("x", "w"), ("y",), {"transB": 1})
    graph = Graph((Value("x", "F32", (rows, SIZE)),), (Value("y", "F32", (rows, SIZE)),), (node,))
    session = bp.Session(Model({"w": bp.pack(matrix, scheme)}, graph), activations=activations)
    x = np.random.default_rng(2).standard_normal((rows, SIZE), np.float32)
    benchmark.group = f"{rows} x {SIZE} by {SIZE} x {SIZE}"
    benchmark.name = f"int{bits}, {activations} activations"
    benchmark(session.run, {"x": x})


def peer_session(node: Any, stored: dict[str, np.ndarray], rows: int) -> Any:
    """onnxruntime on one thread, for one node from ``x`` and stored tensors to ``y``."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    tensors = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in stored.items()]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, SIZE]) for name in "xy"]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "product", values[:1], values[1:], tensors)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    data = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("rows", [1, 16, 128])
def test_matrix_peer(benchmark: Any, matrix: np.ndarray, rows: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    from onnx import helper

    scales = np.abs(matrix).max(1) / 127
    stored = {"w": np.rint(matrix / scales[:, None]).astype(np.int8).T, "s": scales.astype(np.float32)}
    node = helper.make_node("DynamicQuantizeMatMul", ["x", "w", "s"], ["y"], domain="com.microsoft")
    session = peer_session(node, stored, rows)
    x = np.random.default_rng(2).standard_normal((rows, SIZE), np.float32)
    benchmark.group = f"{rows} x {SIZE} by {SIZE} x {SIZE}"
    benchmark.extra_info["peer"] = f"onnxruntime {onnxruntime.__version__} int8"
    benchmark(session.run, None, {"x": x})


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("rows", [1, 16, 128])
def test_matrix_packed_peer(benchmark: Any, rows: int, bits: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    from onnx import helper

    group, random = 128, np.random.default_rng(3)
    groups = SIZE // group
    codes = random.integers(0, 256, (SIZE, groups, group * bits // 8), np.uint8)
    stored = {"w": codes, "s": random.random(SIZE * groups, np.float32)}
    attributes = {"K": SIZE, "N": SIZE, "bits": bits, "block_size": group, "accuracy_level": 4}
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", **attributes)
    session = peer_session(node, stored, rows)
    x = np.random.default_rng(2).standard_normal((rows, SIZE), np.float32)
    benchmark.group = f"{rows} x {SIZE} by {SIZE} x {SIZE}"
    benchmark.extra_info["peer"] = f"onnxruntime {onnxruntime.__version__} MatMulNBits {bits}"
    benchmark(session.run, None, {"x": x})


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("zeros", [None, 0.65, 0.8, 0.9])
def test_sparse_matrix(benchmark: Any, zeros: float | None, transposed: bool) -> None:
    """128 rows by int8 weights under a bitmap, beside the same dense by 16-bit activations (zeros: None)."""
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((1024, 1024), np.float32)
    if zeros is not None:
        weights[rng.random(weights.shape) < zeros] = 0
    scheme = Scheme.int(8, axis=0 if transposed else 1, sparse=zeros is not None)
    node = Node("MatMul", "product", ("x", "w"), ("y",), {"transB": 1} if transposed else {})
    graph = Graph((Value("x", "F32", (128, 1024)),), (Value("y", "F32", (128, 1024)),), (node,))
    session = bp.Session(Model({"w": bp.pack(weights, scheme)}, graph), activations="int16")
    x = rng.standard_normal((128, 1024), np.float32)
    benchmark.group = f"128 x 1024 by 1024 x 1024{', transposed' if transposed else ''}"
    benchmark.name = "dense int8, int16 activations" if zeros is None else f"int8, {zeros:.0%} zeros"
    benchmark(session.run, {"x": x})
