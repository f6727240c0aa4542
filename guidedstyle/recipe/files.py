"""Files a recipe names: which they are, which may be read, which must not be overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from guidedstyle.io.paths import list_output_files, name_preview, name_record, name_watched
from guidedstyle.recipe.controls import Start
from guidedstyle.recipe.mask import Mask, SharedMasks, share_file
from guidedstyle.recipe.model import Recipe, Region
from guidedstyle.types import KeyPath, Violation


def share_masks(recipe: Recipe) -> Recipe:
    """Give the regions' masks the file that they share, if there is one."""
    if not (shared := recipe.masks):
        return recipe
    regions = (_share_with_region(region, shared) for region in recipe.regions)
    return recipe.model_copy(update={"regions": tuple(regions)})


def _share_with_region(region: Region, shared: SharedMasks) -> Region:
    uses = {
        name: use.model_copy(update={"where": share_file(use.where, shared)}) if use.where else use
        for name, use in region.style.items()
    }
    return region.model_copy(update={"mask": share_file(region.mask, shared), "style": uses})


def list_masks(recipe: Recipe) -> Iterator[tuple[KeyPath, Mask]]:
    """List every mask of a recipe and those within it, with the keys that lead to each."""
    for name, style in recipe.styles.items():
        if style.mask:
            yield from style.mask.walk(("styles", name, "mask"))
    for index, region in enumerate(recipe.regions):
        yield from region.mask.walk(("regions", index, "mask"))
        for name, use in region.style.items():
            if use.where:
                yield from use.where.walk(("regions", index, "style", name, "where"))


def list_starts(recipe: Recipe) -> Iterator[tuple[KeyPath, Start]]:
    """List the starts of the image and of its regions, with the keys that lead to each."""
    yield ("init",), recipe.init
    for index, region in enumerate(recipe.regions):
        if region.init:
            yield ("regions", index, "init"), region.init


def list_files(recipe: Recipe) -> Iterator[tuple[KeyPath, Path]]:
    """List every file a recipe reads, with the key that names it."""
    if recipe.content:
        yield ("content",), recipe.content
    for name, style in recipe.styles.items():
        if style.image:
            yield ("styles", name, "image"), style.image
    shared = recipe.masks.file if recipe.masks else None
    if shared:
        yield ("masks",), shared
    for path, mask in list_masks(recipe):
        if mask.file and not (path[0] == "regions" and mask.file == shared):
            yield path, mask.file
    for path, start in list_starts(recipe):
        if start.file:
            yield (*path, "file"), start.file
    if recipe.encoder.weights:
        yield ("encoder", "weights"), recipe.encoder.weights


REMEDY = "copy it into the recipe's folder, or leave --sandbox out if you trust the recipe"


def find_escapes(recipe: Recipe, folder: Path, trusted: Callable[[KeyPath], bool]) -> Iterator[Violation]:
    """Find what a recipe would read or write outside a folder, but for the `trusted` keys; links are followed.

    What is written beside a trusted image stays in the folder of that.
    """
    files = [(path, file, folder) for path, file in list_files(recipe) if not trusted(path)]
    chosen, places = trusted(("output",)), list_output_files(recipe.output)
    own = recipe.output.parent if chosen else folder
    files += [(("output",), file, own) for file in places[chosen:]]
    for path, file, inside in files:
        if escape := leads_out(file, inside):
            yield path, escape, REMEDY


def leads_out(file: Path, inside: Path) -> str | None:
    """Say where a file leads unless that is within a folder; links are followed."""
    reached = _follow(file)
    return None if reached.is_relative_to(_follow(inside)) else f"{file} leads to {reached}, outside {inside}"


def _follow(file: Path) -> Path:
    return Path(os.path.realpath(file))  # which, unlike Path.resolve, takes a loop of links too


Identity = tuple[int, int]  # device and number, which all names of a file share
Given = Mapping[Identity, str]  # what files are called in a message


def list_given(recipe: Recipe, source: Path | None = None) -> Iterator[tuple[str, Path]]:
    """List what a recipe is made of, by its keys, the file that it was read from, and images that look passing."""
    for path, file in list_files(recipe):
        yield ".".join(map(str, path)), file
    if source:
        yield "the recipe", source
    for place in (name_preview(recipe.output), name_watched(recipe.output)) if recipe.output.name else ():
        if name_record(place).exists():
            yield "a finished image", place


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
