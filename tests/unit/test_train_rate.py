"""Rate in the loss: never below the entropy of the codes, equal to it where it should be, and it presses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import bitpress as bp
from bitpress.torch import coded_bits, convert, fit, prepare
from bitpress.train.batches import Batch
from bitpress.train.rate import code_lengths


def entropy_bits(codes: np.ndarray) -> float:
    counts = np.bincount(codes.reshape(-1)).astype(np.float64)
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def on_codes(scheme: bp.Scheme, sparsity: float | None = None) -> nn.Module:
    """A layer whose weights stand on their codes."""
    torch.manual_seed(0)
    module = nn.Linear(40, 30)
    prepare(module, bp.Recipe((bp.Rule("weight", scheme, sparsity=sparsity),)))
    with torch.no_grad():
        module.parametrizations.weight.original.copy_(module.weight)
    return module


@pytest.mark.parametrize(
    "scheme", [bp.Scheme.int(2), bp.Scheme.int(4, axis=0), bp.Scheme.int(3, symmetric=False)], ids=str
)
def test_on_the_codes_it_is_their_cross_entropy(scheme: bp.Scheme) -> None:
    module = on_codes(scheme)
    codes = module.parametrizations.weight[0].codes(module.parametrizations.weight.original)[0].numpy().astype(int)
    ideal = entropy_bits(codes)
    assert float(coded_bits(module, smoothing=0).detach()) == pytest.approx(ideal, rel=1e-4)
    last = ideal
    for smoothing in (0.01, 0.1, 0.5):
        bits = float(coded_bits(module, smoothing=smoothing).detach())
        assert bits >= last * (1 - 1e-6)
        last = bits


def test_pruned_weights_cost_a_zero_each_and_have_no_gradient() -> None:
    module = on_codes(bp.Scheme.int(2, sparse=True), 0.8)
    chain = module.parametrizations.weight
    codes = chain[0].codes(chain.original)[0]
    codes = torch.where(chain[0].mask, codes, torch.full_like(codes, 2))
    bits = coded_bits(module, smoothing=0)
    assert float(bits.detach()) == pytest.approx(entropy_bits(codes.numpy().astype(int)), rel=1e-4)
    bits.backward()
    assert (chain.original.grad[~chain[0].mask] == 0).all()


def test_its_gradient_is_that_of_differences() -> None:
    torch.manual_seed(1)
    module = nn.Linear(6, 4)
    prepare(module, bp.Recipe((bp.Rule("weight", bp.Scheme.int(4)),)))
    weight = module.parametrizations.weight.original
    bits = coded_bits(module)
    bits.backward()
    with torch.no_grad():
        for place in ((0, 0), (2, 3), (3, 5)):
            kept = weight[place].clone()
            sides = []
            for way in (1, -1):
                weight[place] = kept + way * 1e-4  # no code changes by so little
                sides.append(float(coded_bits(module)))
            weight[place] = kept
            assert (sides[0] - sides[1]) / 2e-4 == pytest.approx(float(weight.grad[place]), rel=0.05, abs=2.0)


def test_no_code_is_out_of_reach() -> None:
    lengths = code_lengths(torch.full((100_000,), 8.0), 8, 4, 0.01)
    assert lengths[8] < 0.02 and lengths[7] < 10 and lengths[9] < 10
    assert (lengths[9:].diff() > 0).all()


def test_zeros_and_few_levels_come_by_themselves() -> None:
    """The file shrinks as lambda grows."""
    torch.manual_seed(2)
    x = torch.randn(64, 30)
    y = (x[:, :3] @ torch.randn(3, 4)).argmax(1)
    sizes = []
    for weight in (0.0, 1e-4, 3e-4):
        torch.manual_seed(3)
        module = nn.Sequential(nn.Linear(30, 60), nn.ReLU(), nn.Linear(60, 4))
        press = prepare(module, bp.Recipe((bp.Rule("*weight", bp.Scheme.int(4)),)))

        def objective(model: nn.Module, batch: Batch, weight: float = weight):
            outputs = model(batch.inputs)
            return nn.functional.cross_entropy(outputs, batch.labels) + weight * coded_bits(model), outputs

        fit(module, [(x, y)], epochs=150, objective=objective, after_step=press.step)
        model = convert(module)
        sizes.append(sum(entropy_bits(t.codes()) for n, t in model.tensors.items() if n.endswith("weight")))
        assert bp.torch.evaluate(module, [(x, y)]).metric > 0.9
    assert sizes[1] < 0.8 * sizes[0] and sizes[2] < 0.8 * sizes[1]
