"""What holds for every format: which are read, how large images may be, and errors for damaged files."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import IO

from PIL import Image, ImageFile, UnidentifiedImageError

from guidedstyle.errors import GuidedStyleError
from guidedstyle.types import Size

MOST_PIXELS = 400_000_000
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "AVIF", "BMP", "GIF", "PPM")  # the decoders of some others start programs
UNREADABLE_IMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, RuntimeError, struct.error),
    AssertionError,  # Pillow's, of a palette that is missing
)
OPENING = Lock()  # of Pillow's limit of pixels, which holds for the whole process
AGAIN = "save it again, or download it again"
STRANGERS = {  # what else lies where an image should be, by how it begins
    b"version https://git-lfs": ("it is a pointer of Git LFS, not the image itself", "fetch the image: git lfs pull"),
    b"<!doctype html": ("it is a web page, not an image", "download the image itself"),
    b"<html": ("it is a web page, not an image", "download the image itself"),
}


def read_orientation(asked: object) -> int:
    """Return an orientation of 1 to 8, or the first if there are several; any other value means none."""
    asked = next(iter(asked), None) if isinstance(asked, (tuple, bytes)) else asked
    return next((turn for turn in range(1, 9) if turn == asked), 1)


@contextmanager
def explaining_damage(file: Path) -> Iterator[None]:
    """Turn what decoders raise into a GuidedStyleError."""
    try:
        yield
    except Image.DecompressionBombError as error:  # a later frame is larger than the image
        raise _too_large(file, "one of its frames is too large") from error
    except UnidentifiedImageError as error:
        raise GuidedStyleError.of(file, *_explain_unknown(file)) from error
    except UNREADABLE_IMAGE as error:
        if isinstance(error, OSError) and error.errno:
            remedy = "change its permissions, or name another file"
            raise GuidedStyleError.of(file, f"it cannot be read: {error.strerror}", remedy) from error
        reason = f" ({error})" if str(error) else ""
        raise GuidedStyleError.of(file, f"the image is damaged{reason}", "save it again") from error


def _explain_unknown(file: Path) -> tuple[str, str]:
    """Say what a file holds instead of an image, and what to do."""
    with file.open("rb") as stream:
        head = stream.read(2**20)
    if not head.strip(b"\0"):
        return ("the file holds nothing but zeros" if head else "the file is empty"), AGAIN
    found = (told for begin, told in STRANGERS.items() if head[:64].lstrip().lower().startswith(begin))
    return next(found, ("this is not an image that can be read", "save it as PNG, JPEG, TIFF or WebP"))


def check_pixels(size: Size, file: Path) -> None:
    """Raise GuidedStyleError if an image of this (width, height) is too large to be decoded."""
    if size[0] * size[1] > MOST_PIXELS:
        raise _too_large(file, f"{size[0]} x {size[1]} px is too large")


def open_unlimited(source: IO[bytes], formats: Sequence[str] = FORMATS) -> ImageFile.ImageFile:
    """Open an image without Pillow's own limit of pixels: our error has a remedy."""
    with OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(source, formats=tuple(formats))
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _too_large(file: Path, rule: str) -> GuidedStyleError:
    return GuidedStyleError.of(file, rule, f"scale it to at most {MOST_PIXELS:,} pixels")
