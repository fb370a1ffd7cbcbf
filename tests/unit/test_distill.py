"""bp.torch.distill: the protocol, the loss, what loaders may yield, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import bitpress as bp


def blobs(rows: int, seed: int, spread: float = 0.8) -> tuple[Tensor, Tensor]:
    """Three noisy clusters in 8 dimensions, around centres that are always the same."""
    centres = torch.randn(3, 8, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows,), generator=generator)
    return centres[labels] + spread * torch.randn(rows, 8, generator=generator), labels


def mlp(width: int, seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 3))


def loader(rows: int = 96, seed: int = 1, labels: bool = True, shuffle: bool = True) -> DataLoader[Any]:
    x, y = blobs(rows, seed)
    return DataLoader(TensorDataset(x, y) if labels else TensorDataset(x), batch_size=32, shuffle=shuffle)


def weights(model: nn.Module) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def distilled(student: nn.Module, teacher: nn.Module | None = None, **options: Any) -> bp.torch.Report:
    defaults: dict[str, Any] = {"train": loader(), "transfer": loader(seed=2, labels=False), "test": loader(seed=3)}
    return bp.torch.distill(teacher or mlp(32), student, **{**defaults, "epochs": 3, **options})


def test_the_report_compares_three_networks() -> None:
    student = mlp(4, seed=5)
    report = distilled(student)
    assert [result.name for result in report.results] == ["teacher", "alone", "distilled"]
    seen = bp.torch.evaluate(student, loader(seed=3))
    assert report["distilled"].metric == seen.metric and report["distilled"].loss == pytest.approx(seen.loss)
    assert report["distilled"].parameters == 8 * 4 + 4 + 4 * 3 + 3 and report["distilled"].bytes == 4 * 51
    assert report["alone"].steps == report["distilled"].steps == 9
    assert report.student_alone is not None and not same(report.student_alone, student)
    assert report.gain == report["distilled"].metric - report["alone"].metric
    assert json.loads(json.dumps(report.to_dict()))["results"][2]["epochs"] == 3
    assert len(str(report).splitlines()) == 4 and "student distilled" in str(report)


def test_a_trained_teacher_is_taken_as_it_is() -> None:
    teacher = mlp(32)
    bp.torch.fit(teacher, loader(), epochs=20)
    before = weights(teacher)
    report = distilled(mlp(4), teacher, train=None, labelled=loader(32), compare=True)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(teacher), strict=True))
    assert report["teacher"].epochs == 0 and report["teacher"].metric > 0.9
    assert report["alone"].steps == report["distilled"].steps  # one batch an epoch against three


def test_the_student_learns_from_a_teacher_without_any_label() -> None:
    student = mlp(8)
    report = distilled(student, epochs=60, compare=False)
    assert report.gain is None and report["distilled"].metric > report["teacher"].metric - 0.03


def test_the_loss_is_hintons() -> None:
    student, teacher, labels = torch.randn(5, 4), torch.randn(5, 4), torch.tensor([0, 3, 1, 2, 2])
    t, alpha = 3.0, 0.7
    z, s = teacher.double().numpy(), student.double().numpy()
    p, q = np.exp(z / t), np.exp(s / t)
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    soft = t**2 * (p * np.log(p / q)).sum(1)
    hard = np.log(np.exp(s).sum(1)) - s[np.arange(5), labels.numpy()]
    expected = (alpha * soft + (1 - alpha) * hard).mean()
    got = bp.torch.distillation_loss(student, teacher, labels, temperature=t, alpha=alpha)
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    alone = bp.torch.distillation_loss(student, teacher, temperature=t, alpha=alpha)
    assert float(alone) == pytest.approx(float(soft.mean()), rel=1e-5)
    some = torch.where(torch.arange(5) < 2, labels, bp.torch.UNLABELLED)
    mixed = np.where(np.arange(5) < 2, alpha * soft + (1 - alpha) * hard, soft).mean()
    got = bp.torch.distillation_loss(student, teacher, some, temperature=t, alpha=alpha)
    assert float(got) == pytest.approx(float(mixed), rel=1e-5)
    assert float(bp.torch.distillation_loss(teacher, teacher)) == pytest.approx(0, abs=1e-6)


def test_the_loss_takes_sequences() -> None:
    student, teacher, labels = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.long)
    flat = bp.torch.distillation_loss(student.reshape(6, 4), teacher.reshape(6, 4), labels.reshape(6))
    assert torch.equal(bp.torch.distillation_loss(student, teacher, labels), flat)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"temperature": 0.0}, "temperature"), ({"temperature": math.nan}, "temperature"), ({"alpha": 1.5}, "alpha")],
)
def test_options_that_cannot_be_are_refused_before_teaching(options: dict[str, float], message: str) -> None:
    teacher = mlp(32)
    before = weights(teacher)
    with pytest.raises(ValueError, match=message):
        distilled(mlp(4), teacher, **options)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(teacher), strict=True))


def test_logits_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        bp.torch.distillation_loss(torch.zeros(2, 3), torch.zeros(2, 4))


def test_the_same_seed_gives_the_same_bits_and_the_callers_random_state_is_left_alone() -> None:
    def once(seed: int) -> nn.Module:
        student, teacher = mlp(6, seed=3, dropout=0.3), mlp(32)
        torch.manual_seed(1234 + seed)  # of no consequence: distill seeds its own
        np.random.seed(7)  # noqa: NPY002
        state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        distilled(student, teacher, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
        return student

    assert same(once(0), once(0)) and not same(once(0), once(1))


class Augmented(Dataset[Tensor]):
    """Draws from torch's global generator, as augmentations do."""

    def __init__(self) -> None:
        self.x = blobs(64, 2)[0]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Tensor:
        return self.x[index] + 0.1 * torch.randn(8)


def test_workers_are_seeded_too() -> None:
    def once() -> nn.Module:
        student = mlp(4)
        distilled(student, transfer=DataLoader(Augmented(), batch_size=32, num_workers=2), epochs=2, compare=False)
        return student

    assert same(once(), once())


@pytest.mark.parametrize("kind", ["tensor", "tuple", "pair", "mapping", "list of batches", "own batch"])
def test_any_loader(kind: str) -> None:
    x, y = blobs(64, 4)
    if kind == "tensor":
        data: Any = DataLoader(x, batch_size=32)  # type: ignore[arg-type]
    elif kind == "tuple":
        data = DataLoader(TensorDataset(x), batch_size=32)
    elif kind == "pair":
        data = DataLoader(TensorDataset(x, y), batch_size=32)
    elif kind == "mapping":
        data = DataLoader([{"input": a, "labels": b} for a, b in zip(x, y, strict=True)], batch_size=32)  # type: ignore[arg-type]
    else:
        data = [(x[:32], y[:32]), (x[32:], y[32:])]
    student = mlp(4)
    if kind == "own batch":
        history = bp.torch.fit(student, [(x, "note", y)], epochs=1, batch=lambda raw: (raw[0], raw[2]))
        assert history.steps == 1
    else:
        report = distilled(student, transfer=data, epochs=2)
        assert report["distilled"].steps == 4


def test_batches_of_another_make_ask_for_a_function() -> None:
    with pytest.raises(TypeError, match="tuple of 3: pass batch="):
        bp.torch.fit(mlp(4), [(1, 2, 3)], epochs=1)


def test_optimizer_scheduler_and_metric_of_ones_own() -> None:
    rates: list[float] = []

    def step_down(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
        assert steps in (9, 9)
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, [4], gamma=0.1)

    def sgd(parameters: Any) -> torch.optim.Optimizer:
        made = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        rates.append(made.param_groups[0]["lr"])
        return made

    def error(outputs: Tensor, labels: Tensor) -> Tensor:
        return (outputs.argmax(1) != labels).float().mean()

    report = distilled(mlp(4), optimizer=sgd, scheduler=step_down, metric=error)
    assert rates == [0.1] * 3 and report.metric == "error"
    assert 0 <= report["teacher"].metric < 0.5


def test_a_cached_teacher_gives_the_same_student_to_rounding() -> None:
    def once(cache: bool) -> nn.Module:
        student = mlp(4, dropout=0.2)
        distilled(student, cache_teacher=cache, transfer=loader(90, 2), epochs=4)
        return student

    for plain, cached in zip(weights(once(False)), weights(once(True)), strict=True):
        torch.testing.assert_close(plain, cached, rtol=1e-4, atol=1e-5)


def test_the_teacher_is_asked_once_a_row_when_cached() -> None:
    class Counting(nn.Module):
        rows = 0

        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp(8)

        def forward(self, x: Tensor) -> Tensor:
            Counting.rows += len(x)
            out: Tensor = self.inner(x)
            return out

    distilled(mlp(4), Counting(), train=None, compare=False, cache_teacher=True, test=loader(32, 3), epochs=5)
    assert Counting.rows == 32 + 96  # the test set, the transfer set


def test_a_cache_needs_rows_that_can_be_numbered() -> None:
    with pytest.raises(TypeError, match="cache_teacher needs a torch DataLoader"):
        distilled(mlp(4), transfer=[blobs(8, 1)[0]], cache_teacher=True, compare=False)


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Any:
        return iter(blobs(40, 2)[0])


def test_a_loader_without_a_length_needs_a_schedule_without_one() -> None:
    stream = DataLoader(Stream(), batch_size=32)
    with pytest.raises(ValueError, match="no length"):
        distilled(mlp(4), transfer=stream, compare=False)
    report = distilled(mlp(4), transfer=stream, scheduler=None, epochs=2)
    assert report["distilled"].steps == 4 and report["alone"].steps == 6


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_nan_is_a_clear_error(who: str) -> None:
    broken = mlp(4)
    with torch.no_grad():
        broken[0].weight[0, 0] = math.nan  # type: ignore[index]
    teacher, student = (mlp(32), broken) if who == "student" else (broken, mlp(4))
    message = "distilled: the loss is nan at epoch 1, step 1" if who == "student" else "teacher's outputs hold NaN"
    with pytest.raises(bp.TrainingError, match=message) as caught:
        distilled(student, teacher, train=None, compare=False)
    assert isinstance(caught.value, ArithmeticError)


def test_loaders_that_cannot_teach_are_refused() -> None:
    with pytest.raises(ValueError, match="can be read only once"):
        bp.torch.fit(mlp(4), iter([blobs(8, 1)]), epochs=1)
    with pytest.raises(ValueError, match="yields nothing"):
        bp.torch.fit(mlp(4), [], epochs=1)
    with pytest.raises(ValueError, match="needs a loader that yields them"):
        bp.torch.fit(mlp(4), loader(labels=False), epochs=1)
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        bp.torch.fit(mlp(4), loader(), epochs=0)
    with pytest.raises(ValueError, match="nothing to learn from"):
        distilled(mlp(4), train=None)
    with pytest.raises(ValueError, match="yields no labels"):
        bp.torch.evaluate(mlp(4), loader(labels=False))


def test_evaluate_weighs_batches_by_their_rows_and_leaves_the_mode() -> None:
    x, y = blobs(70, 6)
    model = mlp(4, dropout=0.5).train()
    seen = bp.torch.evaluate(model, DataLoader(TensorDataset(x, y), batch_size=32))
    model.eval()
    assert seen.metric == pytest.approx(float((model(x).argmax(1) == y).double().mean()))
    assert seen.loss == pytest.approx(float(nn.functional.cross_entropy(model(x), y).detach()), rel=1e-5)
    model.train()
    bp.torch.evaluate(model, loader())
    assert model.training


def test_progress_reaches_a_callable() -> None:
    events: list[bp.torch.Progress] = []
    distilled(mlp(4), progress=events.append)
    assert [event.name for event in events] == ["teacher"] * 9 + ["alone"] * 9 + ["distilled"] * 9
    last = events[-1]
    assert (last.epoch, last.epochs, last.step, last.steps, last.done) == (3, 3, 3, 3, 9)
    assert last.metric is None and events[0].metric is not None and math.isfinite(last.loss)


def test_progress_shows_a_bar_when_insisted_on(capsys: pytest.CaptureFixture[str]) -> None:
    distilled(mlp(4), progress=True)
    assert capsys.readouterr().out == ""
    distilled(mlp(4))
    assert capsys.readouterr().err == ""  # no terminal, no bar


@pytest.mark.parametrize("per_tensor", [False, True])
def test_pruned_weights_stay_zero_while_the_rest_learns(per_tensor: bool) -> None:
    model = mlp(16)
    masks = bp.torch.PruningMasks(model, 0.75, per_tensor=per_tensor)
    total = 8 * 16 + 16 * 3
    assert masks.zeros == round(0.75 * total)
    before = weights(model)
    bp.torch.fit(model, loader(), epochs=3, after_step=masks.apply_)
    for name, mask in masks.masks.items():
        assert bool((model.get_parameter(name)[~mask] == 0).all())
    assert not all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
    zeros = [int((~mask).sum()) for mask in masks.masks.values()]
    assert zeros == [96, 36] if per_tensor else sum(zeros) == 132


def test_ties_are_pruned_to_the_exact_count() -> None:
    model = nn.Sequential(nn.Linear(10, 10))
    with torch.no_grad():
        model[0].weight.fill_(0.5)  # type: ignore[operator, union-attr]
    assert bp.torch.PruningMasks(model, 0.37).zeros == 37
    for wrong in ({"sparsity": 1.0}, {"sparsity": 0.5, "patterns": ["nothing"]}):
        with pytest.raises(ValueError, match=r"sparsity|nothing"):
            bp.torch.PruningMasks(model, **wrong)  # type: ignore[arg-type]


def test_masks_and_compress_prune_the_same_weights() -> None:
    model = mlp(16)
    state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    masks = bp.torch.PruningMasks(model, 0.6)
    rule = bp.Rule("*weight", bp.Scheme.lossless(sparse=True), sparsity=0.6, scope="model")
    pressed = bp.compress(state, bp.Recipe((rule,))).tensors
    for name in masks.masks:
        assert np.array_equal(pressed[name].unpack(), model.get_parameter(name).detach().numpy())
