"""Colour profiles of images."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageCms

from guidedstyle.errors import GuidedStyleError


def convert_to_srgb(picture: Image.Image, file: Path) -> Image.Image:
    """Convert an image to sRGB by its profile; raises GuidedStyleError if the profile cannot be used."""
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
