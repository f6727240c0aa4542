"""Estimate the time left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from statistics import median

from guidedstyle.scene.scene import Stage

OVERHEAD = 27_000.0  # px: what a step takes besides its pixels, in pixels; measured on a CPU
MOST_OVERHEAD = 1e8
SETUP = 3.0  # steps that a size takes before its first one, as long as none is known
RECENT, ENOUGH = 60, 5  # steps of a size that are looked at; fewer than ENOUGH tell little


class Forecast:
    """Told of every step, it tells the seconds that are left.

    A step is taken to cost as its pixels and an `overhead` in pixels, which is learnt as soon as two sizes are known.
    """

    def __init__(
        self, stages: Sequence[Stage], overhead: float = OVERHEAD, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stages, self.overhead, self.clock = stages, overhead, clock
        self.taken: dict[int, list[float]] = {}  # seconds of each step, by stage
        self.setups: dict[int, float] = {}  # seconds before the first, by stage
        self.stage, self.done, self.last = 0, 0, clock()

    def note(self, stage: int, done: int) -> None:
        """Note that `done` steps in all have been taken, the last at `stage`."""
        now = self.clock()
        spent, steps = max(0.0, now - self.last), done - self.done
        if stage in self.taken and steps > 0:
            self.taken[stage].append(spent / steps)
        elif stage not in self.taken:
            self.taken[stage], self.setups[stage] = [], spent
        self.stage, self.done, self.last = stage, done, now
        if len(known := self._list_known()) > 1:
            self._learn(*known[-2:])

    def left(self) -> float | None:
        """Tell the seconds that are left; None: nothing is known yet."""
        if not (known := self._list_known()):
            return None
        unit = self._pace(known[-1]) / self._cost(known[-1])
        setups = [self.setups[index] / self._pace(index) - 1 for index in known[1:]]
        here = sum(one.steps for one in self.stages[: self.stage + 1]) - self.done
        later = range(self.stage + 1, len(self.stages))
        costs = [(self.stages[index].steps + median([*setups, SETUP])) * self._cost(index) for index in later]
        return unit * (here * self._cost(self.stage) + sum(costs))

    def _list_known(self) -> list[int]:
        """List the sizes of which enough steps are known, the smallest first."""
        return [index for index, taken in sorted(self.taken.items()) if len(taken) >= ENOUGH]

    def _pace(self, stage: int) -> float:
        return median(self.taken[stage][-RECENT:])

    def _cost(self, stage: int) -> float:
        return math.prod(self.stages[stage].size) + self.overhead

    def _learn(self, small: int, large: int) -> None:
        """Learn the overhead from two sizes."""
        ratio = self._pace(large) / self._pace(small)
        pixels = [math.prod(self.stages[index].size) for index in (small, large)]
        exact = (pixels[1] - ratio * pixels[0]) / (ratio - 1) if ratio > 1 else MOST_OVERHEAD
        self.overhead = min(max(exact, 0.0), MOST_OVERHEAD)
