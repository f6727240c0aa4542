"""Keep tensors on disk by key, least recently used out first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from PIL import Image
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import write_file
from guidedstyle.io.images import read_image, save_image, to_pillow
from guidedstyle.types import Array

FOLDER = "GUIDEDSTYLE_CACHE"  # the environment variable that names another place
LARGEST = 2**30  # bytes in all; what was used longest ago goes first


def find_cache() -> Path:
    """Find the folder of the cache."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else user_cache_path("guidedstyle")


def recall_image(key: str, make: Callable[[], tuple[Array, bool]]) -> Image.Image:
    """Return the image kept under a key, or make it, and keep it if it was finished and there is a place for it.

    What was just made is returned as it would be read, so that both are the same.
    """
    file = find_cache() / f"{key}.png"
    try:
        picture = read_image(file)
        _try(file.touch)
        return picture
    except GuidedStyleError:  # there is none, or it is damaged
        made, finished = make()
    picture = to_pillow(made)
    if finished:
        _keep(file, lambda: save_image(picture, file))
    return picture


def recall_tensors(key: str) -> dict[str, Tensor] | None:
    """Return the tensors kept under a key; None: there are none, or they are damaged."""
    file = find_cache() / f"{key}.safetensors"
    try:
        found = load(file.read_bytes())
    except (OSError, SafetensorError):
        return None
    _try(file.touch)
    return found


def keep_tensors(key: str, tensors: Mapping[str, Tensor]) -> None:
    """Keep tensors under a key, if there is a place for them."""
    file = find_cache() / f"{key}.safetensors"
    _keep(file, lambda: write_file(file, save({name: tensor.contiguous() for name, tensor in tensors.items()})))


def _keep(file: Path, write: Callable[[], object]) -> None:
    def keep() -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write()
        _remove_oldest(file.parent)

    _try(keep)


def _try(action: Callable[[], object]) -> None:
    with suppress(OSError, GuidedStyleError):  # what is not kept is made anew the next time
        action()


def _remove_oldest(folder: Path) -> None:
    """Remove what was used longest ago, until the rest is no larger than LARGEST."""
    files = [file for file in folder.iterdir() if file.suffix in (".png", ".safetensors")]
    left = LARGEST
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        left -= file.stat().st_size
        if left < 0:
            file.unlink()
