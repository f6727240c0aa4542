"""Rows of the table of a device check: what was measured, within which limit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

BAD = ("over", "failed", "late")


@dataclass(frozen=True)
class Target:
    """The device that is checked, the side of the usual image in px, and a folder for files.

    `steps` of whole renders, and `recipes` that are compared with the CPU; None: the usual steps, all recipes.
    """

    device: str
    size: int
    folder: Path
    steps: int | None = None
    recipes: Sequence[str] | None = None

    @property
    def gpu(self) -> bool:
        """Whether it is a GPU, of which the limits of speed are asked."""
        return self.device.startswith("cuda")

    def limit(self, most: float, holds: bool = True) -> float | None:
        """Return a limit of speed or memory where it holds, which is never on the CPU."""
        return most if self.gpu and holds else None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A value and its limit, or why there is none.

    `status` is ok or over where there is a limit, shown where there is none; or what became of a check: failed, late
    (its time ran out), skipped (none was left), absent (it does not exist here).
    """

    what: str
    value: float | None = None
    unit: str = ""
    most: float | None = None
    note: str = ""
    lacks: str = ""
    check: str = ""

    @property
    def status(self) -> str:
        """In one word."""
        if self.lacks or self.most is None or self.value is None:
            return self.lacks or "shown"
        return "ok" if math.isfinite(self.value) and self.value <= self.most else "over"

    def describe(self) -> dict[str, Any]:
        """Describe it as plain data for JSON."""
        return {**asdict(self), "status": self.status}


def write_json(rows: Sequence[Row], file: Path, about: dict[str, Any]) -> None:
    """Write all rows and what the run was; NaN and infinity as text."""
    found = [
        {key: str(one) if isinstance(one, float) and not math.isfinite(one) else one for key, one in row.items()}
        for row in (row.describe() for row in rows)
    ]
    file.write_text(json.dumps({**about, "rows": found}, indent=1, allow_nan=False) + "\n")


def print_table(rows: Iterable[Row], title: str) -> None:
    """Print one table; wide lines are not broken in a file."""
    table = Table("check", "measured", "value", "limit", "status", "note", box=None, title=title, title_justify="left")
    for row in rows:
        value = "" if row.value is None else f"{row.value:.4g} {row.unit}".strip()
        most = "" if row.most is None else f"{row.most:g}"
        table.add_row(row.check, escape(row.what), value, most, row.status, escape(row.note))
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
