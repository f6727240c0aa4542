"""What an application reports while it works: fronts implement this."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from guidedstyle.engine.plan import Plan
    from guidedstyle.engine.progress import Update
    from guidedstyle.results.record import Record
    from guidedstyle.scene.check import Check
    from guidedstyle.scene.scene import Scene


class Reporter(Protocol):
    """Receives the reports of a render, a sweep or a watch, in the order of the methods below.

    Between `began` and `stopped` it is called at every step, from the thread that renders: a slow reporter slows the
    render down. `noted` may be called from another thread. What a method raises ends the render.
    """

    def planned(self, check: Check, plan: Plan) -> None:
        """Report that a render is planned; `check` holds the scene at a small size and its warnings."""

    def began(self, scene: Scene, plan: Plan) -> None:
        """Report that the steps of a render begin."""

    def progressed(self, update: Update) -> None:
        """Report a step; `update.done` is 0 while a style image is made."""

    def stopped(self) -> None:
        """Report that no more steps are taken; called after an error too."""

    def noted(self, text: str) -> None:
        """Report plain information."""

    def warned(self, text: str) -> None:
        """Report what the user should know, because the output may not be as intended."""

    def failed(self, name: str, error: Exception) -> None:
        """Report what could not be done, where the application continues with something else."""

    def ended(self, name: str, output: Path, record: Record, *, known: bool) -> None:
        """Report that an output is written, with its record; `known`: it was there already."""

    def watching(self, files: Sequence[Path], preview: Path) -> None:
        """Report which files are watched, the recipe first, and which file will show the preview."""

    def fixed(self, text: str) -> None:
        """Report that what `failed` reported last has been mended."""

    def previewed(self, preview: Path, *, first: float, whole: float, loss: float) -> None:
        """Report a preview: seconds from the save of a file to its first image and to its last, and its loss."""


class SilentReporter:
    """Reports nothing; fronts override what they show."""

    def planned(self, check: Check, plan: Plan) -> None:
        """Do nothing."""

    def began(self, scene: Scene, plan: Plan) -> None:
        """Do nothing."""

    def progressed(self, update: Update) -> None:
        """Do nothing."""

    def stopped(self) -> None:
        """Do nothing."""

    def noted(self, text: str) -> None:
        """Do nothing."""

    def warned(self, text: str) -> None:
        """Do nothing."""

    def failed(self, name: str, error: Exception) -> None:
        """Do nothing."""

    def ended(self, name: str, output: Path, record: Record, *, known: bool) -> None:
        """Do nothing."""

    def watching(self, files: Sequence[Path], preview: Path) -> None:
        """Do nothing."""

    def fixed(self, text: str) -> None:
        """Do nothing."""

    def previewed(self, preview: Path, *, first: float, whole: float, loss: float) -> None:
        """Do nothing."""


SILENT = SilentReporter()
