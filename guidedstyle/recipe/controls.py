"""The controls of a region, with their defaults at the top of the recipe."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from guidedstyle.recipe.values import Colour, Model, RecipePath, Share, Terse, Weight, unit
from guidedstyle.types import ColourMethod, Propagation, Statistic

Layers = Annotated[dict[str, Weight], Field(min_length=1)]
Octaves = Annotated[tuple[Weight, ...], Field(strict=False, min_length=1, max_length=8)]

EVEN: tuple[float, ...] = (1.0, 1.0, 1.0)
# A finest octave of no weight at all fills with noise, which nothing holds down.
OCTAVES = {"even": EVEN, "fine": (1.0, 0.1, 0.0), "coarse": (0.04, 0.2, 1.0)}  # the finest first


class ColourChoice(Terse):
    """Where a region's colours come from: one of four ways."""

    style: bool = Field(False, description="as the style image has them")
    content: bool = Field(False, description="only the luminance is painted; the content image's chroma stays")
    match: ColourMethod | None = Field(
        None, description="the style image is first recoloured to the region's pixels; `match` alone is `symmetric`"
    )
    palette: Annotated[tuple[Colour, ...], Field(strict=False, max_length=64)] = Field(
        (),
        description="the style image is first recoloured towards these colours",
        json_schema_extra=unit("up to 64 colours"),
    )

    @property
    def ways(self) -> list[str]:
        """The keys that are given; a right choice has one."""
        return [key for key in type(self).model_fields if getattr(self, key)]


class Start(Terse):
    """What the optimisation starts from: a blend by weight."""

    content: Weight = Field(0.0, description="weight of the content image", json_schema_extra=unit("share"))
    noise: Weight = Field(0.0, description="weight of noise", json_schema_extra=unit("share"))
    style: Weight = Field(
        0.0, description="weight of the region's style image, of a mix the heaviest", json_schema_extra=unit("share")
    )
    picture: Weight = Field(0.0, description="weight of `file`", json_schema_extra=unit("share"))
    file: RecipePath | None = Field(None, description="an image to start from, stretched over this one")

    @property
    def kept(self) -> tuple[str, ...]:
        """Keys that are written whatever they hold."""
        return ("picture",) if self.file else ()  # a file alone would weigh 1

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return self.content + self.noise + self.style + self.picture


class Controls(Model):
    """What every region is asked for unless it asks for something else itself."""

    strength: Weight = Field(1.0, description="how much paint; 0: none", json_schema_extra=unit("times"))
    content_strength: Weight = Field(
        1.0, description="how strongly the content image's drawing is kept", json_schema_extra=unit("times")
    )
    smoothness: Weight = Field(1.0, description="total variation", json_schema_extra=unit("times"))
    guides: Propagation = Field(
        "simple",
        description="features that are a region's own: `simple` by area, `inside` where all they see is in the region",
    )
    statistics: Statistic = Field(
        "gram", description="what is matched of the features: their `gram`, their `mean`, or their `covariance`"
    )
    style_layers: Layers | None = Field(
        None,
        description="layers whose statistics are matched, a list or {layer: weight}; default: the encoder's four",
        json_schema_extra=unit("share"),
    )
    content_layers: Layers | None = Field(
        None,
        description="layers that keep the drawing, a list or {layer: weight}; default: the encoder's own",
        json_schema_extra=unit("share"),
    )
    octaves: Octaves = Field(
        EVEN,
        description="weights of the image's halvings, the finest first: a list, `even`, `fine` or `coarse`",
        json_schema_extra=unit("share"),
    )
    colour: ColourChoice = Field(
        ColourChoice(style=True),
        description="`style`, `match` or {match: METHOD}, `content`, or {palette: [COLOUR, ...]}",
        json_schema_extra=unit("a word, or keys"),
    )
    colour_strength: Share = Field(
        1.0, description="how far `colour` goes; 0: colours as in `style`", json_schema_extra=unit("share")
    )
    init: Start = Field(
        Start(content=1.0),
        description="what to start from: `content`, `noise`, `style`, an image's file, or {content: 1, noise: 1}",
        json_schema_extra=unit("a word, a file, or keys"),
    )


def _as_the_picture(key: str) -> Any:
    field = Controls.model_fields[key]
    return Field(None, description=field.description, json_schema_extra=field.json_schema_extra)


class RegionControls(Model):
    """The same controls of one region; what is not given is as for the whole image."""

    strength: Weight | None = _as_the_picture("strength")
    content_strength: Weight | None = _as_the_picture("content_strength")
    smoothness: Weight | None = _as_the_picture("smoothness")
    guides: Propagation | None = _as_the_picture("guides")
    statistics: Statistic | None = _as_the_picture("statistics")
    style_layers: Layers | None = _as_the_picture("style_layers")
    content_layers: Layers | None = _as_the_picture("content_layers")
    octaves: Octaves | None = _as_the_picture("octaves")
    colour: ColourChoice | None = _as_the_picture("colour")
    colour_strength: Share | None = _as_the_picture("colour_strength")
    init: Start | None = _as_the_picture("init")

    @property
    def given(self) -> dict[str, Any]:
        """The controls that this region asks for itself."""
        found = {key: getattr(self, key) for key in Controls.model_fields}
        return {key: value for key, value in found.items() if value is not None}

    def over(self, picture: Controls) -> Controls:
        """Lay what is given here over what the whole `image` is asked for."""
        shared = {key: getattr(picture, key) for key in Controls.model_fields}
        return Controls.model_construct(**shared | self.given)
