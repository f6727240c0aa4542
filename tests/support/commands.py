"""Run the command line in a process of its own, and read recipes that are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.scene.opening import open_scene


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "guidedstyle", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def refuse(file: Path, text: str | bytes, *settings: str) -> list[str]:
    """Return the problems of a recipe, each on one line, without the folder."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GuidedStyleError) as caught:
        open_scene(read_recipe(file, [parse_setting(setting) for setting in settings]))
    return [f"{p}".replace(f"{file.parent}/", "").replace("\n    ", " | ") for p in caught.value.problems]
