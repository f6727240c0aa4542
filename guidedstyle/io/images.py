"""Read and write images."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import write_file
from guidedstyle.types import Array, Pixels, Size

MOST_PIXELS = 400_000_000
LONGEST_SIDES = {".webp": 16383}  # px, by suffix: the limit of the format
SMALLEST_SIDE = 16
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM")  # the decoders of some others start programs
UNREADABLE_IMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, RuntimeError, struct.error)
OPENING = Lock()  # of Pillow's limit of pixels, which holds for the whole process


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
        plain = _flatten(_to_srgb(ImageOps.exif_transpose(picture), file))
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


@contextmanager
def open_image(file: Path, stream: IO[bytes] | None = None) -> Iterator[Image.Image]:
    """Open an image, or the `stream` of one inside a file.

    Raises GuidedStyleError if it is too large, is not an image, or is damaged; also while it is decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata that is not used
            with _open(stream or file) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise _too_large(file, f"{picture.width} x {picture.height} px is too large")
                yield picture
    except Image.DecompressionBombError as error:  # a later frame is larger than the image
        raise _too_large(file, "one of its frames is too large") from error
    except UnidentifiedImageError as error:
        remedy = "save it as PNG, JPEG, TIFF or WebP"
        raise GuidedStyleError.of(file, "this is not an image that can be read", remedy) from error
    except UNREADABLE_IMAGE as error:
        if isinstance(error, OSError) and error.errno:
            remedy = "change its permissions, or name another file"
            raise GuidedStyleError.of(file, f"it cannot be read: {error.strerror}", remedy) from error
        raise GuidedStyleError.of(file, f"the image is damaged ({error})", "save it again") from error


def _open(source: IO[bytes] | Path) -> Image.Image:
    """Open an image without Pillow's own limit of pixels: our error has a remedy."""
    with OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(source, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _too_large(file: Path, rule: str) -> GuidedStyleError:
    return GuidedStyleError.of(file, rule, f"scale it to at most {MOST_PIXELS:,} pixels")


def _to_srgb(picture: Image.Image, file: Path) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if profile and picture.mode in ("RGB", "RGBA", "CMYK", "L"):
        try:
            mode = "RGBA" if picture.mode == "RGBA" else "RGB"
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            turned = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode=mode)
            return turned or picture
        except ImageCms.PyCMSError as error:
            remedy = "convert it to sRGB and save it again"
            raise GuidedStyleError.of(file, f"its colour profile cannot be used ({error})", remedy) from error
    return picture


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


def to_pillow(array: Array) -> Image.Image:
    """Convert (1, 3, H, W) in [0, 1] to a Pillow image of 8 bits, the inverse of `to_array`."""
    pixels = np.clip(array[0].transpose(1, 2, 0), 0, 1) * 255 + 0.5
    return Image.fromarray(pixels.astype(np.uint8))


def save_image(picture: Image.Image, file: Path, note: tuple[str, str] | None = None) -> None:
    """Write an image atomically; a PNG carries `note` (key, text) in its metadata.

    Raises GuidedStyleError if its suffix is not that of an image, or it cannot be written.
    """
    if (kind := Image.registered_extensions().get(file.suffix.lower())) not in Image.SAVE:
        rule = f"{file.name!r} does not have the suffix of an image"
        raise GuidedStyleError.of(file, rule, "use .png, .jpg, .tif or .webp")
    options: dict[str, object] = {"quality": 95, "subsampling": 0} if file.suffix.lower() in (".jpg", ".jpeg") else {}
    if file.suffix.lower() == ".webp":
        options = {"lossless": True}
    if file.suffix.lower() == ".png" and note:
        info = PngInfo()
        info.add_itxt(*note)
        options["pnginfo"] = info
    buffer = io.BytesIO()
    try:
        picture.save(buffer, kind, **options)
    except ValueError as error:
        raise GuidedStyleError.of(file, f"it cannot be written as {kind} ({error})", "use .png") from error
    write_file(file, buffer.getvalue())


def read_note(file: Path, key: str) -> str | None:
    """Read the text that `save_image` put under `key` of a PNG."""
    with open_image(file) as picture:
        picture.load()
        text = picture.info.get(key)
        return str(text) if text is not None else None


def read_opacity(file: Path, stream: IO[bytes]) -> Pixels:
    """Read the alpha channel (H, W) of an image inside a file; opaque if it has none."""
    with open_image(file, stream) as picture:
        picture.load()
        return find_alpha(picture)


def find_alpha(picture: Image.Image) -> Pixels:
    """Return the alpha channel (H, W) of an image; opaque if it has none."""
    layered = picture if picture.mode in ("RGBA", "LA") else picture.convert("RGBA")
    return np.asarray(layered.getchannel("A"))
