"""Compare images and their records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.images import read_image, read_note, save_image
from guidedstyle.io.paths import name_record
from guidedstyle.recipe.files import find_overwritten, identify
from guidedstyle.recipe.loading.document import flatten, name_entry, read_document, walk
from guidedstyle.recipe.loading.loader import RECIPE_KEY, relate_path
from guidedstyle.recipe.values import is_too_long
from guidedstyle.results.record import Identity, Record, read_record
from guidedstyle.results.sheets import CELL, arrange, make_sheet

FILE_KEYS = {"content", "image", "file", "weights"}  # of a written recipe, where a text stands under them
RESULTS = ("total", "smoothness", "regions", "steps", "seconds", "reason")
MACHINE = {"device", "precision", "threads", "processes"}

Values = Mapping[str, Any]  # by key path: {"regions.sky.strength": 1.0}
Source = Literal["record", "picture"]


@dataclass(frozen=True)
class Compared:
    """An image, small, and what is known of how it was made, by section; `source` is where its recipe stands."""

    file: Path
    picture: Image.Image
    source: Source | None
    known: Mapping[str, Values]


@dataclass(frozen=True)
class Comparison:
    """Images, and by section and key a value for each of them: None where it has none."""

    pictures: Sequence[Compared]
    sections: Mapping[str, Mapping[str, Sequence[Any]]]


def compare_images(files: Sequence[Path]) -> Comparison:
    """Compare two or more images; raises GuidedStyleError with the errors of all."""
    if len(files) < 2:
        raise GuidedStyleError.of("compare", "it takes two images or more", "name them all: compare A.png B.png")
    pictures, problems = [], list[Problem]()
    for file in files:
        try:
            pictures.append(_describe(file))
        except GuidedStyleError as error:
            problems += error.problems
    if problems:
        raise GuidedStyleError(problems)
    sections = ("recipe", "files", "results", "machine", "versions")
    return Comparison(pictures, {section: _collect(section, pictures) for section in sections})


def _describe(file: Path) -> Compared:
    """Describe an image by the record beside it, or else by the recipe that it carries, if any."""
    if not file.is_file():
        raise GuidedStyleError.of(file, "there is no such file", "check the name and the folder")
    picture = read_image(file, CELL, enlarge=False)
    if record := read_record(name_record(file)):
        return Compared(file, picture, "record", _describe_record(record, file.parent))
    if recipe := _read_carried(file):
        return Compared(file, picture, "picture", {"recipe": _describe_recipe(recipe, file.parent)})
    return Compared(file, picture, None, {})


def _read_carried(file: Path) -> dict[str, Any] | None:
    """Read the recipe that an image carries; raises GuidedStyleError where it is damaged."""
    text = read_note(file, RECIPE_KEY)
    data = read_document(str(file), text).data if text else None
    if text and not isinstance(data, dict):
        raise GuidedStyleError.of(file, "the recipe that it carries is damaged", "render the image again")
    return data


def _describe_record(record: Identity, folder: Path) -> dict[str, Values]:
    results, machine = {}, {}
    if isinstance(record, Record):
        results = record.losses.model_dump(exclude_unset=True) | record.result.model_dump(exclude_unset=True)
        machine = record.plan.model_dump(include=MACHINE, exclude_unset=True)
    return {
        "recipe": _describe_recipe(record.recipe, folder),
        "files": dict(_find_hashes(record, folder)),
        "results": flatten({key: results[key] for key in RESULTS if key in results}),
        "machine": machine,
        "versions": record.versions,
    }


def _describe_recipe(recipe: Mapping[str, Any], folder: Path) -> Values:
    """Flatten a recipe, its files written relative to the working folder; where it goes is the image's own name."""
    rest = {key: value for key, value in recipe.items() if key != "output"}
    return flatten(rest) | {
        name_entry(rest, path): _locate(value, folder) for path, value in walk(rest) if is_file(path, value)
    }


def _find_hashes(record: Identity, folder: Path) -> Iterator[tuple[str, str]]:
    """Find the hash of every file of a recipe, by its path."""
    for path, value in walk(record.recipe):
        key = ".".join(map(str, path))
        found = record.inputs.get(key) or record.inputs.get(key.removesuffix(".file"))
        if found and is_file(path, value):
            yield _locate(value, folder), found


def is_file(path: Sequence[Any], value: object) -> bool:
    """Tell whether a value is a file's name; a text that no file can be called is compared as it stands."""
    named = path[-1] in FILE_KEYS and isinstance(value, str)
    return named and "\0" not in str(value) and not is_too_long(Path(str(value)))


def _locate(file: str, folder: Path) -> str:
    """Write a file of a recipe in `folder` relative to the working folder, so that the same file is written alike."""
    return str(relate_path((folder / file).resolve(), Path.cwd()))


def _collect(section: str, pictures: Sequence[Compared]) -> dict[str, list[Any]]:
    """Collect what images have in a section: all results, of the rest what differs between those that have it.

    A file differs only where images were made of two states of it.
    """
    having = [picture.known[section] for picture in pictures if section in picture.known]
    keys = _sort_keys(dict.fromkeys(key for values in having for key in values))
    if section == "files":
        keys = [key for key in keys if _differ([values[key] for values in having if key in values])]
    elif section != "results":
        keys = [key for key in keys if _differ([values.get(key) for values in having])]
    return {key: [picture.known.get(section, {}).get(key) for picture in pictures] for key in keys}


def _sort_keys(keys: Iterable[str]) -> list[str]:
    """Sort keys so that those of one entry stand together, entries as they were first met."""
    ways = {key: [key[: dot.start()] for dot in re.finditer(r"\.|$", key)] for key in keys}
    ranks = {part: rank for rank, part in enumerate(dict.fromkeys(part for way in ways.values() for part in way))}
    return sorted(ways, key=lambda key: [ranks[part] for part in ways[key]])


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values[1:])


def save_comparison(comparison: Comparison, sheet: Path) -> None:
    """Lay the images out, numbered; raises GuidedStyleError where the sheet would overwrite what it is made of."""
    if overwritten := find_overwritten(identify((str(file), file) for file in _list_files(comparison)), [sheet]):
        raise GuidedStyleError.of("--output", overwritten, "choose another name (-o)")
    cells = [(f"{number} {one.file.name}", one.picture) for number, one in enumerate(comparison.pictures, 1)]
    save_image(make_sheet(list(arrange(cells, len(cells)))), sheet)


def _list_files(comparison: Comparison) -> Iterator[Path]:
    """List the images, and the files that those were made of."""
    for picture in comparison.pictures:
        yield picture.file
        recipe = picture.known.get("recipe", {})
        yield from (Path(value) for key, value in recipe.items() if is_file(key.split("."), value))


def describe_comparison(comparison: Comparison, sheet: Path) -> dict[str, object]:
    """Describe a comparison for programs: every list has an entry for each image, null where it has no such value."""
    pictures = [{"file": str(picture.file), "recipe": picture.source} for picture in comparison.pictures]
    return {"pictures": pictures, "sheet": str(sheet), **comparison.sections}
