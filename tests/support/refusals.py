"""The problems of an invalid recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.scene.opening import open_scene


def refuse(file: Path, text: str | bytes, *settings: str) -> list[str]:
    """Return the problems of a recipe, each on one line, without the folder."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GuidedStyleError) as caught:
        open_scene(read_recipe(file, [parse_setting(setting) for setting in settings]))
    return [f"{p}".replace(f"{file.parent}/", "").replace("\n    ", " | ") for p in caught.value.problems]
