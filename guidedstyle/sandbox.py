"""What a recipe of somebody else may reach: with --sandbox nothing outside its own folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from guidedstyle.listing import list_files
from guidedstyle.places import list_places
from guidedstyle.recipe import Mistake, Recipe

REMEDY = "copy it into the recipe's folder, or leave --sandbox out if you trust the recipe"


def find_escapes(recipe: Recipe, folder: Path) -> Iterator[Mistake]:
    """Find what a recipe would read or write outside a folder; links are followed."""
    inside = _follow(folder)
    written = [(("output",), file) for file in list_places(recipe.output)]
    for path, file in (*list_files(recipe), *written):
        if not (reached := _follow(file)).is_relative_to(inside):
            yield path, f"{file} leads to {reached}, outside {folder}", REMEDY


def _follow(file: Path) -> Path:
    return Path(os.path.realpath(file))  # which, unlike Path.resolve, takes a loop of links too
