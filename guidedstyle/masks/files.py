"""Read the grey or the opacity of a mask file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images import find_alpha, fit_size, open_image
from guidedstyle.recipe.values import name_colour
from guidedstyle.types import RGB, Array, Opacities, Pixels

COLOURED = 64  # a pixel is coloured where its channels lie so far apart
LOSSY = 4 / 255  # how far JPEG moves black and white


def read_grey(file: Path) -> Opacities:
    """Read a painted mask (H, W): its grey value times its alpha.

    Raises GuidedStyleError where the file is no image, is painted in colour, or in alpha alone.
    """
    with open_image(file) as picture:
        upright = _upright(picture, file)
        if upright.mode.startswith(("I", "F")):
            return _read_deep_grey(upright, file)
        grey = _read_plain_grey(upright, file)
        if picture.format == "JPEG":
            return np.clip((grey / np.float32(255) - LOSSY) / (1 - 2 * LOSSY), 0, 1).astype(np.float32)
        if not upright.has_transparency_data:
            return grey
        alpha = find_alpha(upright)
        masked = np.asarray(cv2.multiply(grey, alpha, scale=1 / 255), np.uint8)
        if not masked.any() and alpha.any() and not alpha.all():
            rule = "its paint is black, and what it shows is in its transparency"
            raise GuidedStyleError.of(file, rule, "take that: {file: ..., channel: alpha}")
        return masked


def read_alpha(file: Path) -> Opacities:
    """Read the alpha channel (H, W) of an image; raises GuidedStyleError where it has none."""
    with open_image(file) as picture:
        upright = _upright(picture, file)
        if not upright.has_transparency_data:
            raise GuidedStyleError.of(file, "it has no alpha channel", "remove channel: alpha, or save it with one")
        return find_alpha(upright)


def read_colours(file: Path) -> Pixels:
    """Read the pixels (H, W, 4) of a colour-coded image: red, green, blue and alpha."""
    with open_image(file) as picture:
        return np.array(_upright(picture, file).convert("RGBA"))


def _upright(picture: Image.Image, file: Path) -> Image.Image:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise GuidedStyleError.of(file, f"it holds {frames} images", "save the one that is the mask")
    return ImageOps.exif_transpose(picture)


def _read_plain_grey(picture: Image.Image, file: Path) -> Pixels:
    if picture.mode not in ("1", "L", "LA"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        _refuse_colour(picture, file)
    return np.asarray(picture.convert("L"))


def _read_deep_grey(picture: Image.Image, file: Path) -> Array:
    values = np.asarray(picture, np.float32)
    top = 1.0 if picture.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        rule = f"its values are not all between 0 and {top:g}"
        raise GuidedStyleError.of(file, rule, "save the mask as a grey image of 8 or 16 bits")
    return (values / top).astype(np.float32)


def _refuse_colour(picture: Image.Image, file: Path) -> None:
    small = np.asarray(picture.resize(fit_size(picture.size, min(512, max(picture.size))), Image.Resampling.NEAREST))
    seen = small[small[..., 3] > 0] if small.shape[2] == 4 else small.reshape(-1, 3)
    spread = seen[:, :3].max(1).astype(int) - seen[:, :3].min(1) if len(seen) else np.zeros(1)
    share = float((spread > COLOURED).mean())
    if share > 0.001:
        rule = f"{share:.0%} of this mask is painted in colour"
        code = name_colour(_find_commonest(seen[spread > COLOURED, :3])).split()[0]
        remedy = (
            f"paint white where the region is and black elsewhere, or name a colour: {{file: ..., colour: '{code}'}}"
        )
        if picture.mode == "RGBA":
            remedy = "take what is opaque: {file: ..., channel: alpha}, or paint white on black"
        raise GuidedStyleError.of(file, rule, remedy)


def _find_commonest(pixels: Pixels) -> RGB:
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    return to_rgb(colours[counts.argmax()])


def to_rgb(colour: Sequence[Any] | NDArray[Any]) -> RGB:
    """Turn three numbers into a colour."""
    red, green, blue = map(int, colour)
    return red, green, blue
