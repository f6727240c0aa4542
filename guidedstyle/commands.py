"""What every command does alike: exit codes, mistakes told plainly, arguments checked."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from guidedstyle.errors import GuidedStyleError
from guidedstyle.faults import explain_fault, has_long_name

DONE, BUG, MISTAKE, INTERRUPTED, CUT_OFF = 0, 1, 2, 130, 141  # exit codes, two of them as shells know them
OURS = "This is a bug of guidedstyle, not of your recipe. Please report the lines above."


def find_worst(codes: Collection[int]) -> int:
    """Find the exit code of several pictures by those of each."""
    return next((code for code in (INTERRUPTED, BUG, MISTAKE) if code in codes), DONE)


@contextmanager
def exit_on_mistake() -> Iterator[None]:
    """Tell what the user can mend, without a traceback, and exit with 2."""
    try:
        _check_working_folder()
        yield
    except Exception as error:
        if not (fault := explain_fault(error)):
            raise
        told_before = isinstance(error, GuidedStyleError | PermissionError) or has_long_name(error)
        print(f"{fault}\n{_count(fault)}; nothing was written." if told_before else fault, file=sys.stderr)
        sys.exit(MISTAKE)


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:  # libraries would end the program without a word on why
        raise GuidedStyleError.of("the working folder", "it was removed", "change to another one (cd)") from None


def _count(error: GuidedStyleError) -> str:
    return f"{len(error.problems)} {'mistake' if len(error.problems) == 1 else 'mistakes'}"


def whole_number(text: str) -> int:
    """Read a whole number of at least 1 from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def check_place_of_folder(folder: Path, place: str) -> None:
    """Raise GuidedStyleError where a folder cannot be made since a file is in its place, or above it."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir():
        raise GuidedStyleError.of(place, f"{folder} cannot be made a folder: {there} is a file", "name another place")


def make_folder(folder: Path, place: str = "--out") -> None:
    """Make a folder to write into; raises GuidedStyleError where that cannot be."""
    check_place_of_folder(folder, place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GuidedStyleError.of(place, f"{folder} cannot be made a folder", "name another place") from error
