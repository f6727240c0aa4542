"""What can go wrong for a reason the user can mend."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

DONE, BUG, MISTAKE, INTERRUPTED = 0, 1, 2, 130  # exit codes

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


@contextmanager
def exit_on_mistake() -> Iterator[None]:
    """Tell what the user can mend, without a traceback, and exit with 2."""
    try:
        yield
    except GuidedStyleError as error:
        count = len(error.problems)
        print(f"{error}\n{count} {'mistake' if count == 1 else 'mistakes'}; nothing was written.", file=sys.stderr)
        sys.exit(MISTAKE)
