"""Intervals in steps and seconds, and actions that are run at intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from guidedstyle.errors import GuidedStyleError
from guidedstyle.run.options import LONGEST_PAUSE, NEVER, Every, RenderOptions, Throttle, read_every


@pytest.mark.parametrize(
    ("text", "every"), [("20", Every(steps=20)), ("5s", Every(seconds=5)), ("0.5s", Every(seconds=0.5))]
)
def test_an_interval_is_in_steps_or_in_seconds(text: str, every: Every) -> None:
    assert read_every(text, "--x") == every
    assert read_every("off", "--x") == NEVER


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "5m", "1e3", "often", "s", "٣"])
def test_an_invalid_interval_is_refused(text: str) -> None:
    with pytest.raises(GuidedStyleError, match="--x"):
        read_every(text, "--x")


def test_a_time_lapse_has_frames_by_default(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    assert RenderOptions(timelapse=film).frames == Every(steps=2)
    assert RenderOptions(timelapse=film, frames=Every(steps=5)).frames == Every(steps=5)
    assert RenderOptions().frames == NEVER


@pytest.mark.parametrize("key", ["timelapse", "report"])
@pytest.mark.parametrize("name", ["file.txt", "taken/file.mp4", "taken/file.html"])
def test_a_file_that_could_not_be_written_is_refused(tmp_path: Path, key: str, name: str) -> None:
    (tmp_path / "taken").write_text("a file, where a folder would be made")
    with pytest.raises(GuidedStyleError, match=f"--{key}"):
        RenderOptions(**{key: tmp_path / name})


def test_a_slow_action_is_run_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now, done = [0.0], list[float]()
    monkeypatch.setattr("guidedstyle.run.options.time.monotonic", lambda: now[0])
    throttle = Throttle(Every(seconds=1))

    def work() -> None:
        done.append(now[0])
        now[0] += 1  # second

    for step in range(1, 1000):
        now[0] += 0.1
        throttle.run(step, work)
    assert len(done) * 1 <= 0.06 * now[0]
    assert len(done) > 3


def test_a_clock_that_jumps_causes_neither_a_burst_nor_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is suspended for a day, once between two actions and once within one."""
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
    assert sorted(gaps)[-3] < 7  # except for the two jumps
    assert gaps.min() >= 5
    assert done[3] - done[2] <= 86400 + LONGEST_PAUSE + 1
