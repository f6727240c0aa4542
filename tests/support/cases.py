"""Recipes of real images with painted masks, from the test data, the real VGG-19 and SqueezeNet."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

DATA = Path(os.environ.get("GUIDEDSTYLE_TEST_DATA", ""))
WEIGHTS = DATA / "weights" / "vgg19_conv1_1-conv3_4.safetensors"
SQUEEZENET_WEIGHTS = DATA / "weights" / "squeezenet1_0.safetensors"
needs_data = pytest.mark.skipif(not WEIGHTS.is_file(), reason="GUIDEDSTYLE_TEST_DATA does not name the test data")

NAMED = {"black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
NAMED |= {"yellow": (255, 255, 0), "cyan": (0, 255, 255), "magenta": (255, 0, 255)}
SMALLEST_SHARE = 0.001  # smaller areas are anti-aliased edges between two other colours


def split_colours(file: Path, folder: Path) -> dict[str, Path]:
    """Split a colour-coded mask into black-and-white ones by the nearest named colour."""
    pixels = np.asarray(Image.open(file).convert("RGB"), np.int32)
    distances = [np.square(pixels - colour).sum(2) for colour in np.array(list(NAMED.values()))]
    nearest = np.argmin(distances, axis=0)
    found = {}
    for index, name in enumerate(NAMED):
        if (nearest == index).mean() >= SMALLEST_SHARE:
            found[name] = folder / f"{file.stem}_{name}.png"
            Image.fromarray(np.uint8(255 * (nearest == index))).save(found[name])
    return found


def write_pair(name: str, folder: Path, **settings: object) -> Path:
    """Write a recipe whose content and style masks share colours: one region for each; the rest stays unchanged."""
    parts = {part: DATA / "cases" / f"{name}_{part}.png" for part in ("content", "style", "content_mask", "style_mask")}
    inside, source = (split_colours(parts[part], folder) for part in ("content_mask", "style_mask"))
    shared = [colour for colour in inside if colour in source]
    styles = {colour: {"image": str(parts["style"]), "mask": str(source[colour])} for colour in shared}
    regions = [{"name": colour, "mask": str(inside[colour]), "style": colour} for colour in shared]
    return write_recipe(folder / f"{name}.yaml", content=parts["content"], styles=styles, regions=regions, **settings)


def write_city(folder: Path, **settings: object) -> Path:
    """Write the recipe of a city at night: one style image for its lit part, another for the dark."""
    images = DATA / "images"
    styles = {"candy": str(images / "jfns_candy.jpg"), "wheat": str(images / "gor_vg_wheat_field.jpg")}
    regions = [
        {"name": "back", "mask": "rest", "style": "wheat"},
        {"name": "front", "mask": str(DATA / "cases" / "city_mask.jpg"), "style": "candy"},
    ]
    content = DATA / "cases" / "city_content.jpg"
    return write_recipe(folder / "city.yaml", content=content, styles=styles, regions=regions, **settings)


def write_recipe(file: Path, **keys: object) -> Path:
    """Write a recipe with these keys."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in keys.items()}
    file.write_text(yaml.safe_dump(plain, sort_keys=False))
    return file


def vgg19() -> dict[str, str]:
    """Choose the real VGG-19."""
    return {"name": "vgg19", "weights": str(WEIGHTS)}
