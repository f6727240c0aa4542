"""The recipe: content, styles, regions, solver."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from guidedstyle.encoders.registry import describe_encoder, list_encoders
from guidedstyle.recipe.controls import Controls, RegionControls
from guidedstyle.recipe.mask import Mask, SharedMasks
from guidedstyle.recipe.values import (
    EncoderName,
    Flag,
    Length,
    Model,
    Name,
    Profile,
    RecipePath,
    Scale,
    Share,
    Side,
    Weight,
    unit,
)
from guidedstyle.types import (
    Balance,
    Convention,
    Depth,
    Flip,
    Method,
    Precision,
    SolverMethod,
    Subsampling,
)

MOST_REGIONS, MOST_STYLES = 64, 256
LONGEST_REGION_NAME = 80  # letters


IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif")
DEEP_SUFFIXES = (".png", ".tif", ".tiff")  # of outputs that can hold 16 bits
LAYERED = ".ora"  # the suffix of an output whose regions are layers
OUTPUT_SUFFIXES = (*IMAGE_SUFFIXES, LAYERED)
FORMAT = 2  # of recipes; increased when the meaning of a key changes
STEPS: dict[SolverMethod, int] = {"lbfgs": 60, "adam": 120, "sgd": 200}  # each reaches about the same loss


class EncoderChoice(Model):
    """The network whose features are compared."""

    name: EncoderName = Field(
        list_encoders()[0],
        description=", ".join(describe_encoder(name) for name in list_encoders()),
        json_schema_extra=lambda schema: schema.update(enum=[*list_encoders()]),
    )
    weights: RecipePath | None = Field(
        None, description="file of weights; default: those of the package, or a download on first use"
    )
    convention: Convention | None = Field(
        None, description="input the weights expect: `torchvision` (0..1, normalised), `original` (0..255 minus mean)"
    )


class StyleChoice(Model):
    """A style: a style image or a masked part of it, or two styles combined."""

    image: RecipePath | None = Field(None, description="the style image's file")
    fine: Name | None = Field(
        None,
        description="instead of `image`: the style whose fine texture is combined with the shapes of `coarse`",
        json_schema_extra=unit("a style's name"),
    )
    coarse: Name | None = Field(
        None,
        description="instead of `image`: the style whose shapes carry the texture of `fine`",
        json_schema_extra=unit("a style's name"),
    )
    scale: Scale = Field(
        1.0,
        description="size of strokes; 1: the style image is as long as the output; of two combined styles, a factor",
        json_schema_extra=unit("times"),
    )
    rotate: float = Field(
        0.0, ge=-360, le=360, description="rotate it anticlockwise", json_schema_extra=unit("degrees")
    )
    flip: Flip | None = Field(None, description="mirror it")
    mask: Mask | None = Field(
        None,
        description="use only this part of it: a mask, as of a region, over the style image",
        json_schema_extra=unit("a mask"),
    )

    @property
    def parts(self) -> list[str]:
        """The names of the two styles that it combines; empty for a style image."""
        return [part for part in (self.fine, self.coarse) if part]


class StyleUse(Model):
    """How a region uses a style."""

    weight: Weight = Field(1.0, description="its weight in a mix", json_schema_extra=unit("share"))
    where: Mask | None = Field(
        None,
        description="multiplies its weight by this mask over the image; the mask's keys may be given here directly",
        json_schema_extra=unit("a mask"),
    )
    scale: Scale | None = Field(
        None, description="size of its strokes here; default: the style's own", json_schema_extra=unit("times")
    )

    @model_serializer(mode="wrap")
    def _shorten(self, handler: SerializerFunctionWrapHandler) -> Any:
        return handler(self) if self.where or self.scale else self.weight


class Region(RegionControls):
    """A part of the image, its styles and its controls."""

    name: Name = Field(
        min_length=1,
        max_length=LONGEST_REGION_NAME,
        description="its name in plans, messages and records",
        json_schema_extra=unit("1 to 80 letters"),
    )
    mask: Mask = Field(
        description="where it is: a file, white inside it; `rest`, `all`, or a mask's keys",
        json_schema_extra=unit("a file, or keys"),
    )
    style: dict[Name, StyleUse] = Field(
        {},
        description="a style's name, or several with weights: {ink: 0.7, oil: 0.3}; not needed with strength 0",
        json_schema_extra=unit("names with weights"),
    )
    keep: Flag = Field(False, description="keep the pixels of the content image unchanged")
    border: Length = Field(
        "0.5%",
        description="width of the fade from a kept region into its surroundings",
        json_schema_extra=unit("px, or % of the longest side"),
    )

    def describe_style(self) -> str:
        """Name its styles, with their weights if there are several."""
        if self.keep:
            return "kept unchanged"
        mix = [f"{use.weight:g} {name}{' (varies)' if use.where else ''}" for name, use in self.style.items()]
        return " + ".join(mix) if len(mix) > 1 else next(iter(self.style), "none")

    @property
    def mix(self) -> dict[str, StyleUse]:
        """The styles that are painted: none in a kept region, which may name some all the same."""
        return {} if self.keep else self.style


class SolverChoice(Model):
    """How the image is optimised."""

    method: SolverMethod = Field("lbfgs", description="`lbfgs`, `adam`, or `sgd` with momentum")
    steps: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="total number, most of them at small sizes; default: 60 (lbfgs), 120 (adam), 200 (sgd)",
        json_schema_extra=unit("steps"),
    )
    sizes: int | None = Field(
        None,
        ge=1,
        le=12,
        description="number of sizes, from coarse to fine, each half the next; default: by the size of the image",
        json_schema_extra=unit("sizes"),
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=10,
        description="size of the first steps; default: 0.02 (lbfgs), 0.03 (adam), 0.01 (sgd)",
        json_schema_extra=unit("of the range of a pixel"),
    )
    tolerance: Share = Field(
        0.001,
        description="a size ends when ten steps lower its loss by less than this share; 0: take all steps",
        json_schema_extra=unit("share"),
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of the noise", json_schema_extra=unit("number"))

    @property
    def most_steps(self) -> int:
        """The steps of the recipe, or the method's default."""
        return self.steps or STEPS[self.method]


class SaveChoice(Model):
    """How the output is stored."""

    depth: Depth | None = Field(
        None,
        description="bits of a channel in .png and .tif, 8 or 16; default: those of the content image; others hold 8",
        json_schema_extra=unit("bits"),
    )
    profile: Profile = Field(
        "keep",
        description="colour profile to embed: `keep` that of the content image (sRGB where it has none), or convert",
    )
    quality: int | None = Field(
        None,
        ge=1,
        le=100,
        description="of .jpg (default: 95), .avif (90), and .webp, which loses nothing without it",
        json_schema_extra=unit("number"),
    )
    subsampling: Subsampling | None = Field(None, description="of the chroma in .jpg and .avif; default: none, `4:4:4`")
    gps: Flag = Field(False, description="keep the position in the content image's EXIF; all else is kept anyway")

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        defaults = {key: field.default for key, field in type(self).model_fields.items()}
        return {key: value for key, value in handler(self).items() if value != defaults[key]}


class Recipe(Controls):
    """A recipe in its canonical form: `shorthand.expand` makes it from the user's recipe.

    Paths are relative to the recipe file in YAML, and to the working folder once it is read.
    """

    format: int = Field(
        FORMAT,
        ge=1,
        le=FORMAT,
        description="version of the recipe format; rendered images carry it, your own recipes need not",
        json_schema_extra=unit("number"),
    )
    content: RecipePath | None = Field(None, description="the content image to paint")
    canvas: Annotated[tuple[Side, Side], Field(strict=False)] | None = Field(
        None,
        description="size of a texture without a content image, instead of `content`: [width, height]",
        json_schema_extra=unit("px"),
    )
    output: RecipePath = Field(Path("picture.png"), description="the image to write; default: the recipe's name + .png")
    save: SaveChoice = Field(
        SaveChoice(),
        description="{depth, profile, quality, subsampling, gps}",
        json_schema_extra=unit("keys"),
    )
    size: Side | None = Field(
        None, description="longest side; default: the content's own", json_schema_extra=unit("px")
    )
    method: Method = Field(
        "octaves",
        description="`octaves`: shallow layers at several octaves; `draft`: the same in a few steps; "
        "`classic`: deep layers at one, published settings",
    )
    encoder: EncoderChoice = Field(
        EncoderChoice(),
        description=f"{', '.join(f'`{name}`' for name in list_encoders())}, or {{name, weights, convention}}",
        json_schema_extra=unit("a name, or keys"),
    )
    network: RecipePath | None = Field(
        None,
        description="file of a style network: paints the image in one pass, in styles that it was trained for; "
        "`solver.steps`, then 0 by default, refine what it paints",
    )
    styles: dict[Name, StyleChoice] = Field(
        {},
        max_length=MOST_STYLES,
        description="the style images by name: a file, or keys as below",
        json_schema_extra=unit("names with keys"),
    )
    masks: SharedMasks | None = Field(
        None,
        description="a file for the masks of all regions: {file, ignore, tolerance}",
        json_schema_extra=unit("a file, or keys"),
    )
    regions: tuple[Region, ...] = Field(
        (),
        strict=False,
        max_length=MOST_REGIONS,
        description="back to front, like layers in an image editor",
        json_schema_extra=unit("a list of up to 64"),
    )
    balance: Balance = Field(
        "area", description="`area`: every pixel weighs the same; `equal`: every region weighs the same"
    )
    precision: Precision = Field(
        "auto",
        description="of features: `float32`, `bfloat16` (less exact), or `auto`: bfloat16 where it is faster",
    )
    solver: SolverChoice = Field(
        SolverChoice(),
        description="{method, steps, sizes, learning_rate, tolerance, seed}",
        json_schema_extra=unit("keys"),
    )

    @cached_property
    def controls(self) -> tuple[Controls, ...]:
        """The controls of each region, those of the whole image where it has none of its own."""
        return tuple(region.over(self) for region in self.regions)

    @property
    def most_steps(self) -> int:
        """The steps of the render: by default those of the solver's method, or none after a network."""
        return self.solver.steps or 0 if self.network else self.solver.most_steps

    @property
    def most_sizes(self) -> int | None:
        """The most sizes of the render: what a network has painted is refined at its own size, by default."""
        return self.solver.sizes or (1 if self.network else None)

    def resolve(self, precision: Precision | None = None) -> Recipe:
        """Write out the number of steps, and the `precision` that was used: later defaults do not change the recipe."""
        solver = self.solver.model_copy(update={"steps": self.most_steps or None})
        return self.model_copy(update={"solver": solver, "precision": precision or self.precision})

    def users(self, name: str) -> list[Controls]:
        """Return the controls of each region that a style is painted in."""
        pairs = zip(self.regions, self.controls, strict=True)
        return [controls for region, controls in pairs if name in region.mix]

    def scale(self, name: str, use: StyleUse | None = None) -> float:
        """Return the scale of a style, in one `use` of it or in general; 1: its image is as long as the output."""
        style = self.styles[name]
        base = self.styles[style.coarse].scale if style.coarse in self.styles else 1.0
        return base * ((use and use.scale) or style.scale)

    def largest_scale(self, name: str) -> float:
        """Return the largest scale at which a style's image is needed."""
        uses = [self.scale(name, region.mix[name]) for region in self.regions if name in region.mix]
        own = not self.styles[name].parts
        made = [self.largest_scale(other) for other, style in self.styles.items() if own and style.coarse == name]
        return max([self.scale(name), *uses, *made])

    def __repr__(self) -> str:
        source = (
            str(self.content)
            if self.content
            else f"canvas of {self.canvas[0]} x {self.canvas[1]} px"
            if self.canvas
            else "?"
        )
        names = ", ".join(region.name for region in self.regions)
        return f"<recipe of {source}: regions {names or 'none'}; styles {', '.join(self.styles) or 'none'}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Write the regions and styles for a notebook."""
        regions = [(region.name, region.mask.name, region.describe_style()) for region in self.regions]
        styles = [
            (name, style.image or " on ".join(style.parts), f"{style.scale:g}") for name, style in self.styles.items()
        ]
        tables = write_html(("region", "mask", "style"), regions), write_html(("style", "image", "scale"), styles)
        return f"<p>{escape(repr(self))}</p>{''.join(tables)}"


def write_html(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table as HTML for notebooks; its texts are escaped."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = ("".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
