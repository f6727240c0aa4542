"""How long a render will take yet, by what its steps have taken so far. Without torch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from guidedstyle.stages import Stage

OVERHEAD = 60_000.0  # px: what a step takes besides its pixels, in pixels
SETUP = 4.0  # steps: what a size takes before its first step


class Forecast:
    """Told of every step, it tells the seconds that are left."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages, self.overhead = stages, OVERHEAD
        self.paces: dict[int, list[float]] = {}  # seconds of each step, by stage
        self.last: tuple[int, int, float] | None = None  # stage, steps done in all, when

    def note(self, stage: int, done: int) -> None:
        """Note that `done` steps in all have been taken, the last at `stage`."""
        now = time.monotonic()
        if self.last and self.last[0] == stage and done > self.last[1]:
            self.paces.setdefault(stage, []).append((now - self.last[2]) / (done - self.last[1]))
        self.last = (stage, done, now)

    def left(self) -> float | None:
        """Tell the seconds that are left; None: nothing is known yet."""
        if not self.last or self.last[0] not in self.paces:
            return None
        stage, done, _ = self.last
        pace = self._pace(stage)
        here = sum(one.steps for one in self.stages[: stage + 1]) - done
        unit = pace / self._cost(stage)
        later = sum((self.stages[i].steps + SETUP) * self._cost(i) for i in range(stage + 1, len(self.stages)))
        return here * pace + later * unit

    def _pace(self, stage: int) -> float:
        taken = sorted(self.paces[stage])
        return taken[len(taken) // 2]

    def _cost(self, stage: int) -> float:
        return math.prod(self.stages[stage].size) + self.overhead
