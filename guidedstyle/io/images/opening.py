"""Open image files: which formats are read, how large they may be, and what is wrong with a damaged one."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO

from PIL import Image, ImageFile, UnidentifiedImageError

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.cameras import describe_heif, find_heif
from guidedstyle.io.images.containers import DAMAGED_PROFILE, Container, open_container
from guidedstyle.io.images.profiles import make_adobe_rgb, make_profile
from guidedstyle.types import Size

MOST_PIXELS = 400_000_000
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "AVIF", "BMP", "GIF", "PPM")  # the decoders of some others start programs
UNREADABLE_IMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, RuntimeError, struct.error),
    AssertionError,  # Pillow's, of a palette that is missing
)
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how one begins
OPENING = Lock()  # of Pillow's limit of pixels, which holds for the whole process
ORIENTATION = 0x0112  # the tag of TIFF and EXIF
EXIF, INTEROPERABILITY, COLOUR_SPACE = 0x8769, 0xA005, 0xA001
ADOBE_RGB = "R03"  # a camera's mark in EXIF, which embeds no profile for it
AGAIN = "save it again, or download it again"
STRANGERS = {  # what else lies where an image should be, by how it begins
    b"version https://git-lfs": ("it is a pointer of Git LFS, not the image itself", "fetch the image: git lfs pull"),
    b"<!doctype html": ("it is a web page, not an image", "download the image itself"),
    b"<html": ("it is a web page, not an image", "download the image itself"),
}


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
    with explaining_damage(file), _decoding_whole_images(), warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")  # about damaged metadata that is not used
        container = open_container(stream or stack.enter_context(file.open("rb")), note)
        picture = stack.enter_context(open_unlimited(container.stream, (*FORMATS, *find_heif(container.stream, file))))
        picture.filename = "" if stream else str(file)
        check_pixels(picture.size, file)
        yield _describe(picture, container)


@contextmanager
def _decoding_whole_images() -> Iterator[None]:
    """Set aside Pillow's setting by which many programs have cut images filled with grey."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


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


def read_orientation(asked: object) -> int:
    """Return an orientation of 1 to 8, or the first if there are several; any other value means none."""
    asked = next(iter(asked), None) if isinstance(asked, (tuple, bytes)) else asked
    return next((turn for turn in range(1, 9) if turn == asked), 1)


def _count_frames(picture: Image.Image) -> int:
    try:
        return int(getattr(picture, "n_frames", 1))
    except UNREADABLE_IMAGE:  # a later frame is damaged
        return 2
    finally:
        picture.seek(0)


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


def is_tiff(file: Path) -> bool:
    """Return whether a file begins like a TIFF."""
    with explaining_damage(file), file.open("rb") as stream:
        head = stream.read(8)
        return head[:4] in TIFF and len(head) == 8


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
