"""Networks pressed after training, without labels: bytes and quality of ours beside the files of four peers.

``python bench/results/after_training.py [efficientnet-lite0 minilm-l6-v2 crepe-tiny crepe-full] [--seeds 0 1 2]`` makes
every row that ``--folder`` does not hold yet, prints the table of bench/results/README.md and draws size against
quality. Each row is of a file that was written, opened and run: ours by the runtime, NNCodec's (step sizes optimised,
batch norms unfolded) decoded into torch, those of onnxruntime (8 bits, 4 bits), OpenVINO (its file of onnxruntime's
calibrated 8 bits) and torchao (8 and 4 bits, matrices and embeddings) by themselves, their bytes those of zstd at
level 19. A seed draws the calibration inputs and the gradients. Seconds are of the CPU, on one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are there
sys.path.insert(0, str(Path(__file__).parents[1]))

import nnc
import numpy as np
from conftest import cpu_model
from subjects import SUBJECTS, Run, Subject, onnxruntime_run

import bitpress as bp


@dataclass(frozen=True)
class Row:
    """A file: whose, at which setting, and what it gave."""

    network: str
    who: str
    setting: str
    nbytes: int
    packed: int  # without entropy coding; 0 where that is of no use
    quality: float
    parts: tuple[float, ...]  # whose mean the quality is
    error: float
    details: str
    seconds: float
    seed: int = 0


def bitpress_run(path: Path) -> Run:
    session = bp.Session(path)
    (target,) = session.outputs
    return lambda inputs: session.run(inputs)[target.name]


@contextlib.contextmanager
def measured_once() -> Iterator[None]:
    """Layers' moments, which are the same at every rate, are measured once."""
    import bitpress.calibrate.press as press

    known: dict[str, Any] = {}
    measure = press.measure

    def remembered(graph: Any, tensor: Any, layers: Any, data: Any, **given: Any) -> dict[str, Any]:
        missing = [layer for layer in layers if layer.node.outputs[0] not in known]
        if missing:
            known.update(measure(graph, tensor, missing, data, **given))
        return {layer.node.outputs[0]: known[layer.node.outputs[0]] for layer in layers}

    press.measure = remembered  # type: ignore[assignment]
    try:
        yield
    finally:
        press.measure = measure


def ours(subject: Subject, seed: int, folder: Path, gradients: int) -> Iterator[Row]:
    """By rates, one for the whole network, with what the outputs feel of each layer; and packed."""
    calibration = subject.calibration(seed)
    known = None
    for rate in subject.rates:
        path = folder / f"{subject.name}-{rate:g}-{seed}.bp"
        if (row := _kept(path)) is None:
            began = time.process_time()
            if known is None:
                known = bp.torch.sensitivity(subject.source, calibration, gradients=gradients, seed=seed)
            sensed = time.process_time() - began
            began = time.process_time()
            bp.compress(
                subject.source, subject.recipe(rate), calibration=calibration, sensitivity=known, seed=seed
            ).save(path)
            seconds = time.process_time() - began
            row = _row(subject, "bitpress", f"rate {rate:g}", path, bitpress_run(path), seconds, seed=seed)
            row = _keep(path, row, sensed)
        yield row
    for bits in subject.packed_bits:
        path = folder / f"{subject.name}-packed-{bits}-{seed}.bp"
        if (row := _kept(path)) is None:
            began = time.process_time()
            bp.compress(
                subject.source, bp.Recipe.feedback(bits, coding="rans"), calibration=calibration, seed=seed
            ).save(path)
            seconds = time.process_time() - began
            packed = sum(tensor.nbytes for tensor in bp.load(path).tensors.values())
            row = _row(subject, "bitpress", f"{bits} bits", path, bitpress_run(path), seconds, packed, seed)
            row = _keep(path, row)
        yield row


def nncodec(subject: Subject, folder: Path) -> Iterator[Row]:
    """Its real bitstreams of the torch module's state."""
    if not nnc.installed():
        print(f"{subject.name}: no rows of NNCodec: pip install --no-deps nncodec", file=sys.stderr)
        return
    import torch

    for qp in subject.qps:
        path = folder / f"{subject.name}{qp}.nnc"
        if (row := _kept(path)) is None:
            module = subject.module()
            state = {k: v.numpy() for k, v in module.state_dict().items() if v.is_floating_point()}
            began = time.process_time()
            decoded = nnc.pressed(state, path, qp)
            seconds = time.process_time() - began
            module.load_state_dict({k: torch.from_numpy(v) for k, v in decoded.items()}, strict=False)
            row = _keep(path, _row(subject, "NNCodec", f"qp {qp}", path, subject.module_run(module), seconds))
        yield row


def onnxruntime(subject: Subject, folder: Path) -> Iterator[Row]:
    """Its int8: dynamic, and calibrated (QDQ) where inputs are floats, else 4 bits in blocks of 128; under zstd."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

    logging.getLogger().setLevel(logging.ERROR)  # they recommend a pre-processing that changes nothing here

    (name, example), *more = subject.calibration(0).items()

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = iter(example[:64])

        def get_next(self) -> dict[str, Any] | None:
            row = next(self.rows, None)
            return None if row is None else {name: row[None]}

    for kind in ("int8 dynamic", "4 bits") if more or example.dtype.kind != "f" else ("int8 dynamic", "int8 QDQ"):
        path = folder / f"{subject.name}-{kind}.onnx"
        zipped = path.with_suffix(".onnx.zst")
        if (row := _kept(zipped)) is None:
            began = time.process_time()
            if kind == "int8 dynamic":
                quantize_dynamic(subject.path, path, weight_type=QuantType.QUInt8, per_channel=True)
            elif kind == "4 bits":
                _in_4_bits(subject.path, path)
            else:
                quantize_static(subject.path, path, Reader(), per_channel=True, weight_type=QuantType.QInt8)
            _zip(path, zipped)
            seconds = time.process_time() - began
            row = _keep(zipped, _row(subject, "onnxruntime", kind, zipped, onnxruntime_run(path), seconds))
        yield row


def _in_4_bits(source: Path, path: Path) -> None:
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=128, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(str(path))


def openvino(subject: Subject, folder: Path) -> Iterator[Row]:
    """Its own file of what onnxruntime has calibrated; under zstd."""
    source = folder / f"{subject.name}-int8 QDQ.onnx"
    if importlib.util.find_spec("openvino") is None or not source.exists():
        print(f"{subject.name}: no row of OpenVINO: it takes the package and onnxruntime's QDQ", file=sys.stderr)
        return
    import openvino

    zipped = folder / f"{subject.name}-openvino.zst"
    if (row := _kept(zipped)) is None:
        began = time.process_time()
        path = zipped.with_suffix(".xml")
        openvino.save_model(openvino.convert_model(source), path)
        whole = zipped.with_suffix(".both")
        whole.write_bytes(path.read_bytes() + path.with_suffix(".bin").read_bytes())
        _zip(whole, zipped)
        compiled = openvino.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": 1})
        seconds = time.process_time() - began
        row = _row(subject, "OpenVINO", "int8 QDQ", zipped, lambda x: np.asarray(compiled(dict(x))[0]), seconds)
        row = _keep(zipped, row)
    yield row


def torchao(subject: Subject, folder: Path) -> Iterator[Row]:
    """Its codes of the weights of matrices and embeddings, which are all that it takes; under zstd."""
    import torch

    if importlib.util.find_spec("torchao") is None or not any(
        isinstance(each, torch.nn.Embedding) for each in subject.module().modules()
    ):
        print(f"{subject.name}: no rows of torchao: it takes the package and a network of matrices", file=sys.stderr)
        return
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis, PerGroup

    grids: dict[str, tuple[Any, Any]] = {"int8": (torch.int8, PerAxis(0)), "int4": (torch.int4, PerGroup(64))}
    for name, (dtype, granularity) in grids.items():
        zipped = folder / f"{subject.name}-torchao-{name}.zst"
        if (row := _kept(zipped)) is None:
            module = subject.module()
            began = time.process_time()
            config = IntxWeightOnlyConfig(weight_dtype=dtype, granularity=granularity)
            quantize_(module, config, lambda each, _: isinstance(each, torch.nn.Linear | torch.nn.Embedding))
            torch.save(module.state_dict(), zipped.with_suffix(".pt"))
            _zip(zipped.with_suffix(".pt"), zipped)
            seconds = time.process_time() - began
            row = _keep(zipped, _row(subject, "torchao", name, zipped, subject.module_run(module), seconds))
        yield row


def _zip(path: Path, target: Path) -> None:
    import zstandard

    target.write_bytes(zstandard.ZstdCompressor(level=19).compress(path.read_bytes()))


def _row(
    subject: Subject, who: str, setting: str, path: Path, run: Run, seconds: float, packed: int = 0, seed: int = 0
) -> Row:
    score, size = subject.judge(run), path.stat().st_size
    parts, details = score.parts or (score.quality,), score.details
    return Row(subject.name, who, setting, size, packed, score.quality, parts, score.error, details, seconds, seed)


def _kept(path: Path) -> Row | None:
    held = path.with_suffix(path.suffix + ".json")
    return Row(**json.loads(held.read_text())) if held.exists() and path.exists() else None


def _keep(path: Path, row: Row, sensed: float = 0.0) -> Row:
    """Write a row beside its file; ``sensed``: seconds that all rates share."""
    row = Row(**(asdict(row) | {"seconds": row.seconds + sensed}))
    path.with_suffix(path.suffix + ".json").write_text(json.dumps(asdict(row)))
    print(
        f"{row.network}: {row.who} {row.setting}: {row.nbytes:,} bytes, {row.quality:.4f}", file=sys.stderr, flush=True
    )
    return row


def at_equal_error(rows: list[Row], error: float) -> float | None:
    """Bytes of ours at this error, in a straight line between means over seeds on logarithmic scales; None outside."""
    files = [found for found in by_setting(rows) if found[0].who == "bitpress" and not found[0].packed]
    points = sorted((mean(row.error for row in found), mean(row.nbytes for row in found)) for found in files)
    if not points or not points[0][0] <= error <= points[-1][0]:
        return None
    errors, sizes = np.log([[max(e, 1e-9), n] for e, n in points]).T
    return float(np.exp(np.interp(np.log(error), errors, sizes)))


def by_setting(rows: list[Row]) -> list[list[Row]]:
    """The seeds of each file together."""
    files: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        files.setdefault((row.who, row.setting), []).append(row)
    return list(files.values())


def table(subject: Subject, rows: list[Row]) -> Iterator[str]:
    """A line for each setting: means over seeds, and from the least to the greatest over seeds and draws."""

    def shown(quality: float) -> str:
        return f"{quality:.1%}" if "cosine" not in subject.quality else f"{quality:.4f}"

    def spread(values: list[float], form: Callable[[float], str]) -> str:
        ends = dict.fromkeys(map(form, (min(values), max(values))))
        return form(mean(values)) + (f" ({' .. '.join(ends)})" if len(ends) > 1 else "")

    yield f"\n### {subject.name}, {subject.path.stat().st_size:,} bytes in fp32\n"
    yield f"| | | seeds | bytes | packed | {subject.quality} | {subject.error} | | CPU s |\n|{'---|' * 9}"
    for found in by_setting(rows):
        first, packed = found[0], mean(row.packed for row in found)
        cells = (
            first.who,
            first.setting,
            str(len(found)),
            spread([row.nbytes for row in found], lambda size: f"{size:,.0f}"),
            f"{packed:,.0f}" if packed else "",
            spread([part for row in found for part in row.parts], shown),
            spread([row.error for row in found], lambda error: f"{error:.4f}"),
            first.details,
            f"{mean(row.seconds for row in found):.0f}",
        )
        yield f"| {' | '.join(cells)} |"
    for theirs in (row for row in rows if row.who == "NNCodec"):
        size = at_equal_error(rows, theirs.error)
        if size is not None:
            less = 1 - size / theirs.nbytes
            where = f"At NNCodec's {subject.error} of {theirs.error:.4f} ({theirs.setting})"
            yield f"\n{where}: {size:,.0f} bytes, {less:.1%} fewer."


def draw(subject: Subject, rows: list[Row], path: Path) -> None:
    """Size against quality, a line for each of those who pressed."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plot

    figure, axes = plot.subplots(figsize=(7, 4.5))
    kinds = {
        "bitpress, rate-aware": [row for row in rows if row.who == "bitpress" and not row.packed],
        "bitpress, packed": [row for row in rows if row.packed],
        "NNCodec": [row for row in rows if row.who == "NNCodec"],
        **{f"{who} + zstd": [row for row in rows if row.who == who] for who in ("onnxruntime", "OpenVINO", "torchao")},
    }
    for name, found in kinds.items():
        points = sorted((row.packed or row.nbytes, row.quality) for row in found)
        if points:
            sizes, qualities = zip(*points, strict=True)
            axes.plot(np.array(sizes) / 1e6, qualities, "o" if len(points) < 3 else "o-", label=name)
    axes.set(xlabel="MB", ylabel=subject.quality, title=subject.name, xscale="log")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    plot.close(figure)


def main() -> None:
    """Make what is missing, print the tables, draw."""
    peers = {each.__name__: each for each in (nncodec, onnxruntime, openvino, torchao)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=", ".join(SUBJECTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--gradients", type=int, default=32)
    parser.add_argument("--only", nargs="+", choices=("ours", *peers))
    parser.add_argument("--folder", type=Path, default=Path("build/results"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    import torch

    torch.set_num_threads(1)
    print(f"{cpu_model()}, one thread")
    only = options.only or ("ours", *peers)
    for name in options.networks or SUBJECTS:
        subject, rows = SUBJECTS[name], []
        if "ours" in only:
            for seed in options.seeds:
                with measured_once():
                    rows += ours(subject, seed, options.folder, options.gradients)
        for peer in (peers[who] for who in only if who != "ours"):
            rows += peer(subject, options.folder)
        print("\n".join(table(subject, rows)), flush=True)
        draw(subject, rows, options.folder / f"{name}.svg")


if __name__ == "__main__":
    main()
