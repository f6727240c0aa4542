"""One run of `sweep`: every variant rendered, what was rendered before left alone, a sheet and a table of all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from guidedstyle.allocator import keep_freed_memory
from guidedstyle.commands import BUG, DONE, INTERRUPTED
from guidedstyle.contact_sheet import make_sheet
from guidedstyle.encoder import Encoder
from guidedstyle.images import read_picture, save_picture, write_file
from guidedstyle.limits import Limits
from guidedstyle.plan import make_plan
from guidedstyle.recipe import EncoderChoice
from guidedstyle.record import describe_identity
from guidedstyle.render import Rendering, load_encoder
from guidedstyle.report import print_sweep, print_variant
from guidedstyle.scene import Scene, open_scene
from guidedstyle.session import interruptible, render_shown, save_rendering
from guidedstyle.survey import collect_notes, survey_scene
from guidedstyle.targets import Memory
from guidedstyle.variants import Variant, arrange, write_table

SHEET, TABLE = "sheet.png", "table.csv"


class Sweep:
    """Renders variants one after another; they share encoders and what is measured of paintings."""

    def __init__(
        self, variants: Sequence[Variant], columns: int, folder: Path, device: str, limits: Limits, quiet: bool
    ) -> None:
        self.variants, self.columns, self.folder = variants, columns, folder
        self.device, self.limits, self.quiet = device, limits, quiet
        self.encoders: dict[EncoderChoice, Encoder] = {}
        self.memory: Memory = {}
        self.records = {variant.output: record for variant in variants if (record := find_record(variant))}

    def check(self, sketches: Iterable[Scene]) -> None:
        """Plan what is not there yet by its scene opened small; raises GuidedStyleError where it cannot be rendered."""
        for variant, sketch in zip(self.variants, sketches, strict=True):
            if variant.output not in self.records:
                make_plan(sketch, self._load(sketch.recipe.encoder), self.device, self.limits)

    def _load(self, choice: EncoderChoice) -> Encoder:
        if choice not in self.encoders:
            self.encoders[choice] = load_encoder(choice)
        return self.encoders[choice]

    def run(self) -> int:
        """Render what is not there yet, and return the exit code."""
        keep_freed_memory()
        code = DONE
        with interruptible() as interrupted:
            for number, variant in enumerate(self.variants, 1):
                known = variant.output in self.records
                if not known:
                    rendering = self._render(variant, interrupted)
                    if interrupted:
                        return INTERRUPTED
                    code = code if rendering.finished else BUG
                    self._summarise()
                if not self.quiet:
                    print_variant(number, len(self.variants), variant.label, self.records[variant.output], known)
        self._summarise()
        if not self.quiet:
            print_sweep(self.folder / SHEET, self.folder / TABLE)
        return code

    def _render(self, variant: Variant, interrupted: Sequence[float]) -> Rendering:
        scene, encoder = open_scene(variant.reading), self._load(variant.reading.recipe.encoder)
        plan, notes = make_plan(scene, encoder, self.device, self.limits), collect_notes(scene, survey_scene(scene))
        keep_freed_memory(large_too=not plan.tiled)
        rendering = render_shown(scene, encoder, plan, self.quiet, interrupted, self.memory)
        if not interrupted:
            self.records[variant.output] = save_rendering(scene, rendering, notes)
        return rendering

    def _summarise(self) -> None:
        """Write the sheet and the table of what is there so far."""
        there = [variant for variant in self.variants if variant.output in self.records]
        table = write_table(there, [self.records[variant.output] for variant in there])
        write_file(self.folder / TABLE, table.encode())
        rows = [
            [(variant.label, read_picture(variant.output)) for variant in row] for row in arrange(there, self.columns)
        ]
        save_picture(make_sheet(rows), self.folder / SHEET)


def find_record(variant: Variant) -> dict[str, Any] | None:
    """Find the record of a variant that was rendered whole from the same recipe and files by the same version."""
    try:
        record: dict[str, Any] = json.loads(
            variant.output.with_name(variant.output.name + ".json").read_text(encoding="utf-8")
        )
        same = all(record[key] == value for key, value in describe_identity(variant.reading.recipe).items())
        return record if same and record["result"]["finished"] and variant.output.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):  # none, or not one of ours
        return None
