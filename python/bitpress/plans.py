"""What is to become of each tensor, and the tensors so made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from .codebooks import learned
from .dtypes import array_bytes, from_float32, to_float32
from .masks import stored_mask
from .methods import Settings, Statistics, magnitude, method, pruning
from .recipe import Rule
from .scheme import Codebook, Scheme
from .tensor import PackedTensor, TensorSpec, pack_bytes

__all__ = ["LazyTensors", "Plan", "Reader"]

Reader = Callable[[str], np.ndarray]


@dataclass
class Plan:
    """What is to become of one tensor."""

    spec: TensorSpec
    rule: Rule | None
    border: magnitude.Border | None = None
    book: np.ndarray | None = None  # a codebook that it shares, [entries, vector]
    offset: np.ndarray | None = None  # to be added, float64 in the tensor's shape
    packed: PackedTensor | None = None  # where that is done already
    taken: Callable[[], PackedTensor] | None = None  # where it comes as codes, which stay


class LazyTensors(Mapping[str, PackedTensor]):
    """Tensors that are read, pruned and packed each time they are asked for; kept are those of calibrated layers."""

    def __init__(self, plans: dict[str, Plan], read: Reader) -> None:
        self.plans = plans
        self.added: set[str] = set()  # names of tensors that the source lacks: zeros
        self._read = read

    def specs(self) -> list[TensorSpec]:
        """What each tensor will be, in order, without reading any."""
        return [plan.spec for plan in self.plans.values()]

    def exact(self, name: str) -> PackedTensor:
        """A tensor as it came; zeros where the source has none of this name."""
        plan = self.plans[name]
        if plan.taken is not None:
            return plan.taken()
        spec = plan.spec
        return pack_bytes(self._elements(name), spec.dtype, spec.shape, Scheme(), name=name)

    def pack(self, name: str, statistics: Statistics | None = None) -> PackedTensor:
        """A tensor as its rule says, with what is known of its layer."""
        plan = self.plans[name]
        spec, rule = plan.spec, plan.rule
        if plan.taken is not None:
            return plan.taken()
        data = self._elements(name)
        if plan.offset is not None:
            moved = to_float32(data, spec.dtype) + plan.offset.reshape(-1)
            data = array_bytes(from_float32(moved.astype(np.float32), spec.dtype))
        if rule is None:
            return pack_bytes(data, spec.dtype, spec.shape, spec.scheme, name=name)
        data = self._pruned(plan, data, statistics)
        settings = replace(Settings.of(rule, statistics), book=plan.book)
        return method(rule.method).pack(data, spec.dtype, spec.shape, spec.scheme, name=name, settings=settings)

    def share_books(self) -> None:
        """Learn the codebook of each rule whose tensors share one, from all of them."""
        groups: dict[int, list[Plan]] = {}
        for plan in self.plans.values():
            if plan.rule is not None and plan.rule.shared:
                groups.setdefault(id(plan.rule), []).append(plan)
        for group in groups.values():
            values = group[0].spec.scheme.values
            total = sum(plan.spec.elements for plan in group)
            book = learned(map(self._stored, group), values, total) if isinstance(values, Codebook) else None
            for plan in group:
                plan.book = book

    def _stored(self, plan: Plan) -> tuple[str, np.ndarray, np.ndarray | None]:
        spec = plan.spec
        data = self._pruned(plan, self._elements(spec.name), None)
        x = to_float32(data, spec.dtype).reshape(spec.shape)
        return spec.name, x, stored_mask(x, spec.scheme, spec.name)

    def _pruned(self, plan: Plan, data: memoryview, statistics: Statistics | None) -> memoryview:
        spec, rule = plan.spec, plan.rule
        if rule is None or not rule.prunes:
            return data
        return pruning.prune(
            data, spec.dtype, spec.shape, spec.scheme, rule, border=plan.border, statistics=statistics, name=spec.name
        )

    def _elements(self, name: str) -> memoryview:
        spec = self.plans[name].spec
        return memoryview(bytes(spec.source_bytes)) if spec.name in self.added else array_bytes(self._read(name))

    def __getitem__(self, name: str) -> PackedTensor:
        done = self.plans[name].packed
        return self.pack(name) if done is None else done

    def __iter__(self) -> Iterator[str]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)

    def __contains__(self, name: object) -> bool:
        return name in self.plans
