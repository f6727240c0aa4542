"""The time left, also with a clock that jumps, as when the process was suspended."""

from __future__ import annotations

import pytest

from guidedstyle.run.eta import Forecast
from guidedstyle.scene.scene import plan_stages


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_the_time_left_is_never_negative_and_recovers_after_a_jump(jump: float) -> None:
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
