"""Named arrays that are read, or computed, when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

__all__ = ["Tensors"]


class Tensors(Mapping[str, np.ndarray]):
    """A mapping over another one (which may read a file), in which some arrays are replaced by computed ones."""

    def __init__(
        self,
        base: Mapping[str, np.ndarray],
        names: Iterable[str] | None = None,
        computed: Mapping[str, Callable[[], np.ndarray]] | None = None,
    ) -> None:
        self._base = base
        self._computed = dict(computed or {})
        self._names = dict.fromkeys(base if names is None else names)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self._computed[name]() if name in self._computed else self._base[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    @property
    def computed(self) -> frozenset[str]:
        """Names whose arrays are not the base's own."""
        return frozenset(self._computed) & frozenset(self._names)

    def with_computed(self, computed: Mapping[str, Callable[[], np.ndarray]]) -> Tensors:
        """The same, where these arrays are replaced or added."""
        return Tensors(self._base, [*self._names, *computed], {**self._computed, **computed})

    def only(self, names: Iterable[str]) -> Tensors:
        """The same, without any but these names, in this order."""
        return Tensors(self._base, [name for name in names if name in self._names], self._computed)
