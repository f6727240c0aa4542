"""One thing opened after another, with all problems collected instead of stopping at the first; framed pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.images import MOST_PIXELS, Frame, read_frame, read_picture
from guidedstyle.masks import MaskReader, find_palettes
from guidedstyle.reading import Reading
from guidedstyle.types import KeyPath

T = TypeVar("T")


def read_framed(
    file: Path, longest: int | None, largest: int | None = None, enlarge: bool = True
) -> tuple[Image.Image, Frame]:
    """Read a picture at `longest` px, its own size without, at most `largest`; and the frame of the file."""
    frame = read_frame(file)
    return read_picture(file, min(longest or max(frame.size), largest or MOST_PIXELS), enlarge), frame


class Opener:
    """Opens what a recipe names; `problems` are those of the recipe and of all that was opened so far."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.problems = list(reading.document.problems)
        self.masks = MaskReader(find_palettes(reading.recipe))

    def attempt(self, path: KeyPath, action: Callable[[], T]) -> T | None:
        """Do `action` for the key at `path`; None where it fails, or a mistake was reported there before."""
        if self.reading.is_mistaken(path):
            return None
        try:
            return action()
        except GuidedStyleError as error:
            place = self.reading.document.locate(path)
            self.problems += [Problem(f"{place}: {p.place}", p.rule, p.remedy) for p in error.problems]
            return None

    def complain(self, path: KeyPath, rule: str, remedy: str) -> None:
        """Note a problem of the key at `path`."""
        self.problems.append(Problem(self.reading.document.locate(path), rule, remedy))
