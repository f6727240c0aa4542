"""Progress on a terminal, in a pipe and for programs; the estimate of the time left."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from guidedstyle.cli.terminal.progress import Status, draw_status
from guidedstyle.losses.terms import Losses
from guidedstyle.run.eta import Forecast, write_seconds
from guidedstyle.scene.scene import plan_stages

SHOWN = Losses(torch.tensor(0.5), torch.tensor([0.1234, 0.3]), torch.tensor([0.9, 1.1]), torch.tensor(0.01))


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "--device", "cpu", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)


class Clock:
    """The clock of a machine on which a step takes `fixed` seconds, and `pixel` seconds more for each pixel."""

    def __init__(self, fixed: float, pixel: float, setup: float) -> None:
        self.now, self.fixed, self.pixel, self.setup = 0.0, fixed, pixel, setup

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("fixed", "pixel"), [(0.02, 8e-7), (0.05, 8e-7), (0.005, 8e-7), (0.01, 2e-7)])
@pytest.mark.parametrize(("side", "steps"), [(256, 150), (640, 150), (1024, 150), (2048, 300)])
def test_the_time_left_is_within_a_fifth_after_the_first_tenth(
    fixed: float, pixel: float, side: int, steps: int
) -> None:
    stages, clock = plan_stages((side, side * 2 // 3), steps, 3), Clock(fixed, pixel, 3.0)
    learnt = fixed / pixel  # by an earlier render
    forecast, done = Forecast(stages, learnt, clock), 0
    reported: list[tuple[float, float | None]] = []
    for index, stage in enumerate(stages):
        taken = clock.fixed + clock.pixel * stage.size[0] * stage.size[1]
        clock.now += clock.setup * taken
        for _ in range(stage.steps):
            clock.now, done = clock.now + taken, done + 1
            forecast.note(index, done)
            reported.append((clock.now, forecast.left()))
    late = [(when, left) for when, left in reported if when > 0.1 * clock.now]
    assert all(left is not None for _, left in late)
    for when, left in late:
        assert left == pytest.approx(clock.now - when, rel=0.2, abs=0.02 * clock.now)


def test_the_overhead_of_a_step_is_learnt_from_two_sizes() -> None:
    stages, clock = plan_stages((512, 512), 140, 3), Clock(0.03, 1e-7, 0)
    forecast, done = Forecast(stages, clock=clock), 0
    for index, stage in enumerate(stages[:2]):
        for _ in range(stage.steps):
            clock.now, done = clock.now + clock.fixed + clock.pixel * stage.size[0] * stage.size[1], done + 1
            forecast.note(index, done)
    assert forecast.overhead == pytest.approx(0.03 / 1e-7, rel=0.01)


def test_programs_read_a_line_of_json_for_every_update(project: Path) -> None:
    done = run("--json-progress", "--size", "150", "--set", "solver.steps=30", folder=project)
    assert done.returncode == 0
    assert done.stderr == ""
    *updates, end = [json.loads(line) for line in done.stdout.splitlines()]
    assert [update["step"] for update in updates] == sorted({update["step"] for update in updates})
    assert updates[-1]["step"] == updates[-1]["steps"] == 30
    assert updates[-1]["losses"]["regions"].keys() == {"right", "left"}
    assert {update["output"] for update in updates} == {end["output"]} == {"recipe.png"}
    record = json.loads((project / "recipe.png.json").read_text())
    assert end["result"] == record["result"]
    assert end["losses"] == record["losses"]
    assert 100 * 2**20 < updates[-1]["memory"] < 8 * 2**30


def test_there_are_no_losses_while_a_style_image_is_synthesised(project: Path) -> None:
    styles = "styles:\n  both: {fine: ink, coarse: oil}\n"
    text = (project / "recipe.yaml").read_text().replace("styles:\n", styles).replace("style: ink", "style: both")
    third = "  - {name: third, mask: {rectangle: [0, 0, 0.3, 1]}, style: oil}\nsolver"
    (project / "recipe.yaml").write_text(text.replace("solver", third))
    done = run("--json-progress", "--size", "100", folder=project)
    assert done.returncode == 0, done.stderr
    updates = [json.loads(line) for line in done.stdout.splitlines()[:-1]]
    assert (updates[0]["losses"], updates[0]["step"]) == (None, 0)
    assert updates[-1]["losses"]["regions"].keys() == {"right", "left", "third"}


def test_a_pipe_gets_plain_lines(project: Path) -> None:
    done = run(folder=project)
    assert "\x1b" not in done.stdout + done.stderr
    assert "step 4/4" in done.stderr
    assert "style" in done.stderr
    assert "content" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("recipe.png")


def test_quiet_prints_nothing(project: Path) -> None:
    done = run("--quiet", folder=project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("left", [None, 3.0, 7261.0])
def test_the_bar_takes_two_lines_and_never_wraps(width: int, left: float | None) -> None:
    status = Status(2, 4, (1024, 683), 1234, 5678, SHOWN, 12.0, left, 3 * 2**30)
    screen = Console(file=io.StringIO(), width=width, force_terminal=True)
    with screen.capture() as capture:
        screen.print(draw_status(status))
    lines = capture.get().splitlines()
    assert len(lines) == 2
    assert "1234/5678" in lines[0]
    assert write_seconds(left) in lines[0]
    assert "size 2 of 4" in lines[1]


@pytest.mark.parametrize(
    ("seconds", "written"), [(0.4, "0 s"), (59.4, "59 s"), (125, "2:05"), (3725, "1:02:05"), (None, "?")]
)
def test_times_are_written_in_hours_minutes_and_seconds(seconds: float | None, written: str) -> None:
    assert write_seconds(seconds) == written
