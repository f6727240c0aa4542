"""Examine this machine: packages, devices, weights, folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from guidedstyle.app.doctor.packages import (
    Finding,
    examine_extras,
    examine_folder,
    examine_packages,
    examine_terminal,
    examine_threads,
)


def examine_machine() -> Iterator[Finding]:
    """Examine everything that renders depend on; devices and weights only if the packages can be imported."""
    packages = list(examine_packages())
    yield from packages
    yield examine_threads()
    if can_render(packages):
        from guidedstyle.app.doctor.devices import examine_cache, examine_devices, examine_weights

        yield from examine_devices()
        yield from examine_weights()
        yield examine_cache()
    yield examine_folder("folder", Path(), "render in another folder, or write to one with -o")
    yield from examine_extras()
    yield examine_terminal()


def can_render(findings: Sequence[Finding]) -> bool:
    """Whether no finding prevents renders on this machine."""
    return not any(finding.prevents for finding in findings)


def describe_findings(findings: Sequence[Finding]) -> dict[str, object]:
    """Return findings as plain data, for JSON."""
    return {"can_render": can_render(findings), "findings": [asdict(finding) for finding in findings]}
