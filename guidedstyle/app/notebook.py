"""What a notebook shows while a render runs: a progress bar and the image so far."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable
from html import escape
from types import ModuleType
from typing import TYPE_CHECKING, Any

from guidedstyle.errors import GuidedStyleError, StoppedEarlyError, explain_error
from guidedstyle.run.eta import Forecast, write_seconds
from guidedstyle.run.options import Every, Throttle
from guidedstyle.run.reporter import SILENT, Reporter, SilentReporter

if TYPE_CHECKING:
    from guidedstyle.engine.plan import Plan
    from guidedstyle.engine.progress import Update
    from guidedstyle.scene.check import Check
    from guidedstyle.scene.scene import Scene

SECONDS = 0.5  # between two views; more where to draw them would take more than a twentieth of the time
LONGEST = 512  # px, of the image so far
QUALITY = 85


def is_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook, such as Jupyter, VS Code or Colab."""
    shell = sys.modules.get("IPython")  # a kernel has loaded it
    running = shell.get_ipython() if shell else None
    return hasattr(running, "kernel")


def choose_reporter(reporter: Reporter | None) -> Reporter:
    """Return the reporter that was given, else that of a notebook in its kernel, and a silent one elsewhere."""
    if reporter is not None:
        return reporter
    return NotebookReporter() if is_notebook() else SILENT


class NotebookReporter(SilentReporter):
    """Shows a bar, the image so far and warnings in a notebook.

    The image is at most `longest` px a side and is drawn again after `seconds`, or later where that is slow. Raises
    GuidedStyleError where IPython is not installed.
    """

    def __init__(self, *, seconds: float = SECONDS, longest: int = LONGEST) -> None:
        self.seconds, self.longest = seconds, longest
        self.display = _load_display()
        self.handle: Any = None
        self.view: View | None = None

    def planned(self, check: Check, plan: Plan) -> None:
        """Show the warnings of a recipe."""
        for warning in check.warnings:
            self.warned(warning)

    def began(self, scene: Scene, plan: Plan) -> None:
        """Show an empty bar."""
        self.view = View(plan, seconds=self.seconds, longest=self.longest, show=self._show)
        self.handle = None
        self.view.draw("preparing the style images")

    def progressed(self, update: Update) -> None:
        """Show a step if it is due."""
        if self.view:
            self.view.note(update)

    def stopped(self) -> None:
        """Show the last step."""
        if self.view:
            self.view.end()

    def noted(self, text: str) -> None:
        """Show plain information."""
        self._say(text)

    def warned(self, text: str) -> None:
        """Show a warning."""
        self._say(f"warning: {text}")

    def failed(self, name: str, error: Exception) -> None:
        """Show an error after which the render continues."""
        early = isinstance(error, StoppedEarlyError)
        self._say(f"{name}: {'stopped before the first step' if early else explain_error(error) or repr(error)}")

    def _say(self, text: str) -> None:
        self._display(text, f"<pre style='white-space: pre-wrap'>{escape(text)}</pre>")

    def _show(self, text: str, html: str) -> None:
        if self.handle is None:
            self.handle = self._display(text, html, display_id=True)
        else:
            self.handle.update({"text/plain": text, "text/html": html}, raw=True)

    def _display(self, text: str, html: str, **options: object) -> Any:
        """Show HTML, or where there is none, as in a console, its text."""
        return self.display.display({"text/plain": text, "text/html": html}, raw=True, **options)


class View:
    """A bar with its text, and the image so far, as HTML that replaces itself."""

    def __init__(self, plan: Plan, *, seconds: float, longest: int, show: Callable[[str, str], None]) -> None:
        self.plan, self.longest, self.show = plan, longest, show
        self.steps = sum(stage.steps for stage in plan.stages)
        self.forecast, self.throttle = Forecast(plan.stages), Throttle(Every(seconds=seconds))
        self.throttle.next = 0.0  # the first step is shown at once
        self.done, self.text, self.picture = 0, "", ""

    def note(self, update: Update) -> None:
        """Note a step, and show it if it is due; the last one always is."""
        if not update.done:
            self.throttle.run(0, lambda: self.draw("making a style image of two"))
            return
        self.forecast.note(update.stage, update.done)
        self.done, size = update.done, self.plan.stages[update.stage].size
        left, loss = self.forecast.left(), float(update.step.losses.total)
        rest = "" if left is None else f", {write_seconds(left)} left"
        self.text = f"step {self.done} of {self.steps}, {max(size)} px{rest}, loss {loss:.4f}"
        if self.done == self.steps:
            self._draw_step(update)
        else:
            self.throttle.run(update.done, lambda: self._draw_step(update))

    def _draw_step(self, update: Update) -> None:
        self.picture = encode_picture(update, self.longest)
        self.draw(self.text)

    def end(self) -> None:
        """Show the last step without the time left."""
        if self.done:
            self.draw(f"{self.done} of {self.steps} steps done")

    def draw(self, text: str) -> None:
        """Show the bar, a text below it, and the image of the last step that was drawn."""
        bar = f"<progress value='{self.done}' max='{self.steps}' style='width: 100%'></progress>"
        picture = f"<img src='data:image/jpeg;base64,{self.picture}'/>" if self.picture else ""
        self.show(text, f"<div style='max-width: {self.longest}px'>{bar}<div>{escape(text)}</div>{picture}</div>")


def encode_picture(update: Update, longest: int) -> str:
    """Encode the image so far, at most `longest` px a side, as JPEG in base64."""
    from guidedstyle.io.images.writing import to_pillow

    buffer = io.BytesIO()
    to_pillow(update.preview(longest)).save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()


def _load_display() -> ModuleType:
    try:
        from IPython import display
    except ImportError as error:
        remedy = "install IPython (pip install ipython), or leave the reporter out"
        raise GuidedStyleError.of("NotebookReporter", "IPython is not installed", remedy) from error
    return display
