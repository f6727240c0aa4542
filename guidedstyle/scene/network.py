"""What a style network can paint of a recipe, and what of it has no effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guidedstyle.io.files import hash_file
from guidedstyle.networks.card import Card
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.inputs import list_files
from guidedstyle.recipe.model import Recipe
from guidedstyle.types import Size, Violation

# Keys that say what is optimised: a network was trained for one value of each.
OPTIMISED = ("content_strength", "smoothness", "guides", "statistics", "style_layers", "content_layers", "octaves")
FILES = ("image", "file")  # keys of files, which are compared by their content
LARGER = 1.5  # times the size that a network was trained for: strokes then look smaller than asked for


def find_unknown_styles(recipe: Recipe, card: Card) -> Iterator[Violation]:
    """Find the painted styles that a network was not trained for."""
    known, adding = ", ".join(card.styles), f"add it: guidedstyle train fast --add-to {recipe.network}"
    for index, region in enumerate(recipe.regions):
        for name in region.mix:
            if name not in card.styles:
                rule = f"the network was not trained for the style {name!r}, only for {known}"
                yield (
                    ("regions", index, "style"),
                    rule,
                    f"name one of {known}, or {adding}",
                )


def describe_departures(recipe: Recipe, card: Card, size: Size) -> Iterator[str]:
    """Describe what an image of (width, height) will not have as its recipe says, as the network paints otherwise."""
    used = dict.fromkeys(name for region in recipe.regions for name in region.mix)
    for name in used:
        yield from _describe_style(recipe, card, name)
    if recipe.most_steps:
        return  # what is optimised counts
    ratio = max(size) / card.size
    if max(ratio, 1 / ratio) > LARGER:
        other = f"{ratio:.1f} times smaller" if ratio > 1 else f"{1 / ratio:.1f} times larger"
        yield f"the network was trained for images of {card.size} px: strokes will look {other} than asked for"
    painted = [one for region, one in zip(recipe.regions, recipe.controls, strict=True) if region.mix]
    if changed := [key for key in OPTIMISED if any(_departs(one, card, key) for one in painted)]:
        yield f"{', '.join(changed)}: the network was trained with others (set solver.steps to refine by these)"
    if any(one.strength > 1 for one in painted):
        yield "strength above 1 has no more effect than 1 with a network (set solver.steps to refine by it)"


def _departs(controls: Controls, card: Card, key: str) -> bool:
    """Whether a control is not the one that a network was trained with."""
    own, usual = (one.model_dump(mode="json").get(key) for one in (controls, Controls()))
    return bool(own != card.recipe.get(key, usual))


def _describe_style(recipe: Recipe, card: Card, name: str) -> Iterator[str]:
    """Describe how a style differs from the one that a network was trained for."""
    names = [name, *recipe.styles[name].parts]
    files = {
        ".".join(map(str, path)): file for path, file in list_files(recipe) if path[0] == "styles" and path[1] in names
    }
    if any(card.inputs.get(key) != hash_file(file) for key, file in files.items()):
        yield f"the network was trained on another image for the style {name}, and paints as that one"
    different = sorted(key for one in names for key in _compare(recipe, card, one))
    if different or any(region.mix[name].scale for region in recipe.regions if name in region.mix):
        keys = ", ".join(dict.fromkeys(different)) or "scale"
        yield f"the network was trained with another {keys} of the style {name}, and paints with that (train it anew)"


def _compare(recipe: Recipe, card: Card, name: str) -> Iterator[str]:
    """Compare the keys of a style with those that a network was trained with, except for files."""
    own = _drop_files(recipe.styles[name].model_dump(mode="json", exclude_none=True))
    trained = _drop_files(card.describe_style(name))
    yield from (key for key in own.keys() | trained.keys() if own.get(key) != trained.get(key))


def _drop_files(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _drop_files(value) for key, value in data.items() if key not in FILES and value is not None}
    return [_drop_files(one) for one in data] if isinstance(data, list) else data
