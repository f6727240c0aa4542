"""Images in memory: arrays, tensors and Pillow images, which stand in recipes where files do."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidedstyle.errors import GuidedStyleError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    _Path = Path
else:
    _Path = type(Path())

PREFIX = "array:sha256:"  # of names; a digest follows
DIGITS = 16  # of the digest in a name
CHANNELS = (1, 3, 4)
SHAPES = "give (H, W), (H, W, C) or (C, H, W) with C = 1, 3 or 4; axes of length 1 may come before"
DEPTHS = "give uint8, uint16, bool, or floats in [0, 1]"
CONVERTED = ("YCbCr", "HSV", "RGBX", "RGBa", "La", "PA")  # modes of Pillow that PNG does not hold, and RGBA does
PLAIN = ("1", "L", "LA", "P", "RGB", "RGBA")
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
ROUNDING = 1e-6  # of floats in [0, 1]


class InMemoryImage(_Path):
    """An image in memory that is read like a file: it has a path's methods, and its name is a digest of its content.

    It holds a copy of the pixels, as a PNG of 8 or 16 bits. Two with the same pixels are equal.
    """

    content: bytes

    def __new__(cls, content: bytes) -> InMemoryImage:
        """Hold an image's encoded `content`."""
        made = super().__new__(cls, _name(content))
        made.content = content
        return made

    def __init__(self, content: bytes) -> None:
        if sys.version_info >= (3, 12):
            super().__init__(_name(content))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InMemoryImage) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.content,)

    def __deepcopy__(self, memo: object) -> InMemoryImage:
        return self

    def with_segments(self, *segments: str | os.PathLike[str]) -> Path:
        """Make the paths that are derived from this one from Python 3.12 on: plain ones."""
        return Path(*segments)

    @property
    def parent(self) -> Path:  # type: ignore[override]
        """The working folder."""
        return Path()

    def absolute(self) -> InMemoryImage:
        """Return this image, which lies in no folder."""
        return self

    def resolve(self, strict: bool = False) -> InMemoryImage:
        """Return this image, which lies in no folder."""
        return self

    def open(self, mode: str = "rb", *options: object, **named: object) -> io.BytesIO:  # type: ignore[override]
        """Open the encoded image for reading, in binary mode."""
        if mode != "rb":
            raise OSError(f"{self} is an image in memory: it can be read only, in binary mode")
        return io.BytesIO(self.content)

    def read_bytes(self) -> bytes:
        """Return the encoded image."""
        return self.content

    def stat(self, **options: object) -> os.stat_result:
        """Return the status of a file that never changes; its inode is a digest."""
        inode = int(self.name.removeprefix(PREFIX), 16)
        numbers = (stat.S_IFREG | 0o444, inode, 0, 1, 0, 0, len(self.content), 0, 0, 0)
        return os.stat_result(numbers, {"st_mtime_ns": 0, "st_ctime_ns": 0, "st_atime_ns": 0})

    def exists(self, **options: object) -> bool:
        """Return that it exists."""
        return True

    def is_file(self, **options: object) -> bool:
        """Return that it can be read like a file."""
        return True

    def is_dir(self, **options: object) -> bool:
        """Return that it is no folder."""
        return False

    def is_symlink(self) -> bool:
        """Return that it is no link."""
        return False


def _name(content: bytes) -> str:
    return f"{PREFIX}{hashlib.sha256(content).hexdigest()[:DIGITS]}"


def is_image_name(path: Path) -> bool:
    """Whether a path is the name of an image in memory."""
    return str(path).startswith(PREFIX)


def is_array(value: object) -> bool:
    """Whether a value is an array, a tensor, a number of NumPy, or a Pillow image."""
    if hasattr(type(value), "getexif"):  # Pillow's, which may be closed
        return True
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def to_numpy(value: Any) -> NDArray[Any]:
    """Convert an array or a tensor, on any device, to NumPy; raises GuidedStyleError if that is not possible."""
    import numpy as np

    try:
        if hasattr(value, "detach"):  # a tensor of torch
            value = value.detach().cpu()
            value = value.float() if "bfloat16" in str(value.dtype) else value
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        rule = f"this {type(value).__name__} cannot be read as an array ({error})"
        raise GuidedStyleError.of("array", rule, "give a NumPy array, a dense tensor or a Pillow image") from error


def hold_image(value: Any) -> InMemoryImage:
    """Copy an image: an array, a tensor or a Pillow image.

    Arrays are (H, W), (H, W, C) or (C, H, W) with C = 1, 3 (RGB) or 4 (RGBA), with or without axes of length 1 before:
    uint8, uint16, bool, or floats in [0, 1], which are rounded to 8 bits if that is exact, else to 16. A Pillow image
    keeps its profile and EXIF. Raises GuidedStyleError for anything else.
    """
    if hasattr(value, "getexif") and hasattr(value, "mode"):
        return InMemoryImage(_encode_pillow(value))
    array = to_numpy(value)
    return InMemoryImage(_encode(_to_levels(_arrange(array))))


def _encode_pillow(picture: Image.Image) -> bytes:
    """Encode a Pillow image, also one that is not loaded yet."""
    try:
        if picture.mode in DEEP:
            return _encode(_to_levels(_arrange(_read_deep(picture))))
        if picture.mode not in (*PLAIN, *CONVERTED):
            remedy = "convert it to RGB, or save it and give the file's path"
            raise GuidedStyleError.of("array", f"a Pillow image of mode {picture.mode} is not read", remedy)
        plain = (
            picture.convert("RGBA" if "A" in picture.mode.upper() else "RGB") if picture.mode in CONVERTED else picture
        )
        buffer = io.BytesIO()
        plain.save(buffer, "PNG", compress_level=0, exif=picture.getexif(), icc_profile=picture.info.get("icc_profile"))
        return buffer.getvalue()
    except (OSError, SyntaxError, ValueError) as error:
        raise GuidedStyleError.of("array", f"this Pillow image cannot be read ({error})", "open it again") from error


def _read_deep(picture: Image.Image) -> NDArray[Any]:
    import numpy as np

    values = np.asarray(picture)
    if picture.mode != "I":
        return values
    if values.min() < 0 or values.max() > 65535:
        rule = f"its values reach from {values.min()} to {values.max()}"
        raise GuidedStyleError.of("array", rule, "values of mode I must lie between 0 and 65535")
    return values.astype(np.uint16)


def _arrange(array: NDArray[Any]) -> NDArray[Any]:
    """Arrange an array as (H, W) or (H, W, C)."""
    shape = array.shape
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > 3 or array.ndim < 2 or (array.ndim == 3 and not {array.shape[0], array.shape[2]} & {*CHANNELS}):
        remedy = "give one of its images, such as array[0]" if array.ndim == 4 else SHAPES
        raise GuidedStyleError.of("array", f"an array of shape {shape} is not an image", remedy)
    if not array.size:
        raise GuidedStyleError.of("array", f"an array of shape {shape} has no pixels", SHAPES)
    if array.ndim == 3 and array.shape[2] not in CHANNELS:
        array = array.transpose(1, 2, 0)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _to_levels(array: NDArray[Any]) -> NDArray[Any]:
    """Convert values to levels of 8 or 16 bits."""
    import numpy as np

    if array.dtype == np.bool_:
        return np.where(array, np.uint8(255), np.uint8(0))
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        if array.max() == 1:
            rule = f"its values are only 0 and 1, and white is {np.iinfo(array.dtype).max} in {array.dtype}"
            raise GuidedStyleError.of("array", rule, "give array.astype(bool), or array * 255 in uint8")
        return array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind != "f":
        raise GuidedStyleError.of("array", f"{array.dtype} is not a type of pixels", f"{DEPTHS}: {_suggest(array)}")
    return _round(array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32))


def _suggest(array: NDArray[Any]) -> str:
    if array.dtype.kind == "i" and array.min() >= 0 and array.max() <= 255:
        return "array.astype(bool)" if array.max() <= 1 else "array.astype('uint8')"
    return "array.astype('float32') / array.max()" if array.dtype.kind in "iu" else "array.astype('float32')"


def _round(values: NDArray[Any]) -> NDArray[Any]:
    """Round values in [0, 1] to 8 bits if that changes nothing, else to 16."""
    import numpy as np

    low, high = float(values.min()), float(values.max())
    if not np.isfinite(values).all():
        raise GuidedStyleError.of("array", "some of its values are not finite", "replace them: numpy.nan_to_num(array)")
    if low < -ROUNDING or high > 1 + ROUNDING:
        remedy = (
            "array / 255" if low >= 0 and 2 < high <= 255 else "(array + 1) / 2" if high <= 1 else "array.clip(0, 1)"
        )
        rule = f"its values reach from {low:g} to {high:g}, and floats must lie in [0, 1]"
        raise GuidedStyleError.of("array", rule, f"give {remedy}")
    values = values.clip(0, 1)
    scaled = values * values.dtype.type(255)
    levels = np.rint(scaled)
    if np.abs(scaled - levels).max() < 255 * ROUNDING:
        return np.asarray(levels, np.uint8)
    return np.asarray(np.rint(values * values.dtype.type(65535)), np.uint16)


def _encode(pixels: NDArray[Any]) -> bytes:
    """Encode pixels (H, W) or (H, W, 3 or 4) as PNG."""
    import cv2
    import numpy as np

    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    turned = pixels[..., order[pixels.shape[2]]] if pixels.ndim == 3 else pixels
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(turned), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    return encoded.tobytes()
