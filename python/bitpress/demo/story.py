"""``bitpress demo``: which story is told, and where its files go."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .table import Story

__all__ = ["DATA", "MODELS", "tell"]

DATA = ("digits", "fashion-mnist")
MODELS = ("efficientnet-lite0",)


def tell(
    *,
    data: str = "digits",
    model: str | None = None,
    output: Path | None = None,
    fashion_mnist: Path | None = None,
    crops: int = 100,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
    progress: bool | None = None,
) -> Story:
    """The story of a set (taught, distilled, pressed, run) or of a pretrained network (pressed, run).

    ``output``: a folder that keeps the files, made where there is none; otherwise they are gone at the end.
    ``fashion_mnist``: the folder of its idx files. ``crops``: images that a pretrained network is judged on. ``say`` is
    told each step as it begins. ValueError for names that are not in DATA and MODELS; ModuleNotFoundError or
    FileNotFoundError name the package to install.
    """
    if data not in DATA or (model is not None and model not in MODELS):
        raise ValueError(f"no demo {model or data}: there are {', '.join(DATA)} and the model {', '.join(MODELS)}")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bitpress-demo-") as scratch:
        folder = output or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if model is not None:
            from . import pretrained

            story = pretrained.run(model, folder, crops=crops, seed=seed, say=say)
        else:
            from . import data as sets

            found = sets.digits(seed) if data == "digits" else sets.fashion_mnist(seed, fashion_mnist)
            from . import classifier  # imports torch: after what may be missing

            story = classifier.run(found, folder, seed=seed, say=say, progress=progress)
    story.facts["seconds"] = time.perf_counter() - began
    story.facts["folder"] = str(output) if output else None
    return story
