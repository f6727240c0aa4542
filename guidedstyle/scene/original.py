"""The content image's own pixels, at full depth, and what the engine sees of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guidedstyle.io.images.metadata import NO_METADATA, Metadata, read_metadata
from guidedstyle.io.images.profiles import convert, convert_to_srgb, is_rgb, is_srgb, make_profile, to_float, to_pixels
from guidedstyle.io.images.reading import choose_size, read_large_samples
from guidedstyle.io.images.samples import Frame, Samples
from guidedstyle.types import Array, DeepPixels, Size

GREY = 128  # of a canvas
RESAMPLING = Image.Resampling.LANCZOS


@dataclass(frozen=True)
class Original:
    """A content image's own pixels (H, W, 3), uint8 or uint16, at the size of the scene, in an RGB `profile`.

    `alpha` (H, W) has their depth, and they are not multiplied with it; None: every pixel is opaque. `frame` is that of
    the file; `metadata` is read only with all pixels.
    """

    pixels: DeepPixels
    alpha: DeepPixels | None
    profile: bytes
    frame: Frame
    metadata: Metadata = NO_METADATA

    @classmethod
    def of_canvas(cls, size: Size, longest: int | None, largest: int | None) -> Original:
        """Make the grey image of a canvas of (width, height)."""
        frame = Frame(size)
        width, height = choose_size(frame, longest, largest)
        return cls(np.full((height, width, 3), GREY, np.uint8), None, make_profile("sRGB"), frame)

    @classmethod
    def of_srgb(cls, content: Array) -> Original:
        """Make one of 8 bits from what the engine sees, (1, 3, H, W)."""
        pixels = to_pixels(content[0].transpose(1, 2, 0), 8)
        return cls(pixels, None, make_profile("sRGB"), Frame((pixels.shape[1], pixels.shape[0])))

    @property
    def size(self) -> Size:
        """The (width, height) of the pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def depth(self) -> int:
        """The bits of a channel: 8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    @property
    def pixel_bytes(self) -> int:
        """The bytes of a pixel: 3 to 8."""
        return self.pixels.itemsize * (3 if self.alpha is None else 4)

    def to_srgb(self) -> Array:
        """Return what the engine sees, (1, 3, H, W) in [0, 1]: colours outside sRGB are clipped to it.

        Where the image is wholly transparent, it is white, since the colours there are nobody's.
        """
        colours = to_float(self.pixels)
        if not is_srgb(self.profile):
            colours = np.clip(convert(colours, self.profile, make_profile("sRGB")), 0, 1)
        if self.alpha is not None:
            colours = np.where(self.alpha[..., None] > 0, colours, np.float32(1))
        return _to_tensor(colours)

    def show_on_white(self) -> Array:
        """Return the image (1, 3, H, W) in sRGB as it is seen on white paper."""
        colours = self.to_srgb()
        return colours if self.alpha is None else 1 - (1 - colours) * to_float(self.alpha)


def read_original(file: Path, longest: int | None = None, *, largest: int | None = None) -> Original:
    """Read a content image, upright, scaled to `longest` px, at its own depth and in its own colours.

    Without `longest` it keeps its own size; `largest` bounds both, and leaves its metadata out. Images that are not RGB
    become sRGB: grey ones with a profile, CMYK and Lab. Floats become 16 bits. Raises GuidedStyleError if the file is
    not an image, is damaged, too small, or too large.
    """
    samples = read_large_samples(file, longest, largest)
    pixels, profile, notes = _find_colours(samples, file)
    frame = replace(samples.frame, warnings=(*samples.frame.warnings, *notes))
    size = choose_size(frame, longest, largest)
    pixels, alpha = _resize(pixels, _find_alpha(samples), size)
    return Original(pixels, alpha, profile, frame, NO_METADATA if largest else read_metadata(file))


def _find_colours(samples: Samples, file: Path) -> tuple[DeepPixels, bytes, tuple[str, ...]]:
    """Return pixels (H, W, 3), the profile of their colours, and warnings about them."""
    profile, grey = samples.profile, samples.values.shape[2] == 1
    if profile and is_rgb(profile):
        return _to_deep(np.repeat(samples.values, 3, 2) if grey else samples.values), profile, ()
    values, notes = convert_to_srgb(samples.values, profile, file)
    return _to_deep(values), make_profile("sRGB"), notes


def _find_alpha(samples: Samples) -> DeepPixels | None:
    """Return the alpha of an image; None where it has none, or is opaque everywhere."""
    alpha = None if samples.alpha is None else _to_deep(samples.alpha)
    return None if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max else alpha


def _to_deep(values: NDArray[Any]) -> DeepPixels:
    return to_pixels(values, 16) if values.dtype == np.float32 else values


def _resize(pixels: DeepPixels, alpha: DeepPixels | None, size: Size) -> tuple[DeepPixels, DeepPixels | None]:
    """Resize pixels and alpha to (width, height) at their own depth."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return np.ascontiguousarray(pixels), alpha
    if pixels.dtype == np.uint8:
        whole = pixels if alpha is None else np.dstack([pixels, alpha])  # Pillow weighs the colours of RGBA by alpha
        scaled = np.asarray(Image.fromarray(whole).resize(size, RESAMPLING, reducing_gap=3.0))
        return scaled[..., :3], None if alpha is None else scaled[..., 3]
    if alpha is None:
        return to_pixels(_resize_channels(pixels, size), 16), None
    cover = to_float(alpha)
    scaled, covered = _resize_channels(pixels, size, cover), _resize_channel(cover, size)[..., None]
    colours = np.divide(scaled, covered, out=np.zeros_like(scaled), where=covered > 0)
    return to_pixels(colours, 16), to_pixels(covered[..., 0], 16)


def _resize_channels(pixels: DeepPixels, size: Size, cover: Array | None = None) -> Array:
    """Resize channels one by one, to save memory, multiplied with `cover` (H, W)."""
    channels = (to_float(pixels[..., index]) for index in range(pixels.shape[2]))
    return np.dstack([_resize_channel(one if cover is None else one * cover, size) for one in channels])


def _resize_channel(values: Array, size: Size) -> Array:
    channel = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(channel.resize(size, RESAMPLING, reducing_gap=3.0), np.float32)


def _to_tensor(colours: Array) -> Array:
    return np.ascontiguousarray(colours.transpose(2, 0, 1)[None])
