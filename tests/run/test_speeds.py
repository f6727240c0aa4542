"""How long a render will take: measured, kept per machine, and told by check, the plan and dry runs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.images import draw_image

import guidedstyle
from guidedstyle.app.render import Renderer
from guidedstyle.run.eta import Forecast
from guidedstyle.run.speeds import (
    PER_REGION,
    Machine,
    Sample,
    Work,
    estimate_plan,
    estimate_works,
    fit_speed,
    is_any_measured,
    measure_stages,
    store_samples,
    write_duration,
)
from guidedstyle.scene.scene import plan_stages

KEY = Machine("lite", "a processor", "cpu", "float32", 2, 1)


class Clock:
    """A machine on which a step takes `fixed` seconds and `pixel` more for each pixel, and a stage begins slowly."""

    def __init__(self, fixed: float, pixel: float, setup: float) -> None:
        self.now, self.fixed, self.pixel, self.setup = 0.0, fixed, pixel, setup

    def render(self, work: Work) -> tuple[float, Forecast]:
        """Return the seconds of a render and what was measured of it."""
        began, done = self.now, 0
        forecast = Forecast(work.stages, clock=lambda: self.now)
        for index, stage in enumerate(work.stages):
            share = 1 + PER_REGION * (work.regions - 1)
            step = (self.fixed + self.pixel * math.prod(stage.size)) * share
            self.now += self.setup * step
            for _ in range(stage.steps):
                self.now, done = self.now + step, done + 1
                forecast.note(index, done)
        return self.now - began, forecast


def work(longest: int, regions: int, steps: int = 150) -> Work:
    stages = plan_stages((longest, longest * 2 // 3), steps, 3)
    return Work("lite", stages, (0.0,) * len(stages), regions)


USUAL = [work(192, 1), work(256, 3), work(384, 8, 60), work(512, 2), work(768, 3, 300), work(2048, 1)]


@pytest.mark.parametrize("first", [work(384, 3), work(512, 1), work(1024, 5)])
@pytest.mark.parametrize(("fixed", "pixel"), [(0.015, 9e-7), (0.03, 8e-7), (0.004, 1e-8), (0.001, 3e-6)])
def test_after_one_render_of_several_sizes_the_time_of_others_is_known(fixed: float, pixel: float, first: Work) -> None:
    clock = Clock(fixed, pixel, 5.0)
    _, forecast = clock.render(first)
    speed = fit_speed(list(measure_stages(forecast, first)))
    assert speed
    for other in USUAL:
        assert 1 / 1.2 < speed.estimate(other) / clock.render(other)[0] < 1.2


def test_after_one_small_render_the_time_of_larger_ones_is_about_known() -> None:
    clock = Clock(0.015, 9e-7, 5.0)  # as measured on a CPU
    _, forecast = clock.render(work(192, 1))
    speed = fit_speed(list(measure_stages(forecast, work(192, 1))))
    assert speed
    for other in USUAL:
        assert 1 / 1.5 < speed.estimate(other) / clock.render(other)[0] < 1.5


def test_a_suspended_step_does_not_count() -> None:
    clock, first = Clock(0.015, 9e-7, 5.0), work(384, 1)
    _, forecast = clock.render(first)
    forecast.steps[0][7] += 3600
    speed = fit_speed(list(measure_stages(forecast, first)))
    assert speed
    assert speed.estimate(first) == pytest.approx(clock.render(first)[0], rel=0.2)


def test_a_render_is_measured_and_the_next_one_estimated(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(project / "cache"))
    check, renderer = guidedstyle.check(project / "recipe.yaml"), Renderer("cpu")
    plan = renderer.plan(check.scene)
    assert (estimate_plan(check.scene, plan), estimate_works([Work.of(check.scene)])) == (None, None)
    assert not is_any_measured()
    result = guidedstyle.render(project / "recipe.yaml", device="cpu")
    found = estimate_plan(check.scene, plan)
    assert found == estimate_works([Work.of(check.scene)])
    assert found
    assert found == pytest.approx(result.rendering.seconds, rel=0.7)
    other = torch.float32 if plan.precision == torch.bfloat16 else torch.bfloat16
    assert estimate_plan(check.scene, replace(plan, precision=other)) is None
    assert estimate_works([Work.of(check.scene)._replace(encoder="vgg19")]) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{}",
        b'{"machine": 3}',
        b"{" * 9999,
        b"\xff\xfe",
        b'{"machine": {}, "samples": 3}',
        b'{"machine": {}, "samples": [3, [], [1, 2, 3], ["a", 1, 1, 1], [1, 1, 1, NaN], [0, 1, 1, 1], [1, 1, -1, 1]]}',
        b'{"machine": {}, "samples": [[1, 1, 1e99, 1], [true, null, 1, 1], [Infinity, 1, 1, 1]]}',
    ],
)
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(tmp_path))
    KEY.file.write_bytes(damage)
    assert estimate_works([work(192, 1)]) is None
    store_samples([Sample(1000.0, 1.0, 0.5, 3.0)], KEY)
    assert json.loads(KEY.file.read_bytes())["samples"] == [[1000, 1, 0.5, 3]]


@pytest.mark.parametrize("cache", ["file", "/proc/cache", "/dev/null/cache"])
def test_without_a_cache_nothing_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(tmp_path / cache))
    store_samples([Sample(1000.0, 1.0, 0.5, 3.0)], KEY)
    assert not is_any_measured()
    assert estimate_works([work(192, 1)]) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown yet"),
        (0.2, "about 1 s"),
        (34.2, "about 35 s"),
        (89, "about 90 s"),
        (700, "about 12 min"),
        (7199, "about 2 h"),
        (9000, "about 2 h 30 min"),
    ],
)
def test_a_time_is_written_as_exactly_as_it_is_known(seconds: float | None, text: str) -> None:
    assert write_duration(seconds).split(":")[0] == text


OFFLINE = """
import socket, sys
def refuse(*arguments, **options):
    raise OSError("a download")
socket.socket.connect = socket.create_connection = refuse
from guidedstyle.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("render", "recipe.yaml", "--dry-run"), "time    unknown yet"),
        (("render", "recipe.yaml", "other.yaml", "--dry-run", "-o", "new/out"), "time    unknown yet"),
        (("render", "recipe.yaml", "--content", "photo.png", "--dry-run", "-o", "new/out/"), "time    unknown yet"),
        (("render", "recipe.yaml", "--dry-run", "--json-progress"), ""),
        (("sweep", "recipe.yaml", "--vary", "solver.seed=1,2", "--dry-run"), "2 of 2 to render, unknown yet"),
        (("check", "recipe.yaml"), "time    unknown yet"),
        (("doctor",), "not downloaded yet"),
    ],
    ids=["plan", "several", "contents", "json", "sweep", "check", "doctor"],
)
def test_a_dry_run_downloads_nothing_and_writes_nothing(project: Path, command: tuple[str, ...], said: str) -> None:
    text = (project / "recipe.yaml").read_text() + "encoder: vgg19\n"
    for name in ("recipe.yaml", "other.yaml"):
        (project / name).write_text(text)
    for name in ("home", "tmp"):
        (project / name).mkdir()
    before = sorted(project.rglob("*"))
    places = {"HOME": "home", "TORCH_HOME": "home/torch", "GUIDEDSTYLE_CACHE": "home/cache", "TMPDIR": "tmp"}
    environment = os.environ | {key: str(project / name) for key, name in places.items()}
    python = [sys.executable, "-c", OFFLINE, *command]
    done = subprocess.run(python, cwd=project, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    left = [file for file in sorted(project.rglob("*")) if not file.name.startswith("torchinductor")]  # torch's own
    assert left == before
    if command[0] == "render":
        assert "the render downloads the weights of vgg19 first" in done.stderr


@pytest.mark.slow
def test_the_time_is_told_after_the_first_render(project: Path) -> None:
    environment = os.environ | {"GUIDEDSTYLE_CACHE": str(project / "cache")}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "guidedstyle", *arguments]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout

    draw_image(384, 256, 1).save(project / "photo.png")
    assert "time    unknown yet" in run("render", "recipe.yaml", "--device", "cpu", "--steps", "12", "--size", "128")
    assert "time    about" in run("render", "recipe.yaml", "--device", "cpu", "--dry-run")
    assert "time    about" in run("check", "recipe.yaml")
    assert "2 of 2 to render, about" in run("sweep", "recipe.yaml", "--vary", "solver.seed=1,2", "--dry-run")
