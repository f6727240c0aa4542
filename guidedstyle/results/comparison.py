"""Compare rendered images by their records, or by the recipes that they carry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.files import making_folders
from guidedstyle.io.images.reading import read_image
from guidedstyle.io.images.writing import read_note, save_image
from guidedstyle.io.ownership import RECIPE_KEY
from guidedstyle.io.paths import name_record
from guidedstyle.recipe.inputs import find_overwritten, identify
from guidedstyle.recipe.loading.document import read_document
from guidedstyle.recipe.loading.keys import flatten, list_values, name_key
from guidedstyle.recipe.loading.loader import relate_path
from guidedstyle.recipe.values import is_too_long
from guidedstyle.results.record import Identity, Record, read_record
from guidedstyle.results.sheets import CELL, Cell, arrange, make_sheet

FILE_KEYS = {"content", "image", "file", "weights", "network"}  # whose text values are file names in a written recipe
RESULTS = ("total", "smoothness", "regions", "steps", "seconds", "reason")
MACHINE = {"device", "precision", "threads", "processes"}

Values = Mapping[str, Any]  # by key path: {"regions.sky.strength": 1.0}
Source = Literal["record", "picture"]  # where a recipe was found; programs read these words


@dataclass(frozen=True)
class ComparedImage:
    """A small image, where its recipe was found, if anywhere, and its values by section and key path."""

    file: Path
    image: Image.Image
    source: Source | None
    sections: Mapping[str, Values]


@dataclass(frozen=True)
class Comparison:
    """Images, and by section and key path a list of their values: None where an image lacks the key."""

    images: Sequence[ComparedImage]
    sections: Mapping[str, Mapping[str, Sequence[Any]]]


def compare_images(files: Sequence[Path]) -> Comparison:
    """Compare two or more images; raises GuidedStyleError with the errors of all."""
    if len(files) < 2:
        raise GuidedStyleError.of("compare", "it takes two images or more", "name them all: compare A.png B.png")
    images, problems = [], list[Problem]()
    for file in files:
        try:
            images.append(_read(file))
        except GuidedStyleError as error:
            problems += error.problems
    if problems:
        raise GuidedStyleError(problems)
    sections = ("recipe", "files", "results", "machine", "versions")
    return Comparison(images, {section: _collect(section, images) for section in sections})


def _read(file: Path) -> ComparedImage:
    """Read an image, and its recipe from the record next to it or else from the image itself."""
    if not file.is_file():
        raise GuidedStyleError.of(file, "there is no such file", "check the name and the folder")
    image = read_image(file, CELL, enlarge=False)
    if record := read_record(name_record(file)):
        return ComparedImage(file, image, "record", _describe_record(record, file.parent))
    if recipe := _read_embedded_recipe(file):
        return ComparedImage(file, image, "picture", {"recipe": _describe_recipe(recipe, file.parent)})
    return ComparedImage(file, image, None, {})


def _read_embedded_recipe(file: Path) -> dict[str, Any] | None:
    """Read the recipe in an image; None: it has none. Raises GuidedStyleError where it is damaged."""
    text = read_note(file, RECIPE_KEY)
    data = read_document(str(file), text).data if text else None
    if text and not isinstance(data, dict):
        raise GuidedStyleError.of(file, "the recipe in it is damaged", "render the image again")
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
    """Flatten a recipe, with files relative to the working folder and without its output, the image itself."""
    rest = {"format": 1} | {key: value for key, value in recipe.items() if key != "output"}
    return flatten(rest) | {
        name_key(path, rest): _locate(value, folder) for path, value in list_values(rest) if is_file_name(path, value)
    }


def _find_hashes(record: Identity, folder: Path) -> Iterator[tuple[str, str]]:
    """Find the files of a recipe, relative to the working folder, and their hashes."""
    for path, value in list_values(record.recipe):
        key = ".".join(map(str, path))
        found = record.inputs.get(key) or record.inputs.get(key.removesuffix(".file"))
        if found and is_file_name(path, value):
            yield _locate(value, folder), found


def is_file_name(path: Sequence[Any], value: object) -> bool:
    """Whether a value is the name of a file; impossible names are compared as plain text."""
    named = path[-1] in FILE_KEYS and isinstance(value, str)
    return named and "\0" not in str(value) and not is_too_long(Path(str(value)))


def _locate(file: str, folder: Path) -> str:
    """Write a file of a recipe in `folder` relative to the working folder, links resolved: one name per file."""
    return str(relate_path((folder / file).resolve(), Path.cwd()))


def _collect(section: str, images: Sequence[ComparedImage]) -> dict[str, list[Any]]:
    """Collect the values of a section: all results; of other sections those that differ between images that have it.

    A file is listed only where its hashes differ.
    """
    known = [image.sections[section] for image in images if section in image.sections]
    keys = _group_keys(dict.fromkeys(key for values in known for key in values))
    if section == "files":
        keys = [key for key in keys if _differ([values[key] for values in known if key in values])]
    elif section != "results":
        keys = [key for key in keys if _differ([values.get(key) for values in known])]
    return {key: [image.sections.get(section, {}).get(key) for image in images] for key in keys}


def _group_keys(keys: Iterable[str]) -> list[str]:
    """Sort keys so that those below the same key are adjacent; otherwise they keep their order."""
    prefixes = {key: [key[: dot.start()] for dot in re.finditer(r"\.|$", key)] for key in keys}
    ranks = {one: rank for rank, one in enumerate(dict.fromkeys(one for ones in prefixes.values() for one in ones))}
    return sorted(prefixes, key=lambda key: [ranks[prefix] for prefix in prefixes[key]])


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values[1:])


def save_comparison(comparison: Comparison, sheet: Path, *, overwrite: bool = False) -> None:
    """Write the images, numbered, as a sheet.

    Raises GuidedStyleError where it would overwrite one of their inputs or, unless `overwrite`, any other file that
    guidedstyle did not make.
    """
    if overwritten := find_overwritten(identify((str(file), file) for file in _list_files(comparison)), [sheet]):
        raise GuidedStyleError.of("--output", overwritten, "choose another name (-o)")
    cells = [Cell(f"{number} {one.file.name}", one.image) for number, one in enumerate(comparison.images, 1)]
    with making_folders([sheet]):
        save_image(make_sheet(list(arrange(cells, len(cells)))), sheet, overwrite=overwrite)


def _list_files(comparison: Comparison) -> Iterator[Path]:
    """List the images and the files of their recipes."""
    for image in comparison.images:
        yield image.file
        recipe = image.sections.get("recipe", {})
        yield from (Path(value) for key, value in recipe.items() if is_file_name(key.split("."), value))


def describe_comparison(comparison: Comparison, sheet: Path) -> dict[str, object]:
    """Describe a comparison for programs: every list has one value per image, null where an image lacks the key."""
    images = [{"file": str(image.file), "recipe": image.source} for image in comparison.images]
    return {"pictures": images, "sheet": str(sheet), **comparison.sections}
