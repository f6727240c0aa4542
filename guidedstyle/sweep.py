"""One run of `sweep`: every variant rendered, what was rendered before left alone, a sheet and a table of all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from guidedstyle.checking import Check
from guidedstyle.claims import claiming
from guidedstyle.commands import BUG, DONE, INTERRUPTED
from guidedstyle.contact_sheet import make_sheet
from guidedstyle.errors import StoppedEarlyError
from guidedstyle.files import write_file
from guidedstyle.images import read_picture, save_picture
from guidedstyle.interrupts import interruptible
from guidedstyle.plan import Plan
from guidedstyle.progress import Style, choose_teller
from guidedstyle.record import find_record
from guidedstyle.report import print_sweep, print_variant
from guidedstyle.session import render_shown
from guidedstyle.variants import Variant, arrange, write_table
from guidedstyle.workshop import Workshop

SHEET, TABLE = "sheet.png", "table.csv"


class Sweep:
    """Renders variants one after another in one workshop."""

    def __init__(
        self, variants: Sequence[Variant], columns: int, folder: Path, workshop: Workshop, style: Style
    ) -> None:
        self.variants, self.columns, self.folder = variants, columns, folder
        self.workshop, self.style, self.plans = workshop, style, dict[Path, tuple[Check, Plan]]()
        self.records = {
            variant.output: record for variant in variants if (record := find_record(variant.reading.recipe))
        }

    def plan(self, checks: Sequence[Check]) -> None:
        """Plan what is not there yet; raises GuidedStyleError where it cannot be rendered."""
        for variant, check in zip(self.variants, checks, strict=True):
            if variant.output not in self.records:
                self.plans[variant.output] = check, self.workshop.plan(check.scene)

    def run(self) -> int:
        """Render what is not there yet, and return the exit code; raises where another sweep fills this folder."""
        code = DONE
        with claiming(self.folder / SHEET), interruptible(choose_teller(self.style)) as interrupted:
            for number, variant in enumerate(self.variants, 1):
                known = variant.output in self.records
                if not known:
                    with suppress(StoppedEarlyError):
                        code = self._render(variant, interrupted) or code
                    if interrupted:
                        return INTERRUPTED
                    self._summarise()
                if self.style == "shown":
                    print_variant(number, len(self.variants), variant.label, self.records[variant.output], known)
        self._summarise()
        if self.style == "shown":
            print_sweep(self.folder / SHEET, self.folder / TABLE)
        return code

    def _render(self, variant: Variant, interrupted: Sequence[float]) -> int:
        check, plan = self.plans[variant.output]
        scene = self.workshop.open(variant.reading, plan)
        result = render_shown(self.workshop, scene, plan, self.style, interrupted, check.notes)
        if not interrupted:
            result.save()
            self.records[variant.output] = result.record
        return DONE if result.rendering.finished else BUG

    def _summarise(self) -> None:
        """Write the sheet and the table of what is there so far."""
        there = [variant for variant in self.variants if variant.output in self.records]
        table = write_table(there, [self.records[variant.output] for variant in there])
        write_file(self.folder / TABLE, table.encode())
        rows = [
            [(variant.label, read_picture(variant.output)) for variant in row] for row in arrange(there, self.columns)
        ]
        save_picture(make_sheet(rows), self.folder / SHEET)
