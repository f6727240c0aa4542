"""What a recipe of somebody else may reach: with --sandbox nothing outside its own folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from guidedstyle.io.paths import list_places
from guidedstyle.listing import list_files
from guidedstyle.recipe import Recipe
from guidedstyle.types import KeyPath, Mistake

REMEDY = "copy it into the recipe's folder, or leave --sandbox out if you trust the recipe"


def find_escapes(recipe: Recipe, folder: Path, trusted: Callable[[KeyPath], bool]) -> Iterator[Mistake]:
    """Find what a recipe would read or write outside a folder, but for the `trusted` keys; links are followed.

    What is written beside a trusted picture stays in the folder of that.
    """
    files = [(path, file, folder) for path, file in list_files(recipe) if not trusted(path)]
    chosen, places = trusted(("output",)), list_places(recipe.output)
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
