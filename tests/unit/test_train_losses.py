"""Losses that a student learns from: against formulas written another way, by layer name, with adapters, resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bitpress as bp
from bitpress.torch import Mixture, Term, attention, decoupled, distillation_loss, fit, hint, kl, relational
from bitpress.train.batches import Batch


def logits(seed: int, rows: int = 7, classes: int = 5) -> Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


def test_kl_is_the_soft_half_of_the_usual_loss() -> None:
    a, b = logits(1), logits(2)
    torch.testing.assert_close(kl(a, b, temperature=3.0), distillation_loss(a, b, temperature=3.0, alpha=1.0))
    assert abs(float(kl(a, a))) < 1e-6


def test_decoupled_with_the_teachers_own_weight_is_kl() -> None:
    a, b, labels = logits(1), logits(2), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    temperature = 2.0
    for row in range(7):
        wrong = 1 - F.softmax(b[row] / temperature, 0)[labels[row]]
        one = slice(row, row + 1)
        mine = decoupled(a[one], b[one], labels[one], target=1.0, others=float(wrong), temperature=temperature)
        torch.testing.assert_close(mine, kl(a[one], b[one], temperature=temperature), rtol=1e-4, atol=1e-5)


def test_decoupled_needs_labels_and_leaves_rows_without_out() -> None:
    a, b, labels = logits(1), logits(2), torch.tensor([0, 1, 2, -100, 4, -100, 1])
    known = labels != -100
    torch.testing.assert_close(decoupled(a, b, labels), decoupled(a[known], b[known], labels[known]))
    assert float(decoupled(a, b, torch.full((7,), -100))) == 0
    with pytest.raises(ValueError, match="needs labels"):
        decoupled(a, b, None)


@pytest.mark.parametrize("loss", [kl, decoupled])
def test_logits_of_autocast_lose_nothing_more_in_the_loss(loss: Callable[..., Tensor]) -> None:
    a, b, labels = 10 * logits(1), 10 * logits(2), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    narrow = a.bfloat16().requires_grad_()
    wide = narrow.detach().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        mine = loss(narrow, b, labels)
    expected = loss(wide, b, labels)
    torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-6)
    mine.backward()
    expected.backward()
    assert narrow.grad is not None and wide.grad is not None
    torch.testing.assert_close(narrow.grad, wide.grad.bfloat16())


def test_attention_looks_at_places_not_at_channels_or_strength() -> None:
    x = torch.rand(3, 4, 6, 6)
    assert float(attention(x, 5 * x)) < 1e-10
    assert float(attention(x, x[:, torch.randperm(4)])) < 1e-10
    y = torch.rand(3, 2, 6, 6)
    maps = [m.square().mean(1).reshape(3, -1) for m in (x, y)]
    maps = [m / m.norm(dim=1, keepdim=True) for m in maps]
    torch.testing.assert_close(attention(x, y), (maps[0] - maps[1]).square().sum(1).mean())
    assert attention(x, torch.rand(3, 9, 3, 2)).isfinite()
    with pytest.raises(ValueError, match="height, width"):
        attention(x, torch.rand(3, 4))


def test_relational_is_blind_to_scale_and_turns() -> None:
    x = torch.randn(6, 5, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    assert float(relational(3 * x @ turn, x)) < 1e-12
    y = torch.randn(6, 8, dtype=torch.float64)
    far = [torch.cdist(m, m) for m in (x, y)]
    far = [m / m.sum() * 30 for m in far]
    torch.testing.assert_close(relational(x, y, angle=0), F.smooth_l1_loss(*far))

    def angles(m: Tensor) -> Tensor:
        table = torch.zeros(6, 6, 6, dtype=m.dtype)
        for i, j, k in np.ndindex(6, 6, 6):
            if i not in (j, k):
                table[i, j, k] = F.cosine_similarity(m[j] - m[i], m[k] - m[i], 0)
        return table

    torch.testing.assert_close(relational(x, y, distance=0, angle=1), F.smooth_l1_loss(angles(x), angles(y)))
    x.requires_grad_()
    relational(x, y).backward()
    assert x.grad is not None and x.grad.isfinite().all()


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4))
    return teacher, nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))


def batches() -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    return [(torch.randn(16, 6), torch.randint(0, 4, (16,))) for _ in range(3)]


def test_a_mix_is_the_sum_of_its_parts() -> None:
    teacher, student = networks()
    (x, y), adapter = batches()[0], nn.Linear(5, 12)
    terms = [Term(kl, 0.5), Term(decoupled, 0.1), Term(hint, 2.0, "0", "0", adapter), Term(relational, 0.3, "1", "1")]
    loss, outputs = Mixture(teacher, terms, labels=0.7)(student, Batch(x, y))
    with torch.no_grad():
        mine, theirs = student[0](x), teacher[0](x)
        parts = 0.7 * F.cross_entropy(student(x), y) + 0.5 * kl(student(x), teacher(x))
        parts += 0.1 * decoupled(student(x), teacher(x), y) + 2 * F.mse_loss(adapter(mine), theirs)
        parts += 0.3 * relational(mine.relu(), theirs.relu())
        torch.testing.assert_close(loss, parts)
        torch.testing.assert_close(outputs, student(x))


def test_cached_answers_need_no_teacher_and_features_do() -> None:
    teacher, student = networks()
    x, _ = batches()[0]
    with torch.no_grad():
        soft = teacher(x)
    live, _ = Mixture(teacher, [Term(kl)])(student, Batch(x))
    cached, _ = Mixture(None, [Term(kl)])(student, Batch(x, soft=soft))
    torch.testing.assert_close(live, cached)
    with pytest.raises(ValueError, match="need the teacher itself"):
        Mixture(None, [Term(hint, 1.0, "0", "0")])
    with pytest.raises(ValueError, match="no teacher to ask"):
        Mixture(None, [Term(kl)])(student, Batch(x))
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        Mixture(teacher, [Term(hint, 1.0, "nowhere", "0")])(student, Batch(x))
    with pytest.raises(ValueError, match="give the term an adapter"):
        Mixture(teacher, [Term(hint, 1.0, "0", "0")])(student, Batch(x))
    with pytest.raises(bp.TrainingError, match="NaN"):
        Mixture(None, [Term(kl)])(student, Batch(x, soft=soft * float("nan")))


def test_with_pruning_quantization_and_rate_in_one_run_that_resumes(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def train(stop: int, path: Path | None) -> tuple[dict[str, Tensor], Tensor]:
        teacher, student = networks()
        adapter = nn.Linear(5, 12)
        mix = Mixture(teacher, [Term(kl, 0.5), Term(hint, 0.1, "0", "0", adapter)])
        rule = bp.Rule("*weight", bp.Scheme.int(3, sparse=True), sparsity=0.5)
        press = bp.torch.prepare(student, bp.Recipe((rule,)), schedule=bp.torch.Cubic(6, every=2), quantize_at=4)

        def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
            loss, outputs = mix(model, batch)
            return loss + 1e-3 * bp.torch.coded_bits(model), outputs

        def step() -> None:
            press.step()
            if press.clock == stop:
                raise Stop

        options = {"objective": objective, "adapters": mix.adapters, "after_step": step}
        fit(student, batches(), epochs=4, checkpoint=path, checkpoint_every=1, **options)  # type: ignore[arg-type]
        bp.torch.convert(student)
        return student.state_dict(), adapter.weight.detach()

    whole, adapted = train(0, None)
    with pytest.raises(Stop):
        train(7, tmp_path / "run.pt")
    again, readapted = train(0, tmp_path / "run.pt")
    assert all(torch.equal(again[name], value) for name, value in whole.items())
    assert torch.equal(adapted, readapted)
