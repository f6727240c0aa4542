"""A clock that jumps, as for a process that was halted: nothing is negative, no storm, no silence."""

from __future__ import annotations

import numpy as np
import pytest

from guidedstyle.run.eta import Forecast
from guidedstyle.run.options import LONGEST_PAUSE, Every, Throttle
from guidedstyle.scene.scene import plan_stages


def test_a_clock_that_jumps_makes_no_storm_and_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a process that was halted for a day, once between two previews and once within one."""
    now, done = [0.0], list[float]()
    monkeypatch.setattr("guidedstyle.run.options.time.monotonic", lambda: now[0])
    throttle = Throttle(Every(seconds=5))

    def work() -> None:
        done.append(now[0])
        now[0] += 86400 if len(done) == 3 else 0.1

    for step in range(2000):
        now[0] += 86400 if step == 10 else 1
        throttle.run(step, work)
    gaps = np.diff(done)
    assert sorted(gaps)[-3] < 7  # but for the two jumps
    assert gaps.min() >= 5
    assert done[3] - done[2] <= 86400 + LONGEST_PAUSE + 1


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_the_time_left_is_never_negative_and_comes_back_after_a_jump(jump: float) -> None:
    stages, now = plan_stages((512, 512), 140, 3), [0.0]
    forecast = Forecast(stages, clock=lambda: now[0])
    for done in range(1, stages[0].steps):
        now[0] += jump if done == 9 else 1
        forecast.note(0, done)
        left = forecast.left()
        assert left is None or left >= 0
        if done == 8:
            before = left
    assert before
    assert forecast.left() == pytest.approx(before - (stages[0].steps - 9), rel=0.2)
