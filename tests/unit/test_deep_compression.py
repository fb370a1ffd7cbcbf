"""Deep Compression's recipe: the file, and that it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bitpress as bp
from bitpress.torch import deep_compression


def test_the_file_gives_the_network_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(40, 50), nn.ReLU(), nn.Linear(50, 4))
    x, y = torch.randn(64, 40), torch.randint(0, 4, (64,))
    bp.torch.fit(module, [(x, y)], epochs=60)
    untouched = module[0].weight.detach().clone()
    share, bits = {"0.*": 0.08, "*": 0.25}, {"0.*": 5, "*": 6}
    model = deep_compression(module, [(x, y)], keep=share, bits=bits, epochs=(30, 20), example_inputs=(x,))
    path = tmp_path / "dc.safetensors"
    model.save(path)
    state = bp.load_file(path)
    first = module[0].weight.detach().numpy()
    assert any(np.array_equal(value, first) or np.array_equal(value.T, first) for value in state.values())
    session = bp.Session(path)
    (outputs,) = session.run({session.inputs[0].name: x.numpy()}).values()
    np.testing.assert_allclose(outputs, module.eval()(x).detach().numpy(), rtol=1e-4, atol=1e-4)
    assert np.count_nonzero(first) <= round(0.08 * first.size)
    assert len(np.unique(first)) <= 33 and not np.array_equal(first, untouched.numpy())
    assert (tmp_path / "dc.safetensors").stat().st_size < sum(v.nbytes for v in state.values()) / 4


def test_what_is_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    loader = [(torch.randn(4, 4), torch.tensor([0, 1, 0, 1]))]
    with pytest.raises(bp.SchemeError, match=r"^1\.weight: no keep"):
        deep_compression(module, loader, keep={"0.*": 0.5})
    with pytest.raises(bp.SchemeError, match="no weight survives"):
        deep_compression(module, loader, keep=0.0, epochs=(1, 1))
