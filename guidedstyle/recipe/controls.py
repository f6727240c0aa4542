"""The controls of the whole image and of single regions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from guidedstyle.recipe.values import Colour, Flag, Model, RecipePath, Share, Terse, Weight, unit
from guidedstyle.types import ColourMethod, Propagation, Statistic

Layers = Annotated[dict[str, Weight], Field(min_length=1)]
Octaves = Annotated[tuple[Weight, ...], Field(strict=False, min_length=1, max_length=8)]

EVEN: tuple[float, ...] = (1.0, 1.0, 1.0)
# Without the coarser octaves, a finest octave of weight 0 would fill with noise.
OCTAVES = {"even": EVEN, "fine": (1.0, 0.1, 0.0), "coarse": (0.04, 0.2, 1.0)}  # the finest first


class ColourChoice(Terse):
    """Where a region's colours come from: exactly one of four sources."""

    style: Flag = Field(False, description="the style image")
    content: Flag = Field(
        False, description="only the luminance is painted; the chroma stays that of the content image"
    )
    match: ColourMethod | None = Field(
        None,
        description="the style image is first recoloured to match the region's pixels; `match` alone means `symmetric`",
    )
    palette: Annotated[tuple[Colour, ...], Field(strict=False, max_length=64)] = Field(
        (),
        description="the style image is first recoloured towards these colours",
        json_schema_extra=unit("up to 64 colours"),
    )

    @property
    def ways(self) -> list[str]:
        """The keys that are given; a valid choice has exactly one."""
        return [key for key in type(self).model_fields if getattr(self, key)]


class Start(Terse):
    """What the optimisation starts from: a blend by weight."""

    matched: Weight = Field(
        0.0,
        description="weight of the content image in the colours and contrasts of the region's styles",
        json_schema_extra=unit("share"),
    )
    content: Weight = Field(0.0, description="weight of the content image", json_schema_extra=unit("share"))
    noise: Weight = Field(0.0, description="weight of noise", json_schema_extra=unit("share"))
    style: Weight = Field(
        0.0,
        description="weight of the region's style image; of a mix, the one with the largest weight",
        json_schema_extra=unit("share"),
    )
    image: Weight = Field(
        0.0, description="weight of the image in `file`; default: 1 with a `file`", json_schema_extra=unit("share")
    )
    file: RecipePath | None = Field(None, description="an image to start from, stretched to the size of the output")

    @property
    def kept(self) -> tuple[str, ...]:
        """Keys that are written even where they are 0."""
        return ("image",) if self.file else ()  # without it the weight would be 1

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return self.matched + self.content + self.noise + self.style + self.image


# Of a recipe and its regions.
NEW_DEFAULTS: tuple[tuple[str, Any], ...] = (("opacity", 1.0), ("save", {}), ("network", None))


class Controls(Model):
    """The controls of the whole image, which are the defaults of every region."""

    strength: Weight = Field(1.0, description="weight of the style; 0: none", json_schema_extra=unit("times"))
    content_strength: Weight = Field(
        1.0,
        description="weight of the content: how closely the shapes of the content image are kept",
        json_schema_extra=unit("times"),
    )
    smoothness: Weight = Field(1.0, description="weight of the total variation", json_schema_extra=unit("times"))
    guides: Propagation = Field(
        "simple",
        description="a region's features: `simple`, by area; `inside`, only those whose receptive field lies inside "
        "it; `all`, those whose receptive field touches it",
    )
    statistics: Statistic = Field(
        "gram", description="statistics of the features to match: `gram` (Gram matrix), `mean` or `covariance`"
    )
    style_layers: Layers | None = Field(
        None,
        description="layers whose statistics are matched: a list or {layer: weight}; default: the encoder's four",
        json_schema_extra=unit("share"),
    )
    content_layers: Layers | None = Field(
        None,
        description="layers whose features are kept: a list or {layer: weight}; default: the encoder's own",
        json_schema_extra=unit("share"),
    )
    octaves: Octaves = Field(
        EVEN,
        description="weights of the octaves, the finest first: a list, `even`, `fine` or `coarse`",
        json_schema_extra=unit("share"),
    )
    colour: ColourChoice = Field(
        ColourChoice(style=True),
        description="`style`, `match` or {match: METHOD}, `content`, or {palette: [COLOUR, ...]}",
        json_schema_extra=unit("a word, or keys"),
    )
    colour_strength: Share = Field(
        1.0, description="strength of `colour`; 0: as with `style`", json_schema_extra=unit("share")
    )
    opacity: Share = Field(
        1.0,
        description="opacity of the paint over the content image, applied after the render; 0: none of it is seen",
        json_schema_extra=unit("share"),
    )
    init: Start = Field(
        Start(matched=1.0),
        description="image to start from: `matched` (the content in the styles' colours), `content`, `noise`, `style`, "
        "an image's file, or {content: 1, noise: 1}",
        json_schema_extra=unit("a word, a file, or keys"),
    )

    @model_serializer(mode="wrap")
    def _leave_out_new_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write recipes without these keys as versions did that did not know them: their records still fit."""
        return {key: value for key, value in handler(self).items() if (key, value) not in NEW_DEFAULTS}


def _as_for_image(key: str) -> Any:
    field = Controls.model_fields[key]
    return Field(None, description=field.description, json_schema_extra=field.json_schema_extra)


class RegionControls(Model):
    """The same controls for one region; None: as for the whole image.

    The fields are written out, not built from `Controls`, since a type checker must know them. A test compares both.
    """

    strength: Weight | None = _as_for_image("strength")
    content_strength: Weight | None = _as_for_image("content_strength")
    smoothness: Weight | None = _as_for_image("smoothness")
    guides: Propagation | None = _as_for_image("guides")
    statistics: Statistic | None = _as_for_image("statistics")
    style_layers: Layers | None = _as_for_image("style_layers")
    content_layers: Layers | None = _as_for_image("content_layers")
    octaves: Octaves | None = _as_for_image("octaves")
    colour: ColourChoice | None = _as_for_image("colour")
    colour_strength: Share | None = _as_for_image("colour_strength")
    opacity: Share | None = _as_for_image("opacity")
    init: Start | None = _as_for_image("init")

    @property
    def given(self) -> dict[str, Any]:
        """The controls that are given for this region."""
        found = {key: getattr(self, key) for key in Controls.model_fields}
        return {key: value for key, value in found.items() if value is not None}

    def over(self, whole: Controls) -> Controls:
        """Return the controls of this region, those that are not given from the `whole` image."""
        shared = {key: getattr(whole, key) for key in Controls.model_fields}
        return Controls.model_construct(**shared | self.given)
