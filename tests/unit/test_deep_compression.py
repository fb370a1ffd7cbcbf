"""Deep Compression's recipe: k-means, relative positions, the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import bitpress as bp
from bitpress.torch import deep_compression, deep_decompression
from bitpress.train.deep_compression import k_means, relative, unrelative


@given(places=st.sets(st.integers(0, 299)), bits=st.integers(1, 8))
def test_positions_come_back(places: set[int], bits: int) -> None:
    mask = np.zeros(300, bool)
    mask[sorted(places)] = True
    symbols = relative(mask.reshape(20, 15), bits)
    assert symbols.size == 0 or symbols.max() < 2**bits
    assert np.array_equal(unrelative(symbols, bits, 300), mask)


def test_positions_as_the_paper_counts_them() -> None:
    mask = np.zeros(20, bool)
    mask[[0, 1, 5, 13, 19]] = True
    assert relative(mask, 3).tolist() == [0, 0, 3, 7, 0, 5]
    with pytest.raises(bp.FormatError, match="beyond"):
        unrelative(np.array([0, 5], np.uint8), 3, 4)


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=60), st.sampled_from([1, 2, 4, 16, 64]))
def test_k_means_is_no_worse_than_its_beginning(values: list[float], count: int) -> None:
    x = np.array(values, np.float32)
    centroids, index = k_means(x, count)
    assert 1 <= len(centroids) <= count and (np.diff(centroids) >= 0).all()
    assert np.array_equal(np.unique(index), np.arange(len(centroids)))
    grid = np.linspace(x.min(), x.max(), count)
    first = np.square(x - grid[np.abs(x[:, None] - grid).argmin(1)]).sum()
    assert np.square(x.astype(np.float64) - centroids[index]).sum() <= first + 1e-4


def test_the_file_gives_the_network_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(40, 50), nn.ReLU(), nn.Linear(50, 4))
    x, y = torch.randn(64, 40), torch.randint(0, 4, (64,))
    bp.torch.fit(module, [(x, y)], epochs=60)
    untouched = module[0].weight.detach().clone()
    model = deep_compression(module, [(x, y)], keep={"0.*": 0.08, "*": 0.25}, bits={"0.*": 5, "*": 6}, epochs=(30, 20))
    model.save(tmp_path / "dc.safetensors")
    state = deep_decompression(bp.load(tmp_path / "dc.safetensors"))
    assert state.keys() == module.state_dict().keys()
    for name, value in module.state_dict().items():
        assert state[name].tobytes() == value.numpy().tobytes()
    first = state["0.weight"]
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
    with pytest.raises(bp.FormatError, match="not a file of deep_compression"):
        deep_decompression(bp.compress({"a": np.ones(3, np.float32)}, bp.Recipe()))
