"""Block reconstruction: never worse than rounding in its own objective, nearer outputs, exact codes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import bitpress as bp

torch = pytest.importorskip("torch", reason="pip install torch")
nn = torch.nn


def network() -> torch.nn.Module:
    torch.manual_seed(3)
    first = nn.Sequential(nn.Linear(24, 20), nn.ReLU(), nn.Linear(20, 16))
    return nn.Sequential(first, nn.ReLU(), nn.Sequential(nn.Linear(16, 10))).eval()


def inputs(count: int = 4, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(24, 24, generator=torch.Generator().manual_seed(9))
    return [torch.randn(100, 24, generator=generator) @ mix for _ in range(count)]


def prepared(bits: int = 3, **words: float) -> tuple[torch.nn.Module, torch.nn.Module]:
    exact = network()
    module = copy.deepcopy(exact)
    scheme = bp.Scheme.int(bits, axis=0, sparse="sparsity" in words)
    bp.torch.prepare(module, bp.Recipe((bp.Rule("*weight", scheme, channel=True, **words),)))  # type: ignore[arg-type]
    return exact, module


def test_blocks_come_nearer_and_outputs_too() -> None:
    exact, module = prepared()
    rounded = copy.deepcopy(module)
    done = bp.torch.reconstruct(exact, module, inputs(), steps=300)
    assert [each.block for each in done] == ["0", "2"]
    assert all(each.after < 0.9 * each.before for each in done)
    (x,) = inputs(1, seed=5)  # not learned from
    with torch.no_grad():
        errors = [float((net(x) - exact(x)).square().mean()) for net in (rounded, module)]
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("rate", [1e-2, 10.0])
def test_it_is_never_worse_than_its_start(bits: int, rate: float) -> None:
    exact, module = prepared(bits)
    before = copy.deepcopy(module)
    done = bp.torch.reconstruct(exact, module, inputs(1), steps=3, rate=rate)
    assert all(each.after <= each.before for each in done)
    for each, name in zip(done, ("0", "2"), strict=True):
        if each.after == each.before:
            for mine, theirs in zip(
                module.get_submodule(name).parameters(), before.get_submodule(name).parameters(), strict=True
            ):
                assert torch.equal(mine, theirs)


def test_masks_stay_and_the_file_gives_the_same_network() -> None:
    exact, module = prepared(sparsity=0.6)
    zeros = [layer.weight == 0 for layer in (module[0][0], module[0][2], module[2][0])]
    bp.torch.reconstruct(exact, module, inputs(), steps=60)
    (x,) = inputs(1, seed=5)
    learned = module(x).detach()
    model = bp.torch.convert(module, example_inputs=(x[:2],))
    assert torch.equal(module(x), learned)
    for layer, gone in zip((module[0][0], module[0][2], module[2][0]), zeros, strict=True):
        assert bool((layer.weight[gone] == 0).all())
    found = next(iter(bp.Session(model).run({bp.Session(model).inputs[0].name: x.numpy()}).values()))
    np.testing.assert_allclose(found, learned.numpy(), rtol=1e-4, atol=1e-4)


def test_the_seed_decides() -> None:
    states = []
    for seed in (1, 1, 2):
        exact, module = prepared()
        torch.manual_seed(len(states))
        bp.torch.reconstruct(exact, module, inputs(2), steps=20, seed=seed, blocks=["2"])
        states.append(module.state_dict())
    name = "2.0.parametrizations.weight.original"
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])


def test_what_cannot_be_reconstructed_is_said() -> None:
    exact, module = prepared()
    with pytest.raises(bp.SchemeError, match="no block '7'"):
        bp.torch.reconstruct(exact, module, inputs(1), blocks=["7"])
    with pytest.raises(bp.SchemeError, match="no block has a weight"):
        bp.torch.reconstruct(exact, network(), inputs(1))
    with pytest.raises(bp.SchemeError, match="does not run"):
        bp.torch.reconstruct(exact, module, [])
    broken = [torch.full((2, 24), float("nan"))]
    with pytest.raises(bp.TrainingError, match="NaN"):
        bp.torch.reconstruct(exact, module, broken)
