"""Errors, hints and findings as the terminal shows them, and lines of JSON for programs."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from guidedstyle.errors import GuidedStyleError, StoppedEarlyError, explain_error, show

if TYPE_CHECKING:
    from guidedstyle.app.doctor.packages import Finding

BUG = "This is a bug of guidedstyle, not of your recipe. Please report the lines above."
COLOURS = {"ok": "green", "missing": "yellow", "problem": "bold red"}


def print_error(error: Exception, name: str = "", head: str = "") -> None:
    """Print an error on the error stream, with its traceback if it is a bug.

    `name` is what it prevented, `head` stands before the text.
    """
    before = f"{show(name)}: " if name else ""
    if isinstance(error, StoppedEarlyError):
        text = f"{before}interrupted before the first step. Nothing was written."
    elif fault := explain_error(error):
        text = write_problems(fault, name)
    else:
        text = f"{before}{''.join(traceback.format_exception(error))}\n{BUG}"
    print(f"{head}{text}", file=sys.stderr)


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
    """Print a line of JSON for programs, in ASCII, so that it is valid in every encoding."""
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


def print_findings(findings: Sequence[Finding]) -> None:
    """Print the findings about a machine, one per line, and below each problem how to solve it."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = f"[{COLOURS[finding.mark]}]{finding.mark:8}[/]"
        console.print(f"{mark} {finding.what:{width}}  {escape(finding.found)}")
        if finding.remedy:
            console.print(f"    hint: {escape(finding.remedy)}")
