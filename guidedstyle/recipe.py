"""What the user asked for, as frozen validated data. Every key, range and default of a recipe is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from guidedstyle.errors import KeyPath

LONGEST_NAME = 200  # bytes of a file's name; file systems allow 255, and names get endings added


def _limit_length(path: Path) -> Path:
    if any(len(part.encode(errors="replace")) > LONGEST_NAME for part in path.parts) or len(str(path)) > 3000:
        raise PydanticCustomError("path_length", "too long")
    return path


RecipePath = Annotated[Path, Field(strict=False), AfterValidator(_limit_length)]  # YAML has no paths, only strings
Weight = Annotated[float, Field(ge=0, le=1e6)]
Mistake = tuple[KeyPath, str, str]  # where, which rule, which remedy

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class EncoderChoice(_Model):
    """Which network judges the style."""

    name: Literal["lite", "vgg19"] = Field("lite", description="`lite` (embedded) or `vgg19`")
    weights: RecipePath | None = Field(
        None, description="file of weights; without it vgg19 is downloaded and lite is the embedded one"
    )
    convention: Literal["torchvision", "original"] | None = Field(
        None, description="input the weights expect: `torchvision` (0..1, normalised), `original` (0..255 minus mean)"
    )


class StyleImage(_Model):
    """A painting, or the masked part of it, to take a style from."""

    image: RecipePath = Field(description="the painting's file")
    scale: float = Field(
        1.0, ge=0.1, le=10, description="size of its strokes; 1: as long as the picture's longest side"
    )
    mask: RecipePath | None = Field(None, description="only its white part is used; same shape as the painting")


class Region(_Model):
    """A part of the picture and what happens to it."""

    name: str = Field(min_length=1, max_length=80, description="what plans, messages and records call it")
    mask: Literal["rest"] | RecipePath = Field(description="file, white where the region is, or `rest`")
    style: dict[str, Weight] = Field({}, description="a style's name, or several with weights: {ink: 0.7, oil: 0.3}")
    strength: float = Field(1.0, ge=0, le=1e6, description="how much paint, relative to 1")
    content: float = Field(1.0, ge=0, le=1e6, description="how strongly it keeps its drawing, relative to 1")
    keep: bool = Field(False, description="leave these pixels exactly as they are in the photograph")


class SolverChoice(_Model):
    """How the picture is optimised."""

    method: Literal["lbfgs", "adam", "sgd"] = Field("lbfgs", description="`lbfgs`, `adam`, or `sgd` with momentum")
    steps: int = Field(150, ge=1, le=100_000, description="steps in all; most at small sizes, few at the last")
    init: Literal["content", "noise", "style"] | RecipePath = Field(
        "content", description="where to start: `content`, `noise`, `style`, or a picture's file"
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of the noise")


class Recipe(_Model):
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
    regions: tuple[Region, ...] = Field(
        (), strict=False, max_length=64, description="back to front, like layers in an image editor"
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
    if isinstance(styles := data.get("styles"), dict):
        data["styles"] = {key: _lengthen_entry(style, lambda image: {"image": image}) for key, style in styles.items()}
    if isinstance(regions := data.get("regions"), list | tuple):
        data["regions"] = [_lengthen_region(region) for region in regions]
    return data


def _lengthen_region(region: object) -> object:
    if isinstance(region, dict) and "style" in region:
        return {**region, "style": _lengthen_entry(region["style"], lambda name: {name: 1.0})}
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


def find_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Find what is wrong between the keys of a recipe whose every key is right by itself."""
    yield from _find_region_mistakes(recipe)
    yield from _find_style_mistakes(recipe)
    yield from _find_output_mistakes(recipe)
    if recipe.encoder.name == "lite" and recipe.encoder.convention:
        yield ("encoder", "convention"), "lite always reads the same input", "remove convention, or set name: vgg19"


def _find_region_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    if not recipe.regions:
        yield (
            (),
            "there are several styles and nothing says where they go",
            "add regions:, or style: with a mix of them",
        )
    elif all(region.keep for region in recipe.regions):
        yield ("regions",), "every region is kept, so nothing is painted", "give at least one region a style"
    names = Counter(region.name for region in recipe.regions)
    rests = sum(region.mask == "rest" for region in recipe.regions)
    for index, region in enumerate(recipe.regions):
        here: KeyPath = ("regions", index)
        if names[region.name] > 1:
            yield (*here, "name"), f"{region.name!r} names {names[region.name]} regions", "give each its own name"
        if rests > 1 and region.mask == "rest":
            yield (*here, "mask"), f"{rests} regions have mask: rest", "leave it to one region"
        if region.keep and region.style:
            yield here, f"region {region.name!r} has both keep and style", "remove one of the two"
        if not region.keep and not region.style:
            yield here, f"region {region.name!r} has no style", "add style: NAME, or keep: true"
        if region.style and not any(region.style.values()):
            yield (*here, "style"), "the weights of its styles sum to 0", "give at least one a weight above 0"


def _find_style_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    used = {name for region in recipe.regions for name in region.style}
    for index, region in enumerate(recipe.regions):
        for name in region.style.keys() - recipe.styles.keys():
            remedy = f"use one of {', '.join(recipe.styles)}, or add it to styles"
            yield ("regions", index, "style", name), f"there is no style {name!r}", remedy
    for name in recipe.styles.keys() - used if recipe.regions else ():
        yield ("styles", name), f"no region uses the style {name!r}", "give it to a region, or remove it"


def _find_output_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    output = recipe.output
    if output.suffix.lower() not in PICTURE_SUFFIXES:
        rule = f"{output.name!r} does not end like a picture's name"
        yield ("output",), rule, f"let it end in one of {', '.join(PICTURE_SUFFIXES)}"
    elif not output.parent.is_dir():
        yield ("output",), f"there is no folder {output.parent}", "create it, or write elsewhere (-o)"
    elif output.exists() and not output.is_file():
        yield ("output",), f"{output} is not a file", "choose another name (-o)"
    for path, file in list_files(recipe):
        if output.exists() and file.exists() and output.samefile(file):
            yield ("output",), f"{output} would overwrite {'.'.join(map(str, path))}", "choose another name (-o)"


def list_files(recipe: Recipe) -> Iterator[tuple[KeyPath, Path]]:
    """List every file a recipe reads, with the key that names it."""
    yield ("content",), recipe.content
    for name, style in recipe.styles.items():
        yield ("styles", name, "image"), style.image
        if style.mask:
            yield ("styles", name, "mask"), style.mask
    for index, region in enumerate(recipe.regions):
        if isinstance(region.mask, Path):
            yield ("regions", index, "mask"), region.mask
    if isinstance(recipe.solver.init, Path):
        yield ("solver", "init"), recipe.solver.init
    if recipe.encoder.weights:
        yield ("encoder", "weights"), recipe.encoder.weights
