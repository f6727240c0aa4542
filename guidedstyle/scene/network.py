"""What a style network can paint of a recipe, and what of it has no effect."""

from __future__ import annotations

from collections.abc import Iterator

from guidedstyle.io.files import hash_file
from guidedstyle.networks.card import Card
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.model import Recipe
from guidedstyle.types import Size, Violation

# Keys that say what is optimised: a network was trained for one value of each.
OPTIMISED = (
    *("content_strength", "smoothness", "guides", "statistics", "style_layers", "content_layers", "octaves"),
    "init",
)
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
        other = f"{ratio:.1f} times finer" if ratio > 1 else f"{1 / ratio:.1f} times coarser"
        yield f"the network was trained for images of {card.size} px: strokes will be {other} than the recipe says"
    painted = [one for region, one in zip(recipe.regions, recipe.controls, strict=True) if region.mix]
    if changed := [key for key in OPTIMISED if any(_departs(one, key) for one in painted)]:
        yield f"{', '.join(changed)}: no effect, as a network paints the image (solver.steps refine it by them)"
    if any(one.strength > 1 for one in painted):
        yield "strength above 1 has no more effect than 1, as a network paints the image (solver.steps refine it by it)"


def _departs(controls: Controls, key: str) -> bool:
    return bool(getattr(controls, key) != Controls.model_fields[key].default)


def _describe_style(recipe: Recipe, card: Card, name: str) -> Iterator[str]:
    """Describe how a style differs from the one that a network was trained for."""
    style, key = recipe.styles[name], f"styles.{name}.image"
    if style.image and card.inputs.get(key) != hash_file(style.image):
        yield f"the network was trained on another image for the style {name}, and paints as that one"
    own = style.model_dump(mode="json", exclude={"image"}, exclude_none=True)
    trained = card.describe_style(name)
    different = sorted(one for one in own.keys() | trained.keys() if own.get(one) != trained.get(one))
    scales = any(region.mix[name].scale for region in recipe.regions if name in region.mix)
    if different or scales:
        keys = ", ".join(different or ["scale"])
        yield f"the network was trained with another {keys} of the style {name}, and paints with that (train it anew)"
