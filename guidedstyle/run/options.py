"""Options of a render: how often previews, frames and checkpoints are written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.video import check_timelapse
from guidedstyle.results.plots import require_matplotlib

SHARE = 0.05  # of the time, at most, for what is done every so many seconds
LONGEST = 600.0  # seconds to wait at most for its sake: the process may have been halted meanwhile


@dataclass(frozen=True)
class Every:
    """Every so many steps or seconds; neither: never."""

    steps: int | None = None
    seconds: float | None = None


NEVER = Every()


def read_every(text: str, option: str) -> Every:
    """Read `20` (steps), `5s` or `off`; raises GuidedStyleError where it is none of them."""
    if text == "off":
        return NEVER
    if re.fullmatch(r"[1-9][0-9]{0,8}", text):
        return Every(steps=int(text))
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?s", text) and float(text[:-1]) > 0:
        return Every(seconds=float(text[:-1]))
    remedy = f"write, for example, {option} 20, {option} 5s or {option} off"
    raise GuidedStyleError.of(option, f"{text!r} is neither a number of steps, nor seconds, nor off", remedy)


class Throttle:
    """Does something in a rhythm; by seconds never so often that it takes more than SHARE of the time."""

    def __init__(self, every: Every) -> None:
        self.every, self.next = every, time.monotonic() + (every.seconds or 0)

    def run(self, step: int, action: Callable[[], object]) -> None:
        """Do it if it is time."""
        if self.every.steps and step % self.every.steps == 0:
            action()
        elif self.every.seconds and time.monotonic() >= self.next:
            began = time.monotonic()
            action()
            now = time.monotonic()
            self.next = now + max(self.every.seconds, min(LONGEST, (now - began) / SHARE))


FRAMES = "2"  # steps between the frames of a film


@dataclass(frozen=True)
class RenderOptions:
    """How often the image so far, numbered frames and the state are written; a film, a report; to go on."""

    previews: Every = NEVER
    frames: Every = NEVER
    states: Every = NEVER
    timelapse: Path | None = None
    report: Path | None = None
    resume: bool = False


def check_report(report: Path) -> None:
    """Raise GuidedStyleError where a report cannot be called so."""
    if report.suffix.lower() not in (".html", ".htm"):
        raise GuidedStyleError.of("--report", f"{report.name!r} does not end like a page's name", "let it end in .html")


def read_render_options(
    previews: str, states: str, frames: str | None, timelapse: Path | None, report: Path | None, resume: bool
) -> RenderOptions:
    """Read the options of `render`; a film needs frames. Raises GuidedStyleError where one cannot be had."""
    if timelapse:
        check_timelapse(timelapse)
    if report:
        check_report(report)
        require_matplotlib()
    for file, option in ((timelapse, "--timelapse"), (report, "--report")):
        if file and not file.absolute().parent.is_dir():
            raise GuidedStyleError.of(option, f"there is no folder {file.parent}", "make it, or choose another place")
        if file and file.is_dir():
            raise GuidedStyleError.of(option, f"{file} is a folder", "name a file")
    return RenderOptions(
        read_every(previews, "--preview-every"),
        read_every(frames or (FRAMES if timelapse else "off"), "--save-every"),
        read_every(states, "--checkpoint-every"),
        timelapse,
        report,
        resume,
    )
