"""Colour profiles (ICC) of images: their names, and conversions between them."""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

from guidedstyle.types import Array, DeepPixels, ProfileName

SPACES = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
READABLE = (b"scnr", b"mntr", b"prtr", b"spac")  # classes of profiles that lead from a device to colours
HEADER, ENTRY = 128, 12  # bytes of a profile's header, and of an entry of its table of tags
CREATED = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the date in our profiles, so that equal images are equal files
DISPLAY_P3 = (0.680, 0.320, 1.0, 0.265, 0.690, 1.0, 0.150, 0.060, 1.0)  # x, y, Y of red, green and blue
D65 = (0.3127, 0.3290, 1.0)
LIMIT = 0.5 / 255  # of the difference between colours that 8 bits cannot tell apart


def convert_to_srgb(values: NDArray[Any], profile: bytes | None, file: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Convert values (H, W, 1, 3 or 4) by their profile to sRGB (H, W, 3), at their own depth.

    A profile that cannot be used is left out, with a warning; without one, values of four channels fail.
    """
    rgb = np.repeat(values, 3, 2) if values.shape[2] == 1 else values
    if not profile:
        return rgb, ()
    space = {1: "gray", 3: "rgb", 4: "cmyk"}[values.shape[2]]
    if space == "gray" and profile[16:20] == b"RGB ":
        values, space = rgb, "rgb"  # a colour photograph that a program saved as grey, with its old profile
    if SPACES.get(profile[16:20]) != space or profile[12:16] not in READABLE:
        return rgb, (f"{file.name}: its colour profile {_describe_misfit(profile)}: its colours are taken as sRGB",)
    try:
        return _transform(values, profile, space), ()
    except (RuntimeError, ValueError):  # imagecodecs' errors are RuntimeErrors
        return rgb, (f"{file.name}: its colour profile is damaged: its colours are taken as sRGB",)


def _describe_misfit(profile: bytes) -> str:
    """Say why a profile does not lead from an image's colours to others."""
    if len(profile) < HEADER or profile[36:40] != b"acsp":
        return "is damaged"
    if profile[12:16] not in READABLE:
        return "is not that of a device"
    return f"is for {SPACES.get(profile[16:20], 'other').replace('gray', 'grey')} images"


def _transform(values: NDArray[Any], profile: bytes, space: str) -> NDArray[Any]:
    import imagecodecs  # slow to import

    kind = values.dtype
    converted = imagecodecs.cms_transform(
        np.ascontiguousarray(values.squeeze(2) if space == "gray" else values),
        *(profile, make_profile("sRGB")),
        colorspace=space,
        outcolorspace="rgb",
        outdtype=kind,
        flags=imagecodecs.CMS.FLAGS.NOOPTIMIZE if space == "gray" else None,  # else dark greys are up to 10 levels off
    )
    if space == "gray":  # rounding would tint some greys by one level
        converted = np.repeat(converted[..., 1:2], 3, 2)
    return np.asarray(converted, kind)


def convert_from_cmyk(values: NDArray[Any], profile: bytes | None, file: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Convert CMYK (H, W, 4) to sRGB by its profile; without one by arithmetic, with a warning."""
    converted, notes = convert_to_srgb(values, profile, file)
    if profile and not notes:
        return converted, ()
    top = 1.0 if values.dtype == np.float32 else float(np.iinfo(values.dtype).max)
    light = (top - values[..., :3].astype(np.float32)) * ((top - values[..., 3:].astype(np.float32)) / top)
    plain = light if top == 1 else light + 0.5
    return plain.astype(values.dtype), (f"{file.name}: it is CMYK without a colour profile; its colours are a guess",)


def convert_from_lab(values: NDArray[Any], *, daylight: bool = False) -> NDArray[Any]:
    """Convert CIE Lab (H, W, 3), in CIE units and of white D50, or D65 if `daylight`, to sRGB in uint16."""
    if daylight:
        return np.asarray(np.clip(cv2.cvtColor(values, cv2.COLOR_Lab2RGB), 0, 1) * 65535 + 0.5).astype(np.uint16)
    from imagecodecs import cms_transform

    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = make_profile("sRGB")
    return np.asarray(cms_transform(values, lab, srgb, colorspace="lab", outcolorspace="rgb", outdtype=np.uint16))


@lru_cache
def make_profile(name: ProfileName) -> bytes:
    """Make the profile of a colour space; both have the tone curve of sRGB."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = bytearray(srgb[:24] + CREATED + srgb[36:])
    if name == "Display P3":
        _replace_primaries(made)
        _replace_name(made, name)
    return bytes(made)


@lru_cache
def make_adobe_rgb() -> bytes:
    """Make the profile of Adobe RGB (1998), which cameras mean without embedding it."""
    from imagecodecs import cms_profile

    made = bytes(cms_profile("adobergb"))
    return made[:24] + CREATED + made[36:]


def _replace_primaries(profile: bytearray) -> None:
    from imagecodecs import cms_profile

    wide = cms_profile("rgb", whitepoint=D65, primaries=DISPLAY_P3, gamma=2.2)
    for tag in (b"rXYZ", b"gXYZ", b"bXYZ", b"chrm"):
        profile[_find_tag(profile, tag)] = wide[_find_tag(wide, tag)]


def _replace_name(profile: bytearray, name: str) -> None:
    """Replace the name of a profile by one that is not longer: its text has one record, after 28 bytes."""
    place = _find_tag(profile, b"desc")
    size, text = place.stop - place.start - 28, name.encode("utf-16-be")
    profile[place.start + 20 : place.start + 24] = struct.pack(">I", len(text))
    profile[place.start + 28 : place.stop] = text.ljust(size, b"\0")


def _find_tag(profile: bytes | bytearray, tag: bytes) -> slice:
    """Find the bytes of a tag."""
    (count,) = struct.unpack_from(">I", profile, HEADER)
    entries = (struct.unpack_from(">4sII", profile, HEADER + 4 + ENTRY * index) for index in range(count))
    return next(slice(start, start + size) for found, start, size in entries if found == tag)


def name_profile(profile: bytes) -> str:
    """Name a profile as image editors do."""
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip() or "unnamed"
    except (ImageCms.PyCMSError, OSError):
        return "unnamed"


@lru_cache(8)
def is_rgb(profile: bytes) -> bool:
    """Whether a profile describes RGB colours and can be used in both directions; scanners have some that cannot."""
    try:
        if ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip() != "RGB":
            return False
        white = np.ones((1, 1, 3), np.float32)
        convert(convert(white, profile, make_profile("sRGB")), make_profile("sRGB"), profile)
        return True
    except (ImageCms.PyCMSError, OSError, RuntimeError):  # imagecodecs' errors are RuntimeErrors
        return False


@lru_cache(8)
def is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile means sRGB, as far as 8 bits can tell: there are many files of it."""
    levels = np.linspace(0, 1, 9, dtype=np.float32)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    converted = convert(colours, profile, make_profile("sRGB"))
    return bool(np.abs(converted - colours).max() < LIMIT)


def convert(colours: Array, source: bytes, target: bytes) -> Array:
    """Convert colours (H, W, 3) between two RGB profiles in float32, relative colorimetric.

    0 to 1 is the range of both; colours outside the target's gamut leave it. Raises imagecodecs.CmsError, a
    RuntimeError, where a profile cannot be used so.
    """
    from imagecodecs import cms_transform

    converted = cms_transform(
        np.ascontiguousarray(colours),
        *(source, target),
        colorspace="rgb",
        outcolorspace="rgb",
        outdtype="float32",
        intent=1,
    )
    return np.asarray(converted, np.float32)


def to_float(pixels: DeepPixels) -> Array:
    """Convert pixels of 8 or 16 bits to 0 to 1."""
    return np.asarray(pixels, np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def to_pixels(values: Array, depth: int) -> DeepPixels:
    """Round values from 0 to 1 to 8 or 16 bits, the inverse of `to_float`."""
    if depth == 8:
        return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return (np.clip(values, 0, 1) * 65535 + 0.5).astype(np.uint16)
