"""Colour profiles of images."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

SPACES = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
READABLE = (b"scnr", b"mntr", b"prtr", b"spac")  # classes of profiles that lead from a device to colours


@cache
def make_srgb() -> bytes:
    """Make the ICC profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


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
        kind = SPACES.get(profile[16:20], "other").replace("gray", "grey")
        return rgb, (f"{file.name}: its colour profile is not used, since it is for {kind} images",)
    try:
        return _transform(values, profile, space), ()
    except (RuntimeError, ValueError) as error:
        return rgb, (f"{file.name}: its colour profile is damaged ({error}); its colours are taken as sRGB",)


def _transform(values: NDArray[Any], profile: bytes, space: str) -> NDArray[Any]:
    import imagecodecs  # slow to import

    kind = values.dtype
    converted = imagecodecs.cms_transform(
        np.ascontiguousarray(values.squeeze(2) if space == "gray" else values),
        *(profile, make_srgb()),
        colorspace=space,
        outcolorspace="rgb",
        outdtype=kind,
    )
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


def convert_from_lab(values: NDArray[Any]) -> NDArray[Any]:
    """Convert CIE Lab (H, W, 3), in CIE units and of white D50, to sRGB in uint16."""
    import imagecodecs

    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    converted = imagecodecs.cms_transform(
        values, lab, make_srgb(), colorspace="lab", outcolorspace="rgb", outdtype=np.uint16
    )
    return np.asarray(converted, np.uint16)
