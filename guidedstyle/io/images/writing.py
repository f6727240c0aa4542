"""Write images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import write_file
from guidedstyle.io.images.opening import open_image
from guidedstyle.types import Array

LONGEST_SIDES = {".webp": 16383}  # px, by suffix: the limit of the format


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
