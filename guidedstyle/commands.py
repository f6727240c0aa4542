"""What every command does alike: exit codes, mistakes told plainly, arguments checked."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guidedstyle.errors import MISTAKE, GuidedStyleError, explain_fault, has_long_name


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
