"""Pressing with calibration beside plain rounding, on EfficientNet-Lite0: bytes, agreement with fp32, KL and time.

``python bench/calibrated.py`` prints one table. Layers are calibrated on crops of ten of foolbox's images, answers are
judged on crops of the other ten. "rate, M MB" has a rate for each layer, found by bp.allocate for a file of M MB on the
same crops and as many blends of two of them; that counts in its time. Sizes are of files that were written, opened and
run; "packed" is what their streams take without entropy coding; KL is that of the answers' probabilities from fp32's,
in nats, mean over crops; time is of the CPU, on one thread, from the ONNX file to the saved one.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from quality import Run, batches, bitpress_run, onnxruntime_run

import bitpress as bp
from bitpress.demo.inputs import image_crops
from bitpress.demo.networks import MissingError, efficientnet_lite0

Array = npt.NDArray[np.float32]
SEEN, UNSEEN = slice(0, None, 2), slice(1, None, 2)  # images of calibration and of judgement


def recipes() -> dict[str, bp.Recipe]:
    """By name; those of Recipe.feedback are calibrated."""
    found = {}
    for bits in (6, 5, 4):
        found[f"round {bits}"] = bp.Recipe.int(bits, coding="rans")
        plain = bp.Recipe.feedback(bits, coding="rans").rules[0]
        corrected = bp.Rule(
            "*", plain.scheme, plain.op, plain.min_elements, plain.min_rank, plain.channel, correct=True
        )
        found[f"round {bits}, biases corrected"] = bp.Recipe((corrected,))
        found[f"feedback {bits}"] = bp.Recipe.feedback(bits, coding="rans")
    found["rate"] = bp.Recipe.rate()
    found["feedback 4, mse"] = bp.Recipe.feedback(4, range="mse", coding="rans")
    found["feedback 4, pressed inputs"] = bp.Recipe.feedback(4, inputs="pressed", coding="rans")
    found["feedback 4, uncorrected"] = bp.Recipe.feedback(4, correct=False, coding="rans")
    return found


def blends(crops: Array, count: int, seed: int = 2) -> Array:
    """Weighted means of two different crops each: inputs that go together otherwise than any crop's."""
    random = np.random.default_rng(seed)
    pairs = np.stack([random.choice(len(crops), 2, replace=False) for _ in range(count)])
    share = random.uniform(0.3, 0.7, (count, 1, 1, 1)).astype(np.float32)
    return np.asarray(share * crops[pairs[:, 0]] + (1 - share) * crops[pairs[:, 1]])


def log_probabilities(logits: Array) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


class Judge:
    """What is asked of a network on crops that calibration did not see."""

    def __init__(self, exact: Run, x: Array) -> None:
        self.x = x
        self.exact = log_probabilities(batches(exact, x))

    def agreement(self, run: Run) -> tuple[float, float]:
        """The share of equal top-1 answers, and KL."""
        found = log_probabilities(batches(run, self.x))
        same = (found.argmax(1) == self.exact.argmax(1)).mean()
        return float(same), float((np.exp(self.exact) * (self.exact - found)).sum(1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="names that begin so; all by default")
    parser.add_argument("--crops", type=int, default=320, help="to judge by (default 320)")
    parser.add_argument("--sizes", type=float, nargs="*", default=[2.1, 1.7], help="of files with allotted rates, MB")
    parser.add_argument("--calibration", type=int, default=160, help="crops to calibrate on (default 160)")
    options = parser.parse_args()
    try:
        path = efficientnet_lite0()
        judge = Judge(onnxruntime_run(path), image_crops(options.crops, images=UNSEEN))
        source = bp.compress(path).graph.inputs[0].name
        seen = {source: image_crops(options.calibration, seed=1, images=SEEN)}
        mixed = np.concatenate([seen[source], blends(seen[source], options.calibration)])
        more = {source: mixed[np.random.default_rng(3).permutation(len(mixed))]}
    except MissingError as error:
        raise SystemExit(str(error)) from None
    print(f"{'':30} {'bytes':>9} {'packed':>9} {'agreement':>9} {'KL':>6} {'CPU s':>7}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pressed.bp"
        rows: dict[str, bp.Recipe | float] = {**recipes(), **{f"rate, {size} MB": size for size in options.sizes}}
        for name, recipe in rows.items():
            if options.rows and not any(name.startswith(row) for row in options.rows):
                continue
            began = time.process_time()
            if isinstance(recipe, bp.Recipe):
                calibrated = any(rule.is_calibrated for rule in recipe.rules)
                bp.compress(path, recipe, calibration=seen if calibrated else None).save(file)
            else:
                allotted = bp.allocate(path, int(recipe * 1e6), calibration=more, recipe=bp.Recipe.rate())
                bp.compress(path, allotted, calibration=more).save(file)
            seconds = time.process_time() - began
            packed = sum(tensor.nbytes for tensor in bp.load(file).tensors.values())
            same, kl = judge.agreement(bitpress_run(file))
            print(f"{name:30} {file.stat().st_size:9,} {packed:9,} {same:9.1%} {kl:6.3f} {seconds:7.1f}", flush=True)
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
