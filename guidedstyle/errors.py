"""What can go wrong for a reason the user can mend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]  # where something stands in a recipe: ("regions", 1, "mask")

# Control characters, ends of lines, changes of the direction of writing, halves of characters.
HIDDEN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
ENDLESS = re.compile(r"\S{1000,}")


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands, what stands there, which rule it breaks and how to mend it."""

    place: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{show(self.place)}: {show(self.rule)}\n    {show(self.remedy)}"


def show(text: str) -> str:
    """Write out what a terminal would obey instead of showing it, and cut off what has no end."""
    plain = HIDDEN.sub(lambda found: repr(found[0])[1:-1], text)
    return ENDLESS.sub(lambda found: f"{found[0][:60]}...", plain)


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
