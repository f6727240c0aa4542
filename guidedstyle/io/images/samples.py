"""Read the samples that an image's file stores, upright and at their full depth."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.PpmImagePlugin import PpmImageFile

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.formats.cameras import decode_deep, is_raw, read_raw, read_raw_size
from guidedstyle.io.images.opening import is_tiff, open_described, open_image
from guidedstyle.io.images.profiles import convert_from_cmyk, convert_from_lab, to_pixels
from guidedstyle.types import Pixels, Size

DARK = 4096  # values of 8 to 12 bits that a program stored in 16 are below
PACKED = {"L;2": 85, "L;4": 17}  # by Pillow's raw mode: by what it multiplies levels, but not the transparent one
# raises GuidedStyleError if an image of this stored (width, height) is not to be decoded
Check = Callable[[Size], None]


def accept(size: Size) -> None:
    """Accept any size."""


@dataclass(frozen=True)
class Frame:
    """An image's upright (width, height) and its EXIF orientation, 1 to 8: what a mask is painted over.

    `warnings` say what about the file is uncertain.
    """

    size: Size
    orientation: int = 1
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def stored(self) -> Size:
        """The (width, height) as stored, before the EXIF rotation."""
        return self.size[::-1] if self.orientation >= 5 else self.size


@dataclass(frozen=True)
class Samples:
    """The samples of an image, upright: values (H, W, 1 or 3) in uint8, uint16 or float32, not yet in sRGB.

    `alpha` (H, W) has the same type, and the values are not multiplied with it. `profile` is the ICC profile of the
    values; None means sRGB. `lossy` values come from a JPEG. `images` is the number of images in the file: these
    samples are those of the first, or of the largest in a TIFF.
    """

    values: NDArray[Any]
    alpha: NDArray[Any] | None
    profile: bytes | None
    frame: Frame
    lossy: bool = False
    images: int = 1


def read_samples(file: Path, *, managed: bool = True, longest: int | None = None, check: Check = accept) -> Samples:
    """Read an image's own samples at full depth; CMYK and Lab become sRGB, by their profile.

    Without `managed` profiles are not used at all, as for masks. A JPEG is decoded at a half, a quarter or an eighth if
    that is still `longest` px long. `check` is called with the stored size before anything is decoded. Raises
    GuidedStyleError if the file is not an image, is damaged, too large, or of a kind that is not read exactly.
    """
    if is_raw(file):
        values, size = read_raw(file, longest, check)
        return Samples(values, None, None, Frame(size))
    samples = _read_tiff(file, managed, check) if is_tiff(file) else _read_other(file, managed, longest, check)
    if managed and samples.values.dtype == np.float32 and np.isnan(samples.values).any():
        rule = "the image is damaged (some of its values are not numbers)"
        raise GuidedStyleError.of(file, rule, "save it again")
    if managed and samples.values.dtype == np.uint16 and 0 < (most := int(samples.values.max())) < DARK:
        note = f"{file.name}: its 16-bit values are at most {most} of 65535: it is painted as dark as that"
        return replace(samples, frame=replace(samples.frame, warnings=(*samples.frame.warnings, note)))
    return samples


def read_frame(file: Path) -> Frame:
    """Read the frame of an image, without decoding it."""
    if is_raw(file):
        return Frame(read_raw_size(file))
    if is_tiff(file):
        from guidedstyle.io.images.formats.tiff import read_tiff_frame  # slow to import

        return _make_frame(*read_tiff_frame(file))
    with open_described(file) as opened:
        return _make_frame(opened.picture.size, opened.orientation)


def _make_frame(stored: Size, orientation: int, warnings: tuple[str, ...] = ()) -> Frame:
    return Frame(stored[::-1] if orientation >= 5 else stored, orientation, warnings)


def _read_tiff(file: Path, managed: bool, check: Check) -> Samples:
    from guidedstyle.io.images.formats.tiff import read_tiff  # slow to import

    image = read_tiff(file, check)
    values, alpha, profile, notes = (
        image.values,
        image.alpha,
        image.profile,
        [f"{file.name}: {warning}" for warning in image.warnings],
    )
    if image.space.startswith("lab"):
        values, profile = convert_from_lab(values, daylight=image.space == "lab of D65"), None
        alpha = np.uint16(257) * alpha if alpha is not None and alpha.dtype == np.uint8 else alpha
    if image.space == "cmyk":
        values, note = convert_from_cmyk(values, profile if managed else None, file)
        profile, notes = None, [*notes, *note]
    frame = _make_frame((values.shape[1], values.shape[0]), image.orientation, tuple(notes))
    return _turn(Samples(values, alpha, profile, frame, image.lossy, image.images))


def _read_other(file: Path, managed: bool, longest: int | None, check: Check) -> Samples:
    with open_described(file) as opened:
        picture, profile = opened.picture, opened.profile
        check(stored := picture.size)
        if longest and longest < max(stored):
            width, height = (max(1, longest * side // max(stored)) for side in stored)
            picture.draft("RGB", (width, height))
        values, alpha = _read_values(picture, file)
        told = (*opened.warnings, *(opened.doubts if managed else ()))
        notes = [f"{file.name}: {warning}" for warning in told]
    if values.shape[2] == 4:
        values, more = convert_from_cmyk(values, profile if managed else None, file)
        profile, notes = None, [*notes, *more]
    frame = _make_frame(stored, opened.orientation, tuple(notes))
    return _turn(Samples(values, alpha, profile, frame, picture.format == "JPEG", opened.frames))


def _turn(samples: Samples) -> Samples:
    """Turn stored samples upright."""
    turn = samples.frame.orientation
    alpha = None if samples.alpha is None else turn_upright(samples.alpha, turn)
    return replace(samples, values=turn_upright(samples.values, turn), alpha=alpha)


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn pixels (H, W, ...) upright that were stored with an EXIF orientation of 1 to 8."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def _read_values(picture: ImageFile, file: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the stored values (H, W, 1, 3 or 4) and alpha of an open image; four are CMYK."""
    raw = picture.tile[0].args if picture.tile else None
    if picture.format == "PNG" and isinstance(raw, str) and raw.endswith(";16B"):
        return _decode_deep_png(picture)
    if isinstance(picture, PpmImageFile) and picture.mode == "RGB" and isinstance(raw, tuple) and int(raw[-1]) > 255:
        return _decode_deep_ppm(picture, file, raw[-1]), None
    if (deep := decode_deep(picture, file)) is not None:
        return _split_alpha(deep)
    if isinstance(raw, str) and raw in PACKED and "transparency" in picture.info:
        picture.info["transparency"] *= PACKED[raw]
    return _convert_pillow(picture)


def _decode_deep_png(picture: ImageFile) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Decode a PNG of 16 bits, whose colours Pillow cuts to 8."""
    import imagecodecs  # slow to import

    assert picture.fp  # narrows the type: it is open
    picture.fp.seek(0)
    pixels = np.atleast_3d(imagecodecs.png_decode(picture.fp.read()))
    return _split_alpha(pixels)


def _split_alpha(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Split pixels (H, W, 1 to 4) into grey or RGB, and the alpha of those that have two or four channels."""
    colours = pixels.shape[2] - 1 + pixels.shape[2] % 2
    return pixels[..., :colours], pixels[..., colours] if colours < pixels.shape[2] else None


def _decode_deep_ppm(picture: ImageFile, file: Path, top: int) -> NDArray[Any]:
    """Decode a PPM of more than 8 bits, which Pillow cuts to 8, as a PGM three times as wide, which it does not."""
    content, tile = file.read_bytes(), picture.tile[0]
    magic = {b"P3": "P2", b"P6": "P5"}[content[:2]]
    header = f"{magic} {3 * picture.width} {picture.height} {top}\n".encode()
    with open_image(file, io.BytesIO(header + content[tile.offset :])) as wide:
        return np.asarray(wide, np.uint16).reshape(picture.height, picture.width, 3)


def _convert_pillow(picture: Image.Image) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if picture.mode.startswith("I"):
        return np.asarray(picture).clip(0, 65535).astype(np.uint16)[..., None], None
    if picture.mode == "F":
        return np.asarray(picture, np.float32)[..., None], None
    if picture.mode == "CMYK":
        return np.asarray(picture), None
    grey = picture.mode in ("1", "L", "LA")
    if not picture.has_transparency_data:
        return np.atleast_3d(np.asarray(picture.convert("L" if grey else "RGB"))), None
    pixels = np.asarray(picture.convert("LA" if grey else "RGBA"))
    return pixels[..., :-1], pixels[..., -1]


def to_eight_bits(values: NDArray[Any]) -> Pixels:
    """Round values of any depth to 8 bits; floats are clipped to [0, 1]."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return np.asarray(to_pixels(values, 8), np.uint8)
