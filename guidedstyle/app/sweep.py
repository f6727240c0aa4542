"""Render a recipe over a grid of values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from guidedstyle.app.render import Renderer, render_shown, report_error, save_or_rescue
from guidedstyle.app.variants import Variant, write_table
from guidedstyle.cli.console import print_failure, print_sweep, print_variant
from guidedstyle.cli.progress import Style, choose_teller
from guidedstyle.engine.plan import Plan
from guidedstyle.errors import (
    BUG,
    DONE,
    INTERRUPTED,
    USER_ERROR,
    GuidedStyleError,
    StoppedEarlyError,
    find_worst,
)
from guidedstyle.io.files import lock_output, write_file
from guidedstyle.io.images import read_image, save_image
from guidedstyle.io.paths import SHEET, TABLE
from guidedstyle.results.record import find_record
from guidedstyle.results.sheets import arrange, make_sheet
from guidedstyle.run.interrupts import StopRequest, interruptible
from guidedstyle.scene.check import check_reading


class Sweep:
    """Renders variants one after another in one workshop."""

    def __init__(
        self, variants: Sequence[Variant], columns: int, folder: Path, renderer: Renderer, style: Style
    ) -> None:
        self.variants, self.columns, self.folder = variants, columns, folder
        self.renderer, self.style, self.plans = renderer, style, dict[Path, tuple[tuple[str, ...], Plan]]()
        self.records = {
            variant.output: record for variant in variants if (record := find_record(variant.reading.recipe))
        }

    def plan(self) -> None:
        """Plan what is not there yet; raises GuidedStyleError where it cannot be rendered."""
        for variant in self.variants:
            if variant.output not in self.records:
                check = check_reading(variant.reading, self.renderer.masks)
                self.plans[variant.output] = check.warnings, self.renderer.plan(check.scene)

    def run(self) -> int:
        """Render what is not there yet, and return the exit code; raises where another sweep fills this folder."""
        codes = list[int]()
        with lock_output(self.folder / SHEET), interruptible(choose_teller(self.style)) as stop:
            for number, variant in enumerate(self.variants, 1):
                known = variant.output in self.records
                if not known:
                    codes.append(self._attempt(variant, stop))
                    if stop.is_set():
                        return INTERRUPTED
                    self._summarise()
                if self.style == "shown" and variant.output in self.records:
                    print_variant(number, len(self.variants), variant.label, self.records[variant.output], known)
            codes.append(self._summarise())
        if self.style == "shown" and not any(codes):
            print_sweep(self.folder / SHEET, self.folder / TABLE)
        return find_worst(codes)

    def _attempt(self, variant: Variant, stop: StopRequest) -> int:
        """Render a variant; what goes wrong is told, and does not stop the others."""
        try:
            return self._render(variant, stop)
        except StoppedEarlyError:
            return INTERRUPTED
        except Exception as error:
            return report_error(variant.label, error)

    def _render(self, variant: Variant, stop: StopRequest) -> int:
        notes, plan = self.plans[variant.output]
        scene = self.renderer.open(variant.reading, plan)
        result = render_shown(self.renderer, scene, plan, self.style, stop, notes)
        if stop.is_set():
            return INTERRUPTED
        if not save_or_rescue(result, self.style):
            return USER_ERROR
        self.records[variant.output] = result.record
        return DONE if result.rendering.finished else BUG

    def _summarise(self) -> int:
        """Write the sheet and the table of what is there so far."""
        there = [one for one in self.variants if one.output in self.records and one.output.is_file()]
        if not there:
            return DONE
        try:
            table = write_table(there, [self.records[variant.output] for variant in there])
            write_file(self.folder / TABLE, table.encode())
            rows = [[(one.label, read_image(one.output)) for one in row] for row in arrange(there, self.columns)]
            save_image(make_sheet(rows), self.folder / SHEET)
        except GuidedStyleError as error:
            print_failure("sheet and table are not written", str(error))
            return USER_ERROR
        return DONE
