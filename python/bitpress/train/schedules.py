"""When weights are pruned: a schedule tells, for each step of an optimizer, which share of the final zeros there is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cubic", "Lottery", "OneShot", "Schedule"]


@dataclass(frozen=True)
class Schedule:
    """``share(step, sparsity)``: the sparsity that holds from this step on, or None where nothing is pruned then.

    Steps count from 0, before the first step of the optimizer. ``rewind``: the step whose weights the survivors get
    back each time that more are pruned; None: they go on from where they are.
    """

    @property
    def rewind(self) -> int | None:
        """The step to go back to."""
        return None

    def share(self, step: int, sparsity: float) -> float | None:
        """The sparsity from this step on, where it changes here."""
        raise NotImplementedError


@dataclass(frozen=True)
class OneShot(Schedule):
    """All zeros at step ``at``, for good: Han et al. 2015 (arXiv:1506.02626) where a trained network begins."""

    at: int = 0

    def share(self, step: int, sparsity: float) -> float | None:  # noqa: D102
        return sparsity if step == self.at else None


@dataclass(frozen=True)
class Cubic(Schedule):
    """From none at step ``begin`` to all at ``end``, fast at first: ``1 - (1 - t)**3`` of the zeros, every ``every``
    steps (Zhu and Gupta 2017, "To prune, or not to prune", arXiv:1710.01878)."""

    end: int
    begin: int = 0
    every: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.end or self.every < 1:
            raise ValueError(f"a cubic schedule needs 0 <= begin < end and every >= 1, not {self}")

    def share(self, step: int, sparsity: float) -> float | None:  # noqa: D102
        if not self.begin <= step <= self.end or (step != self.end and (step - self.begin) % self.every):
            return None
        return sparsity * (1 - (1 - (step - self.begin) / (self.end - self.begin)) ** 3)


@dataclass(frozen=True)
class Lottery(Schedule):
    """``rounds`` times, ``every`` steps apart, the same share of the survivors goes, and the rest is put back to what
    it was at step ``rewind_to`` (Frankle and Carbin 2019, arXiv:1803.03635; a late step: Frankle et al. 2020,
    arXiv:1912.05671). What is not pruned (biases, say) and the optimizer's state go on as they are."""

    every: int
    rounds: int = 1
    rewind_to: int = 0

    def __post_init__(self) -> None:
        if self.every < 1 or self.rounds < 1 or not 0 <= self.rewind_to < self.every:
            raise ValueError(f"a lottery needs every >= 1, rounds >= 1 and 0 <= rewind_to < every, not {self}")

    @property
    def rewind(self) -> int | None:
        """The step to go back to."""
        return self.rewind_to

    def share(self, step: int, sparsity: float) -> float | None:  # noqa: D102
        done, rest = divmod(step, self.every)
        if rest or not 1 <= done <= self.rounds:
            return None
        return float(1 - (1 - sparsity) ** (done / self.rounds)) if done < self.rounds else sparsity
