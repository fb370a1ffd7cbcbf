"""A run that is stopped and goes on ends bit for bit as one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

import bitpress as bp


class Noisy(Dataset[Any]):
    """Rows with noise from torch's and numpy's global generators: what a resumed run must draw again."""

    def __init__(self, labelled: bool) -> None:
        self.x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
        self.y = (self.x[:, 0] > 0).long()
        self.labelled = labelled

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        x = self.x[index] + 0.1 * torch.randn(6) + float(0.1 * np.random.randn())  # noqa: NPY002
        return (x, self.y[index]) if self.labelled else x


def net(width: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.4), nn.Linear(width, 2))


class Killed(Exception):
    pass


def run(
    path: Path | None, stop: int | None = None, workers: int = 0, own_generator: bool = False, init: int = 2
) -> Any:
    """The whole protocol; raises Killed at step ``stop`` of it, counted over all three trainings (3 x 3 x 5 steps)."""
    seen = 0

    def count(_: bp.torch.Progress) -> None:
        nonlocal seen
        seen += 1
        if seen == stop:
            raise Killed

    def momentum(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)

    train, transfer = Noisy(True), Noisy(False)
    generator = torch.Generator().manual_seed(8)
    sampler = RandomSampler(transfer, generator=generator) if own_generator else None
    shared: dict[str, Any] = {"batch_size": 8, "num_workers": workers}
    shuffled = {"generator": generator} if own_generator else {}
    teacher, student = net(16, 1), net(4, init)
    report = bp.torch.distill(
        teacher,
        student,
        train=DataLoader(train, shuffle=True, **shared, **shuffled),
        transfer=DataLoader(transfer, shuffle=sampler is None, sampler=sampler, **shared),
        test=[(train.x, train.y)],
        epochs=3,
        optimizer=momentum,
        checkpoint=path,
        checkpoint_every=2 if path else None,
        progress=count,
    )
    results = [(r.name, r.metric, r.loss, r.steps, r.epochs) for r in report.results]
    return [*teacher.state_dict().values(), *student.state_dict().values()], results


def equal(one: Any, other: Any) -> bool:
    return one[1] == other[1] and all(torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True))


@pytest.fixture(scope="module")
def whole() -> Any:
    return run(None)


@pytest.mark.parametrize("stop", [1, 2, 4, 5, 6, 15, 16, 18, 23, 31, 34, 44, 45])
def test_resuming_is_bit_for_bit(stop: int, tmp_path: Path, whole: Any) -> None:
    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        run(path, stop)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    # A student of other initial weights: once there is a checkpoint, what the first run began with counts.
    assert equal(run(path, init=2 if stop <= 2 else 77), whole)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.pt"]


def test_checkpoints_change_nothing_and_a_finished_run_is_only_read(tmp_path: Path, whole: Any) -> None:
    path = tmp_path / "run.pt"
    assert equal(run(path), whole)
    with pytest.raises(Killed):
        run(None, stop=1)
    assert equal(run(path, stop=1), whole)  # not one step is made


def test_resuming_again_and_again(tmp_path: Path, whole: Any) -> None:
    path = tmp_path / "run.pt"
    for _ in range(40):
        try:
            result = run(path, stop=4)
            break
        except Killed:
            continue
    else:
        pytest.fail("the run does not get on")
    assert equal(result, whole)


@pytest.mark.parametrize("stop", [7, 33])
def test_generators_of_ones_own_and_workers(stop: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {"own_generator": True, "workers": 1}
    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        run(path, stop, **options)
    assert equal(run(path, **options), run(None, **options))


def test_a_killed_process_goes_on(tmp_path: Path, whole: Any) -> None:
    """SIGKILL in the middle of step 20 of another process."""
    path = tmp_path / "run.pt"
    script = (
        "import os, signal, sys, pathlib; sys.path.insert(0, sys.argv[2]); import test_distill_resume as t\n"
        "try: t.run(pathlib.Path(sys.argv[1]), stop=20)\n"
        "except t.Killed: os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", script, str(path), str(Path(__file__).parent)]
    done = subprocess.run(
        command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    assert equal(run(path), whole)


def test_fit_resumes_too(tmp_path: Path) -> None:
    data = [(Noisy(True).x[i : i + 10], Noisy(True).y[i : i + 10]) for i in range(0, 40, 10)]

    def once(path: Path | None, stop: int | None = None) -> nn.Module:
        def halt(event: bp.torch.Progress) -> None:
            if event.done == stop:
                raise Killed

        model = net(8, 1)
        bp.torch.fit(model, data, epochs=4, checkpoint=path, checkpoint_every=3, progress=halt)
        return model

    with pytest.raises(Killed):
        once(tmp_path / "fit.pt", stop=10)
    for a, b in zip(once(tmp_path / "fit.pt").state_dict().values(), once(None).state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_of_other_settings_is_refused_by_name(tmp_path: Path) -> None:
    model, data = net(4, 1), [(torch.randn(8, 6), torch.zeros(8, dtype=torch.long))]
    bp.torch.fit(model, data, epochs=2, checkpoint=tmp_path / "fit.pt")
    with pytest.raises(ValueError, match=r"fit\.pt: made with epochs 2, not 3"):
        bp.torch.fit(model, data, epochs=3, checkpoint=tmp_path / "fit.pt")
    with pytest.raises(ValueError, match=r"made with network Sequential of \d+ .*, not Sequential of"):
        bp.torch.fit(net(8, 1), data, epochs=2, checkpoint=tmp_path / "fit.pt")


def test_files_that_are_no_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    model, data = net(4, 1), [(torch.randn(8, 6), torch.zeros(8, dtype=torch.long))]
    path = tmp_path / "fit.pt"
    bp.torch.fit(model, data, epochs=1, checkpoint=path)
    whole = path.read_bytes()
    torch.save({"some": "thing"}, tmp_path / "other.pt")
    for content in (b"", b"junk", whole[:100], whole[:-200], (tmp_path / "other.pt").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(bp.FormatError, match=r"fit\.pt: not a"):
            bp.torch.fit(model, data, epochs=1, checkpoint=path)


def test_a_failed_save_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = net(4, 1), [(torch.randn(8, 6), torch.zeros(8, dtype=torch.long))]
    path = tmp_path / "fit.pt"
    bp.torch.fit(model, data, epochs=1, checkpoint=path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        bp.torch.fit(net(4, 1), data, epochs=1, checkpoint=tmp_path / "fit2.pt")
    monkeypatch.undo()
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["fit.pt"]


def test_workers_that_keep_their_state_cannot_be_checkpointed(tmp_path: Path) -> None:
    loader = DataLoader(Noisy(True), batch_size=8, num_workers=1, persistent_workers=True)
    with pytest.raises(ValueError, match="persistent workers"):
        bp.torch.fit(net(4, 1), loader, epochs=1, checkpoint=tmp_path / "fit.pt")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
