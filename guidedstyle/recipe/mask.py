"""The keys of a mask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from guidedstyle.recipe.values import Box, Colour, Corners, Flag, Length, Model, Name, Point, RecipePath, unit
from guidedstyle.types import KeyPath, LayerOpacity

TOLERANCE = 60.0
COMBINATIONS = ("any", "both", "except")
SOURCES = ("rest", "all", "file", "rectangle", "ellipse", "polygon", "gradient", *COMBINATIONS)

Colours = Annotated[tuple[Colour, ...], Field(strict=False, max_length=100)]
LAYER_OPACITY = (
    "whether opacity settings of layers and groups `count` in masks; default: except in documents of `mask new`"
)


class Gradient(Model):
    """A linear ramp from 0 to 1."""

    start: Point = Field(
        alias="from",
        description="[x, y] where it starts, at 0, in fractions of the image",
        json_schema_extra=unit("-10 to 10 fractions"),
    )
    end: Point = Field(
        alias="to", description="[x, y] where it ends, at 1", json_schema_extra=unit("-10 to 10 fractions")
    )


class SharedMasks(Model):
    """A file shared by all regions: their masks name only a `colour`, `layer` or `channel` of it."""

    file: RecipePath = Field(description="a colour-coded image or a layered document")
    ignore: Colours = Field(
        (), description="colours that belong to no region", json_schema_extra=unit("up to 100 colours")
    )
    tolerance: float = Field(
        TOLERANCE,
        ge=0,
        le=442,
        description="largest distance in RGB of a pixel from a named colour",
        json_schema_extra=unit("levels of 255"),
    )
    layer_opacity: LayerOpacity | None = Field(None, description=LAYER_OPACITY)


class Mask(Model):
    """A part of an image: a source and, in this order: invert, threshold, grow or shrink, feather."""

    rest: Flag = Field(False, description="everything that no other region covers")
    all: Flag = Field(False, description="the whole image")
    file: RecipePath | None = Field(None, description="a greyscale image, white inside the region")
    channel: Literal["alpha"] | None = Field(None, description="use the file's opacity instead of its grey level")
    colour: Colour | None = Field(
        None,
        description="one colour of a colour-coded file: '#ff0000' or a CSS name",
        json_schema_extra=unit("a colour"),
    )
    ignore: Colours = Field(
        (),
        description="colours of a colour-coded file that belong to no region",
        json_schema_extra=unit("up to 100 colours"),
    )
    tolerance: float = Field(
        TOLERANCE,
        ge=0,
        le=442,
        description="largest distance in RGB of a pixel from a named colour; others are reported",
        json_schema_extra=unit("levels of 255"),
    )
    layer: Name | None = Field(
        None,
        min_length=1,
        description="a layer of a .psd, .ora or .kra, by its name",
        json_schema_extra=unit("a name, or group/name"),
    )
    layer_opacity: LayerOpacity | None = Field(None, description=LAYER_OPACITY)
    rectangle: Box | None = Field(
        None,
        description="[left, top, right, bottom] in fractions of the image",
        json_schema_extra=unit("-10 to 10 fractions"),
    )
    ellipse: Box | None = Field(
        None, description="its bounding box, [left, top, right, bottom]", json_schema_extra=unit("-10 to 10 fractions")
    )
    polygon: Corners | None = Field(
        None, description="its corners, [[x, y], ...]", json_schema_extra=unit("-10 to 10 fractions")
    )
    gradient: Gradient | None = Field(
        None, description="{from: [x, y], to: [x, y]}: a ramp from 0 to 1", json_schema_extra=unit("keys")
    )
    any: Annotated[tuple[Mask, ...], Field(strict=False, min_length=1)] | None = Field(
        None, description="the union of these masks", json_schema_extra=unit("a list of masks")
    )
    both: Annotated[tuple[Mask, ...], Field(strict=False, min_length=1)] | None = Field(
        None, description="the intersection of these masks", json_schema_extra=unit("a list of masks")
    )
    except_: Annotated[tuple[Mask, ...], Field(strict=False, min_length=2, max_length=2)] | None = Field(
        None,
        alias="except",
        description="the first of two masks minus the second",
        json_schema_extra=unit("two masks"),
    )
    invert: Flag = Field(False, description="swap white and black")
    threshold: float | None = Field(
        None,
        gt=0,
        le=1,
        description="opacities from this value up become 1, others 0",
        json_schema_extra=unit("opacity"),
    )
    grow: Length = Field(
        0.0,
        description="widen the mask by px of the image, or % of its longest side",
        json_schema_extra=unit("px, or % of the longest side"),
    )
    shrink: Length = Field(
        0.0, description="narrow the mask, in the same units", json_schema_extra=unit("px, or % of the longest side")
    )
    feather: Length = Field(
        0.0,
        description="soften the edge by this much to each side",
        json_schema_extra=unit("px, or % of the longest side"),
    )

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value not in DEFAULTS.get(key, (None,))}

    @property
    def sources(self) -> list[str]:
        """The keys of `SOURCES` that are given."""
        return [key for key in SOURCES if getattr(self, "except_" if key == "except" else key) not in (None, False)]

    @property
    def name(self) -> str:
        """Its name in tables: its file, with what is used of it, or the kind of its source."""
        within = self.layer or self.colour or self.channel
        return f"{self.file}{f' ({within})' if within else ''}" if self.file else ", ".join(self.sources)

    @property
    def parts(self) -> dict[str, tuple[Mask, ...]]:
        """The masks that it combines, by key."""
        held = {"any": self.any, "both": self.both, "except": self.except_}
        return {key: masks for key, masks in held.items() if masks}

    def walk(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Mask]]:
        """List this mask and all masks within it with their paths."""
        yield path, self
        for key, masks in self.parts.items():
            for index, mask in enumerate(masks):
                yield from mask.walk((*path, key, index))

    @property
    def label_file(self) -> Path | None:
        """The colour-coded file that this mask comes from: masks of one such file do not overlap."""
        if self.invert:
            return None
        if self.colour:
            return self.file
        files = {part.label_file for part in self.any or ()}
        return files.pop() if len(files) == 1 else None


DEFAULTS: dict[str, tuple[Any, ...]] = {
    field.alias or name: (field.default, None) for name, field in Mask.model_fields.items()
}


def share_file(mask: Mask, shared: SharedMasks) -> Mask:
    """Fill in the shared file in a mask that names a colour, layer or channel but no file."""
    filled: dict[str, Any] = {
        "except_" if key == "except" else key: tuple(share_file(part, shared) for part in parts)
        for key, parts in mask.parts.items()
    }
    if not mask.sources and (mask.colour or mask.layer or mask.channel):
        filled["file"] = shared.file
        if mask.colour:
            filled |= {"ignore": mask.ignore or shared.ignore}
            filled |= {} if "tolerance" in mask.model_fields_set else {"tolerance": shared.tolerance}
        if mask.layer:
            filled |= {"layer_opacity": mask.layer_opacity or shared.layer_opacity}
    return mask.model_copy(update=filled)
