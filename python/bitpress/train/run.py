"""A run of one or more named trainings under one checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .batches import Loader
from .checkpoint import load_checkpoint, save_checkpoint
from .loop import History, Trainer
from .progress import OnProgress
from .randomness import generators_of

__all__ = ["Run"]


class Run:
    """Trainings one after the other. Those that a checkpoint holds are not done again; the one it stopped in goes on.

    ``settings``: what must be the same for going on to make sense; a ValueError names what differs. ``keep``: tensors
    that a resumed run starts from instead of its own.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str] | None,
        every: int | None,
        settings: Mapping[str, Any],
        keep: Mapping[str, torch.Tensor],
        loaders: Iterable[Loader | None],
        report: OnProgress | None,
    ) -> None:
        if every is not None and every < 1:
            raise ValueError(f"checkpoint_every must be at least 1, not {every}")
        self.path, self.every, self.report = checkpoint, every, report
        self.settings, self.keep = dict(settings), dict(keep)
        self.generators = generators_of(loaders)
        self.done: dict[str, Any] = {}
        self.running: dict[str, Any] = {}
        if checkpoint is not None and Path(checkpoint).exists():
            self._resume(load_checkpoint(checkpoint))

    def _resume(self, state: dict[str, Any]) -> None:
        for key in self.settings | state["settings"]:
            then, now = state["settings"].get(key), self.settings.get(key)
            if then != now:
                raise ValueError(f"{self.path}: made with {key} {then}, not {now}: delete it to start anew")
        self.keep, self.done, self.running = state["keep"], state["done"], state["running"]
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved)

    def train(self, name: str, model: nn.Module, loader: Loader, **options: Any) -> History:
        """Train ``model`` as ``Trainer(name, model, loader, **options)`` does, or put back what was learned before."""
        if name in self.done:
            model.load_state_dict(self.done[name]["model"])
            model.eval()
            return History(**self.done[name]["history"])

        def save() -> None:
            self._save({name: trainer.state()})

        options |= {"generators": self.generators, "report": self.report}
        options |= {"save": save if self.path is not None else None, "save_every": self.every}
        trainer = Trainer(name, model, loader, **options)
        if name in self.running:
            trainer.restore(self.running[name])
        history = trainer.run()
        self.done[name] = {"model": model.state_dict(), "history": asdict(history)}
        self._save({})
        return history

    def _save(self, running: dict[str, Any]) -> None:
        if self.path is not None:
            states = [generator.get_state() for generator in self.generators]
            state = {"settings": self.settings, "keep": self.keep, "done": self.done}
            save_checkpoint({**state, "running": running, "generators": states}, self.path)
