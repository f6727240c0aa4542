"""Read images upright, in sRGB, at the size that is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.opening import MOST_PIXELS, open_image
from guidedstyle.io.images.profiles import convert_to_srgb
from guidedstyle.types import Array, Pixels, Size

SMALLEST_SIDE = 16


def fit_size(size: Size, longest: int | None) -> Size:
    """Scale (width, height) so that the longer is `longest`; the shorter keeps at least one pixel."""
    if longest is None or longest == max(size):
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


@dataclass(frozen=True)
class Frame:
    """An image's upright (width, height) and its EXIF orientation, 1 to 8: what a mask is painted over."""

    size: Size
    orientation: int = 1

    @property
    def stored(self) -> Size:
        """The (width, height) as stored, before the EXIF rotation."""
        return self.size[::-1] if self.orientation >= 5 else self.size


def read_framed(
    file: Path, longest: int | None = None, *, largest: int | None = None, enlarge: bool = True
) -> tuple[Image.Image, Frame]:
    """Read an image and its frame: upright, in sRGB, without alpha (shown on white), scaled to `longest` px.

    Without `longest` it keeps its own size; `largest` bounds both; without `enlarge` it is only ever shrunk.
    Raises GuidedStyleError if the file is not an image, is damaged, too small, or too large.
    """
    with open_image(file) as picture:
        frame = _find_frame(picture)
        if min(frame.size) < SMALLEST_SIDE:
            remedy = f"use an image of at least {SMALLEST_SIDE} px a side"
            raise GuidedStyleError.of(file, f"{frame.size[0]} x {frame.size[1]} px is too small", remedy)
        longest = min(longest or max(frame.size), largest or MOST_PIXELS)
        target = fit_size(frame.size, longest)
        if max(target) < max(picture.size):
            picture.draft("RGB", fit_size(picture.size, longest))  # at least as large; its shape is rounded
        plain = _flatten(convert_to_srgb(ImageOps.exif_transpose(picture), file))
    if target == plain.size or (not enlarge and max(target) > max(frame.size)):
        return plain, frame
    return plain.resize(target, Image.Resampling.LANCZOS, reducing_gap=3.0), frame


def read_image(file: Path, longest: int | None = None, *, enlarge: bool = True) -> Image.Image:
    """Read an image without its frame, as `read_framed` does."""
    return read_framed(file, longest, enlarge=enlarge)[0]


def read_frame(file: Path) -> Frame:
    """Read the frame of an image; only a PNG without EXIF at its beginning is decoded, since EXIF may follow."""
    with open_image(file) as picture:
        return _find_frame(picture)


def _find_frame(picture: Image.Image) -> Frame:
    asked = picture.getexif().get(0x0112)
    orientation = next((turn for turn in range(1, 9) if turn == asked), 1)  # any other value means none
    return Frame((picture.height, picture.width) if orientation >= 5 else picture.size, orientation)


def _flatten(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        deep = np.asarray(picture, np.float32) / (1 if picture.mode == "F" else 65535)
        if np.isnan(deep).any():
            raise ValueError("some of its values are not numbers")
        return Image.fromarray(np.uint8(np.clip(deep, 0, 1) * 255 + 0.5)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def to_array(picture: Image.Image) -> Array:
    """Convert a Pillow image to (1, 3, H, W) in [0, 1]."""
    pixels = np.asarray(picture.convert("RGB"), np.float32) / 255
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def read_opacity(file: Path, stream: IO[bytes]) -> Pixels:
    """Read the alpha channel (H, W) of an image inside a file; opaque if it has none."""
    with open_image(file, stream) as picture:
        picture.load()
        return find_alpha(picture)


def find_alpha(picture: Image.Image) -> Pixels:
    """Return the alpha channel (H, W) of an image; opaque if it has none."""
    layered = picture if picture.mode in ("RGBA", "LA") else picture.convert("RGBA")
    return np.asarray(layered.getchannel("A"))
