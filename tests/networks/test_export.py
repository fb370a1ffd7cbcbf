"""From a torch module to a file that runs: the graph is torch's own, and so are the answers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install torch")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install onnxscript")

from bitpress.errors import UnsupportedError  # noqa: E402
from bitpress.importers.onnx import load  # noqa: E402
from bitpress.importers.torch_export import export  # noqa: E402
from bitpress.passes import optimize  # noqa: E402
from bitpress.reference import interpreter  # noqa: E402


def network() -> torch.nn.Module:
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, groups=8, padding=1),
        nn.Hardswish(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 10),
        nn.Softmax(1),
    )
    for _ in range(3):  # statistics that are not those of a new batch norm
        net(torch.randn(16, 1, 8, 8))
    return net


def test_a_module_runs_as_torch_does() -> None:
    net = network()
    assert net.training
    source = load(export(net, (torch.zeros(2, 1, 8, 8),)))
    assert net.training, "export leaves the module in the mode it was in"
    assert source.graph.inputs[0].shape == (-1, 1, 8, 8)
    graph, tensors = optimize(source.graph, source.arrays())
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        expected = net.eval()(x).numpy()
    found = interpreter.run(graph, tensors, {graph.inputs[0].name: x.numpy()})[graph.outputs[0].name]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_what_torch_cannot_export_is_named() -> None:
    class Branches(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(UnsupportedError, match="torch cannot export Branches: "):
        export(Branches(), (torch.zeros(2, 3),))
