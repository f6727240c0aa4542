"""Rules between the keys of a recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from guidedstyle.encoders.registry import find_architecture, list_encoders
from guidedstyle.io.paths import list_output_files
from guidedstyle.recipe.controls import ColourChoice, Controls, RegionControls, Start
from guidedstyle.recipe.files import find_overwritten, identify, list_given, list_masks, list_starts
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.model import OUTPUT_SUFFIXES, Recipe, Region, StyleChoice
from guidedstyle.recipe.shorthand import CLASSIC_ENCODER
from guidedstyle.types import KeyPath, Violation

Given = tuple[KeyPath, Controls | RegionControls]


def find_control_violations(recipe: Recipe) -> Iterator[Violation]:
    """Find what makes no sense among the controls of the whole image and of its regions."""
    regions: list[Given] = [(("regions", index), region) for index, region in enumerate(recipe.regions)]
    for path, given in [((), recipe), *regions]:
        if given.colour:
            yield from _find_colour_violations((*path, "colour"), given.colour)
        yield from _find_sum_violations(path, given)
        yield from _find_layer_violations(path, given, recipe)
    for path, start in list_starts(recipe):
        yield from _find_start_violations(path, start)
    for index, region in enumerate(recipe.regions):
        yield from _find_idle_controls(("regions", index), region, recipe)
    if recipe.colour_strength < 1 and not any(_has_use_of_strength(recipe, region) for region in recipe.regions):
        yield ("colour_strength",), *IDLE_STRENGTH
    yield from _find_idle_defaults(recipe)
    yield from _find_method_violations(recipe)
    if not recipe.content:
        yield from _find_canvas_violations(recipe)


PAINT_CONTROLS = {"statistics", "style_layers", "octaves", "guides"}  # of no use where nothing is painted
IDLE_STRENGTH = ("it has nothing to do: colour is style", "choose a colour, such as match, or remove colour_strength")


def _find_colour_violations(path: KeyPath, colour: ColourChoice) -> Iterator[Violation]:
    if len(colour.ways) != 1:
        rule = f"colours cannot be {' and '.join(colour.ways)} at once" if colour.ways else "this chooses nothing"
        yield path, rule, "choose one of style, match, content and palette"


def _find_start_violations(path: KeyPath, start: Start) -> Iterator[Violation]:
    if not start.total:
        yield path, "the weights of the start sum to 0", "give at least one a weight above 0"
    if start.picture and not start.file:
        yield (*path, "picture"), "the weight of which image?", "add file:"


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
                yield (*path, key, layer), f"{recipe.encoder.name} has no layer {layer!r}", remedy


def _has_use_of_strength(recipe: Recipe, region: Region) -> bool:
    return region.colour_strength is None and not region.keep and not region.over(recipe).colour.style


def _find_idle_controls(path: KeyPath, region: Region, recipe: Recipe) -> Iterator[Violation]:
    """Find controls of a region that would be ignored."""
    settled = region.over(recipe)
    if region.keep:
        for key in region.given:
            yield (*path, key), "a kept region is not painted", f"remove {key}, or keep"
        return
    if region.border != type(region).model_fields["border"].default:
        yield (*path, "border"), "only a kept region has a border", "remove border, or add keep: true"
    if region.colour_strength is not None and region.colour_strength < 1 and settled.colour.style:
        yield (*path, "colour_strength"), *IDLE_STRENGTH
    for key in sorted(PAINT_CONTROLS & region.given.keys()) if not settled.strength else ():
        yield (
            (*path, key),
            "it has nothing to do: strength is 0, so nothing is painted",
            f"remove {key}, or set strength",
        )
    if region.content_layers and not settled.content_strength:
        rule = "it has nothing to do: content_strength is 0, so no drawing is kept"
        yield (*path, "content_layers"), rule, "remove content_layers, or set content_strength"
    if len(region.style) == 1 and any(use.where for use in region.style.values()):
        rule = "a mix of one style cannot vary: its share is all of the region"
        yield (*path, "style"), rule, "add a second style, or give the region the mask"
    if settled.init.style and not region.style:
        yield (*path, "init") if region.init else ("init",), "there is no style image to start from", "give it a style"
    if not region.style and not settled.strength and not settled.content_strength:
        rule = f"region {region.name!r} has neither style nor drawing: strength and content_strength are 0"
        yield path, rule, "give it one of the two"


def _find_idle_defaults(recipe: Recipe) -> Iterator[Violation]:
    """Find controls of the whole image that no region has a use for."""
    painted = [controls for controls, region in zip(recipe.controls, recipe.regions, strict=True) if not region.keep]
    if recipe.method == "classic" or not painted:
        return
    for keys, term in ((PAINT_CONTROLS, "strength"), ({"content_layers"}, "content_strength")):
        for key in sorted(keys) if not any(getattr(controls, term) for controls in painted) else ():
            if getattr(recipe, key) != Controls.model_fields[key].default:
                yield (key,), f"it has nothing to do: {term} is 0 everywhere", f"remove {key}, or set {term}"


def _find_method_violations(recipe: Recipe) -> Iterator[Violation]:
    if recipe.method != "classic":
        return
    if recipe.encoder.name != CLASSIC_ENCODER:
        rule = f"the classic set-up is made of layers of {CLASSIC_ENCODER}, not of {recipe.encoder.name}"
        yield ("method",), rule, f"set encoder: {CLASSIC_ENCODER}, or remove method"
    for index, controls in enumerate((recipe, *recipe.controls)):
        if controls.statistics != "gram":
            path: KeyPath = ("regions", index - 1) if index else ()
            rule = f"the published weights of the classic set-up are for gram, not for {controls.statistics}"
            yield (*path, "statistics"), rule, "remove it, or set method: octaves"
            return


def _find_canvas_violations(recipe: Recipe) -> Iterator[Violation]:
    if not recipe.canvas:
        yield (), "content is missing", "add content: PHOTO, or canvas: [WIDTH, HEIGHT] for a texture without one"
        return
    for index, region in enumerate(recipe.regions):
        here: KeyPath = ("regions", index)
        settled = region.over(recipe)
        if region.keep:
            yield (
                (*here, "keep"),
                "there is no content image to keep",
                "remove keep, or give content: instead of canvas:",
            )
        for key, wants in (
            ("content_strength", settled.content_strength > 0),
            ("init", settled.init.content > 0),
            ("colour", bool(settled.colour.match or settled.colour.content)),
        ):
            if wants and not region.keep:
                path = (*here, key) if key in region.given else (key,)
                yield path, "it needs a content image, and there is only a canvas", f"change {key}, or give content:"


TINY_AREA = 1e-9  # of the image


def find_violations(recipe: Recipe, source: Path | None = None) -> Iterator[Violation]:
    """Find what is wrong between the keys of a recipe, read from `source`, whose every key is right by itself."""
    yield from _find_region_violations(recipe)
    yield from _find_style_violations(recipe)
    yield from find_control_violations(recipe)
    for path, mask in list_masks(recipe):
        yield from _find_mask_violations(path, mask)
    yield from _find_output_violations(recipe, source)
    if recipe.encoder.convention and not _has_choice(recipe.encoder.name):
        others = [f"set name: {name}" for name in list_encoders() if _has_choice(name)]
        rule = f"{recipe.encoder.name} always reads the same input"
        yield ("encoder", "convention"), rule, ", or ".join(["remove convention", *others])


def _has_choice(encoder: str) -> bool:
    """Whether an encoder's weights may expect one of several inputs."""
    return len(find_architecture(encoder).inputs) > 1


def _find_region_violations(recipe: Recipe) -> Iterator[Violation]:
    if recipe.content and recipe.canvas:
        yield ("canvas",), "an image cannot have both content and canvas", "remove one of the two"
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


def _find_style_violations(recipe: Recipe) -> Iterator[Violation]:
    for index, region in enumerate(recipe.regions):
        for name in region.style.keys() - recipe.styles.keys():
            remedy = f"use one of {', '.join(recipe.styles)}, or add it to styles"
            yield ("regions", index, "style", name), f"there is no style {name!r}", remedy
    for name, style in recipe.styles.items():
        yield from _find_source_violations(("styles", name), style, recipe)
    used = {name for region in recipe.regions for name in region.style}
    used |= {part for name in used & recipe.styles.keys() for part in recipe.styles[name].parts}
    for name in recipe.styles.keys() - used if recipe.regions else ():
        yield ("styles", name), f"no region uses the style {name!r}", "give it to a region, or remove it"


def _find_source_violations(path: KeyPath, style: StyleChoice, recipe: Recipe) -> Iterator[Violation]:
    """Find what is wrong with where a style comes from: a style image's file, or two other styles."""
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
                f"there is no style image {part!r}"
                if part not in recipe.styles
                else f"{part!r} is made of others itself"
            )
            yield (*path, key), rule, "name a style that has an image"


def _find_output_violations(recipe: Recipe, source: Path | None) -> Iterator[Violation]:
    output = recipe.output
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        rule = f"{output.name!r} does not end like an image's name"
        yield ("output",), rule, f"let it end in one of {', '.join(OUTPUT_SUFFIXES)}"
    elif not output.parent.is_dir():
        yield ("output",), f"there is no folder {output.parent}", "create it, or write elsewhere (-o)"
    elif output.exists() and not output.is_file():
        yield ("output",), f"{output} is not a file", "choose another name (-o)"
    if overwritten := find_overwritten(identify(list_given(recipe, source)), list_output_files(output)):
        yield ("output",), overwritten, "choose another name (-o)"


def _find_mask_violations(path: KeyPath, mask: Mask) -> Iterator[Violation]:
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
    yield from _find_rest_violations(path, mask)
    yield from _find_shape_violations(path, mask)


def _find_rest_violations(path: KeyPath, mask: Mask) -> Iterator[Violation]:
    if not mask.rest:
        return
    if path[0] == "styles" or path[-1] != "mask":
        rule = "rest is what the other regions leave over, which only a whole region can be"
        yield path, rule, "use all, or {except: [all, ...]}"
    elif mask != Mask(rest=True):
        rule = "rest cannot be changed: it is what the other regions leave over"
        yield path, rule, "change their masks instead"


def _find_shape_violations(path: KeyPath, mask: Mask) -> Iterator[Violation]:
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
