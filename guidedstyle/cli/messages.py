"""Errors and hints as the terminal shows them, and lines of JSON for programs."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from guidedstyle.errors import GuidedStyleError, StoppedEarlyError, explain_error, show

BUG = "This is a bug of guidedstyle, not of your recipe. Please report the lines above."


def print_error(error: Exception, name: str = "") -> None:
    """Print an error on the error stream, with its traceback if it is a bug; `name` is what it prevented."""
    if isinstance(error, StoppedEarlyError):
        text = f"{show(name)}: stopped before its first step. Nothing was written."
    elif fault := explain_error(error):
        text = write_problems(fault, name)
    else:
        text = f"{''.join(traceback.format_exception(error))}\n{BUG}"
    print(text, file=sys.stderr)


def write_problems(error: GuidedStyleError, name: str = "") -> str:
    """Write every problem on a line of its own, and its remedy below it."""
    head = f"error: {show(name)}: " if name else "error: "
    return "\n".join(
        f"{head}{show(problem.place)}: {show(problem.rule)}\n    hint: {show(problem.remedy)}"
        for problem in error.problems
    )


def print_count(error: Exception) -> None:
    """Print how many problems an error has that was found before anything was written."""
    count = len(fault.problems) if (fault := explain_error(error)) else 1
    print(f"{count} {'error' if count == 1 else 'errors'}. Nothing was written.", file=sys.stderr)


def print_json(data: Mapping[str, Any]) -> None:
    """Print a line of JSON for programs, in ASCII whatever the encoding of the output."""
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()
