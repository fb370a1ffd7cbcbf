"""prepare and convert: training sees what the file holds, bit for bit; masks keep exact counts; hard tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bitpress as bp
from bitpress.scheme import Integer
from bitpress.torch import Cubic, Lottery, OneShot, Schedule, convert, fit, prepare
from bitpress.train.prepare import pressed_in
from bitpress.train.steps import Runs, codes_of, fit_steps, rounded

INT = bp.Scheme.int


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 20), nn.ReLU(), nn.Linear(20, 5))


def data(rows: int = 32) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(2)
    return [(torch.randn(rows, 1, 8, 8), torch.randint(0, 5, (rows,)))]


def recipe(scheme: bp.Scheme, sparsity: float | None = None, **words: object) -> bp.Recipe:
    return bp.Recipe((bp.Rule("*weight", scheme, sparsity=sparsity, **words),))  # type: ignore[arg-type]


SCHEMES = [
    INT(2, sparse=True, coding="rans"),
    INT(1, sparse=True),
    INT(4, axis=0),
    INT(3, symmetric=False, coding="auto"),
    INT(8, group_size=7),
    INT(12, axis=0, coding="rans"),
    bp.Scheme.lossless(sparse=True),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_the_file_holds_what_was_trained(scheme: bp.Scheme, tmp_path: Path) -> None:
    module, loader = net(), data()
    rules = (*recipe(scheme, 0.7, scope="model").rules, bp.Rule("*bias", INT(8)))
    press = prepare(module, bp.Recipe(rules), schedule=Cubic(8, every=2), quantize_at=4)
    fit(module, loader, epochs=12, after_step=press.step)
    assert press.clock == 12 and press.zeros == round(0.7 * (36 + 2880 + 100))
    x = loader[0][0]
    with torch.no_grad():
        before = module(x)
    model = convert(module, example_inputs=(x,))
    with torch.no_grad():
        after = module(x)
    assert before.numpy().tobytes() == after.numpy().tobytes()
    model.save(tmp_path / "m.safetensors")
    opened = bp.load(tmp_path / "m.safetensors")
    assert set(opened.tensors) == set(module.state_dict())
    for name, value in module.state_dict().items():
        assert opened.tensors[name].unpack().tobytes() == value.numpy().tobytes(), name
        if name.endswith("weight"):
            assert opened.tensors[name].scheme.numbers == scheme.numbers
    ours = [run(source, x) for source in (model, tmp_path / "m.safetensors")]
    assert ours[0].tobytes() == ours[1].tobytes()
    assert (np.abs(ours[0].astype(np.float64) - exact(module, x)) <= bound(module, x)).all()
    assert (np.abs(after.numpy().astype(np.float64) - exact(module, x)) <= bound(module, x)).all()


def run(source: object, x: torch.Tensor) -> np.ndarray:
    session = bp.Session(source)  # type: ignore[arg-type]
    (value,) = session.inputs
    return next(iter(session.run({value.name: x.numpy()}).values()))


def exact(module: nn.Sequential, x: torch.Tensor) -> np.ndarray:
    doubled = net().double()
    doubled.load_state_dict({name: value.double() for name, value in module.state_dict().items()})
    with torch.no_grad():
        return doubled(x.double()).numpy()


def bound(module: nn.Sequential, x: torch.Tensor) -> np.ndarray:
    """How far float32 may be from the exact logits: n + 1 roundings of 2**-24 a sum of n products, of the sums of
    magnitudes; what came before is carried through the magnitudes of the weights."""
    value, error, unit = x.double(), torch.zeros_like(x).double(), 2.0**-24
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                big = net()[[*module].index(layer)].double()  # a layer of the same make
                big.weight.copy_(layer.weight.double().abs())
                big.bias.copy_(layer.bias.double().abs())
                n = layer.weight[0].numel() + 1
                sums = big(value.abs() + error)
                carried = big(error) - big(torch.zeros_like(error))
                value = type(layer).forward(doubled_like(layer), value)
                error = carried + (n + 1) * unit / (1 - (n + 1) * unit) * sums
            else:
                value, error = layer(value), layer(error) if isinstance(layer, nn.Flatten) else error
    return error.numpy()


def doubled_like(layer: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(layer).double()


@pytest.mark.parametrize("schedule", [OneShot(3), Cubic(20, begin=2, every=3), Lottery(6, rounds=3, rewind_to=2)])
def test_masks_keep_exact_counts(schedule: Schedule) -> None:
    module, loader = net(), data()
    press = prepare(module, recipe(bp.Scheme.lossless(sparse=True), 0.9), schedule=schedule)
    counts = []

    def step() -> None:
        press.step()
        counts.append(press.zeros)

    fit(module, loader, epochs=25, after_step=step)
    assert counts == sorted(counts) and counts[-1] == sum(round(0.9 * n) for n in (36, 2880, 100))
    model = convert(module)
    stored = sum(tensor.survivors for name, tensor in model.tensors.items() if name.endswith("weight"))
    assert stored == 3016 - counts[-1]


PATTERNS = [
    (INT(4, nm=(2, 4)), 0.5),
    (INT(2, axis=0, nm=(1, 4), coding="rans"), 0.75),
    (INT(3, block=(4, 4)), 0.8),
    (bp.Scheme.lossless(block=(1, 8)), 0.9),
]


@pytest.mark.parametrize(("scheme", "sparsity"), PATTERNS, ids=str)
def test_groups_and_blocks_go_as_in_compress(scheme: bp.Scheme, sparsity: float) -> None:
    module, loader = net(), data()
    press = prepare(module, recipe(scheme, sparsity), schedule=Cubic(6, every=2), quantize_at=6)
    fit(module, loader, epochs=6, after_step=press.step)
    weights = {name: weight.detach().clone() for name, (_, weight) in press.layers.items()}
    masks = {name: pressed.mask for name, (pressed, _) in press.layers.items()}
    rule = bp.Rule("*", bp.Scheme(scheme.structure, pattern=scheme.pattern), sparsity=sparsity)
    after_training = bp.compress(weights, bp.Recipe((rule,)))
    for name, mask in masks.items():
        assert mask is not None
        assert np.array_equal(mask.numpy(), after_training.tensors[name].unpack() != 0), name
    x = loader[0][0]
    with torch.no_grad():
        before = module(x)
    model = convert(module, example_inputs=(x,))
    with torch.no_grad():
        assert torch.equal(module(x), before)
    for name, mask in masks.items():
        assert mask is not None
        stored = model.tensors[name]
        assert stored.scheme.numbers == scheme.numbers
        assert not stored.unpack()[~mask.numpy()].any(), name


def test_groups_that_do_not_fit_are_refused_before_training() -> None:
    with pytest.raises(bp.SchemeError, match=r"3\.weight: 2880 elements are no whole groups of 7"):
        prepare(net(), bp.Recipe((bp.Rule("3.weight", INT(4, nm=(3, 7)), sparsity=4 / 7),)), schedule=OneShot(50))


def test_a_lottery_puts_the_survivors_back() -> None:
    module, loader = net(), data()
    press = prepare(module, recipe(bp.Scheme.lossless(sparse=True), 0.5), schedule=Lottery(5, rewind_to=2))
    seen: list[torch.Tensor] = []

    def step() -> None:
        press.step()
        seen.append(press.layers["3.weight"][1].detach().clone())

    fit(module, loader, epochs=5, after_step=step)
    assert not torch.equal(seen[3], seen[1])
    assert torch.equal(seen[4], seen[1])


@pytest.mark.parametrize("scheme", [INT(2), INT(4, axis=1), INT(3, symmetric=False), INT(4, group_size=5)], ids=str)
def test_gradients_are_those_of_lsq(scheme: bp.Scheme) -> None:
    assert isinstance(scheme.values, Integer)
    torch.manual_seed(3)
    x, runs = torch.randn(6, 11), Runs((6, 11), scheme.values)
    steps, zeros = fit_steps(x, runs)
    x.requires_grad_(), steps.requires_grad_()
    out = rounded(x, steps, zeros, runs)
    up = torch.randn(6, 11)
    out.backward(up)
    spread, zero = runs.spread(steps.detach()), runs.spread(zeros)
    codes, inside = codes_of(x.detach(), spread, zero, scheme.values)
    torch.testing.assert_close(x.grad, up * inside)
    each = up * torch.where(inside, codes - zero - x.detach() / spread, codes - zero)
    most = max(1, 2 ** (scheme.values.bits - 1) - 1)
    expected = runs.sums(each) / (x.numel() / runs.count * most) ** 0.5
    torch.testing.assert_close(steps.grad, expected)
    assert out.detach().numpy().tobytes() == (spread * (codes - zero)).numpy().tobytes()


def test_lloyds_steps_are_no_worse_than_the_range() -> None:
    torch.manual_seed(4)
    x, values = torch.randn(40, 50), INT(3).values
    assert isinstance(values, Integer)
    runs = Runs((40, 50), values)
    steps, zeros = fit_steps(x, runs)
    fitted = (rounded(x, steps, zeros, runs) - x).square().sum()
    assert fitted < np.square(bp.pack(x.numpy(), INT(3)).unpack() - x.numpy()).sum()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 16)
        self.twice = nn.Linear(16, 16)
        self.out = nn.Linear(16, 30, bias=False)
        self.out.weight = self.table.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.table(x)
        return self.out(torch.relu(self.twice(torch.relu(self.twice(hidden)))))


def test_tied_weights_stay_tied_and_are_stored_once(tmp_path: Path) -> None:
    torch.manual_seed(5)
    module = Tied()
    press = prepare(module, recipe(INT(4, axis=0, coding="huffman")))
    assert list(press.layers) == ["table.weight", "twice.weight"]
    x = torch.randint(0, 30, (8,))
    fit(module, [(x, x)], epochs=6, after_step=press.step)
    model = convert(module)
    assert module.out.weight is module.table.weight
    assert set(model.tensors) == {"table.weight", "twice.weight", "twice.bias"}
    assert model.tensors["table.weight"].unpack().tobytes() == module.out.weight.detach().numpy().tobytes()
    model.save(tmp_path / "tied.safetensors")
    other = Tied()
    read = {
        name: torch.from_numpy(t.unpack().copy()) for name, t in bp.load(tmp_path / "tied.safetensors").tensors.items()
    }
    other.load_state_dict(read, strict=False)
    assert torch.equal(other(x), module(x))


def test_dead_channels_and_constant_tensors() -> None:
    module = net()
    with torch.no_grad():
        module[0].weight[1] = 0
        module[3].weight.fill_(0.25)
        module[5].weight.zero_()
    press = prepare(module, recipe(INT(3, axis=0)))
    fit(module, data(), epochs=3, after_step=press.step)
    model = convert(module)
    for name, value in module.state_dict().items():
        assert torch.isfinite(value).all()
        assert model.tensors[name].unpack().tobytes() == value.numpy().tobytes()


@pytest.mark.parametrize(
    ("change", "words", "error", "message"),
    [
        (lambda m: m[3].weight.data.fill_(float("nan")), {}, bp.SchemeError, "3.weight: NaN or infinity"),
        (lambda m: m.double(), {}, bp.UnsupportedError, "0.weight: training presses float32, not float64"),
        (lambda m: None, {"scheme": INT(4, axis=3)}, bp.SchemeError, "3.weight: no axis 3"),
        (lambda m: None, {"scheme": INT(1), "sparsity": 0.5}, bp.SchemeError, "one symmetric bit has no zero"),
        (lambda m: None, {"scheme": bp.Scheme()}, bp.SchemeError, "no parameter of the module has a rule"),
    ],
)
def test_what_is_refused(
    change: Callable[[nn.Module], object], words: dict, error: type[Exception], message: str
) -> None:
    module = net()
    change(module)
    with pytest.raises(error, match=message):
        prepare(module, recipe(words.pop("scheme", INT(4)), **words))
    assert not list(pressed_in(module))


def test_prepared_once_and_converted_once() -> None:
    module = net()
    prepare(module, recipe(INT(4)))
    with pytest.raises(bp.UnsupportedError, match="prepared already"):
        prepare(module, recipe(INT(4)))
    convert(module)
    with pytest.raises(bp.SchemeError, match="not prepared"):
        convert(module)


def test_a_run_that_stopped_ends_bit_for_bit(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def train(stop: int | None, path: Path | None) -> dict[str, torch.Tensor]:
        module = net()
        press = prepare(module, recipe(INT(2, sparse=True), 0.8), schedule=Lottery(4, 2, 1), quantize_at=9)

        def step() -> None:
            press.step()
            if press.clock == stop:
                raise Stop

        fit(module, data(), epochs=14, after_step=step, checkpoint=path, checkpoint_every=1)
        convert(module)
        return module.state_dict()

    whole = train(None, None)
    for stop in (2, 5, 11):
        path = tmp_path / f"{stop}.pt"
        with pytest.raises(Stop):
            train(stop, path)
        again = train(None, path)
        assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_what_is_not_prepared_is_stored_by_the_recipe() -> None:
    module = nn.Sequential(nn.Linear(8, 40), nn.BatchNorm1d(40), nn.Linear(40, 3))
    prepare(module, bp.Recipe((bp.Rule("*weight", INT(4), min_rank=2),)))
    rest = bp.Recipe((bp.Rule("*running_mean", INT(8)), bp.Rule("*", bp.Scheme.lossless(coding="huffman"))))
    model = convert(module, rest)
    assert set(model.tensors) == set(module.state_dict())
    for name, value in module.state_dict().items():
        assert model.tensors[name].unpack().tobytes() == value.numpy().tobytes(), name
    assert str(model.tensors["1.running_mean"].scheme) == "int8"
    assert model.tensors["1.bias"].scheme.coding == "huffman"


def test_a_matrix_product_is_stored_as_the_graph_reads_it() -> None:
    module = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 4))
    prepare(module, recipe(INT(4, axis=0)))
    x = torch.randn(2, 3, 6)  # three dimensions: exported as MatMul
    model = convert(module, example_inputs=(x,))
    assert sum(isinstance(t.scheme.values, Integer) for t in model.tensors.values()) == 2
    np.testing.assert_allclose(run(model, x), module(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_strengths_decide_which_weights_go() -> None:
    torch.manual_seed(6)
    module = nn.Linear(10, 8)
    strength = torch.rand(10)
    scores = (module.weight.detach() * strength).abs()
    press = prepare(module, recipe(bp.Scheme.lossless(sparse=True), 0.6), strengths={"weight": strength})
    mask = press.layers["weight"][0].mask
    assert mask is not None and press.zeros == 48
    assert scores[mask].min() >= scores[~mask].max()


def test_activations_are_rounded_while_training_and_not_in_the_file(tmp_path: Path) -> None:
    module, loader = net(), data()
    press = prepare(module, recipe(INT(4, axis=0)), activations=4)
    seen: list[torch.Tensor] = []
    module[3].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].detach()))
    fit(module, loader, epochs=8, after_step=press.step)
    assert all(rows.unique().numel() <= 16 for rows in seen) and (seen[-1] >= 0).all()
    assert module[3].rounded_input.offset.abs() > 0
    x = loader[0][0]
    rounded_logits = module(x).detach()
    again = net()
    prepare(again, recipe(INT(4, axis=0)), activations=4)
    again.load_state_dict(module.state_dict())
    assert torch.equal(again(x), rounded_logits)
    model = convert(module, example_inputs=(x,))
    assert not any("rounded_input" in name for name in module.state_dict())
    assert not torch.equal(module(x), rounded_logits)
    np.testing.assert_allclose(run(model, x), module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(bp.SchemeError, match=r"activations must be 1\.\.8"):
        prepare(net(), recipe(INT(4)), activations=9)


def test_under_autocast_weights_stay_float32_and_the_file_exact() -> None:
    module, loader = net(), data()
    press = prepare(module, recipe(INT(3, sparse=True), 0.5))
    history = fit(module, loader, epochs=10, after_step=press.step, amp=True)
    assert history.losses[-1] < history.losses[0]
    assert all(value.dtype == torch.float32 for value in module.parameters())
    with torch.no_grad():
        before = module(loader[0][0])
    model = convert(module)
    assert torch.equal(module(loader[0][0]), before)
    assert model.tensors["3.weight"].unpack().tobytes() == module[3].weight.detach().numpy().tobytes()
