"""Options of a render: how often previews, frames and checkpoints are written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import check_folder_path
from guidedstyle.io.ownership import protect
from guidedstyle.io.paths import (
    list_frames,
    name_checkpoint,
    name_frames,
    name_lock,
    name_old_checkpoint,
    name_preview,
    name_record,
)
from guidedstyle.io.video import check_timelapse
from guidedstyle.recipe.inputs import find_overwritten, identify, list_given
from guidedstyle.recipe.model import Recipe
from guidedstyle.results.plots import require_matplotlib

MOST_TIME = 0.05  # fraction of a render's time for something that is done every few seconds
LONGEST_PAUSE = 600.0  # seconds for the sake of MOST_TIME; an action may only seem slow, if the process was suspended


@dataclass(frozen=True, kw_only=True)
class Every:
    """An interval in steps or in seconds; neither means never."""

    steps: int | None = None
    seconds: float | None = None


NEVER = Every()
TIMELAPSE_FRAMES = Every(steps=2)  # where a time-lapse needs frames and none are asked for


def read_every(text: str, option: str) -> Every:
    """Read `20` (steps), `5s` or `off`; raises GuidedStyleError for anything else."""
    if text == "off":
        return NEVER
    if re.fullmatch(r"[1-9][0-9]{0,8}", text):
        return Every(steps=int(text))
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?s", text) and float(text[:-1]) > 0:
        return Every(seconds=float(text[:-1]))
    remedy = f"write, for example, {option} 20, {option} 5s or {option} off"
    raise GuidedStyleError.of(option, f"{text!r} is neither a number of steps, nor seconds, nor off", remedy)


class Throttle:
    """Runs an action at intervals; those in seconds are stretched where it would take more than MOST_TIME."""

    def __init__(self, every: Every) -> None:
        self.every, self.next = every, time.monotonic() + (every.seconds or 0)

    def run(self, step: int, action: Callable[[], object]) -> None:
        """Run the action after this step if it is due."""
        if self.every.steps and step % self.every.steps == 0:
            action()
        elif self.every.seconds and time.monotonic() >= self.next:
            began = time.monotonic()
            action()
            now = time.monotonic()
            self.next = now + max(self.every.seconds, min(LONGEST_PAUSE, (now - began) / MOST_TIME))


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """Options of `render` that do not change the image.

    How often the image so far, numbered frames and checkpoints are written; the files of a time-lapse and of a report;
    whether to resume from a checkpoint, and whether to replace files that guidedstyle did not make. A time-lapse needs
    frames: by default every second step.

    Raises GuidedStyleError if the file of a time-lapse or report cannot be written.
    """

    previews: Every = NEVER
    frames: Every = NEVER
    checkpoints: Every = NEVER
    timelapse: Path | None = None
    report: Path | None = None
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("timelapse", "report"):
            if file := getattr(self, name):
                object.__setattr__(self, name, Path(file))  # a text is a path too
        if self.timelapse:
            check_timelapse(self.timelapse)
            _check_place(self.timelapse, "--timelapse")
            if self.frames == NEVER:
                object.__setattr__(self, "frames", TIMELAPSE_FRAMES)
        if self.report:
            _check_report(self.report)
            _check_place(self.report, "--report")

    def list_files(self, output: Path) -> list[Path]:
        """List the files that a render of this output writes, replaces or deletes."""
        names = (name_record, name_checkpoint, name_old_checkpoint, name_lock, name_preview)
        frames = list_frames(name_frames(output)) if self.frames != NEVER else []
        return [output, *(name(output) for name in names), *frames, *filter(None, (self.timelapse, self.report))]

    def check_files(self, recipe: Recipe, source: str) -> None:
        """Raise GuidedStyleError if a render would replace one of its inputs.

        Or, unless `overwrite`, a file that guidedstyle did not make. `source` is the file of the recipe.
        """
        files = self.list_files(recipe.output)
        if overwritten := find_overwritten(identify(list_given(recipe, Path(source))), files):
            raise GuidedStyleError.of("render", overwritten, "choose another name for the image, film or report")
        protect(files, overwrite=self.overwrite)


def read_render_options(
    *,
    preview_every: str,
    checkpoint_every: str,
    save_every: str | None = None,
    timelapse: Path | None = None,
    report: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> RenderOptions:
    """Read the options of `render`; raises GuidedStyleError if one of them is wrong, or its file cannot be written."""
    return RenderOptions(
        previews=read_every(preview_every, "--preview-every"),
        frames=read_every(save_every or "off", "--save-every"),
        checkpoints=read_every(checkpoint_every, "--checkpoint-every"),
        timelapse=timelapse,
        report=report,
        resume=resume,
        overwrite=overwrite,
    )


def _check_report(report: Path) -> None:
    if report.suffix.lower() not in (".html", ".htm"):
        rule = f"{report.name!r} is not the name of a web page"
        raise GuidedStyleError.of("--report", rule, "choose a name ending in .html")
    require_matplotlib()


def _check_place(file: Path, option: str) -> None:
    check_folder_path(file.parent, option)
    if file.is_dir():
        raise GuidedStyleError.of(option, f"{file} is a folder", "name a file")
