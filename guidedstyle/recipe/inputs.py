"""Files of a recipe: which it names, which it may read, which must not be overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from guidedstyle.io.paths import list_output_files, name_preview, name_record, name_watched
from guidedstyle.recipe.controls import Start
from guidedstyle.recipe.mask import Mask, SharedMasks, share_file
from guidedstyle.recipe.model import Recipe, Region
from guidedstyle.recipe.values import compose
from guidedstyle.types import KeyPath, Violation


def share_masks(recipe: Recipe) -> Recipe:
    """Fill in the shared file of masks, if there is one, in the regions' masks."""
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
    """List every mask of a recipe, and the masks within it, with their paths."""
    for name, style in recipe.styles.items():
        if style.mask:
            yield from style.mask.walk(("styles", name, "mask"))
    for index, region in enumerate(recipe.regions):
        yield from region.mask.walk(("regions", index, "mask"))
        for name, use in region.style.items():
            if use.where:
                yield from use.where.walk(("regions", index, "style", name, "where"))


def list_starts(recipe: Recipe) -> Iterator[tuple[KeyPath, Start]]:
    """List `init` of the whole image and of regions, with their paths."""
    yield ("init",), recipe.init
    for index, region in enumerate(recipe.regions):
        if region.init:
            yield ("regions", index, "init"), region.init


def list_files(recipe: Recipe) -> Iterator[tuple[KeyPath, Path]]:
    """List every file that a recipe reads, with the path of its key."""
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
    if recipe.network:
        yield ("network",), recipe.network


def find_spelled(file: Path) -> Path:
    """Find a file whose name, or that of a folder, is the same in another form of Unicode; as it is if there is none.

    macOS and some archives write accents as letters of their own, keyboards do not.
    """
    if str(file).isascii() or file.exists():
        return file
    folder = find_spelled(file.parent)
    with suppress(OSError):
        same = [one for one in folder.iterdir() if compose(one.name) == compose(file.name)]
        return same[0] if len(same) == 1 else folder / file.name
    return file


ESCAPE_REMEDY = "copy it into the recipe's folder, or leave --sandbox out if you trust the recipe"


def find_escapes(recipe: Recipe, folder: Path, trusted: Callable[[KeyPath], bool]) -> Iterator[Violation]:
    """Find files outside a folder that a recipe would read or write, except for `trusted` keys; links are followed.

    Files next to a trusted output may not leave the folder of that output.
    """
    files = [(path, file, folder) for path, file in list_files(recipe) if not trusted(path)]
    chosen, places = trusted(("output",)), list_output_files(recipe.output)
    own = recipe.output.parent if chosen else folder
    files += [(("output",), file, own) for file in places[chosen:]]
    for path, file, inside in files:
        if escape := leads_out(file, inside):
            yield path, escape, ESCAPE_REMEDY


def leads_out(file: Path, inside: Path) -> str | None:
    """Describe where a file leads if it is outside a folder, else None; links are followed."""
    reached = _follow(file)
    return None if reached.is_relative_to(_follow(inside)) else f"{file} leads to {reached}, outside {inside}"


def _follow(file: Path) -> Path:
    return Path(os.path.realpath(file))  # unlike Path.resolve it accepts a loop of links


Identity = tuple[int, int]  # device and inode, the same for all names of a file
Given = Mapping[Identity, str]  # names for messages


def list_given(recipe: Recipe, source: Path | None = None) -> Iterator[tuple[str, Path]]:
    """List the inputs of a recipe by key, its own file, and finished images with names of temporary ones."""
    for path, file in list_files(recipe):
        yield ".".join(map(str, path)), file
    if source:
        yield "the recipe", source
    for place in (name_preview(recipe.output), name_watched(recipe.output)) if recipe.output.name else ():
        if name_record(place).exists():
            yield "a finished image", place


def identify(files: Iterable[tuple[str, Path]]) -> Given:
    """Identify files, apart from those that do not exist."""
    return {identity: name for name, file in files if (identity := _identify(file))}


def find_overwritten(given: Given, places: Iterable[Path]) -> str | None:
    """Describe the first place that is one of the given files, else None."""
    found = ((place, given.get(identity)) for place in places if (identity := _identify(place)))
    return next((f"{place} would overwrite {name}" for place, name in found if name), None)


def _identify(file: Path) -> Identity | None:
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
