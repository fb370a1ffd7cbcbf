"""Every source of randomness a training loop draws from: set, read and put back as a whole.

numpy's legacy global generator is one: augmentations of other people's data sets draw from it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from .batches import Loader

__all__ = ["generators_of", "isolated", "read_state", "seed_all", "write_state"]

State = dict[str, Any]


def seed_all(seed: int) -> None:
    """Seed torch (all devices), numpy and random. Data loader workers take theirs from torch's."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


def generators_of(loaders: Iterable[Loader | None]) -> list[torch.Generator]:
    """The generators of one's own that loaders and their samplers draw from, each once, in a fixed order."""
    found: list[torch.Generator] = []
    for loader in loaders:
        batch_sampler = getattr(loader, "batch_sampler", None)
        for owner in (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator) and not any(generator is known for known in found):
                found.append(generator)
    return found


def read_state(generators: Iterable[torch.Generator] = ()) -> State:
    """All states, in types that ``torch.load(weights_only=True)`` takes."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    version, words, spare = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": list(torch.cuda.get_rng_state_all()) if torch.cuda.is_available() else [],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
        "random": [version, list(words), spare],
        "generators": [generator.get_state() for generator in generators],
    }


def write_state(state: State, generators: Iterable[torch.Generator] = ()) -> None:
    """Put back what ``read_state`` gave."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    version, words, spare = state["random"]
    random.setstate((version, tuple(words), spare))
    for generator, saved in zip(generators, state["generators"], strict=True):
        generator.set_state(saved)


@contextmanager
def isolated(generators: Sequence[torch.Generator] = ()) -> Iterator[None]:
    """The global generators, and those given, are afterwards as they were before."""
    before = read_state(generators)
    try:
        yield
    finally:
        write_state(before, generators)
