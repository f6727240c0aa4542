"""What every command does alike: exit codes, mistakes told plainly, arguments checked."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guidedstyle.errors import GuidedStyleError

DONE, BUG, MISTAKE, INTERRUPTED = 0, 1, 2, 130  # exit codes


@contextmanager
def exit_on_mistake() -> Iterator[None]:
    """Tell what the user can mend, without a traceback, and exit with 2."""
    try:
        yield
    except GuidedStyleError as error:
        count = len(error.problems)
        print(f"{error}\n{count} {'mistake' if count == 1 else 'mistakes'}; nothing was written.", file=sys.stderr)
        sys.exit(MISTAKE)


def whole_number(text: str) -> int:
    """Read a whole number of at least 1 from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def make_folder(folder: Path, place: str = "--out") -> None:
    """Make a folder to write into; raises GuidedStyleError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GuidedStyleError.of(place, f"{folder} cannot be made a folder", "name another place") from error
