"""Values of recipe keys: colours, lengths, names, files."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from PIL import ImageColor
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from guidedstyle.encoders.registry import list_encoders
from guidedstyle.errors import HIDDEN
from guidedstyle.types import RGB, ProfileChoice

LONGEST_NAME = 200  # bytes of a file's name; file systems allow 255, and names get endings added


class Model(BaseModel):
    """Frozen, strict, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy without the cached properties, which were computed from the old values."""
        copy = super().model_copy(update=update, deep=deep)
        for name in copy.__dict__.keys() - type(self).model_fields.keys():
            del copy.__dict__[name]
        return copy


class Terse(Model):
    """Leaves out values of false, None or 0 when it is written, except for the keys in `kept`."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Keys that are always written."""
        return ()

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value or key in self.kept}


def _find_encoder(name: Any) -> Any:
    if name not in list_encoders():
        *others, last = (f"'{known}'" for known in list_encoders())
        raise PydanticKnownError("literal_error", {"expected": " or ".join([*filter(None, [", ".join(others)]), last])})
    return name


def _find_profile(name: Any) -> Any:
    """Find a profile as people write it: `display-p3`, `P3`, `SRGB`."""
    plain = {choice.casefold().replace(" ", ""): choice for choice in get_args(ProfileChoice)} | {"p3": "Display P3"}
    return plain.get(name.casefold().translate(str.maketrans("", "", " -_")), name) if isinstance(name, str) else name


Profile = Annotated[ProfileChoice, BeforeValidator(_find_profile)]
EncoderName = Annotated[str, BeforeValidator(_find_encoder)]


def _limit_length(path: Path) -> Path:
    if is_too_long(path):
        raise PydanticCustomError("path_length", "too long")
    return path


def is_too_long(path: Path) -> bool:
    """Whether a path is too long for any file."""
    return any(len(part.encode(errors="replace")) > LONGEST_NAME for part in path.parts) or len(str(path)) > 3000


def _refuse_no_name(value: Any) -> Any:
    if isinstance(value, str) and (not value or "\0" in value):
        raise PydanticCustomError("path_type", "not a file name")
    return _refuse_hidden(value)


def compose(text: str) -> str:
    """Write a name in composed Unicode, so that it is one name however a keyboard or a disk writes its accents."""
    return unicodedata.normalize("NFC", text)


def _compose(value: Any) -> Any:
    return compose(value) if isinstance(value, str) else value


FLAGS = {"yes": True, "on": True, "no": False, "off": False}  # words that are texts in YAML 1.2, flags in YAML 1.1


def _read_flag(value: Any) -> Any:
    return FLAGS.get(value.lower(), value) if isinstance(value, str) else value


def _refuse_hidden(value: Any) -> Any:
    if isinstance(value, str) and HIDDEN.search(value):
        raise PydanticCustomError("hidden", "control characters")
    return value


def _check_colour(value: Any) -> str:
    try:
        if not isinstance(value, str) or not all(0 <= level <= 255 for level in parse_colour(value)):
            raise ValueError
    except ValueError as error:
        raise PydanticCustomError("colour", "not a colour") from error
    return value


def _are_numbers(value: Any, count: int) -> bool:
    """Whether a value is a list of `count` numbers from -10 to 10."""
    if not isinstance(value, list | tuple) or len(value) != count:
        return False
    return all(isinstance(one, int | float) and not isinstance(one, bool) and -10 <= one <= 10 for one in value)


def _check_numbers(value: Any, count: int) -> tuple[float, ...]:
    if not _are_numbers(value, count):
        raise PydanticCustomError("point" if count == 2 else "box", "not a list of numbers")
    return tuple(map(float, value))


def _check_corners(value: Any) -> tuple[tuple[float, ...], ...]:
    if not isinstance(value, list | tuple) or len(value) < 3 or not all(_are_numbers(point, 2) for point in value):
        raise PydanticCustomError("corners", "not a list of corners")
    return tuple(tuple(map(float, point)) for point in value)


def parse_colour(colour: str) -> RGB:
    """Convert `#ff0000`, `#f00`, a CSS name or `rgb(255, 0, 0)` to red, green and blue, 0 to 255."""
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue


def name_colour(colour: RGB) -> str:
    """Write a colour with its CSS name if it has one: `#ff0000 (red)`."""
    number = "#{:02x}{:02x}{:02x}".format(*colour)
    names = [name for name in ImageColor.colormap if parse_colour(name) == colour]
    return f"{number} ({names[0]})" if names else number


def _check_length(value: Any) -> float | str:
    percent = value[:-1].strip() if isinstance(value, str) and value.endswith("%") else None
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(percent or value) if isinstance(value, str) else value
        if not 0 <= number <= (1e5 if percent is None else 100):
            raise ValueError
    except ValueError as error:
        raise PydanticCustomError("length", "not a length") from error
    return float(number) if percent is None else f"{percent}%"


def measure_length(length: float | str, longest: int) -> float:
    """Convert a length in px, or in % of the `longest` side, to px."""
    return float(length[:-1]) / 100 * longest if isinstance(length, str) else length


def unit(name: str) -> dict[str, Any]:
    """Add the unit of a key's values to the JSON schema."""
    return {"unit": name}


Name = Annotated[str, BeforeValidator(_compose), BeforeValidator(_refuse_hidden)]
Flag = Annotated[bool, BeforeValidator(_read_flag)]
RecipePath = Annotated[  # YAML has no paths, only strings
    Path, Field(strict=False), BeforeValidator(_refuse_no_name), AfterValidator(_limit_length)
]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Scale = Annotated[float, Field(ge=0.1, le=10)]
Side = Annotated[int, Field(ge=16, le=32768)]  # px
Share = Annotated[float, Field(ge=0, le=1)]
Colour = Annotated[str, PlainValidator(_check_colour, json_schema_input_type=str)]
Length = Annotated[float | str, PlainValidator(_check_length, json_schema_input_type=float | str)]
Pair = tuple[float, float]
Four = tuple[float, float, float, float]
Point = Annotated[Pair, Field(strict=False), BeforeValidator(partial(_check_numbers, count=2))]
Box = Annotated[Four, Field(strict=False), BeforeValidator(partial(_check_numbers, count=4))]
Corners = Annotated[tuple[Pair, ...], Field(strict=False), BeforeValidator(_check_corners)]
