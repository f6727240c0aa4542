"""The keys of a mask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from guidedstyle.recipe.values import Box, Colour, Corners, Length, Model, Name, Point, RecipePath, unit
from guidedstyle.types import KeyPath

TOLERANCE = 60.0
SOURCES = ("rest", "all", "file", "rectangle", "ellipse", "polygon", "gradient", "any", "both", "except")


Colours = Annotated[tuple[Colour, ...], Field(strict=False, max_length=100)]


class Gradient(Model):
    """A slope from nothing to all."""

    start: Point = Field(
        alias="from",
        description="[x, y] where it is nothing, in fractions of the image",
        json_schema_extra=unit("-10 to 10 fractions"),
    )
    end: Point = Field(alias="to", description="[x, y] where it is all", json_schema_extra=unit("-10 to 10 fractions"))


class SharedMasks(Model):
    """A file that serves all regions, whose masks name only its `colour`, `layer` or `channel`."""

    file: RecipePath = Field(description="a colour-coded image or a layered document")
    ignore: Colours = Field((), description="colours that mean no region", json_schema_extra=unit("up to 100 colours"))
    tolerance: float = Field(
        TOLERANCE,
        ge=0,
        le=442,
        description="how far, in RGB, a pixel may be from a named colour",
        json_schema_extra=unit("levels of 255"),
    )


class Mask(Model):
    """A part of an image: a source, and what is done to it: inverted, cut off, widened or narrowed, then softened."""

    rest: bool = Field(False, description="what no other region covers")
    all: bool = Field(False, description="the whole image")
    file: RecipePath | None = Field(None, description="a grey image, white where the region is")
    channel: Literal["alpha"] | None = Field(None, description="take the file's opacity instead of its grey")
    colour: Colour | None = Field(
        None,
        description="one colour of a colour-coded file: '#ff0000' or a CSS name",
        json_schema_extra=unit("a colour"),
    )
    ignore: Colours = Field(
        (), description="colours of a colour-coded file that mean nothing", json_schema_extra=unit("up to 100 colours")
    )
    tolerance: float = Field(
        TOLERANCE,
        ge=0,
        le=442,
        description="how far, in RGB, a pixel may be from a named colour before it is reported",
        json_schema_extra=unit("levels of 255"),
    )
    layer: Name | None = Field(
        None,
        min_length=1,
        description="a layer of a .psd, .ora or .kra, by its name",
        json_schema_extra=unit("a name, or group/name"),
    )
    rectangle: Box | None = Field(
        None,
        description="[left, top, right, bottom] in fractions of the image",
        json_schema_extra=unit("-10 to 10 fractions"),
    )
    ellipse: Box | None = Field(
        None, description="the box around it, [left, top, right, bottom]", json_schema_extra=unit("-10 to 10 fractions")
    )
    polygon: Corners | None = Field(
        None, description="its corners, [[x, y], ...]", json_schema_extra=unit("-10 to 10 fractions")
    )
    gradient: Gradient | None = Field(
        None, description="{from: [x, y], to: [x, y]}: from nothing to all", json_schema_extra=unit("keys")
    )
    any: Annotated[tuple[Mask, ...], Field(strict=False, min_length=1)] | None = Field(
        None, description="all of these masks together", json_schema_extra=unit("a list of masks")
    )
    both: Annotated[tuple[Mask, ...], Field(strict=False, min_length=1)] | None = Field(
        None, description="only where all of these masks are", json_schema_extra=unit("a list of masks")
    )
    except_: Annotated[tuple[Mask, ...], Field(strict=False, min_length=2, max_length=2)] | None = Field(
        None,
        alias="except",
        description="the first of two masks without the second",
        json_schema_extra=unit("two masks"),
    )
    invert: bool = Field(False, description="white and black change places")
    threshold: float | None = Field(
        None, gt=0, le=1, description="all from here up is in, the rest is out", json_schema_extra=unit("opacity")
    )
    grow: Length = Field(
        0.0,
        description="widen by so many px of the image, or % of its longest side",
        json_schema_extra=unit("px, or % of the longest side"),
    )
    shrink: Length = Field(0.0, description="narrow, likewise", json_schema_extra=unit("px, or % of the longest side"))
    feather: Length = Field(
        0.0,
        description="soften the edge over so much to each side",
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
    def parts(self) -> dict[str, tuple[Mask, ...]]:
        """The masks it combines, by the key that holds them."""
        held = {"any": self.any, "both": self.both, "except": self.except_}
        return {key: masks for key, masks in held.items() if masks}

    def walk(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Mask]]:
        """Walk over this mask and all within it, each with the keys that lead to it."""
        yield path, self
        for key, masks in self.parts.items():
            for index, mask in enumerate(masks):
                yield from mask.walk((*path, key, index))

    @property
    def label_file(self) -> Path | None:
        """The colour-coded file of which this is a part that no other part overlaps."""
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
    """Give a mask that names a colour, layer or channel of no file the file that all regions share."""
    filled: dict[str, Any] = {
        "except_" if key == "except" else key: tuple(share_file(part, shared) for part in parts)
        for key, parts in mask.parts.items()
    }
    if not mask.sources and (mask.colour or mask.layer or mask.channel):
        filled["file"] = shared.file
        if mask.colour:
            filled |= {"ignore": mask.ignore or shared.ignore}
            filled |= {} if "tolerance" in mask.model_fields_set else {"tolerance": shared.tolerance}
    return mask.model_copy(update=filled)
