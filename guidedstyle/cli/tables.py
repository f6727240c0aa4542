"""Tables of differences and findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from guidedstyle.app.doctor.packages import Finding
from guidedstyle.recipe.loading.document import write_yaml

if TYPE_CHECKING:  # the doctor runs where OpenCV cannot be imported
    from guidedstyle.results.comparison import ComparedImage, Comparison, Source

COLOURS = {"ok": "green", "missing": "yellow", "problem": "bold red"}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print the findings about a machine, one per line, and below each problem how to solve it."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = f"[{COLOURS[finding.mark]}]{finding.mark:8}[/]"
        console.print(f"{mark} {finding.what:{width}}  {escape(finding.found)}")
        if finding.remedy:
            console.print(f"    hint: {escape(finding.remedy)}")


KEYS, COLUMN = 28, 13  # characters for keys, and at least for the values of each image
SHORT_HASH = 15  # characters
SOURCES: dict[Source | None, str] = {
    "record": "",
    "picture": "  no record beside it; recipe read from the image",
    None: "  no recipe",
}


def tabulate_differences(comparison: Comparison, width: int) -> Iterator[Table]:
    """Tabulate the values of the images that have a recipe, in tables of at most `width` characters."""
    shown = [index for index, image in enumerate(comparison.images) if image.sections]
    across = max(1, (width - KEYS) // COLUMN)
    for start in range(0, len(shown), across):
        yield _tabulate(comparison, shown[start : start + across])


def _tabulate(comparison: Comparison, shown: Sequence[int]) -> Table:
    numbers = [Column(str(index + 1), overflow="fold") for index in shown]
    table = Table(Column(min_width=KEYS - 2, no_wrap=True), *numbers, box=None)
    for section, rows in comparison.sections.items():
        if rows:
            table.add_row(f"[bold]{section}[/]")
        for key, values in rows.items():
            cells = [_describe_value(values[index], section, comparison.images[index]) for index in shown]
            table.add_row(escape(_break_key(key)), *map(escape, cells))
    return table


def _break_key(key: str) -> str:
    """Break a long key after its dots, indented below the name of its section."""
    lines = wrap(key.replace(".", ". "), KEYS - 2, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines).replace(". ", ".")


def _describe_value(value: object, section: str, image: ComparedImage) -> str:
    """Write a value in short: `-` where an image lacks the key, nothing where it lacks the whole section."""
    if value is None:
        return "-" if section in image.sections else ""
    if section == "files":
        return str(value)[:SHORT_HASH]
    return f"{value:.4g}" if isinstance(value, float) else write_yaml([value], in_line=True).strip()[1:-1]
