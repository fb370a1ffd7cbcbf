"""Where calibration inputs come from: images, a text, a loader, nowhere; and runs that go on where they were killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_calibrate import RECIPE, inputs, network
from test_sensitivity import encoder, words

import bitpress as bp
from bitpress.calibrate import images, read_data, texts
from bitpress.graph import Graph, Value


def streams(made: bp.Model) -> dict[str, Any]:
    return {name: {role: bytes(s) for role, s in tensor.streams.items()} for name, tensor in made.tensors.items()}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, size in (("a.png", (40, 30, 3)), ("b.bmp", (20, 50, 3)), ("gray.png", (33, 33))):
        Image.fromarray(random.integers(0, 256, size, np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_images_are_scaled_as_told_and_the_same_each_time(photos: Path) -> None:
    x = images(photos, (9, 8), mean=127, std=[1, 2, 4], count=7)
    assert x.shape == (7, 3, 9, 8) and x.dtype == np.float32
    pixels = x * np.array([1, 2, 4], np.float32)[:, None, None] + 127
    assert pixels.min() >= -1e-4 and pixels.max() <= 255.001
    np.testing.assert_array_equal(pixels[2][0], pixels[2][1])  # of the gray one
    np.testing.assert_array_equal(x, images(photos, (9, 8), mean=127, std=[1, 2, 4], count=7))


def test_images_that_are_refused(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(bp.CalibrationError, match=r"broken\.png: not an image"):
        images(photos, (9, 8), mean=0, std=1)
    with pytest.raises(bp.CalibrationError, match="no images"):
        images(tmp_path, (9, 8), mean=0, std=1)
    with pytest.raises(bp.CalibrationError, match="std not 0"):
        images(photos, (9, 8), mean=0, std=[1, 0, 1])


def tokenizer(path: Path) -> Path:
    pytest.importorskip("tokenizers", reason="needs tokenizers: pip install tokenizers")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    vocabulary = {word: i for i, word in enumerate(["[CLS]", "[SEP]", "[UNK]", "one", "two", "three"])}
    made = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)])
    made.save(str(path))
    return path


def sentences(tokens: int) -> Graph:
    names = ("input_ids", "attention_mask", "token_type_ids")
    return Graph(tuple(Value(name, "I64", (-1, tokens)) for name in names), (), ())


def test_a_text_becomes_full_rows(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("one two\n\nthree one two three\nother one\n", "utf-8")
    made = texts(text, tokenizer(tmp_path / "t.json"), sentences(5))
    np.testing.assert_array_equal(made["input_ids"], [[0, 3, 4, 5, 1], [0, 3, 4, 5, 1]])
    assert made["attention_mask"].all() and not made["token_type_ids"].any()
    with pytest.raises(bp.CalibrationError, match="8 tokens, and a row takes 18"):
        texts(text, tmp_path / "t.json", sentences(20))
    with pytest.raises(bp.CalibrationError, match="is open"):
        texts(text, tmp_path / "t.json", sentences(-1))
    with pytest.raises(bp.CalibrationError, match=r"not a tokenizer\.json"):
        texts(text, text, sentences(5))


def test_a_loader_gives_what_arrays_do() -> None:
    x = inputs()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(x), torch.arange(10)), 4)
    want = streams(bp.compress(network(), RECIPE, calibration={"x": x}))
    assert streams(bp.compress(network(), RECIPE, calibration=loader)) == want
    assert streams(bp.compress(network(), RECIPE, calibration=x)) == want


def test_without_data_a_warning_says_what_is_lost() -> None:
    with pytest.warns(UserWarning, match="inputs that the network never sees"):
        made = bp.compress(network(), RECIPE, calibration="none")
    assert next(iter(bp.Session(made).run({"x": inputs(2)}).values())).shape == (2, 5)
    with pytest.warns(UserWarning, match="never sees"), pytest.raises(bp.CalibrationError, match="is open"):
        read_data("none", Graph((Value("x", "F32", (-1, -1)),), (), ()))


class Killed(Exception):
    """In place of a signal."""


@pytest.mark.parametrize("pressed_inputs", [False, True])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, pressed_inputs: bool) -> None:
    recipe = bp.Recipe.feedback(4, min_elements=1, inputs="pressed" if pressed_inputs else "exact")
    given: dict[str, Any] = {"calibration": {"x": inputs()}, "seed": 3}
    want = streams(bp.compress(network(), recipe, **given))

    def kill(layer: str, done: int, layers: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        bp.compress(network(), recipe, progress=kill, resume=tmp_path, **given)
    assert len(list(tmp_path.iterdir())) == 2
    seen: list[str] = []
    made = bp.compress(network(), recipe, progress=lambda layer, *_: seen.append(layer), resume=tmp_path, **given)
    assert seen == ["c"] and streams(made) == want
    # Another seed is another run; a damaged file is made again.
    seen.clear()
    bp.compress(
        network(), recipe, progress=lambda layer, *_: seen.append(layer), resume=tmp_path, **given | {"seed": 4}
    )
    assert seen == ["a", "b", "c"]
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    assert streams(bp.compress(network(), recipe, resume=tmp_path, **given)) == want


def test_embeddings_and_sensitivity_resume_too(tmp_path: Path) -> None:
    x = {"x": words(40)}
    recipe = bp.Recipe.rate(0.01, biases=None, min_elements=1)
    known = bp.torch.sensitivity(encoder(), x, gradients=4, recipe=recipe)
    want = streams(bp.compress(encoder(), recipe, calibration=x, sensitivity=known, resume=tmp_path))
    count = len(list(tmp_path.iterdir()))
    assert streams(bp.compress(encoder(), recipe, calibration=x, sensitivity=known, resume=tmp_path)) == want
    assert len(list(tmp_path.iterdir())) == count == len(known)
    bp.compress(encoder(), recipe, calibration=x, resume=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * count
