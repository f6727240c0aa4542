"""One run of `doctor`: everything that a render needs, looked at.

It prints by itself: the report of a render needs packages that may be the very ones that are broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from guidedstyle.checkup import (
    Finding,
    examine_extras,
    examine_folder,
    examine_packages,
    examine_terminal,
    examine_threads,
)
from guidedstyle.errors import DONE, MISTAKE

COLOURS = {"ok": "green", "missing": "yellow", "problem": "bold red"}


def run_doctor(as_json: bool) -> int:
    """Examine this machine, print what was found, and return the exit code.

    A machine that cannot render is something to mend, as a mistaken recipe is, and no bug of ours.
    """
    findings = list(examine_machine())
    if as_json:
        Console().print_json(data=describe_findings(findings), ensure_ascii=True)
    else:
        print_findings(findings)
    return DONE if can_render(findings) else MISTAKE


def examine_machine() -> Iterator[Finding]:
    """Examine all that renders here depend on; devices and weights only where the packages work."""
    packages = list(examine_packages())
    yield from packages
    yield examine_threads()
    if can_render(packages):
        from guidedstyle.device_checkup import examine_cache, examine_devices, examine_weights

        yield from examine_devices()
        yield from examine_weights()
        yield examine_cache()
    yield examine_folder("folder", Path(), "render in another folder, or name one with -o")
    yield from examine_extras()
    yield examine_terminal()


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what was found of a machine, a line each; below what is amiss, what mends it."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = f"[{COLOURS[finding.mark]}]{finding.mark:8}[/]"
        console.print(f"{mark} {finding.what:{width}}  {escape(finding.found)}")
        if finding.remedy:
            console.print(f"    {escape(finding.remedy)}")


def can_render(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing that was found keeps this machine from rendering."""
    return not any(finding.prevents for finding in findings)


def describe_findings(findings: Sequence[Finding]) -> dict[str, object]:
    """Describe findings for programs."""
    return {"can_render": can_render(findings), "findings": [asdict(finding) for finding in findings]}
