"""press_: the same results as rounded weights; state dicts, copies, pickles and ties; what is refused."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import bitpress as bp
from bitpress.errors import SchemeError
from bitpress.scheme import Codebook
from bitpress.torch import press_

INT = bp.Scheme.int
SCHEMES = [
    INT(8, axis=0),
    INT(4, group_size=16),
    INT(3, symmetric=False),
    INT(1),
    INT(8, sparse=True),
    INT(12, axis=0),
    bp.Scheme(values=Codebook(4)),
    bp.Scheme.lossless(sparse=True),
]


class Net(nn.Module):
    """Every layer that can be packed; the table and the last matrix are one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Embedding(50, 32, padding_idx=0)
        self.one = nn.Conv1d(32, 16, 3, padding=1)
        self.two = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular", groups=1)
        self.mix = nn.Linear(64, 32)
        self.out = nn.Linear(32, 50, bias=False)
        self.out.weight = self.table.weight
        self.norm = nn.LayerNorm(32)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.one(self.table(tokens).transpose(1, 2)).unsqueeze(1)
        x = self.two(x).amax(3).flatten(1)
        result: torch.Tensor = self.out(self.norm(self.mix(x)))
        return result


def recipe(scheme: bp.Scheme) -> bp.Recipe:
    return bp.Recipe((bp.Rule("*weight", scheme, sparsity=0.5 if "bitmap" in str(scheme) else None, min_rank=2),))


def rounded(scheme: bp.Scheme) -> Net:
    """The network with the values that packing gives back."""
    net = Net()
    tensors = bp.compress(dict(net.named_parameters()), recipe(scheme)).tensors
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(torch.from_numpy(tensors[name].unpack().copy()))
    return net


TOKENS = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_as_the_rounded_weights(scheme: bp.Scheme) -> None:
    net = Net()
    ids = [id(layer) for layer in (net.table, net.one, net.two, net.mix, net.out)]
    report = press_(net, recipe(scheme))
    assert set(report.weights) == {"table.weight", "one.weight", "two.weight", "mix.weight"}
    assert report.nbytes < report.source_bytes
    assert f"{report.source_bytes:,} -> {report.nbytes:,} bytes" in str(report).splitlines()[-1]
    assert sum(v.nbytes for v in {id(v): v for v in (*net.parameters(), *net.buffers())}.values()) == report.nbytes
    assert ids == [id(layer) for layer in (net.table, net.one, net.two, net.mix, net.out)]
    assert type(net.mix).__name__ == "PackedLinear"
    with torch.inference_mode():
        assert torch.equal(net(TOKENS), rounded(scheme)(TOKENS))
    assert isinstance(net.mix, nn.Linear)


def test_copies_pickles_and_ties() -> None:
    net = Net()
    press_(net, recipe(INT(4, axis=0)))
    want = net(TOKENS)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(TOKENS), want)
        assert other.table.packed is other.out.packed
        assert other.table.packed is not net.table.packed
    buffers = list(copy.deepcopy(net).buffers())
    assert len({id(buffer) for buffer in buffers}) == len(buffers) == 8


@pytest.mark.parametrize("other", SCHEMES, ids=str)
def test_state_dict_round_trips(other: bp.Scheme) -> None:
    """Into a module that another recipe pressed, through a file of tensors alone."""
    net, into = Net(), Net()
    press_(net, recipe(INT(5, group_size=8, symmetric=False)))
    with torch.no_grad():
        net.mix.bias.add_(1)
    press_(into, recipe(other))
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    assert not any(into.load_state_dict(torch.load(file, weights_only=True)))
    assert torch.equal(into(TOKENS), net(TOKENS))
    assert list(into.state_dict()) == list(net.state_dict())
    assert into.table.packed is into.out.packed


def test_wrong_state_is_refused_and_changes_nothing() -> None:
    net = Net()
    press_(net, recipe(INT(8, axis=0)))
    want = net(TOKENS)
    state = net.state_dict()
    short = dict(state)
    short["mix.packed.codes"] = state["mix.packed.codes"][:-1]
    with pytest.raises(RuntimeError, match=r"mix\.packed: not a packed weight"):
        net.load_state_dict(short)
    other = dict(state)
    other["mix.packed._extra_state"] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    with pytest.raises(RuntimeError, match=r"mix\.packed: not a packed weight"):
        net.load_state_dict(other)
    swapped = dict(state) | {k: state[k.replace("mix", "one")] for k in state if k.startswith("mix.packed")}
    with pytest.raises(RuntimeError, match=r"mix\.packed: not a packed weight.*\[16, 32, 3\]"):
        net.load_state_dict(swapped)
    lacking = {key: value for key, value in state.items() if not key.startswith("two.packed")}
    with pytest.raises(RuntimeError, match=r"Missing key.*two\.packed"):
        net.load_state_dict(lacking)
    assert torch.equal(net(TOKENS), want)


def test_gradients_reach_inputs_and_biases() -> None:
    layer = nn.Sequential(nn.Linear(40, 40))
    press_(layer, recipe(INT(8)))
    x = torch.randn(3, 40, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert [name for name, _ in layer.named_parameters()] == ["0.bias"]
    assert layer[0].bias.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(dtype: torch.dtype) -> None:
    x = torch.randn(2, 64)
    whole = nn.Linear(64, 40).to(dtype)
    press_(whole, recipe(INT(8, axis=0)))
    assert whole.weight.dtype == dtype
    assert whole(x.to(dtype)).dtype == dtype
    later = nn.Linear(64, 40)
    press_(later, recipe(INT(8, axis=0)))
    assert later.to(dtype)(x.to(dtype)).dtype == dtype


def test_what_is_left_alone() -> None:
    net = Net()
    report = press_(net, bp.Recipe((bp.Rule("mix.*", INT(8), min_rank=2),)))
    assert set(report.weights) == {"mix.weight"}
    assert isinstance(net.table.weight, nn.Parameter) and net.out.weight is net.table.weight
    again = press_(net, recipe(INT(8)))
    assert set(again.weights) == {"table.weight", "one.weight", "two.weight"}
    assert press_(nn.Sequential(nn.ReLU())).weights == {}
    attention = nn.MultiheadAttention(32, 2)
    assert press_(attention).weights == {}  # its out_proj is of a class of its own
    with pytest.raises(IndexError):
        net(torch.tensor([[50]]))


def test_what_is_refused() -> None:
    with pytest.raises(SchemeError, match="calibration"):
        press_(Net(), bp.Recipe.feedback(4))
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(64, 64))
    with pytest.raises(SchemeError, match="parametrized"):
        press_(nn.Sequential(normed))


def test_empty_and_many_indices() -> None:
    table = nn.Embedding(30, 40)
    press_(table, recipe(INT(4, axis=0)))
    full = table.weight
    for shape in ((0,), (5,), (2, 3, 4)):
        indices = torch.randint(0, 30, shape)
        assert torch.equal(table(indices), full[indices])
    assert np.array_equal(full.numpy(), table.packed.tensor.unpack())
