"""What the user asked for, as frozen validated data. Every key, range and default of a recipe is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from guidedstyle.errors import KeyPath
from guidedstyle.keys import Length, Model, RecipePath, Weight
from guidedstyle.mask_keys import Mask, SharedMasks, lengthen_mask, share_file

MOST_REGIONS = 64
LONGEST_REGION_NAME = 80  # letters

Mistake = tuple[KeyPath, str, str]  # where, which rule, which remedy

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
OUTPUT_SUFFIXES = (*PICTURE_SUFFIXES, ".ora")


class EncoderChoice(Model):
    """Which network judges the style."""

    name: Literal["lite", "vgg19"] = Field("lite", description="`lite` (embedded) or `vgg19`")
    weights: RecipePath | None = Field(
        None, description="file of weights; without it vgg19 is downloaded and lite is the embedded one"
    )
    convention: Literal["torchvision", "original"] | None = Field(
        None, description="input the weights expect: `torchvision` (0..1, normalised), `original` (0..255 minus mean)"
    )


class StyleImage(Model):
    """A painting, or the masked part of it, to take a style from."""

    image: RecipePath = Field(description="the painting's file")
    scale: float = Field(
        1.0, ge=0.1, le=10, description="size of its strokes; 1: as long as the picture's longest side"
    )
    mask: Mask | None = Field(None, description="only this part of it is used; as a region's mask, over the painting")


class Region(Model):
    """A part of the picture and what happens to it."""

    name: str = Field(
        min_length=1, max_length=LONGEST_REGION_NAME, description="what plans, messages and records call it"
    )
    mask: Mask = Field(description="where it is: a file, white there; `rest`, `all`, or a mask's keys")
    style: dict[str, Weight] = Field({}, description="a style's name, or several with weights: {ink: 0.7, oil: 0.3}")
    strength: float = Field(1.0, ge=0, le=1e6, description="how much paint, relative to 1")
    guides: Literal["simple", "inside"] = Field(
        "simple",
        description="features that are its own: `simple` by area, `inside` where all they see is in the region",
    )
    content: float = Field(1.0, ge=0, le=1e6, description="how strongly it keeps its drawing, relative to 1")
    keep: bool = Field(False, description="leave these pixels exactly as they are in the photograph")
    border: Length = Field("0.5%", description="how far around it a kept region fades into the paint; px or %")


class SolverChoice(Model):
    """How the picture is optimised."""

    method: Literal["lbfgs", "adam", "sgd"] = Field("lbfgs", description="`lbfgs`, `adam`, or `sgd` with momentum")
    steps: int = Field(150, ge=1, le=100_000, description="steps in all; most at small sizes, few at the last")
    init: Literal["content", "noise", "style"] | RecipePath = Field(
        "content", description="where to start: `content`, `noise`, `style`, or a picture's file"
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of the noise")


class Recipe(Model):
    """A whole recipe. Paths are relative to the recipe file until it is read, then to the working folder."""

    content: RecipePath = Field(description="the photograph to paint")
    output: RecipePath = Field(
        Path("picture.png"), description="the picture to write; default: the recipe's name + .png"
    )
    size: int | None = Field(None, ge=16, le=32768, description="longest side in px; default: the content's own")
    encoder: EncoderChoice = Field(EncoderChoice(), description="`lite`, `vgg19`, or {name, weights, convention}")
    styles: dict[str, StyleImage] = Field(
        min_length=1, description="the paintings by name: a file, or {image, scale, mask}"
    )
    masks: SharedMasks | None = Field(
        None, description="a file for the masks of all regions: {file, ignore, tolerance}"
    )
    regions: tuple[Region, ...] = Field(
        (), strict=False, max_length=MOST_REGIONS, description="back to front, like layers in an image editor"
    )
    colour: Literal["style", "match", "content"] = Field(
        "style",
        description="`style` as painted, `match` paintings recoloured to the photograph, `content` its own chroma",
    )
    balance: Literal["area", "equal"] = Field(
        "area", description="`area`: every pixel weighs the same; `equal`: every region weighs the same"
    )
    smoothness: float = Field(1.0, ge=0, le=1e6, description="total variation, relative to 1")
    solver: SolverChoice = Field(SolverChoice(), description="{method, steps, init, seed}")

    @model_validator(mode="before")
    @classmethod
    def _accept_short_forms(cls, data: object) -> object:
        return lengthen(data) if isinstance(data, dict) else data


def lengthen(data: dict[str, Any]) -> dict[str, Any]:
    """Rewrite the short forms that people write, where one string stands for an entry, as the long ones."""
    data = _expand_style(data)
    if "encoder" in data:
        data["encoder"] = _lengthen_entry(data["encoder"], lambda name: {"name": name})
    if "masks" in data:
        data["masks"] = _lengthen_entry(data["masks"], lambda file: {"file": file})
    if isinstance(styles := data.get("styles"), dict):
        data["styles"] = {key: _lengthen_style(style) for key, style in styles.items()}
    if isinstance(regions := data.get("regions"), list | tuple):
        data["regions"] = [_lengthen_region(region) for region in regions]
    return data


def _lengthen_style(style: object) -> object:
    style = _lengthen_entry(style, lambda image: {"image": image})
    return {**style, "mask": lengthen_mask(style["mask"])} if isinstance(style, dict) and "mask" in style else style


def _lengthen_region(region: object) -> object:
    if not isinstance(region, dict):
        return region
    if "mask" in region:
        region = {**region, "mask": lengthen_mask(region["mask"])}
    if "style" in region:
        region = {**region, "style": _lengthen_entry(region["style"], lambda name: {name: 1.0})}
    return region


def _lengthen_entry(entry: object, long_form: Callable[[str], object]) -> object:
    return long_form(entry) if isinstance(entry, str) else entry


def _expand_style(data: dict[str, Any]) -> dict[str, Any]:
    """Rewrite the smallest recipe, `style:` and no regions, as one region that covers the picture.

    `style` is a file, the name of one of `styles`, or a weighted mix of their names. A recipe with `styles` of
    which there is only one needs no `style` at all.
    """
    data = dict(data)
    styles = data.get("styles", {})
    if not isinstance(styles, dict) or data.get("regions"):
        return data
    style = data.pop("style", None)
    if isinstance(style, str) and style not in styles:
        data["styles"], style = {**styles, "style": style}, "style"
    if style is None and len(styles) == 1:
        (style,) = styles
    if style is not None and style != {}:
        data["regions"] = [{"name": "picture", "mask": "rest", "style": style}]
    return data


def share_masks(recipe: Recipe) -> Recipe:
    """Give the regions' masks the file that they share, if there is one."""
    if not (shared := recipe.masks):
        return recipe
    regions = (region.model_copy(update={"mask": share_file(region.mask, shared)}) for region in recipe.regions)
    return recipe.model_copy(update={"regions": tuple(regions)})


def list_masks(recipe: Recipe) -> Iterator[tuple[KeyPath, Mask]]:
    """List every mask of a recipe and those within it, with the keys that lead to each."""
    for name, style in recipe.styles.items():
        if style.mask:
            yield from style.mask.walk(("styles", name, "mask"))
    for index, region in enumerate(recipe.regions):
        yield from region.mask.walk(("regions", index, "mask"))


def list_files(recipe: Recipe) -> Iterator[tuple[KeyPath, Path]]:
    """List every file a recipe reads, with the key that names it."""
    yield ("content",), recipe.content
    for name, style in recipe.styles.items():
        yield ("styles", name, "image"), style.image
    shared = recipe.masks.file if recipe.masks else None
    if shared:
        yield ("masks",), shared
    for path, mask in list_masks(recipe):
        if mask.file and not (path[0] == "regions" and mask.file == shared):
            yield path, mask.file
    if isinstance(recipe.solver.init, Path):
        yield ("solver", "init"), recipe.solver.init
    if recipe.encoder.weights:
        yield ("encoder", "weights"), recipe.encoder.weights
