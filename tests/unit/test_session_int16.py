"""bp.Session with 16-bit activations: convolutions by integers beside those in float32."""

from __future__ import annotations

import numpy as np
import pytest
from graph_file import GraphFile, NodeSpec, plain

from bitpress.scheme import Scheme
from bitpress.session import Session
from bitpress.tensor import pack

RNG = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [(1, 3, 7, 7), (2, 70, 5, 9)])
def test_sixteen_bit_activations(bits: int, kernel: int, size: tuple[int, ...]) -> None:
    """As with float32 activations, but for the rounding of inputs to 16 bits; blocks of k and their rests."""
    w = pack(floats(13, size[1], kernel, kernel), Scheme.int(bits, axis=0))
    tensors = {"w": w, "b": plain(floats(13))}
    nodes = [NodeSpec("Conv", ["x", "w", "b"], ["y"], {"pads": [kernel // 2] * 4, "clip_low": -1.0})]
    data = GraphFile({"x": size}, ["y"], nodes, tensors).bytes()
    x = floats(*size)
    x[0, :, 0, 0] = 0
    session = Session(data, activations="int16")
    got, want = session.run({"x": x})["y"], Session(data).run({"x": x})["y"]
    largest = np.abs(w.unpack()).max() * np.abs(x).max()
    assert np.abs(got - want).max() <= 2**-16 * 1.1 * largest * size[1] * kernel**2 + 1e-5
    assert 0 < session.memory.tile <= 65536 + 512
    x[0, 0, 2, 2] = np.nan
    assert np.array_equal(np.isnan(session.run({"x": x})["y"]), np.isnan(Session(data).run({"x": x})["y"]))


def test_other_activations_are_refused() -> None:
    data = GraphFile({"x": (2,)}, ["y"], [NodeSpec("Relu", ["x"], ["y"])], {}).bytes()
    with pytest.raises(ValueError, match="activations"):
        Session(data, activations="int4")  # type: ignore[arg-type]
