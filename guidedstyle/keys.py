"""The kinds of values that keys of a recipe take: paths, weights, colours, lengths, points."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from PIL import ImageColor
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

LONGEST_NAME = 200  # bytes of a file's name; file systems allow 255, and names get endings added

RGB = tuple[int, int, int]


class Model(BaseModel):
    """Frozen, strict, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _limit_length(path: Path) -> Path:
    if any(len(part.encode(errors="replace")) > LONGEST_NAME for part in path.parts) or len(str(path)) > 3000:
        raise PydanticCustomError("path_length", "too long")
    return path


def _check_colour(value: Any) -> str:
    try:
        parse_colour(value)
    except (ValueError, AttributeError) as error:
        raise PydanticCustomError("colour", "no colour") from error
    return str(value)


def parse_colour(colour: str) -> RGB:
    """Turn `#ff0000`, `#f00`, a CSS name or `rgb(255, 0, 0)` into red, green and blue of 0 to 255."""
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue


def name_colour(colour: RGB) -> str:
    """Name a colour as people write it: `#ff0000 (red)`, or only the number of one without a name."""
    number = "#{:02x}{:02x}{:02x}".format(*colour)
    names = [name for name in ImageColor.colormap if parse_colour(name) == colour]
    return f"{number} ({names[0]})" if names else number


def _check_length(value: Any) -> float | str:
    number = value[:-1].strip() if isinstance(value, str) and value.endswith("%") else value
    try:
        if isinstance(value, bool) or not 0 <= float(number) <= (100 if number is not value else 1e5):
            raise ValueError
    except (ValueError, TypeError) as error:
        raise PydanticCustomError("length", "no length") from error
    return value if isinstance(value, str) else float(value)


def measure_length(length: float | str, longest: int) -> float:
    """Turn a length in px, or in % of the `longest` side, into px."""
    return float(length[:-1]) / 100 * longest if isinstance(length, str) else length


RecipePath = Annotated[Path, Field(strict=False), AfterValidator(_limit_length)]  # YAML has no paths, only strings
Weight = Annotated[float, Field(ge=0, le=1e6)]
Colour = Annotated[str, PlainValidator(_check_colour, json_schema_input_type=str)]
Length = Annotated[float | str, PlainValidator(_check_length, json_schema_input_type=float | str)]
Fraction = Annotated[float, Field(ge=-10, le=10)]
Point = Annotated[tuple[Fraction, Fraction], Field(strict=False)]
Box = Annotated[tuple[Fraction, Fraction, Fraction, Fraction], Field(strict=False)]
