"""Pictures that took long to make, kept on disk by what they were made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from platformdirs import user_cache_path

from guidedstyle.errors import GuidedStyleError
from guidedstyle.images import Array, read_picture, save_picture, to_picture

FOLDER = "GUIDEDSTYLE_CACHE"  # the environment variable that names another place


def find_cache() -> Path:
    """Find the folder of the cache; it may be removed at any time."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else user_cache_path("guidedstyle")


def recall_picture(key: str, make: Callable[[], tuple[Array, bool]]) -> Image.Image:
    """Return the picture kept under a key, or make it, and keep it if it was finished and there is a place for it.

    What was just made is returned as it would be read, so that both are the same.
    """
    file = find_cache() / f"{key}.png"
    try:
        return read_picture(file)
    except GuidedStyleError:  # there is none, or it is damaged
        made, finished = make()
    picture = to_picture(made)
    if finished:
        _keep(picture, file)
    return picture


def _keep(picture: Image.Image, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_picture(picture, file)
    except (OSError, GuidedStyleError):  # it will be made anew the next time
        pass
