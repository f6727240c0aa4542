"""What is wanted of a render besides its picture and record. Without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.video import check_timelapse
from guidedstyle.plots import require_matplotlib
from guidedstyle.rhythm import NEVER, Rhythm, read_rhythm

FRAMES = "2"  # steps between the frames of a film


@dataclass(frozen=True)
class Wishes:
    """How often the picture so far, numbered frames and the state are written; a film, a report; to go on."""

    previews: Rhythm = NEVER
    frames: Rhythm = NEVER
    states: Rhythm = NEVER
    timelapse: Path | None = None
    report: Path | None = None
    resume: bool = False


def check_report(report: Path) -> None:
    """Raise GuidedStyleError where a report cannot be called so."""
    if report.suffix.lower() not in (".html", ".htm"):
        raise GuidedStyleError.of("--report", f"{report.name!r} does not end like a page's name", "let it end in .html")


def read_wishes(
    previews: str, states: str, frames: str | None, timelapse: Path | None, report: Path | None, resume: bool
) -> Wishes:
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
    return Wishes(
        read_rhythm(previews, "--preview-every"),
        read_rhythm(frames or (FRAMES if timelapse else "off"), "--save-every"),
        read_rhythm(states, "--checkpoint-every"),
        timelapse,
        report,
        resume,
    )
