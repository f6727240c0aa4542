"""What must not be overwritten: all that a command was given, whichever way it is named. Without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from guidedstyle.io.paths import name_preview, name_record, name_watched
from guidedstyle.listing import list_files
from guidedstyle.recipe import Recipe

Identity = tuple[int, int]  # device and number, which all names of a file share
Given = Mapping[Identity, str]  # what files are called in a message


def list_given(recipe: Recipe, source: Path | None = None) -> Iterator[tuple[str, Path]]:
    """List what a recipe is made of, by its keys, the file that it was read from, and pictures that look passing."""
    for path, file in list_files(recipe):
        yield ".".join(map(str, path)), file
    if source:
        yield "the recipe", source
    for place in (name_preview(recipe.output), name_watched(recipe.output)) if recipe.output.name else ():
        if name_record(place).exists():
            yield "a finished picture", place


def identify(files: Iterable[tuple[str, Path]]) -> Given:
    """Note what tells files from all others; those that are not there cannot be overwritten."""
    return {identity: name for name, file in files if (identity := _identify(file))}


def find_overwritten(given: Given, places: Iterable[Path]) -> str | None:
    """Say which of some places is that of a file which was given."""
    found = ((place, given.get(identity)) for place in places if (identity := _identify(place)))
    return next((f"{place} would overwrite {name}" for place, name in found if name), None)


def _identify(file: Path) -> Identity | None:
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
