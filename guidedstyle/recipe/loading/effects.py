"""Keys of a recipe that are valid but have no effect: the user is warned, since something else may have been meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guidedstyle.encoders.registry import find_architecture, list_encoders
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.inputs import list_masks
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.model import Recipe, Region
from guidedstyle.types import KeyPath, Violation

PAINT_CONTROLS = {"statistics", "style_layers", "octaves", "guides"}  # without effect at strength 0
COLOUR_CODE_KEYS = ("ignore", "tolerance")  # of a mask, without effect where it names no colour
UNUSED_STRENGTH = ("it has no effect: colour is style", "set colour, for example to match, or remove colour_strength")


def find_keys_without_effect(recipe: Recipe) -> Iterator[Violation]:
    """Find keys without effect in a recipe whose keys are valid one by one."""
    yield from _find_unused_styles(recipe)
    pairs = list(zip(recipe.regions, recipe.controls, strict=True))
    for index, (region, controls) in enumerate(pairs):
        path: KeyPath = ("regions", index)
        yield from _find_in_kept(path, region) if region.keep else _find_in_painted(path, region, controls)
    if recipe.colour_strength < 1 and not any(_uses_colour_strength(*pair) for pair in pairs):
        yield ("colour_strength",), *UNUSED_STRENGTH
    yield from _find_unused_defaults(recipe)
    for path, mask in list_masks(recipe):
        yield from _find_in_mask(path, mask)
    yield from _find_unused_masks(recipe)
    yield from _find_unused_convention(recipe)


UNUSED_STYLE = "no region uses the style"


def _find_unused_styles(recipe: Recipe) -> Iterator[Violation]:
    used = {name for region in recipe.regions for name in region.style}
    used |= {part for name in used & recipe.styles.keys() for part in recipe.styles[name].parts}
    for name in (name for name in recipe.styles if recipe.regions and name not in used):
        yield ("styles", name), f"{UNUSED_STYLE} {name!r}", "give it to a region, or remove it"


def _find_in_kept(path: KeyPath, region: Region) -> Iterator[Violation]:
    for key in (*(["style"] if region.style else []), *region.given):
        yield (*path, key), "it has no effect: a kept region is not painted", f"remove {key}, or keep"


def _find_in_painted(path: KeyPath, region: Region, controls: Controls) -> Iterator[Violation]:
    if region.border != type(region).model_fields["border"].default:
        yield (*path, "border"), "it has no effect: only kept regions have a border", "remove border, or add keep: true"
    if region.colour_strength is not None and region.colour_strength < 1 and controls.colour.style:
        yield (*path, "colour_strength"), *UNUSED_STRENGTH
    for key in sorted(PAINT_CONTROLS & region.given.keys()) if not controls.strength else ():
        rule = "it has no effect: strength is 0, so no style is painted"
        yield (*path, key), rule, f"remove {key}, or set strength"
    if region.content_layers and not controls.content_strength:
        rule = "it has no effect: content_strength is 0, so no content is kept"
        yield (*path, "content_layers"), rule, "remove content_layers, or set content_strength"
    if not controls.strength and not controls.content_strength:
        rule = f"region {region.name!r} stays as it starts: strength and content_strength are 0"
        yield path, rule, "set one of them"


def _uses_colour_strength(region: Region, controls: Controls) -> bool:
    """Whether the colour strength of the whole image has an effect in a region."""
    return region.colour_strength is None and not region.keep and not controls.colour.style


def _find_unused_defaults(recipe: Recipe) -> Iterator[Violation]:
    """Find controls of the whole image that have no effect in any region."""
    painted = [controls for controls, region in zip(recipe.controls, recipe.regions, strict=True) if not region.keep]
    if recipe.method == "classic" or not painted:
        return
    for keys, term in ((PAINT_CONTROLS, "strength"), ({"content_layers"}, "content_strength")):
        for key in sorted(keys) if not any(getattr(controls, term) for controls in painted) else ():
            if getattr(recipe, key) != Controls.model_fields[key].default:
                yield (key,), f"it has no effect: {term} is 0 everywhere", f"remove {key}, or set {term}"


def _find_in_mask(path: KeyPath, mask: Mask) -> Iterator[Violation]:
    for key in COLOUR_CODE_KEYS if not mask.colour else ():
        if getattr(mask, key) != Mask.model_fields[key].default:
            yield (*path, key), f"it has no effect: {key} needs a colour-coded file", f"add colour:, or remove {key}"

    for key in ("rectangle", "ellipse", "polygon"):
        if (shape := getattr(mask, key)) and _looks_like_px(shape):
            rule = "it reaches beyond the image: positions are fractions of its width and height"
            yield (*path, key), rule, "divide positions in px by the width and the height"


def _looks_like_px(shape: tuple[Any, ...]) -> bool:
    """Whether a shape has only whole numbers, some of them beyond the image."""
    sides = [side for part in shape for side in (part if isinstance(part, tuple) else (part,))]
    return max(sides) > 1 and all(side >= 0 and float(side).is_integer() for side in sides)


def _find_unused_masks(recipe: Recipe) -> Iterator[Violation]:
    shared = recipe.masks and recipe.masks.file
    if shared and not any(path[0] == "regions" and mask.file == shared for path, mask in list_masks(recipe)):
        remedy = "name a colour, layer or channel of it in a mask, or remove masks"
        yield ("masks",), "no region uses this file", remedy


def _find_unused_convention(recipe: Recipe) -> Iterator[Violation]:
    name = recipe.encoder.name
    if recipe.encoder.convention and not _has_conventions(name):
        others = " or ".join(filter(_has_conventions, list_encoders()))
        remedy = ", or ".join(["remove convention", *([f"set name: {others}"] if others else [])])
        yield ("encoder", "convention"), f"it has no effect: {name} has only one convention", remedy


def _has_conventions(encoder: str) -> bool:
    """Whether the weights of an encoder may expect one of several inputs."""
    return len(find_architecture(encoder).inputs) > 1
