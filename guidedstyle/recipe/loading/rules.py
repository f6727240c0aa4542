"""Rules that valid keys of a recipe must keep together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from guidedstyle.encoders.registry import find_architecture
from guidedstyle.io.files import find_obstacle
from guidedstyle.io.paths import list_output_files
from guidedstyle.recipe.controls import ColourChoice, Controls, RegionControls, Start
from guidedstyle.recipe.inputs import find_overwritten, identify, list_given, list_masks, list_starts
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.model import DEEP_SUFFIXES, IMAGE_SUFFIXES, OUTPUT_SUFFIXES, Recipe, Region, StyleChoice
from guidedstyle.recipe.remedies.files import find_image
from guidedstyle.recipe.remedies.keys import find_close
from guidedstyle.recipe.remedies.values import read_mix, write_value
from guidedstyle.recipe.shorthand import CLASSIC_ENCODER
from guidedstyle.types import KeyPath, Violation

Given = tuple[KeyPath, Controls | RegionControls]


TINY_AREA = 1e-9  # of the image


def find_violations(recipe: Recipe, source: Path | None = None) -> Iterator[Violation]:
    """Find what breaks a rule in a recipe, read from the file `source`, whose keys are valid one by one."""
    yield from _find_region_violations(recipe)
    yield from _find_style_violations(recipe, source)
    yield from _find_control_violations(recipe)
    for path, mask in list_masks(recipe):
        yield from _find_mask_violations(path, mask)
    yield from _find_output_violations(recipe, source)


def _find_control_violations(recipe: Recipe) -> Iterator[Violation]:
    """Find contradictions between controls, of the whole image and of regions."""
    regions: list[Given] = [(("regions", index), region) for index, region in enumerate(recipe.regions)]
    for path, given in [((), recipe), *regions]:
        if given.colour:
            yield from _find_colour_violations((*path, "colour"), given.colour)
        yield from _find_sum_violations(path, given)
        yield from _find_layer_violations(path, given, recipe)
    for path, start in list_starts(recipe):
        yield from _find_start_violations(path, start)
    for index, region in enumerate(recipe.regions):
        yield from _find_mix_violations(index, region, recipe.controls[index])
    yield from _find_method_violations(recipe)
    if not recipe.content:
        yield from _find_canvas_violations(recipe)


def _find_mix_violations(index: int, region: Region, controls: Controls) -> Iterator[Violation]:
    """Find errors in the styles of a region that its controls use."""
    path: KeyPath = ("regions", index)
    if len(region.mix) == 1 and any(use.where for use in region.mix.values()):
        rule = "a mask has no effect on a region's only style"
        yield (*path, "style"), rule, "add a second style, or use it as the region's mask"
    if controls.init.style and not region.style and not region.keep:
        place = (*path, "init") if region.init else ("init",)
        yield place, "there is no style image to start from", "give the region a style"


def _find_colour_violations(path: KeyPath, colour: ColourChoice) -> Iterator[Violation]:
    if len(colour.ways) != 1:
        rule = (
            f"colour cannot have {' and '.join(colour.ways)} at the same time"
            if colour.ways
            else "no source of colours is given"
        )
        yield path, rule, "give one of style, match, content and palette"


def _find_start_violations(path: KeyPath, start: Start) -> Iterator[Violation]:
    if not start.total:
        yield path, "its weights sum to 0", "give at least one a weight above 0"
    if start.image and not start.file:
        yield (*path, "image"), "`image` needs `file:`", "add file:"


def _find_sum_violations(path: KeyPath, given: Controls | RegionControls) -> Iterator[Violation]:
    for key in ("style_layers", "content_layers"):
        if (layers := getattr(given, key)) and not any(layers.values()):
            yield (*path, key), "its weights sum to 0", "give at least one a weight above 0"
    if given.octaves and not any(given.octaves):
        yield (*path, "octaves"), "its weights sum to 0", "give at least one a weight above 0"


def _find_layer_violations(path: KeyPath, given: Controls | RegionControls, recipe: Recipe) -> Iterator[Violation]:
    known = find_architecture(recipe.encoder.name).layers
    for key in ("style_layers", "content_layers"):
        for layer in getattr(given, key) or ():
            if layer not in known:
                remedy = f"use {next(iter(known))} to {list(known)[-1]}"
                parts = [part for part in re.split(r"[,;\s]+", layer) if part]
                close = find_close(layer.replace("conv", "relu"), known) if len(parts) == 1 else None
                if close or (len(parts) > 1 and all(part in known for part in parts)):
                    remedy += f": write `{close or write_value(parts)}`"
                yield (*path, key, layer), f"{recipe.encoder.name} has no layer {layer!r}", remedy


def _find_method_violations(recipe: Recipe) -> Iterator[Violation]:
    if recipe.method != "classic":
        return
    if recipe.encoder.name != CLASSIC_ENCODER:
        rule = f"method: classic uses layers of {CLASSIC_ENCODER}, not of {recipe.encoder.name}"
        yield ("method",), rule, f"set encoder: {CLASSIC_ENCODER}, or remove method"
    for index, controls in enumerate((recipe, *recipe.controls)):
        if controls.statistics != "gram":
            path: KeyPath = ("regions", index - 1) if index else ()
            rule = f"method: classic uses gram, not {controls.statistics}"
            yield (*path, "statistics"), rule, "remove it, or set method: octaves"
            return


def _find_canvas_violations(recipe: Recipe) -> Iterator[Violation]:
    if not recipe.canvas:
        yield (), "content is missing", "add content: IMAGE, or canvas: [WIDTH, HEIGHT] for a texture without one"
        return
    for index, (region, controls) in enumerate(zip(recipe.regions, recipe.controls, strict=True)):
        here: KeyPath = ("regions", index)
        if region.keep:
            yield (
                (*here, "keep"),
                "there is no content image to keep",
                "remove keep, or use content: instead of canvas:",
            )
        for key, wants in (
            ("content_strength", controls.content_strength > 0),
            ("init", controls.init.content > 0),
            ("colour", bool(controls.colour.match or controls.colour.content)),
            ("opacity", controls.opacity < 1),
        ):
            if wants and not region.keep:
                path = (*here, key) if key in region.given else (key,)
                yield (
                    path,
                    "it needs a content image, but the recipe has only a canvas",
                    f"change {key}, or use content: instead of canvas:",
                )


def _find_region_violations(recipe: Recipe) -> Iterator[Violation]:
    if recipe.content and recipe.canvas:
        yield ("canvas",), "a recipe cannot have both content and canvas", "remove one of the two"
    if not recipe.regions and recipe.styles:
        rule = "there are several styles and no regions"
        yield (), rule, "add regions:, or style: with a mix of them"
    elif not recipe.regions:
        yield ("styles",), "style is missing", "add style: IMAGE"
    elif all(region.keep for region in recipe.regions):
        yield ("regions",), "every region is kept, so nothing would be painted", "give at least one region a style"
    names = Counter(region.name for region in recipe.regions)
    rests = sum(region.mask.rest for region in recipe.regions)
    for index, region in enumerate(recipe.regions):
        here: KeyPath = ("regions", index)
        if names[region.name] > 1:
            yield (
                (*here, "name"),
                f"{region.name!r} names {names[region.name]} regions",
                "give each region a name of its own",
            )
        if rests > 1 and region.mask.rest:
            yield (*here, "mask"), f"{rests} regions have mask: rest", "keep it for one region"
        if not region.keep and not region.style and recipe.controls[index].strength:
            yield here, f"region {region.name!r} has no style", "add style: NAME, or keep: true, or strength: 0"
        if region.mix and not any(use.weight for use in region.mix.values()):
            yield (*here, "style"), "the weights of its styles sum to 0", "give at least one a weight above 0"


def _find_style_violations(recipe: Recipe, source: Path | None) -> Iterator[Violation]:
    for index, region in enumerate(recipe.regions):
        for name in (name for name in region.style if name not in recipe.styles):
            yield ("regions", index, "style", name), f"there is no style {name!r}", _suggest_style(name, recipe, source)
    for name, style in recipe.styles.items():
        yield from _find_source_violations(("styles", name), style, recipe)


def _suggest_style(name: str, recipe: Recipe, source: Path | None) -> str:
    """Suggest what to write instead of an unknown style: another one, a mix, or the entry that it lacks."""
    styles = recipe.styles
    if mix := read_mix(name, styles):
        return f"several styles are a mix: write `style: {mix}`"
    if name.strip().lower() in ("", "none", "null", "no", "keep", "original", "content"):
        return "a region that stays as it is has no style: write `keep: true` instead of style"
    if Path(name).suffix.lower() in IMAGE_SUFFIXES:
        own = next((key for key, style in styles.items() if style.image and style.image.name == Path(name).name), None)
        if own:
            return f"a region names a style, not its file: write `style: {own}`"
        used = dict.fromkeys(other for region in recipe.regions for other in region.style)
        files = [other for other in used if Path(other).suffix.lower() in IMAGE_SUFFIXES]
        stems = {other: re.sub(r"\W+", "_", Path(other).stem) for other in files}
        stem = stems[name]
        if len(files) > 1 and not styles and len({*stems.values()}) == len(files):
            entry = write_value({stems[other]: other for other in files})
            return f"give the files names: add the line `styles: {entry}`, and write `{stem}` instead of `{name}`"
        return f"give the file a name under styles, `styles: {{{stem}: {name}}}`, and write `style: {stem}` here"
    if not styles:
        used = dict.fromkeys(other for region in recipe.regions for other in region.style)
        images = {other: find_image(other, source.parent if source else Path()) for other in used}
        entry = write_value({other: image or "IMAGE" for other, image in images.items()})
        return f"add the line `styles: {entry}`" + (
            "" if all(images.values()) else ", with a style image's file for IMAGE"
        )
    close, known = find_close(name, styles), ", ".join(styles)
    return f"write `{close}`; the styles are {known}" if close else f"use one of {known}, or add it to styles"


def _find_source_violations(path: KeyPath, style: StyleChoice, recipe: Recipe) -> Iterator[Violation]:
    """Find errors in the source of a style: the file of a style image, or two other styles."""
    if style.image and style.parts:
        yield path, "a style cannot have both image and fine or coarse", "remove image, or fine and coarse"
    elif not style.image and not (style.fine and style.coarse):
        remedy = "add image: IMAGE" if not style.parts else "give both: {fine: NAME, coarse: NAME}"
        yield path, "image is missing" if not style.parts else "fine and coarse must both be given", remedy
    elif style.parts and style.fine == style.coarse:
        yield path, "fine and coarse are the same style", "give two different styles, or use that style alone"
    for key in ("rotate", "flip", "mask") if style.parts else ():
        if getattr(style, key):
            yield (
                (*path, key),
                f"a style that combines two others has no {key} of its own",
                f"give {key} to one of the two",
            )
    for key, part in (("fine", style.fine), ("coarse", style.coarse)):
        if part and (part not in recipe.styles or recipe.styles[part].parts):
            rule = (
                f"there is no style image {part!r}"
                if part not in recipe.styles
                else f"{part!r} combines two styles itself"
            )
            yield (*path, key), rule, "use a style that has an image"


def _find_output_violations(recipe: Recipe, source: Path | None) -> Iterator[Violation]:
    output = recipe.output
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        rule = f"{output.name!r} does not have the suffix of an image"
        yield ("output",), rule, f"use one of {', '.join(OUTPUT_SUFFIXES)}"
    elif obstacle := find_obstacle(output.parent):
        yield ("output",), f"the folder {obstacle}", "choose another one (-o)"
    elif output.exists() and not output.is_file():
        yield ("output",), f"{output} is not a file", "choose another name (-o)"
    elif recipe.save.depth == 16 and output.suffix.lower() not in DEEP_SUFFIXES:
        remedy = "choose a name ending in .png or .tif (-o), or remove depth"
        yield ("save", "depth"), f"{output.suffix} holds 8 bits, not 16", remedy
    if overwritten := find_overwritten(identify(list_given(recipe, source)), list_output_files(output)):
        yield ("output",), overwritten, "choose another name (-o)"


def _find_mask_violations(path: KeyPath, mask: Mask) -> Iterator[Violation]:
    """Find errors in one mask, apart from the masks that it combines."""
    sources = mask.sources
    within = [key for key in ("channel", "colour", "layer") if getattr(mask, key)]
    if not sources and within:
        shared = ", or masks: {file: ...} at the top for all regions" if path[0] == "regions" else ""
        remedy = f"add file: to the mask{shared}"
        yield path, f"`{within[0]}` needs `file:`", remedy
    elif not sources:
        yield path, "this mask has no source", "give it file, rest, all, a shape, or any, both or except"
    elif len(sources) > 1:
        remedy = "keep one, or combine them: {any: [...]}, {both: [...]}, {except: [..., ...]}"
        yield path, f"a mask cannot be {' and '.join(sources)} at the same time", remedy
    elif within and sources != ["file"]:
        yield path, f"`{within[0]}` needs a file, not {sources[0]}", f"remove {within[0]}, or {sources[0]}"
    if len(within) > 1:
        yield path, f"a mask cannot use {' and '.join(within)} of a file at the same time", "keep one"
    if mask.layer_opacity and not mask.layer:
        yield path, "`layer_opacity` needs `layer:`", "name a layer, or remove layer_opacity"
    yield from _find_rest_violations(path, mask)
    yield from _find_shape_violations(path, mask)


def _find_rest_violations(path: KeyPath, mask: Mask) -> Iterator[Violation]:
    if not mask.rest:
        return
    if path[0] == "styles" or path[-1] != "mask":
        rule = "rest is everything that no other region covers: it can only be a region's whole mask"
        yield path, rule, "use all, or {except: [all, ...]}"
    elif mask != Mask(rest=True):
        rule = "rest cannot be modified: it is everything that no other region covers"
        yield path, rule, "modify the other masks instead"


def _find_shape_violations(path: KeyPath, mask: Mask) -> Iterator[Violation]:
    for key in ("rectangle", "ellipse"):
        if (box := getattr(mask, key)) and not (box[0] < box[2] and box[1] < box[3]):
            rule = f"[{', '.join(f'{side:g}' for side in box)}] has no area"
            yield (*path, key), rule, "give [left, top, right, bottom] with left < right and top < bottom"
    if mask.polygon and _measure_breadth(mask.polygon) < TINY_AREA:
        yield (*path, "polygon"), "its corners lie on a line", "move a corner"
    if mask.gradient and mask.gradient.start == mask.gradient.end:
        yield (*path, "gradient"), "from and to are the same point", "give two different points"
    if mask.grow and mask.shrink:
        yield path, "a mask cannot both grow and shrink", "remove one"


def _measure_breadth(corners: Sequence[tuple[float, float]]) -> float:
    """Return twice the area of the largest triangle of the first corner, the one furthest from it, and any other."""
    from_first = [(u - corners[0][0], v - corners[0][1]) for u, v in corners]
    x, y = max(from_first, key=lambda corner: corner[0] ** 2 + corner[1] ** 2)
    return max(abs(x * v - u * y) for u, v in from_first)
