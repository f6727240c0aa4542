"""Render a recipe over a grid of values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from guidedstyle.app.render import Renderer, find_exit_code, save, watch_until
from guidedstyle.app.variants import Variant, write_table
from guidedstyle.engine.plan import Plan
from guidedstyle.errors import ExitCode, GuidedStyleError, StoppedEarlyError, find_error_code
from guidedstyle.io.files import lock_output
from guidedstyle.io.images.reading import read_image
from guidedstyle.io.images.writing import save_image
from guidedstyle.io.ownership import TABLE_KEY, hash_content, protect, write_marked
from guidedstyle.io.paths import SHEET, TABLE
from guidedstyle.recipe.inputs import find_overwritten, identify
from guidedstyle.results.record import find_record
from guidedstyle.results.sheets import arrange, make_sheet
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.reporter import SILENT, Reporter
from guidedstyle.scene.check import check_reading


class Sweep:
    """Renders variants one after another with one renderer; the contact sheet has at most `columns` columns."""

    def __init__(
        self,
        variants: Sequence[Variant],
        *,
        columns: int,
        folder: Path,
        renderer: Renderer,
        reporter: Reporter = SILENT,
        overwrite: bool = False,
    ) -> None:
        self.variants, self.columns, self.folder, self.overwrite = variants, columns, folder, overwrite
        self.renderer, self.reporter, self.plans = renderer, reporter, dict[Path, tuple[tuple[str, ...], Plan]]()
        self.records = {
            variant.output: record for variant in variants if (record := find_record(variant.reading.recipe))
        }

    def plan(self) -> None:
        """Plan the variants that do not exist yet; raises GuidedStyleError if one cannot be rendered."""
        for variant in self.variants:
            if variant.output not in self.records:
                check = check_reading(variant.reading, self.renderer.masks)
                plan = self.renderer.plan(check.scene)
                self.plans[variant.output] = check.warnings, plan  # all checks would take too much memory
                self.reporter.planned(check, plan)

    def run(self, stop: StopRequest | None = None) -> list[ExitCode]:
        """Render the variants that do not exist yet, and return exit codes.

        Raises GuidedStyleError if another sweep writes to the folder.
        """
        codes, stop = list[ExitCode](), stop or StopRequest()
        with lock_output(self.folder / SHEET):
            for number, variant in enumerate(self.variants, 1):
                if not (known := variant.output in self.records):
                    codes.append(self._attempt(variant, stop))
                    if stop.is_set():
                        return [ExitCode.INTERRUPTED]
                    self._summarise()
                if record := self.records.get(variant.output):
                    name = f"{number}/{len(self.variants)}  {variant.label}"
                    self.reporter.ended(name, variant.output, record, known=known)
            return [*codes, self._summarise()]

    def _attempt(self, variant: Variant, stop: StopRequest) -> ExitCode:
        """Render a variant; an error is reported and does not stop the others."""
        try:
            return self._render(variant, stop)
        except StoppedEarlyError:
            return ExitCode.INTERRUPTED
        except Exception as error:
            self.reporter.failed(variant.label, error)
            return find_error_code(error)

    def _render(self, variant: Variant, stop: StopRequest) -> ExitCode:
        others = [(one.label, one.output) for one in self.variants if one.output in self.records]
        if rule := find_overwritten(identify(others), [variant.output]):  # on many disks `A.png` is `a.png`
            raise GuidedStyleError.of("--vary", rule, "give the values other names, or sweep them one by one with -o")
        notes, plan = self.plans[variant.output]
        scene = self.renderer.open(variant.reading, plan)
        watch = watch_until(stop)
        result = self.renderer.render(scene, plan, watch, notes=notes, reporter=self.reporter)
        if stop.is_set():
            return ExitCode.INTERRUPTED
        save(result, self.reporter, overwrite=self.overwrite)
        self.records[variant.output] = result.record
        return find_exit_code(result)

    def _summarise(self) -> ExitCode:
        """Write the sheet and the table of the variants that exist so far."""
        existing = [one for one in self.variants if one.output in self.records and one.output.is_file()]
        if not existing:
            return ExitCode.DONE
        try:
            table = write_table(existing, [self.records[variant.output] for variant in existing]).encode()
            rows = [[(one.label, read_image(one.output)) for one in row] for row in arrange(existing, self.columns)]
            write_table_and_sheet(table, make_sheet(rows), self.folder, overwrite=self.overwrite)
        except GuidedStyleError as error:
            self.reporter.failed("sheet and table are not written", error)
            return ExitCode.USER_ERROR
        return ExitCode.DONE


def write_table_and_sheet(table: bytes, sheet: Image.Image, folder: Path, *, overwrite: bool) -> None:
    """Write the table and the sheet of a sweep; the sheet carries the digests by which the table is known.

    Raises GuidedStyleError where, unless `overwrite`, that would replace files that guidedstyle did not make.
    """
    file = folder / TABLE
    protect([folder / SHEET, file], overwrite=overwrite)
    before = [hash_content(file.read_bytes())] if file.is_file() else []  # known until the new table is written
    save_image(sheet, folder / SHEET, (TABLE_KEY, " ".join([hash_content(table), *before])), overwrite=overwrite)
    write_marked(file, table, overwrite=overwrite)
