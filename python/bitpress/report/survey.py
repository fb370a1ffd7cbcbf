"""What a file holds, from its manifest alone: nothing is decoded, every byte is counted."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bitpress.dtypes import DTYPES

__all__ = ["GraphSummary", "StreamLine", "Survey", "TensorLine"]


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


@dataclass(frozen=True)
class Survey:
    """One file. ``header`` + ``manifest`` + ``padding`` + the tensors' bytes are ``nbytes``, the file's length."""

    path: str
    nbytes: int
    header: int  # the length word and the JSON
    manifest: int
    tensors: tuple[TensorLine, ...]
    graph: GraphSummary | None = None
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
        return self.nbytes - self.header - self.manifest - self.tensor_nbytes

    @property
    def overhead(self) -> int:
        """Every byte that is not a tensor's."""
        return self.nbytes - self.tensor_nbytes

    @property
    def ratio(self) -> float:
        """Source bytes of the tensors over the whole file."""
        return self.source_nbytes / self.nbytes if self.nbytes else 0.0

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
            "bits_per_weight": round(8 * self.nbytes / self.elements, 4) if self.elements else None,
            "tensor_bytes": self.tensor_nbytes,
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
            "graph": None
            if self.graph is None
            else {
                "inputs": [{"name": n, "dtype": d, "shape": s} for n, d, s in self.graph.inputs],
                "outputs": [{"name": n, "dtype": d, "shape": s} for n, d, s in self.graph.outputs],
                "operators": self.graph.operators,
            },
            "metadata": self.metadata,
        }
