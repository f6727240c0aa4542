"""Open image files, with what lies beside their pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from guidedstyle.io.flags import IMAGE_FLAGS
from guidedstyle.io.images.formats.cameras import describe_heif, find_heif
from guidedstyle.io.images.formats.containers import DAMAGED_PROFILE, Container, open_container
from guidedstyle.io.images.formats.limits import (
    FORMATS,
    UNREADABLE_IMAGE,
    check_pixels,
    explaining_damage,
    open_unlimited,
    read_orientation,
)
from guidedstyle.io.images.profiles import make_adobe_rgb, make_profile

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how one begins
ORIENTATION = 0x0112  # the tag of TIFF and EXIF
EXIF, INTEROPERABILITY, COLOUR_SPACE = 0x8769, 0xA005, 0xA001
ADOBE_RGB = "R03"  # a camera's mark in EXIF, which embeds no profile for it


@dataclass(frozen=True)
class Opened:
    """An open image, not yet decoded, with its colour profile, EXIF orientation, number of frames, and warnings.

    `doubts` are warnings about its colours, which do not concern masks.
    """

    picture: ImageFile.ImageFile
    profile: bytes | None
    orientation: int
    frames: int
    warnings: tuple[str, ...]
    doubts: tuple[str, ...] = ()


@contextmanager
def open_image(file: Path, stream: IO[bytes] | None = None, *, note: str | None = None) -> Iterator[Image.Image]:
    """Open an image, or the `stream` of one inside a file; of a PNG's texts only `note` is read.

    Raises GuidedStyleError if it is too large, is not an image, or is damaged; also while it is decoded.
    """
    with open_described(file, stream, note=note) as opened:
        yield opened.picture


@contextmanager
def open_described(file: Path, stream: IO[bytes] | None = None, *, note: str | None = None) -> Iterator[Opened]:
    """Open an image as `open_image` does, with what lies beside its pixels; damage to that is only a warning."""
    with explaining_damage(file), IMAGE_FLAGS, warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")  # about damaged metadata that is not used
        container = open_container(stream or stack.enter_context(file.open("rb")), note)
        picture = stack.enter_context(open_unlimited(container.stream, (*FORMATS, *find_heif(container.stream, file))))
        picture.filename = "" if stream else str(file)
        check_pixels(picture.size, file)
        yield _describe(picture, container)


def _describe(picture: ImageFile.ImageFile, container: Container) -> Opened:
    notes, doubts = list(container.warnings), container.doubts
    try:
        asked = _read_exif(picture).get(ORIENTATION)
    except UNREADABLE_IMAGE:
        asked = None
        notes.append("its EXIF data are damaged: it is taken to be upright")
    frames = container.frames or _count_frames(picture)
    if frames > 1:
        notes.append(f"it holds {frames} images: the first is used (save another as an image of its own to use it)")
    profile = container.profile or picture.info.get("icc_profile")
    if picture.format == "HEIF" and not profile:
        is_wide, more = describe_heif(picture)
        profile = make_profile("Display P3") if is_wide else None
        doubts = (*doubts, *more)
    if not profile and DAMAGED_PROFILE not in doubts and _is_adobe_rgb(picture):
        profile = make_adobe_rgb()
    return Opened(picture, profile, read_orientation(asked), frames, tuple(notes), doubts)


def _read_exif(picture: ImageFile.ImageFile) -> Image.Exif:
    """Read the EXIF data of an image, or those that Pillow finds in its XMP, without decoding it."""
    if content := picture.info.get("exif"):
        exif = Image.Exif()
        exif.load(content)  # the formats' own methods suppress errors
        if ORIENTATION in exif:
            return exif
    return Image.Image.getexif(picture)  # that of PNG would decode the image


def _is_adobe_rgb(picture: ImageFile.ImageFile) -> bool:
    """Whether EXIF says, as that of cameras does, that an image's colours are those of Adobe RGB."""
    exif = Image.Exif()
    with suppress(*UNREADABLE_IMAGE):
        exif.load(picture.info.get("exif") or b"")
        space, mark = exif.get_ifd(EXIF).get(COLOUR_SPACE), exif.get_ifd(INTEROPERABILITY).get(1)
        marked = isinstance(mark, str) and mark.startswith(ADOBE_RGB)
        return picture.mode == "RGB" and (space == 2 or (marked and space != 1))
    return False


def _count_frames(picture: Image.Image) -> int:
    try:
        return int(getattr(picture, "n_frames", 1))
    except UNREADABLE_IMAGE:  # a later frame is damaged
        return 2
    finally:
        picture.seek(0)


def is_tiff(file: Path) -> bool:
    """Return whether a file begins like a TIFF."""
    with explaining_damage(file), file.open("rb") as stream:
        head = stream.read(8)
        return head[:4] in TIFF and len(head) == 8
