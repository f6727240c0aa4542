"""What the command line shows of a render, a sweep or a watch: text with a progress bar, JSON, or only errors."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from guidedstyle.cli.terminal.console import print_line, print_next, print_plan, print_scene
from guidedstyle.cli.terminal.messages import print_error
from guidedstyle.cli.terminal.progress import Display, JsonLines, print_end, print_note
from guidedstyle.device.distributed import is_first
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.progress import Update
from guidedstyle.errors import GuidedStyleError
from guidedstyle.results.record import Record
from guidedstyle.run.reporter import Reporter, SilentReporter
from guidedstyle.run.speeds import estimate_plan, is_any_measured
from guidedstyle.scene.check import Check
from guidedstyle.scene.scene import Scene

Verbosity = Literal["bar", "json", "quiet"]


def choose_reporter(verbosity: Verbosity) -> Reporter:
    """Choose how a render is shown; of several processes only the first shows more than errors."""
    if verbosity == "quiet" or not is_first():
        return QuietReporter()
    return JsonReporter() if verbosity == "json" else TextReporter()


@contextmanager
def suggesting_next_steps(reporter: Reporter, recipe: str) -> Iterator[None]:
    """After the first render on this machine, show what can be done next."""
    new = not is_any_measured()
    yield
    if new and is_any_measured() and isinstance(reporter, TextReporter):
        print_next(recipe)


class QuietReporter(SilentReporter):
    """Shows only errors."""

    def failed(self, name: str, error: Exception) -> None:
        """Show an error; others follow."""
        print_error(error, name)


class TextReporter(QuietReporter):
    """Shows the plan, progress on the error stream, and the outcome of each render."""

    display: Display | None = None

    def planned(self, check: Check, plan: Plan) -> None:
        """Show the regions, warnings and the plan."""
        print_scene(check.scene, check.warnings)
        print_plan(plan, estimate_plan(check.scene, plan))

    def began(self, scene: Scene, plan: Plan) -> None:
        """Open a progress bar, or lines where there is no terminal."""
        self.display = Display(scene.recipe.encoder.name, plan)

    def progressed(self, update: Update) -> None:
        """Show progress."""
        if self.display:
            self.display.show(update)

    def stopped(self) -> None:
        """Close the progress bar."""
        if self.display:
            self.display.close()
        self.display = None

    def noted(self, text: str) -> None:
        """Show a line."""
        print_note(text)

    def warned(self, text: str) -> None:
        """Show a warning."""
        print_note(text, "warning: ")

    def ended(self, name: str, output: Path, record: Record, *, known: bool) -> None:
        """Show where the image is and why the render ended."""
        print_line(str(output), ("exists already, " if known else "") + describe_end(record))


class JsonReporter(QuietReporter):
    """Shows progress, and the outcome of each render, as lines of JSON."""

    def began(self, scene: Scene, plan: Plan) -> None:
        """Begin the lines of a render."""
        self.lines = JsonLines(scene, plan)

    def progressed(self, update: Update) -> None:
        """Print a line at intervals."""
        self.lines.show(update)

    def noted(self, text: str) -> None:
        """Show a line on the error stream; warnings are in the last line of JSON."""
        print_note(text)

    def ended(self, name: str, output: Path, record: Record, *, known: bool) -> None:
        """Print the last line."""
        print_end(output, record)


class SweepReporter(TextReporter):
    """Shows one line for each variant."""

    def planned(self, check: Check, plan: Plan) -> None:
        """Do not show the plans: there may be hundreds."""

    def ended(self, name: str, output: Path, record: Record, *, known: bool) -> None:
        """Show the values of a variant, its loss and why its render ended."""
        how = "exists already" if known else describe_end(record)
        print_line(name, f"loss {record.losses.total:.4g}  {how}")


class WatchReporter(TextReporter):
    """Shows progress, and one line for each event with its time of day."""

    def watching(self, files: Sequence[Path], preview: Path) -> None:
        """Show what is watched, which file to open, and how to end."""
        recipe, *others = files
        names = f" and {', '.join(file.name for file in others)}" if others else ""
        self.noted(f"watching {recipe}{names}")
        self.noted(f"open {preview}: it is written again after every save; Ctrl-C ends")

    def noted(self, text: str) -> None:
        """Show a line."""
        print_note(text, head=_write_clock())

    def warned(self, text: str) -> None:
        """Show a warning."""
        print_note(text, "warning: ", head=_write_clock())

    def failed(self, name: str, error: Exception) -> None:
        """Show an error; the next save may mend it."""
        problems = error.problems if isinstance(error, GuidedStyleError) else ()
        parts: Sequence[Exception] = [GuidedStyleError((problem,)) for problem in problems] or [error]
        for part in parts:  # each with its time
            print_error(part, name, head=_write_clock())

    def fixed(self, text: str) -> None:
        """Show that the error is mended."""
        print_note(text, "fixed: ", head=_write_clock())

    def previewed(self, preview: Path, *, first: float, whole: float, loss: float) -> None:
        """Show how long after a save a preview was there."""
        times = f"first after {first:.1f} s, complete after {whole:.1f} s"
        print_line(f"{_write_clock()}{preview}", f"{times}  loss {loss:.4g}")


def _write_clock() -> str:
    return time.strftime("%H:%M:%S  ")


def describe_end(record: Record) -> str:
    """Describe how long a render took and why it ended."""
    return f"{record.result.seconds:.0f} s, {record.result.reason}"
