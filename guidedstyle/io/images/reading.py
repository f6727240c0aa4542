"""Read images upright, in sRGB, at the size that is needed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.formats.limits import MOST_PIXELS
from guidedstyle.io.images.opening import open_image
from guidedstyle.io.images.profiles import convert_to_srgb, to_float
from guidedstyle.io.images.samples import Frame, Samples, read_samples, to_eight_bits
from guidedstyle.types import Array, Pixels, Size

SMALLEST_SIDE = 16


def fit_size(size: Size, longest: int | None) -> Size:
    """Scale (width, height) so that the longer is `longest`; the shorter keeps at least one pixel."""
    if longest is None or longest == max(size):
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


def read_framed(
    file: Path, longest: int | None = None, *, largest: int | None = None, enlarge: bool = True
) -> tuple[Image.Image, Frame]:
    """Read an image and its frame: upright, in sRGB, without alpha (shown on white), scaled to `longest` px.

    Without `longest` it keeps its own size; `largest` bounds both; without `enlarge` it is only ever shrunk.
    Raises GuidedStyleError if the file is not an image, is damaged, too small, or too large.
    """
    samples = read_large_samples(file, longest, largest)
    frame = samples.frame
    target = choose_size(frame, longest, largest)
    plain, notes = _flatten(samples, file)
    frame = replace(frame, warnings=(*frame.warnings, *notes))
    if target == plain.size or (not enlarge and max(target) > max(frame.size)):
        return plain, frame
    return plain.resize(target, Image.Resampling.LANCZOS, reducing_gap=3.0), frame


def read_large_samples(file: Path, longest: int | None, largest: int | None) -> Samples:
    """Read the samples of an image that is not too small, at least as large as `choose_size` needs them."""
    most = min(longest or largest or MOST_PIXELS, largest or MOST_PIXELS)
    return read_samples(file, longest=most, check=partial(_check_size, file))


def choose_size(frame: Frame, longest: int | None, largest: int | None) -> Size:
    """Choose the (width, height) of an image: `longest` px, or its own size, but at most `largest`."""
    return fit_size(frame.size, min(longest or max(frame.size), largest or MOST_PIXELS))


def read_image(file: Path, longest: int | None = None, *, enlarge: bool = True) -> Image.Image:
    """Read an image without its frame, as `read_framed` does."""
    return read_framed(file, longest, enlarge=enlarge)[0]


def _check_size(file: Path, size: Size) -> None:
    """Raise GuidedStyleError if an image of (width, height) is too small."""
    if min(size) < SMALLEST_SIDE:
        remedy = f"use an image of at least {SMALLEST_SIDE} px a side"
        raise GuidedStyleError.of(file, f"{size[0]} x {size[1]} px is too small", remedy)


def _flatten(samples: Samples, file: Path) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert samples to sRGB in 8 bits, shown on white, with the warnings about their colours."""
    values, notes = convert_to_srgb(samples.values, samples.profile, file)
    rgb = Image.fromarray(to_eight_bits(values))
    if samples.alpha is None:
        return rgb, notes
    rgb.putalpha(Image.fromarray(to_eight_bits(samples.alpha)))
    return Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB"), notes


def to_array(picture: Image.Image) -> Array:
    """Convert a Pillow image to (1, 3, H, W) in [0, 1]."""
    pixels = to_float(np.asarray(picture.convert("RGB")))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def read_opacity(file: Path, stream: IO[bytes]) -> Pixels:
    """Read the alpha channel (H, W) of an image inside a file; opaque if it has none."""
    with open_image(file, stream) as picture:
        picture.load()
        layered = picture if picture.mode in ("RGBA", "LA") else picture.convert("RGBA")
        return np.asarray(layered.getchannel("A"))
