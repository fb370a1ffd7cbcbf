"""Session: a pressed network made ready to run on this CPU, with numpy alone."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _core
from .dtypes import DTYPES, numpy_dtype
from .errors import CorruptError, ShapeError
from .graph import Value

if TYPE_CHECKING:
    from .model import Model
    from .profile import Profile

__all__ = ["Session", "SessionMemory"]

_ACTIVATIONS = ("float32", "int16", "int8")
_LOADS = ("map", "tile", "unpack")  # in the core's order
_MOST_THREADS = 64  # the core's most workers
_DTYPES = {dtype.number: dtype.name for dtype in DTYPES.values()}


@dataclass(frozen=True)
class SessionMemory:
    """Where a session's bytes are.

    file: of the opened file (mapped, where it was given by its path). weights: what is read of them while running, in
    the file or made from it when it was opened (``decoded`` of them). tile: the most that holds dequantized or decoded
    weights at a time, inside the arena. arena: activations and scratch, of which ``live`` bytes hold something at a
    time at most: no placement needs less. plan: the program. These four are those of the last shapes, 0 before the
    first run. total: weights, graph, plan and arena, which with the results is what ``memory_limit`` limits.
    """

    file: int
    weights: int
    decoded: int
    tile: int
    arena: int
    live: int
    plan: int
    total: int


class Session:
    """A network from a bitpress file, run on this CPU.

    ``source``: the path of a file (mapped into memory, not read at once), its bytes, or a :class:`Model`. ``check``:
    "full" verifies every checksum first; "none" only what running safely needs.

    ``threads``: how many may share a run, the caller's among them; 0 for as many as there are CPUs for this process,
    which are also the most. The others are started by the first run that can use them and sleep between runs. Results
    are the same to the bit for any number. Each takes scratch of its own in the arena (their stacks are not counted).

    ``memory_limit``: the most bytes that weights (in the file's mapping or decoded from it), plan, arena and the
    results of a run may take together; what needs more is refused before it is allocated, with MemoryLimitError, when
    the session opens or plans a run.

    ``load``: what becomes of weights. "map": those that stand raw in the file are read there, coded ones are decoded
    once, all stay packed. "tile": large coded ones stay coded and are decoded into the arena by the operator that reads
    them, in every run: less memory, more time; what ``check`` does not see is found then. "unpack": they are
    dequantized to float32 once: more memory, less time. Results are the same to the bit, but for "unpack" with
    ``activations="int16"``, which then has no packed weights to multiply.

    ``activations``: "float32" computes everything in float32. "int16": convolutions of one group with dense symmetric
    weights of up to 8 bits, a scale per tensor or output channel, round their inputs to 16 bits, with a scale for each
    output pixel and block of up to 512 inputs of it (error about 2^-16 of the block's largest), and multiply integers;
    these products are the same bits on every CPU. A NaN or an infinity among a pixel's inputs makes its outputs NaN.
    Gemm and MatMul over such weights (groups along the inputs too, where transB is set) do the same for each row.
    "int8": as "int16", but convolutions whose weights have more than one bit round to 8 bits (error about 2^-8 of the
    block's largest), and rows that meet Gemm or MatMul weights of 2 to 8 bits, symmetric or affine, are rounded to 8
    bits, with a scale for each group of the weights (a multiple of 4, at most 512) or block of up to 256 inputs.

    A session belongs to one thread at a time; a second one that enters gets a BitpressError. Sessions on the same path
    share its pages.

    Raises FormatError or CorruptError where the file is not one, is forged or damaged; UnsupportedError where it holds
    no graph or one that this build cannot run; MemoryLimitError; OSError where it cannot be read.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | bytearray | memoryview | Model,
        *,
        check: Literal["full", "none"] = "full",
        threads: int = 1,
        load: Literal["map", "tile", "unpack"] = "map",
        activations: Literal["float32", "int16", "int8"] = "float32",
        memory_limit: int = 1 << 33,
    ) -> None:
        if check not in ("full", "none"):
            raise ValueError(f"check must be 'full' or 'none', not {check!r}")
        if threads < 0:
            raise ValueError(f"threads must not be negative, not {threads}")
        if activations not in _ACTIVATIONS:
            raise ValueError(f"activations must be one of {', '.join(_ACTIVATIONS)}, not {activations!r}")
        if load not in _LOADS:
            raise ValueError(f"load must be 'map', 'tile' or 'unpack', not {load!r}")
        if memory_limit < 0:
            raise ValueError(f"memory_limit must not be negative, not {memory_limit}")
        data, name = _open(source)
        self.threads = min(threads or _MOST_THREADS, _cpus(), _MOST_THREADS)
        limit = min(memory_limit, 2**64 - 1)
        self._core = _core.Session(
            data,
            check == "full",
            name,
            _ACTIVATIONS.index(activations),
            _LOADS.index(load),
            limit,
            self.threads,
        )
        self._name = name
        self.inputs: tuple[Value, ...] = tuple(_value(*entry) for entry in self._core.inputs())
        self.outputs: tuple[Value, ...] = tuple(_value(*entry) for entry in self._core.outputs())

    @property
    def memory(self) -> SessionMemory:
        """The bytes it holds now."""
        return SessionMemory(**self._core.memory())

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The outputs, by name, for one array an input, by name.

        Arrays of any floating dtype are taken for a floating input, integers that fit for an integer one; others raise
        TypeError. Shapes are those of ``inputs``, where
        -1 stands for any size; other shapes than in the last run make a new plan. Raises ValueError where a name is
        missing or unknown, ShapeError where a shape does not fit.
        """
        unknown = sorted(set(inputs) - {value.name for value in self.inputs})
        if unknown:
            known = ", ".join(repr(value.name) for value in self.inputs)
            raise ValueError(f"{self._name}: no input {unknown[0]!r}; inputs are {known or 'none'}")
        arrays = [self._array(value, inputs) for value in self.inputs]
        results = self._core.run(arrays)
        return {value.name: result for value, result in zip(self.outputs, results, strict=True)}

    def plan(self, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Session:
        """Plan for inputs of these shapes, so that ``memory`` says what a run takes; nothing runs. Returns itself.

        Without ``shapes``: those that the graph says, 1 where a size is open. Raises as :meth:`run` does.
        """
        usual = {value.name: tuple(1 if dim == -1 else dim for dim in value.shape or ()) for value in self.inputs}
        told = usual | dict(shapes or {})
        self._core.plan([list(told[value.name]) for value in self.inputs])
        return self

    def profile(self, inputs: Mapping[str, Any] | None = None, *, runs: int = 10) -> Profile:
        """Where the time of a run goes: each operator's time, bytes, GOP/s and share of what the machine can do.

        Runs once to warm up, then ``runs`` times on ``inputs`` (:meth:`run`), or on zeros of the last run's shapes
        (before any run: of the inputs', 1 where a size is open). The machine's limits are measured beside it, in about
        .2 seconds and 64 MiB that no limit counts. ``print(profile)`` shows a table, ``profile.save(path)`` writes a
        trace that Perfetto and chrome://tracing open. Raises as :meth:`run` does.
        """
        from .profile import make_profile

        if runs < 1:
            raise ValueError(f"runs must be 1 or more, not {runs}")
        if inputs is None:
            inputs = self._zeros()
        self.run(inputs)
        arrays = [self._array(value, inputs) for value in self.inputs]
        measured = self._core.profile(arrays, runs)
        return make_profile(self._core.nodes(), measured, _core.probe(self.threads))

    def _zeros(self) -> dict[str, np.ndarray]:
        shapes = self._core.shapes()
        zeros = {}
        for index, value in enumerate(self.inputs):
            shape = shapes[index] if shapes else [1 if dim == -1 else dim for dim in value.shape or ()]
            zeros[value.name] = np.zeros(shape, numpy_dtype(value.dtype).newbyteorder("="))
        return zeros

    def _array(self, value: Value, inputs: Mapping[str, Any]) -> np.ndarray:
        where = f"{self._name}: input {value.name!r}"
        if value.name not in inputs:
            raise ValueError(f"{where} is missing")
        array = np.asarray(inputs[value.name])
        wanted = numpy_dtype(value.dtype).newbyteorder("=")
        _check_dtype(array, wanted, where)
        shape = value.shape
        if shape is not None and (
            len(shape) != array.ndim or any(want not in (-1, got) for want, got in zip(shape, array.shape, strict=True))
        ):
            sizes = "x".join("?" if dim == -1 else str(dim) for dim in shape) or "a scalar"
            raise ShapeError(f"{where}: shape must be {sizes}, not {'x'.join(map(str, array.shape)) or 'a scalar'}")
        if array.ndim > 8:
            raise ShapeError(f"{where}: at most 8 dimensions, not {array.ndim}")
        with np.errstate(over="ignore"):
            return np.asarray(array, dtype=wanted, order="C")


def _cpus() -> int:
    """How many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_dtype(array: np.ndarray, wanted: np.dtype, where: str) -> None:
    kinds = {"f": "f", "b": "b"}.get(wanted.kind, "iu")
    if array.dtype.kind not in kinds:
        kind = {"f": "floating", "b": "boolean", "iu": "an integer"}[kinds]
        raise TypeError(f"{where}: dtype must be {kind}, not {array.dtype}")
    if kinds == "iu" and array.size and not np.can_cast(array.dtype, wanted):
        limits = np.iinfo(wanted)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise ValueError(f"{where}: a number in it does not fit {wanted}")


def _value(name: str, dtype: int, shape: tuple[int, ...] | None) -> Value:
    return Value(name, _DTYPES.get(dtype, str(dtype)), shape)


def _open(source: str | os.PathLike[str] | bytes | bytearray | memoryview | Model) -> tuple[Any, str]:
    """The bytes of a source, and what errors call it."""
    if isinstance(source, bytes | bytearray | memoryview):
        return source, "file in memory"
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        with open(name, "rb") as file:  # noqa: PTH123 - pathlib takes longer to import than a small network to run
            if os.fstat(file.fileno()).st_size == 0:
                raise CorruptError(f"{name}: the file is empty")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), name
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bp"
        source.save(path)
        return path.read_bytes(), "model"
