"""torch.compile(backend="bitpress"): graphs that export run in a session, others in torch, with the same answers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("onnxscript", reason="needs onnxscript: pip install onnxscript")

from bitpress.train import backend
from bitpress.train.backend import compile_graph


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each run of a session."""
    counted: list[int] = []
    run = backend.Session.run

    def count(self: Any, inputs: Any) -> Any:
        counted.append(1)
        return run(self, inputs)

    monkeypatch.setattr(backend.Session, "run", count)
    return counted


def net() -> nn.Sequential:
    torch.manual_seed(5)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)]
    return nn.Sequential(*layers).eval()


def test_a_network_runs_in_a_session(runs: list[int]) -> None:
    module = net()
    compiled = torch.compile(module, backend=compile_graph)
    for _ in range(3):
        x = torch.randn(2, 3, 8, 8)
        with torch.inference_mode():
            assert torch.allclose(compiled(x), module(x), atol=1e-5)
    assert len(runs) == 3
    with torch.inference_mode():
        x = torch.randn(2, 3, 8, 8)  # a tensor of that mode
        for _ in range(2):
            assert torch.allclose(compiled(x), module(x), atol=1e-5)
    assert len(runs) == 5
    with torch.no_grad():
        module[4].bias.add_(1)
        x = torch.randn(2, 3, 8, 8)
        for _ in range(2):
            assert torch.allclose(compiled(x), module(x), atol=1e-5)
        y = torch.randn(5, 3, 8, 8)  # another shape is another graph
        assert torch.allclose(compiled(y), module(y), atol=1e-5)


def test_gradients_are_torch_s(runs: list[int]) -> None:
    module = net()
    compiled = torch.compile(module, backend=compile_graph)
    compiled(torch.randn(2, 3, 8, 8)).sum().backward()
    assert module[0].weight.grad is not None
    assert runs == []


def missing(x: torch.Tensor) -> torch.Tensor:
    return torch.linalg.eigvalsh(x @ x.T)


def random(x: torch.Tensor) -> torch.Tensor:
    return x + torch.rand_like(x)


def changes(x: torch.Tensor) -> torch.Tensor:
    return x.add_(1)


@pytest.mark.parametrize("function", [missing, random, changes])
def test_what_it_lacks_runs_in_torch(function: Any, caplog: pytest.LogCaptureFixture) -> None:
    compiled = torch.compile(function, backend=compile_graph)
    with caplog.at_level(logging.INFO, "bitpress.compile"), torch.no_grad():
        for _ in range(3):
            x = torch.randn(4, 4)
            y = x.clone()
            torch.manual_seed(0)
            got = compiled(x)
            torch.manual_seed(0)
            assert torch.allclose(got, function(y), atol=1e-4)
            assert torch.equal(x, y)
    assert sum("runs in torch" in record.message for record in caplog.records) >= 1


def test_several_results_and_scalars(runs: list[int]) -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * y + 1, (x - y).argmax(1)

    compiled = torch.compile(function, backend=compile_graph)
    for _ in range(2):
        x, y = torch.randn(3, 4), torch.randn(3, 4)
        got, want = compiled(x, y), function(x, y)
        assert torch.allclose(got[0], want[0]) and torch.equal(got[1], want[1])
    assert len(runs) == 2


def test_the_name_is_an_entry_point(root: Path) -> None:
    text = (root / "pyproject.toml").read_text()
    assert '[project.entry-points.torch_dynamo_backends]\nbitpress = "bitpress.train.backend:compile_graph"\n' in text
