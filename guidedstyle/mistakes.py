"""What is wrong between the keys of a recipe whose every key is right by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from guidedstyle.control_mistakes import find_control_mistakes
from guidedstyle.io.paths import list_places
from guidedstyle.listing import list_masks
from guidedstyle.mask_keys import Mask
from guidedstyle.overwriting import find_overwritten, identify, list_given
from guidedstyle.recipe import OUTPUT_SUFFIXES, Recipe, StyleImage
from guidedstyle.types import KeyPath, Mistake

TINY_AREA = 1e-9  # of the picture


def find_mistakes(recipe: Recipe, source: Path | None = None) -> Iterator[Mistake]:
    """Find what is wrong between the keys of a recipe, read from `source`, whose every key is right by itself."""
    yield from _find_region_mistakes(recipe)
    yield from _find_style_mistakes(recipe)
    yield from find_control_mistakes(recipe)
    for path, mask in list_masks(recipe):
        yield from _find_mask_mistakes(path, mask)
    yield from _find_output_mistakes(recipe, source)
    if recipe.encoder.name == "lite" and recipe.encoder.convention:
        yield ("encoder", "convention"), "lite always reads the same input", "remove convention, or set name: vgg19"


def _find_region_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    if recipe.content and recipe.canvas:
        yield ("canvas",), "a picture cannot have both content and canvas", "remove one of the two"
    if not recipe.regions and recipe.styles:
        rule = "there are several styles and nothing says where they go"
        yield (), rule, "add regions:, or style: with a mix of them"
    elif not recipe.regions:
        yield ("styles",), "style is missing", "add style: PAINTING"
    elif all(region.keep for region in recipe.regions):
        yield ("regions",), "every region is kept, so nothing is painted", "give at least one region a style"
    names = Counter(region.name for region in recipe.regions)
    rests = sum(region.mask.rest for region in recipe.regions)
    for index, region in enumerate(recipe.regions):
        here: KeyPath = ("regions", index)
        if names[region.name] > 1:
            yield (*here, "name"), f"{region.name!r} names {names[region.name]} regions", "give each its own name"
        if rests > 1 and region.mask.rest:
            yield (*here, "mask"), f"{rests} regions have mask: rest", "leave it to one region"
        if region.keep and region.style:
            yield here, f"region {region.name!r} has both keep and style", "remove one of the two"
        if not region.keep and not region.style and region.over(recipe).strength:
            yield here, f"region {region.name!r} has no style", "add style: NAME, or keep: true, or strength: 0"
        if region.style and not any(use.weight for use in region.style.values()):
            yield (*here, "style"), "the weights of its styles sum to 0", "give at least one a weight above 0"


def _find_style_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    for index, region in enumerate(recipe.regions):
        for name in region.style.keys() - recipe.styles.keys():
            remedy = f"use one of {', '.join(recipe.styles)}, or add it to styles"
            yield ("regions", index, "style", name), f"there is no style {name!r}", remedy
    for name, style in recipe.styles.items():
        yield from _find_source_mistakes(("styles", name), style, recipe)
    used = {name for region in recipe.regions for name in region.style}
    used |= {part for name in used & recipe.styles.keys() for part in recipe.styles[name].parts}
    for name in recipe.styles.keys() - used if recipe.regions else ():
        yield ("styles", name), f"no region uses the style {name!r}", "give it to a region, or remove it"


def _find_source_mistakes(path: KeyPath, style: StyleImage, recipe: Recipe) -> Iterator[Mistake]:
    """Find what is wrong with where a style comes from: a painting's file, or two other styles."""
    if style.image and style.parts:
        yield path, "a style cannot be an image and be made of others at once", "remove image, or fine and coarse"
    elif not style.image and not (style.fine and style.coarse):
        remedy = "add image: PAINTING" if not style.parts else "name both: {fine: NAME, coarse: NAME}"
        yield path, "image is missing" if not style.parts else "it takes two styles to make one", remedy
    elif style.parts and style.fine == style.coarse:
        yield path, "both of its parts are the same style", "name two styles, or use that one"
    for key in ("rotate", "flip", "mask") if style.parts else ():
        if getattr(style, key):
            yield (*path, key), f"a style made of others has no {key} of its own", f"give {key} to one of its parts"
    for key, part in (("fine", style.fine), ("coarse", style.coarse)):
        if part and (part not in recipe.styles or recipe.styles[part].parts):
            rule = (
                f"there is no painting {part!r}" if part not in recipe.styles else f"{part!r} is made of others itself"
            )
            yield (*path, key), rule, "name a style that has an image"


def _find_output_mistakes(recipe: Recipe, source: Path | None) -> Iterator[Mistake]:
    output = recipe.output
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        rule = f"{output.name!r} does not end like a picture's name"
        yield ("output",), rule, f"let it end in one of {', '.join(OUTPUT_SUFFIXES)}"
    elif not output.parent.is_dir():
        yield ("output",), f"there is no folder {output.parent}", "create it, or write elsewhere (-o)"
    elif output.exists() and not output.is_file():
        yield ("output",), f"{output} is not a file", "choose another name (-o)"
    if overwritten := find_overwritten(identify(list_given(recipe, source)), list_places(output)):
        yield ("output",), overwritten, "choose another name (-o)"


def _find_mask_mistakes(path: KeyPath, mask: Mask) -> Iterator[Mistake]:
    """Find what is wrong with one mask; those it combines are looked at by themselves."""
    sources = mask.sources
    within = [key for key in ("channel", "colour", "layer") if getattr(mask, key)]
    if not sources and within:
        shared = ", or masks: {file: ...} at the top for all regions" if path[0] == "regions" else ""
        remedy = f"add file: to the mask{shared}"
        yield path, f"{within[0]} of which file?", remedy
    elif not sources:
        yield path, "this mask names nothing", "give it a file, rest, all, a shape, or any, both or except"
    elif len(sources) > 1:
        remedy = "keep one, or combine them: {any: [...]}, {both: [...]}, {except: [..., ...]}"
        yield path, f"a mask cannot be {' and '.join(sources)} at once", remedy
    elif within and sources != ["file"]:
        yield path, f"{within[0]} belongs to a file, not to {sources[0]}", f"remove {within[0]}, or {sources[0]}"
    if len(within) > 1:
        yield path, f"a mask cannot be {' and '.join(within)} of a file at once", "keep one"
    yield from _find_rest_mistakes(path, mask)
    yield from _find_shape_mistakes(path, mask)


def _find_rest_mistakes(path: KeyPath, mask: Mask) -> Iterator[Mistake]:
    if not mask.rest:
        return
    if path[0] == "styles" or path[-1] != "mask":
        rule = "rest is what the other regions leave over, which only a whole region can be"
        yield path, rule, "use all, or {except: [all, ...]}"
    elif mask != Mask(rest=True):
        rule = "rest cannot be changed: it is what the other regions leave over"
        yield path, rule, "change their masks instead"


def _find_shape_mistakes(path: KeyPath, mask: Mask) -> Iterator[Mistake]:
    for key in ("rectangle", "ellipse"):
        if (box := getattr(mask, key)) and not (box[0] < box[2] and box[1] < box[3]):
            rule = f"[{', '.join(f'{side:g}' for side in box)}] has no area"
            yield (*path, key), rule, "give [left, top, right, bottom] with left < right and top < bottom"
    if mask.polygon and _measure_breadth(mask.polygon) < TINY_AREA:
        yield (*path, "polygon"), "its corners lie on one line", "give it an area"
    if mask.gradient and mask.gradient.start == mask.gradient.end:
        yield (*path, "gradient"), "it begins where it ends", "let from and to be two points"
    if mask.grow and mask.shrink:
        yield path, "a mask cannot grow and shrink at once", "keep one of the two"
    if mask.ignore and not mask.colour:
        yield path, "ignore belongs to a colour-coded file", "add colour:, or remove ignore"


def _measure_breadth(corners: Sequence[tuple[float, float]]) -> float:
    """Measure how far corners stray from the line through the first and the one furthest from it, as an area."""
    from_first = [(u - corners[0][0], v - corners[0][1]) for u, v in corners]
    x, y = max(from_first, key=lambda corner: corner[0] ** 2 + corner[1] ** 2)
    return max(abs(x * v - u * y) for u, v in from_first)
