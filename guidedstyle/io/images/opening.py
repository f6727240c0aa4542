"""Open image files: which formats are read, how large they may be, and what is wrong with a damaged one."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import IO

from PIL import Image, UnidentifiedImageError

from guidedstyle.errors import GuidedStyleError
from guidedstyle.types import Size

MOST_PIXELS = 400_000_000
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "AVIF", "BMP", "GIF", "PPM")  # the decoders of some others start programs
UNREADABLE_IMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, RuntimeError, struct.error)
OPENING = Lock()  # of Pillow's limit of pixels, which holds for the whole process


@contextmanager
def open_image(file: Path, stream: IO[bytes] | None = None) -> Iterator[Image.Image]:
    """Open an image, or the `stream` of one inside a file.

    Raises GuidedStyleError if it is too large, is not an image, or is damaged; also while it is decoded.
    """
    with explaining_damage(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged metadata that is not used
        with _open(stream or file) as picture:
            check_pixels(picture.size, file)
            yield picture


@contextmanager
def explaining_damage(file: Path) -> Iterator[None]:
    """Turn what decoders raise into a GuidedStyleError."""
    try:
        yield
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


def check_pixels(size: Size, file: Path) -> None:
    """Raise GuidedStyleError if an image of this (width, height) is too large to be decoded."""
    if size[0] * size[1] > MOST_PIXELS:
        raise _too_large(file, f"{size[0]} x {size[1]} px is too large")


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
