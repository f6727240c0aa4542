"""Controls that make no sense together, or for this encoder, method or canvas."""

from __future__ import annotations

from collections.abc import Iterator

from guidedstyle.architecture import ARCHITECTURES
from guidedstyle.controls import ColourChoice, Controls, Overrides, Start
from guidedstyle.listing import list_starts
from guidedstyle.recipe import Recipe, Region
from guidedstyle.types import KeyPath, Mistake

Given = tuple[KeyPath, Controls | Overrides]


def find_control_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Find what makes no sense among the controls of the whole picture and of its regions."""
    regions: list[Given] = [(("regions", index), region) for index, region in enumerate(recipe.regions)]
    for path, given in [((), recipe), *regions]:
        if given.colour:
            yield from _find_colour_mistakes((*path, "colour"), given.colour)
        yield from _find_sum_mistakes(path, given)
        yield from _find_layer_mistakes(path, given, recipe)
    for path, start in list_starts(recipe):
        yield from _find_start_mistakes(path, start)
    for index, region in enumerate(recipe.regions):
        yield from _find_idle_controls(("regions", index), region, recipe)
    if recipe.colour_strength < 1 and not any(_has_use_of_strength(recipe, region) for region in recipe.regions):
        yield ("colour_strength",), *IDLE_STRENGTH
    yield from _find_idle_defaults(recipe)
    yield from _find_method_mistakes(recipe)
    if not recipe.content:
        yield from _find_canvas_mistakes(recipe)


PAINT_CONTROLS = {"statistics", "style_layers", "octaves", "guides"}  # of no use where nothing is painted
IDLE_STRENGTH = ("it has nothing to do: colour is style", "choose a colour, such as match, or remove colour_strength")


def _find_colour_mistakes(path: KeyPath, colour: ColourChoice) -> Iterator[Mistake]:
    if len(colour.ways) != 1:
        rule = f"colours cannot be {' and '.join(colour.ways)} at once" if colour.ways else "this chooses nothing"
        yield path, rule, "choose one of style, match, content and palette"


def _find_start_mistakes(path: KeyPath, start: Start) -> Iterator[Mistake]:
    if not start.total:
        yield path, "the weights of the start sum to 0", "give at least one a weight above 0"
    if start.picture and not start.file:
        yield (*path, "picture"), "the weight of which picture?", "add file:"


def _find_sum_mistakes(path: KeyPath, given: Controls | Overrides) -> Iterator[Mistake]:
    for key in ("style_layers", "content_layers"):
        if (layers := getattr(given, key)) and not any(layers.values()):
            yield (*path, key), "its weights sum to 0", "give at least one a weight above 0"
    if given.octaves and not any(given.octaves):
        yield (*path, "octaves"), "its weights sum to 0", "give at least one a weight above 0"


def _find_layer_mistakes(path: KeyPath, given: Controls | Overrides, recipe: Recipe) -> Iterator[Mistake]:
    known = ARCHITECTURES[recipe.encoder.name].layers
    for key in ("style_layers", "content_layers"):
        for layer in getattr(given, key) or ():
            if layer not in known:
                remedy = f"use {next(iter(known))} to {list(known)[-1]}"
                yield (*path, key, layer), f"{recipe.encoder.name} has no layer {layer!r}", remedy


def _has_use_of_strength(recipe: Recipe, region: Region) -> bool:
    return region.colour_strength is None and not region.keep and not region.over(recipe).colour.style


def _find_idle_controls(path: KeyPath, region: Region, recipe: Recipe) -> Iterator[Mistake]:
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
        yield (*path, "init") if region.init else ("init",), "there is no painting to start from", "give it a style"
    if not region.style and not settled.strength and not settled.content_strength:
        rule = f"region {region.name!r} has neither style nor drawing: strength and content_strength are 0"
        yield path, rule, "give it one of the two"


def _find_idle_defaults(recipe: Recipe) -> Iterator[Mistake]:
    """Find controls of the whole picture that no region has a use for."""
    painted = [controls for controls, region in zip(recipe.controls, recipe.regions, strict=True) if not region.keep]
    if recipe.method == "classic" or not painted:
        return
    for keys, term in ((PAINT_CONTROLS, "strength"), ({"content_layers"}, "content_strength")):
        for key in sorted(keys) if not any(getattr(controls, term) for controls in painted) else ():
            if getattr(recipe, key) != Controls.model_fields[key].default:
                yield (key,), f"it has nothing to do: {term} is 0 everywhere", f"remove {key}, or set {term}"


def _find_method_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    if recipe.method != "classic":
        return
    if recipe.encoder.name != "vgg19":
        remedy = "set encoder: vgg19, or remove method"
        yield ("method",), f"the classic set-up is made of layers of vgg19, not of {recipe.encoder.name}", remedy
    for index, controls in enumerate((recipe, *recipe.controls)):
        if controls.statistics != "gram":
            path: KeyPath = ("regions", index - 1) if index else ()
            rule = f"the published weights of the classic set-up are for gram, not for {controls.statistics}"
            yield (*path, "statistics"), rule, "remove it, or set method: octaves"
            return


def _find_canvas_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    if not recipe.canvas:
        yield (), "content is missing", "add content: PHOTO, or canvas: [WIDTH, HEIGHT] for a texture without one"
        return
    for index, region in enumerate(recipe.regions):
        here: KeyPath = ("regions", index)
        settled = region.over(recipe)
        if region.keep:
            yield (*here, "keep"), "there is no photograph to keep", "remove keep, or give content: instead of canvas:"
        for key, wants in (
            ("content_strength", settled.content_strength > 0),
            ("init", settled.init.content > 0),
            ("colour", bool(settled.colour.match or settled.colour.content)),
        ):
            if wants and not region.keep:
                path = (*here, key) if key in region.given else (key,)
                yield path, "it needs a photograph, and there is only a canvas", f"change {key}, or give content:"
