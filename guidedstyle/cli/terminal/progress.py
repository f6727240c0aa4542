"""Progress bar, progress lines and JSON progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from guidedstyle.cli.terminal.messages import print_json
from guidedstyle.device.free_memory import measure_peak
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.progress import Update
from guidedstyle.losses.terms import Losses
from guidedstyle.results.record import Record
from guidedstyle.results.result import summarise_losses
from guidedstyle.run.eta import OVERHEAD, Forecast, write_seconds
from guidedstyle.run.speeds import load_speed
from guidedstyle.scene.scene import Scene

CONSOLE = Console(stderr=True, highlight=False, emoji=False)
EVERY = {"bar": 0.1, "json": 0.1, "lines": 5.0}  # seconds: showing every step would make a GPU wait for the host


@dataclass(frozen=True)
class Status:
    """Where a render is: `stage` of `stages` at `size`, `step` of all `steps`, losses, seconds, bytes of memory."""

    stage: int
    stages: int
    size: tuple[int, int]
    step: int
    steps: int
    losses: Losses
    seconds: float
    left: float | None
    memory: int

    def __str__(self) -> str:
        terms = f"style {self.losses.style.mean():.4f}  content {self.losses.content.mean():.4f}"
        where = f"size {self.stage} of {self.stages}, {max(self.size)} px"
        return f"{where}  {terms}  smoothness {self.losses.smoothness:.4f}  {self.memory / 2**30:.1f} GiB"


class Progress:
    """Shows the status of a render at intervals, and after the last planned step."""

    def __init__(self, encoder: str, plan: Plan, every: float, show: Callable[[Status], None]) -> None:
        self.plan, self.every, self.show = plan, every, show
        self.steps = sum(stage.steps for stage in plan.stages)
        speed = load_speed(encoder, plan)
        self.forecast = Forecast(plan.stages, speed.overhead if speed else OVERHEAD)
        self.began, self.last = time.monotonic(), -every

    def __call__(self, update: Update) -> None:
        """Note an update, and show it if it is due."""
        if update.done:
            self.forecast.note(update.stage, update.done)
        now = time.monotonic()
        if now - self.last >= self.every or update.done == self.steps:
            self.last = now
            self.show(self._describe(update, now))

    def _describe(self, update: Update, now: float) -> Status:
        stages, memory = self.plan.stages, measure_peak(self.plan.device)
        where = (update.stage + 1, len(stages), stages[update.stage].size, update.done, self.steps)
        return Status(*where, update.step.losses, now - self.began, self.forecast.left(), memory)


class Display:
    """A bar on a terminal, or a line every few seconds elsewhere."""

    def __init__(self, encoder: str, plan: Plan) -> None:
        self.live: Live | None = None
        if CONSOLE.is_terminal:
            start = Text("measuring the style images", style="dim")
            self.live = Live(start, console=CONSOLE, refresh_per_second=8)
            self.live.start()
        self.progress = Progress(encoder, plan, EVERY["bar" if self.live else "lines"], self._draw)

    def show(self, update: Update) -> None:
        """Show an update if it is due."""
        self.progress(update)

    def close(self) -> None:
        """Leave the last status, and release the terminal."""
        if self.live:
            self.live.stop()

    def _draw(self, status: Status) -> None:
        if self.live:
            self.live.update(draw_status(status))
        else:
            CONSOLE.print(write_status(status), soft_wrap=True)


class JsonLines:
    """Lines of JSON at intervals."""

    def __init__(self, scene: Scene, plan: Plan) -> None:
        encoder = scene.recipe.encoder.name
        self.show = Progress(encoder, plan, EVERY["json"], lambda status: print_json(describe_status(scene, status)))


def draw_status(status: Status) -> RenderableType:
    """Draw two lines: the bar with steps and time left, and below it the scale, losses and memory."""
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    bar = ProgressBar(status.steps, status.step)
    line.add_row(bar, f"{status.step}/{status.steps}", f"{write_seconds(status.left)} left")
    return Group(line, Text(str(status), style="dim", no_wrap=True, overflow="ellipsis"))


def write_status(status: Status) -> str:
    """Write a status as a line."""
    return f"step {status.step}/{status.steps}  {write_seconds(status.left)} left  {status}"


def describe_status(scene: Scene, status: Status) -> dict[str, Any]:
    """Describe a status for programs: seconds, bytes, and losses by term and region."""
    losses = (
        summarise_losses(scene, status.losses).model_dump() if status.step else None
    )  # none while a style image is made
    return {
        "output": str(scene.recipe.output),
        "stage": status.stage,
        "stages": status.stages,
        "size": status.size,
        "step": status.step,
        "steps": status.steps,
        "losses": losses,
        "seconds": round(status.seconds, 3),
        "seconds_left": None if status.left is None else round(status.left, 3),
        "memory": status.memory,
    }


def print_end(output: Path, record: Record) -> None:
    """Print for programs how a render ended."""
    print_json({"output": str(output), **record.model_dump(mode="json", include={"result", "losses", "notes"})})


def print_note(text: str, prefix: str = "", head: str = "") -> None:
    """Show a line on the error stream, above the progress bar; `prefix` says what it is, `head` stands before that."""
    CONSOLE.show_cursor()  # the process may end right after it
    CONSOLE.print(f"[dim]{head}[/][yellow]{prefix}[/]{escape(text)}", soft_wrap=True)
