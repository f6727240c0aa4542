"""The card of a style network: how it was trained, and for what. Read without torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.ownership import NETWORK_KEY

FORMAT = 1
SUFFIX = ".safetensors"
MOST_BYTES = 2**24  # of the header of a file


class Card(BaseModel):
    """How a network was trained, and for what.

    `styles` are the names of its styles, in their order, and `inputs` the SHA-256 of the recipe's files by key path.
    `size` is the longest side of images in px at which strokes are as large as the recipe asks for. `images` counts the
    photographs, `steps` those that led to this file, and `base` is the card of the network that training began with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    styles: tuple[str, ...]
    width: int = Field(ge=4, le=128)
    size: int = Field(ge=1)
    encoder: str
    recipe: dict[str, Any]
    inputs: dict[str, str]
    images: int
    steps: int
    seed: int
    versions: dict[str, str]
    base: Card | None = None

    def describe_style(self, name: str) -> dict[str, Any]:
        """Return the keys of a style that it was trained with."""
        styles = self.recipe.get("styles")
        found = styles.get(name) if isinstance(styles, dict) else None
        return found if isinstance(found, dict) else {}


def read_card(file: Path) -> Card:
    """Read the card of a network; raises GuidedStyleError where the file is not one of this version.

    It is in the header of the safetensors file: the length in 8 bytes, and JSON.
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, MOST_BYTES)))
        text = header.get("__metadata__", {}).get(NETWORK_KEY)
    except OSError as error:
        raise refuse(file, f"it cannot be read ({error.strerror})") from error
    except (struct.error, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise refuse(file, f"it is damaged, or no {SUFFIX} file") from error
    if text is None:
        raise refuse(file, "it holds no style network")
    return _parse(text, file)


def _parse(text: str, file: Path) -> Card:
    try:
        if (version := json.loads(text).get("format")) != FORMAT:
            raise refuse(file, f"its format is {version}, and this version reads {FORMAT}")
        return Card.model_validate_json(text)
    except (ValidationError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise refuse(file, "its card is damaged") from error


def refuse(file: Path, rule: str) -> GuidedStyleError:
    """Make the error of a file that is no style network."""
    return GuidedStyleError.of(file, rule, "name a file that `guidedstyle train fast` wrote")
