"""Variants of a recipe over a grid of values."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.ownership import protect
from guidedstyle.io.paths import SHEET, TABLE, list_output_files, name_lock, name_record, name_sweep
from guidedstyle.masks.files import MaskStore
from guidedstyle.recipe.inputs import find_overwritten, identify, leads_out, list_given
from guidedstyle.recipe.loading.document import Document, read_value, write_yaml
from guidedstyle.recipe.loading.loader import Reading, read_recipe
from guidedstyle.recipe.loading.settings import find_path
from guidedstyle.results.record import Record, find_record
from guidedstyle.run.speeds import Work
from guidedstyle.scene.check import check_reading
from guidedstyle.types import Setting

MOST_VARIANTS = 400
LONGEST_LABEL = 100  # characters of a file's name

Axis = tuple[str, list[Any]]  # a key and its values


@dataclass(frozen=True)
class Variant:
    """One recipe of a sweep, and the values of the varied keys as they are written."""

    values: Mapping[str, str]
    reading: Reading

    @property
    def label(self) -> str:
        """Its caption: `scale=0.5, seed=3`; of paths only the file's name."""
        short = {key: key.rsplit(".", 1)[-1] for key in self.values}
        names = short if len(set(short.values())) == len(short) else dict(zip(short, short, strict=True))
        return ", ".join(f"{names[key]}={_show(value)}" for key, value in self.values.items())

    @property
    def output(self) -> Path:
        """The image to write."""
        return self.reading.recipe.output


def _show(value: str) -> str:
    return value if value[0] in "[{" else Path(value).name or value


def parse_axis(text: str) -> Axis:
    """Parse `KEY=A,B,C`, each value written as in YAML: `style_layers=[relu1_1],[relu1_1, relu2_1]`."""
    key, equals, values = text.partition("=")
    place = f"--vary {text}"
    found = read_value(place, f"[{values}]") if key and equals and values else None
    if not isinstance(found, list) or not found:
        raise GuidedStyleError.of(place, "this is not KEY=A,B,C", "write, for example, --vary solver.seed=1,2,3")
    return key.strip(), found


def make_variants(
    recipe: Path, axes: Sequence[Axis], settings: Sequence[Setting], *, folder: Path, sandbox: bool = False
) -> list[Variant]:
    """Read the recipe once for every combination of values; raises GuidedStyleError with the errors of all."""
    _check_axes(axes)
    _check_overlaps(read_recipe(recipe, settings, sandbox).document, axes, settings)
    variants, problems = [], dict[str, Problem]()
    for values in product(*(choices for _, choices in axes)):
        chosen = {key: value for (key, _), value in zip(axes, values, strict=True)}
        try:
            variants.append(_make_variant(recipe, chosen, settings, folder=folder, sandbox=sandbox))
            found: Sequence[Problem] = variants[-1].reading.document.problems
        except GuidedStyleError as error:
            found = error.problems
        problems |= {str(problem): problem for problem in found}
    if problems:
        raise GuidedStyleError(list(problems.values()))
    _check_outputs(variants, recipe, folder, sandbox=sandbox)
    return variants


def _check_outputs(variants: Sequence[Variant], recipe: Path, folder: Path, *, sandbox: bool) -> None:
    """Raise GuidedStyleError where a file would overwrite an input, or leave the sandbox."""
    outputs = [folder / SHEET, *(variant.output for variant in variants)]
    places = [folder / TABLE, *(place for output in outputs for place in list_output_files(output))]
    given = identify(named for one in variants for named in list_given(one.reading.recipe, recipe))
    if overwritten := find_overwritten(given, places):
        raise GuidedStyleError.of("--output", overwritten, "choose another folder (-o)")
    if sandbox:
        _confine(places, recipe.parent if folder == name_sweep(recipe) else folder)  # the user's own folder is trusted


def protect_outputs(variants: Sequence[Variant], folder: Path) -> None:
    """Raise GuidedStyleError where a sweep would replace files that guidedstyle did not make.

    Variants that exist already, of the same recipe and files, are not rendered again.
    """
    missing = [variant.output for variant in variants if not find_record(variant.reading.recipe)]
    records = [name_record(output) for output in missing]
    protect([folder / SHEET, folder / TABLE, name_lock(folder / SHEET), *missing, *records])


def _confine(places: Iterable[Path], folder: Path) -> None:
    for place in places:
        if escape := leads_out(place, folder):
            raise GuidedStyleError.of("--sandbox", escape, "name another folder (-o), or remove that link")


def check_variants(variants: Sequence[Variant], masks: MaskStore | None = None) -> list[Work]:
    """Check variants with their images and masks, and describe the work of those that do not exist yet.

    Raises GuidedStyleError with the errors of all.
    """
    problems, works = dict[str, Problem](), list[Work]()
    for variant in variants:
        try:
            check = check_reading(variant.reading, masks)  # not kept: all would take more memory than a render
            if not find_record(variant.reading.recipe):
                works.append(Work.of(check.scene))
        except GuidedStyleError as error:
            problems |= {str(problem): problem for problem in error.problems}
    if problems:
        raise GuidedStyleError(list(problems.values()))
    return works


def _check_axes(axes: Sequence[Axis]) -> None:
    keys = [key for key, _ in axes]
    count = math.prod(len(values) for _, values in axes)
    if not axes:
        raise GuidedStyleError.of("--vary", "there is nothing to vary", "write, for example, --vary solver.seed=1,2,3")
    if "output" in keys:
        raise GuidedStyleError.of("--vary", "output cannot be varied", "name a folder for all with -o")
    if count > MOST_VARIANTS:
        rule = f"{count} variants are too many"
        raise GuidedStyleError.of("--vary", rule, f"vary fewer values: at most {MOST_VARIANTS} variants")


def _check_overlaps(document: Document, axes: Sequence[Axis], settings: Sequence[Setting]) -> None:
    """Raise GuidedStyleError where a key is varied twice, or both varied and set."""
    varied = [(key, find_path(document, Setting(key, None, f"--vary {key}"))) for key, _ in axes]
    for (key, path), (other, inner) in permutations(varied, 2):
        if inner[: len(path)] == path:
            rule = f"{key} is varied twice" if inner == path else f"{other} is part of {key}, which is varied too"
            raise GuidedStyleError.of("--vary", rule, "give all values of one key in a single --vary")
    for (key, path), setting in product(varied, settings):
        if find_path(document, setting)[: len(path)] == path:
            raise GuidedStyleError.of(setting.place, f"{key} is varied already (--vary)", "leave one of the two out")


def _make_variant(
    recipe: Path, chosen: Mapping[str, Any], settings: Sequence[Setting], *, folder: Path, sandbox: bool
) -> Variant:
    written = {key: write_yaml([value], in_line=True).strip()[1:-1] for key, value in chosen.items()}
    varied = [Setting(key, value, f"--vary {key}={written[key]}") for key, value in chosen.items()]
    reading, output = read_recipe(recipe, [*settings, *varied], sandbox), folder / f"{_name_file(written)}.png"
    return Variant(written, replace(reading, recipe=reading.recipe.model_copy(update={"output": output})))


def _name_file(written: Mapping[str, str]) -> str:
    """Name a variant's file by its values; where that is too long or incomplete, also by their hash."""
    whole = ",".join(f"{key}={value}" for key, value in written.items())
    label = ",".join(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in written.items())
    short = "".join(re.findall(r"[\w.,=+-]", label.replace(" ", "-")))
    distinct = len({key.rsplit(".", 1)[-1] for key in written}) == len(written)
    if short == label and distinct and len(short) <= LONGEST_LABEL:
        return short
    return f"{short[:LONGEST_LABEL]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def write_table(variants: Sequence[Variant], records: Sequence[Record]) -> str:
    """Write values, losses, steps and times as CSV, one line per variant."""
    rows = [_describe(variant, record) for variant, record in zip(variants, records, strict=True)]
    columns = dict.fromkeys(column for row in rows for column in row)
    text = io.StringIO()
    table = csv.DictWriter(text, list(columns), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _describe(variant: Variant, record: Record) -> dict[str, Any]:
    losses = record.losses
    whole = {"loss: total": losses.total, "loss: smoothness": losses.smoothness}
    regions = {f"{name}: {term}": value for name, terms in losses.regions.items() for term, value in terms}
    ended = {"steps": record.result.steps, "seconds": record.result.seconds, "reason": record.result.reason}
    return {"file": variant.output.name, **variant.values, **whole, **regions, **ended}
