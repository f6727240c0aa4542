"""Estimate the time left of a render."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from statistics import median

from guidedstyle.scene.scene import Stage

OVERHEAD = 27_000.0  # px: fixed cost of a step in addition to its pixels; measured on a CPU
MAX_OVERHEAD = 1e8
SETUP = 3.0  # steps: cost of a scale before its first step, until a scale has been measured
RECENT, ENOUGH = 60, 5  # steps of a scale: the latest ones count, and fewer than ENOUGH are not used


class Forecast:
    """Estimates the seconds left from the times of the steps so far.

    A step is taken to cost its pixels plus an `overhead` in pixels, which is learnt when two scales have been measured.
    """

    def __init__(
        self, stages: Sequence[Stage], overhead: float = OVERHEAD, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stages, self.overhead, self.clock = stages, overhead, clock
        self.steps: dict[int, list[float]] = {}  # seconds of each step, by stage
        self.setups: dict[int, float] = {}  # seconds before the first step, by stage
        self.stage, self.done, self.last = 0, 0, clock()

    def note(self, stage: int, done: int) -> None:
        """Note that `done` steps have been taken in all, the last one at `stage`."""
        now = self.clock()
        spent, steps = max(0.0, now - self.last), done - self.done
        if stage in self.steps and steps > 0:
            self.steps[stage].append(spent / steps)
        elif stage not in self.steps:
            self.steps[stage], self.setups[stage] = [], spent
        self.stage, self.done, self.last = stage, done, now
        if len(measured := self._list_measured()) > 1:
            self._learn(*measured[-2:])

    def restart(self) -> None:
        """Leave out the time until now: it was spent on something else."""
        self.last = self.clock()

    def left(self) -> float | None:
        """Estimate the seconds left; None: nothing has been measured yet."""
        if not (measured := self._list_measured()):
            return None
        unit = self._pace(measured[-1]) / self._cost(measured[-1])
        setups = [self.setups[index] / self._pace(index) - 1 for index in measured[1:]]
        here = sum(one.steps for one in self.stages[: self.stage + 1]) - self.done
        later = range(self.stage + 1, len(self.stages))
        costs = [(self.stages[index].steps + median([*setups, SETUP])) * self._cost(index) for index in later]
        return unit * (here * self._cost(self.stage) + sum(costs))

    def _list_measured(self) -> list[int]:
        """List the stages of which enough steps have been measured, the smallest first."""
        return [index for index, steps in sorted(self.steps.items()) if len(steps) >= ENOUGH]

    def _pace(self, stage: int) -> float:
        return median(self.steps[stage][-RECENT:])

    def _cost(self, stage: int) -> float:
        return math.prod(self.stages[stage].size) + self.overhead

    def _learn(self, small: int, large: int) -> None:
        """Learn the overhead from two scales."""
        ratio = self._pace(large) / self._pace(small)
        pixels = [math.prod(self.stages[index].size) for index in (small, large)]
        exact = (pixels[1] - ratio * pixels[0]) / (ratio - 1) if ratio > 1 else MAX_OVERHEAD
        self.overhead = min(max(exact, 0.0), MAX_OVERHEAD)


def write_seconds(seconds: float | None) -> str:
    """Write a length of time: `8 s`, `2:05`, `1:02:05`."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}" if minutes else f"{rest} s"
