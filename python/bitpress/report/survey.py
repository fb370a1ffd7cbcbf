"""What a file holds, by its manifest: every byte of the file is counted, no tensor is decoded."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bitpress.codings import CODING_NUMBERS
from bitpress.container import Container, open_container
from bitpress.dtypes import DTYPES

__all__ = ["GraphSummary", "StreamLine", "Survey", "TensorLine", "survey_of"]

CODINGS = {number: name for name, number in CODING_NUMBERS.items()}


@dataclass(frozen=True)
class StreamLine:
    """One stream: ``stored`` bytes without padding, ``decoded`` bytes when its coding is undone."""

    role: str
    coding: str
    stored: int
    decoded: int


@dataclass(frozen=True)
class TensorLine:
    """One tensor and its streams."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scheme: str
    streams: tuple[StreamLine, ...]
    in_panels: bool = False

    @property
    def elements(self) -> int:
        """How many it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its streams in the file, without padding."""
        return sum(stream.stored for stream in self.streams)

    @property
    def source_nbytes(self) -> int:
        """Bytes of the tensor as it was before."""
        return -(-self.elements * DTYPES[self.dtype].bits // 8)

    @property
    def bits_per_weight(self) -> float:
        """Stored bits, scales and masks included, an element; 0 where there is no element."""
        return 8 * self.nbytes / self.elements if self.elements else 0.0


@dataclass(frozen=True)
class GraphSummary:
    """The network of a file: inputs and outputs as (name, dtype, shape), and how often each operator stands in it."""

    inputs: tuple[tuple[str, str, str], ...]
    outputs: tuple[tuple[str, str, str], ...]
    operators: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "inputs": [{"name": name, "dtype": dtype, "shape": shape} for name, dtype, shape in self.inputs],
            "outputs": [{"name": name, "dtype": dtype, "shape": shape} for name, dtype, shape in self.outputs],
            "operators": self.operators,
        }


@dataclass(frozen=True)
class Survey:
    """One file: ``header`` + ``manifest`` + ``graph_nbytes`` + ``padding`` + the tensors' bytes are its length."""

    path: str
    nbytes: int
    header: int  # the length word and the JSON
    manifest: int  # with its metadata, without the graph
    tensors: tuple[TensorLine, ...]
    graph: GraphSummary | None = None
    graph_nbytes: int = 0
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def tensor_nbytes(self) -> int:
        """Bytes of all tensors in the file, without padding."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def source_nbytes(self) -> int:
        """Bytes of all tensors as they were before."""
        return sum(tensor.source_nbytes for tensor in self.tensors)

    @property
    def elements(self) -> int:
        """Elements of all tensors."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def padding(self) -> int:
        """Zero bytes between streams, for alignment."""
        return self.nbytes - self.header - self.manifest - self.graph_nbytes - self.tensor_nbytes

    @property
    def overhead(self) -> int:
        """Every byte that is neither a tensor's nor the graph's."""
        return self.nbytes - self.tensor_nbytes - self.graph_nbytes

    @property
    def ratio(self) -> float:
        """Source bytes of the tensors over the whole file."""
        return self.source_nbytes / self.nbytes if self.nbytes else 0.0

    @property
    def panels(self) -> int:
        """How many tensors stand in panels."""
        return sum(tensor.in_panels for tensor in self.tensors)

    @property
    def build_options(self) -> tuple[str, ...]:
        """What CMake is told to build the C library for files like this one, and for nothing else (docs/c.md)."""
        operators = sorted(self.graph.operators) if self.graph else []
        codings = sorted({stream.coding for tensor in self.tensors for stream in tensor.streams} - {"raw"})
        return (
            "-DBITPRESS_MINIMAL=ON",
            f"-DBITPRESS_OPERATORS={';'.join(operators) or 'Identity'}",
            f"-DBITPRESS_CODINGS={';'.join(codings) or 'raw'}",
        )

    def share(self, tensor: TensorLine) -> float:
        """The part of the file that a tensor takes."""
        return tensor.nbytes / self.nbytes if self.nbytes else 0.0

    def by_role(self) -> dict[str, int]:
        """Stored bytes a role, over all tensors."""
        roles: Counter[str] = Counter()
        for tensor in self.tensors:
            for stream in tensor.streams:
                roles[stream.role] += stream.stored
        return dict(roles)

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "file": self.path,
            "bytes": self.nbytes,
            "source_bytes": self.source_nbytes,
            "ratio": round(self.ratio, 4),
            "elements": self.elements,
            "panels": self.panels,
            "bits_per_weight": round(8 * self.nbytes / self.elements, 4) if self.elements else None,
            "tensor_bytes": self.tensor_nbytes,
            "graph_bytes": self.graph_nbytes,
            "overhead": {
                "bytes": self.overhead,
                "header": self.header,
                "manifest": self.manifest,
                "padding": self.padding,
            },
            "tensors": [
                {
                    "name": tensor.name,
                    "shape": list(tensor.shape),
                    "dtype": tensor.dtype,
                    "scheme": tensor.scheme,
                    "in_panels": tensor.in_panels,
                    "elements": tensor.elements,
                    "bytes": tensor.nbytes,
                    "source_bytes": tensor.source_nbytes,
                    "bits_per_weight": round(tensor.bits_per_weight, 4),
                    "share": round(self.share(tensor), 6),
                    "streams": [
                        {"role": s.role, "coding": s.coding, "bytes": s.stored, "decoded_bytes": s.decoded}
                        for s in tensor.streams
                    ],
                }
                for tensor in self.tensors
            ],
            "graph": self.graph.as_json() if self.graph else None,
            "metadata": self.metadata,
        }


def _shape(shape: tuple[int, ...] | None) -> str:
    return "unknown" if shape is None else "x".join("?" if d < 0 else str(d) for d in shape) or "scalar"


def _graph(container: Container) -> GraphSummary | None:
    graph = container.read_graph()
    if graph is None:
        return None
    ends = [tuple((v.name, v.dtype, _shape(v.shape)) for v in values) for values in (graph.inputs, graph.outputs)]
    return GraphSummary(ends[0], ends[1], dict(Counter(node.op for node in graph.nodes).most_common()))


def _scheme(container: Container, name: str, streams: Sequence[StreamLine]) -> str:
    """The scheme in words, with the codings that its streams really have."""
    codings = dict.fromkeys(stream.coding for stream in streams if stream.coding != "raw")
    delta = ["delta"] if name in container.deltas else []
    panels = ["panels"] if container.tensors[name].order else []
    return " + ".join([str(container.scheme(name).with_coding("raw")), *delta, *panels, *codings])


def _manifest_nbytes(container: Container, header: int) -> int:
    table = json.loads(bytes(container.data[8:header]))
    return int(table["bitpress.manifest"]["shape"][0])


def survey_of(path: str | os.PathLike[str]) -> Survey:
    """Open a file, check it, and count its bytes. Raises as ``bp.load`` does."""
    with open_container(path) as container:
        header = 8 + int.from_bytes(container.data[:8], "little")
        tensors = []
        for name, record in container.tensors.items():
            streams = tuple(
                StreamLine(s.role.name.lower(), CODINGS[s.coding], s.stored, s.decoded) for s in record.streams
            )
            scheme = _scheme(container, name, streams)
            tensors.append(TensorLine(name, record.dtype, record.shape, scheme, streams, bool(record.order)))
        graph_nbytes = container.graph.nbytes
        return Survey(
            os.fspath(path),
            container.data.nbytes,
            header,
            _manifest_nbytes(container, header) - graph_nbytes,
            tuple(tensors),
            _graph(container),
            graph_nbytes,
            dict(container.metadata),
        )
