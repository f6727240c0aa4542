"""What can go wrong for a reason the user can mend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]  # where something stands in a recipe: ("regions", 1, "mask")


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands, what stands there, which rule it breaks and how to mend it."""

    place: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}\n    {self.remedy}"


class GuidedStyleError(Exception):
    """Anything the user can mend: all the problems found, reported at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, place: object, rule: str, remedy: str) -> GuidedStyleError:
        """Make an error of a single problem."""
        return cls([Problem(str(place), rule, remedy)])


class StoppedEarlyError(Exception):
    """A render was stopped before its first step, while a painting was made."""
