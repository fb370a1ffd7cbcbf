"""``torch.compile(module, backend="bitpress")``: graphs that can be exported run in a Session, all others in torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..compression import compress
from ..importers.onnx import load
from ..importers.torch_export import export
from ..recipe import Recipe
from ..session import Session

__all__ = ["compile_graph"]

_log = logging.getLogger("bitpress.compile")
_STATE = ("_parameters_", "_buffers_")  # what torch calls a module's own tensors among a graph's inputs
_TOLERANCE = 1e-4  # of the largest magnitude, between the first answers of both: an exported graph is the same or wrong


def compile_graph(
    graph: torch.fx.GraphModule, example_inputs: Sequence[Any], *, options: dict[str, Any] | None = None
) -> Callable[..., Any]:
    """A backend for torch.compile: what torch calls in place of the graph.

    ``options``: ``threads``, of the sessions (torch's own number by default). The graph's first call runs in torch;
    then it is exported by torch's ONNX exporter, with the module's tensors as constants, and its answers are held
    against those of torch. Where that fails (an operator that bitpress lacks, random numbers, a tensor that is
    changed in place, inputs that are not CPU tensors), where gradients are wanted, and after a parameter changed until
    it is exported again, the graph runs in torch as it is; the logger ``bitpress.compile`` says why.
    """
    threads = int((options or {}).get("threads", torch.get_num_threads()))
    names = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    return _Compiled(graph, [any(part in name for part in _STATE) for name in names], threads)


class _Compiled:
    """One graph: as it is, or as a session on the constants that it was exported with."""

    def __init__(self, graph: torch.fx.GraphModule, is_state: list[bool], threads: int) -> None:
        self._graph, self._is_state, self._threads = graph, is_state, threads
        self._session: Session | None = None
        self._refused = False
        self._state: list[tuple[int, int]] = []

    def __call__(self, *arguments: Any) -> Any:
        if self._refused or not _can_run(arguments):
            return self._graph(*arguments)
        state = [(value.data_ptr(), _version(value)) for value in self._of(arguments, True)]
        if self._session is None or state != self._state:
            return self._first(arguments, state)
        return self._run(arguments)

    def _of(self, arguments: Sequence[Any], state: bool) -> list[Tensor]:
        return [value for value, is_state in zip(arguments, self._is_state, strict=True) if is_state == state]

    def _first(self, arguments: Sequence[Any], state: list[tuple[int, int]]) -> Any:
        """Runs in torch, exports, and holds the two against each other."""
        versions = [_version(value) for value in arguments]
        want = self._graph(*arguments)
        if versions != [_version(value) for value in arguments]:
            return self._refuse("it changes a tensor in place", want)
        if not isinstance(want, tuple | list) or not all(isinstance(value, Tensor) for value in want):
            return self._refuse("its results are not tensors alone", want)
        try:
            module = _Constant(self._graph, self._is_state, self._of(arguments, True))
            inputs = tuple(value.detach().clone() for value in self._of(arguments, False))
            model = compress(load(export(module, inputs, dynamic_batch=False)), Recipe())
            self._session = Session(model, threads=self._threads)
            found = self._run(arguments)
        except Exception as error:
            return self._refuse(f"{type(error).__name__}: {error}", want)
        if len(found) != len(want) or not all(map(_same, found, want)):
            return self._refuse("its exported graph gives other results", want)
        self._state = state
        return want

    def _run(self, arguments: Sequence[Any]) -> tuple[Tensor, ...]:
        assert self._session is not None
        inputs = self._of(arguments, False)
        names = [value.name for value in self._session.inputs]
        if len(names) != len(inputs):
            raise ValueError(f"{len(inputs)} inputs, of which the exported graph reads {len(names)}")
        arrays = {name: value.detach().numpy() for name, value in zip(names, inputs, strict=True)}
        return tuple(torch.from_numpy(array) for array in self._session.run(arrays).values())

    def _refuse(self, reason: str, result: Any) -> Any:
        _log.info("a graph of %d nodes runs in torch: %s", len(self._graph.graph.nodes), reason.splitlines()[0])
        self._refused, self._session = True, None
        return result


class _Constant(nn.Module):
    """A graph whose state is the module's own, so that the exporter sees constants."""

    def __init__(self, graph: torch.fx.GraphModule, is_state: list[bool], state: list[Tensor]) -> None:
        super().__init__()
        self.graph, self.is_state = graph, is_state
        for index, value in enumerate(state):
            self.register_buffer(f"state{index}", value.detach())
        self.count = len(state)

    def forward(self, *inputs: Tensor) -> Any:
        state = (getattr(self, f"state{index}") for index in range(self.count))
        given = iter(inputs)
        return self.graph(*(next(state) if is_state else next(given) for is_state in self.is_state))


def _can_run(arguments: Sequence[Any]) -> bool:
    if not all(isinstance(value, Tensor) and value.device.type == "cpu" for value in arguments):
        return False
    return not (torch.is_grad_enabled() and any(value.requires_grad for value in arguments))


def _version(value: Tensor) -> int:
    """Grows with each change in place; tensors of inference mode do not count them."""
    return 0 if value.is_inference() else value._version


def _same(found: Tensor, want: Tensor) -> bool:
    if found.shape != want.shape or found.dtype != want.dtype:
        return False
    if not want.is_floating_point() or want.numel() == 0:
        return torch.equal(found, want)
    most = float(want.abs().max())
    return bool(torch.allclose(found, want, rtol=0, atol=_TOLERANCE * most, equal_nan=True))
