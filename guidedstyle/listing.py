"""What a recipe names: its masks, starts and files, each with the keys that lead to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from guidedstyle.controls import Start
from guidedstyle.mask_keys import Mask, SharedMasks, share_file
from guidedstyle.recipe import Recipe, Region
from guidedstyle.types import KeyPath


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
    """List the starts of the picture and of its regions, with the keys that lead to each."""
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
