"""Recipes of the sizes that a device check needs, from the pictures of this repository."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from guidedstyle.io.paths import CACHE_VARIABLE

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "recipes"
REGIONS = {"land": "strokes", "sky": "dots", "sea": "watercolour"}


def write_harbour(folder: Path, size: int, steps: int | None = None) -> Path:
    """Write a recipe of a square of `size` px, with three regions in three styles; returns its file.

    Without `steps` it takes as many as usual.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _enlarge(RECIPES / "images/harbour.jpg", folder / "content.jpg", size)
    lines = ["content: content.jpg", f"size: {size}", "styles:"]
    lines += [f"  {style}: {RECIPES / 'images' / style}.jpg" for style in REGIONS.values()]
    lines += ["regions:", "  - {name: land, mask: rest, style: strokes}"]
    for name in ("sky", "sea"):
        _enlarge(ROOT / f"masks/harbour_{name}.png", folder / f"{name}.png", size)
        lines.append(f"  - {{name: {name}, mask: {name}.png, style: {REGIONS[name]}}}")
    lines += [f"solver: {{steps: {steps}}}"] if steps else []
    file = folder / f"harbour{size}.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def _enlarge(file: Path, output: Path, size: int) -> None:
    """Write the middle square of a picture at another size."""
    with Image.open(file) as picture:
        side, (width, height) = min(picture.size), picture.size
        left, top = (width - side) // 2, (height - side) // 2
        picture.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side)).save(output)


@contextmanager
def without_cache() -> Iterator[Mapping[str, str]]:
    """Keep nothing from earlier renders: an empty cache, for this process and, as an environment, for others."""
    before = os.environ.get(CACHE_VARIABLE)
    with TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = folder
        try:
            yield dict(os.environ)
        finally:
            os.environ.pop(CACHE_VARIABLE)
            if before:
                os.environ[CACHE_VARIABLE] = before
