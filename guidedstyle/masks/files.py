"""Read mask files: grey, alpha, colour codes and layers, each decoded once while its file is unchanged."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image, ImageOps

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.opening import open_image
from guidedstyle.io.images.reading import find_alpha, fit_size
from guidedstyle.io.layered.base import LayeredDocument
from guidedstyle.io.layered.formats import is_layered, open_layered, read_layer
from guidedstyle.masks.labels import Labels, Palette, label_pixels, to_rgb
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.values import name_colour
from guidedstyle.types import RGB, Array, Opacities, Pixels, Size

T = TypeVar("T")
Check = Callable[[Size], None]  # raises GuidedStyleError if a file of this (width, height) is not to be decoded

MOST_BYTES = 2**28  # of decoded masks that are kept for the next scene
COLOURED = 64  # levels between the channels of a pixel that count as colour
LOSSY = 4 / 255  # how far JPEG moves black and white


class MaskStore:
    """Decoded masks, labels and layered documents, kept for the next scene while their files are unchanged.

    Beyond `most_bytes` the least recently used are dropped, but never the last two: a document and a layer of it.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept = OrderedDict[Hashable, tuple[object, int]]()

    def recall(self, file: Path, part: Hashable, read: Callable[[], T]) -> T:
        """Return what `read` returned for this `part` of the file, or call it if the file has changed since.

        What is read while the file changes is not kept.
        """
        key = (file, version := _find_version(file), part)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]  # type: ignore[return-value]
        value = read()
        if version and version == _find_version(file):
            self._kept[key] = value, _measure(value, version)
            self._drop_oldest()
        return value

    def clear(self) -> None:
        """Drop everything, to make room for a render."""
        self._kept.clear()

    def _drop_oldest(self) -> None:
        total = sum(size for _, size in self._kept.values())
        while total > self.most_bytes and len(self._kept) > 2:
            total -= self._kept.popitem(last=False)[1][1]


class Version(NamedTuple):
    """What changes when a file is written or replaced."""

    modified: int  # ns
    size: int  # bytes
    inode: int


def _find_version(file: Path) -> Version | None:
    try:
        found = file.stat()
    except OSError:  # the reader reports it
        return None
    return Version(found.st_mtime_ns, found.st_size, found.st_ino)


def _measure(value: object, version: Version) -> int:
    """Return the bytes that a decoded value takes; a Photoshop document keeps its file in memory."""
    pixels = value.indices if isinstance(value, Labels) else value
    return pixels.nbytes if isinstance(pixels, np.ndarray) else version.size


def _accept(size: Size) -> None:
    """Accept any size."""


def read_source(
    file: Path, mask: Mask, *, palette: Palette | None, store: MaskStore, check: Check = _accept
) -> Opacities | Labels:
    """Read the part of its file that a mask names, upright and at its own size; colour-coded files by their `palette`.

    `check` is called with the size in the file's header, before anything is decoded. Raises GuidedStyleError if it
    cannot be read, or if the file has layers and the mask names none, or the reverse.
    """
    if is_layered(file):
        return _read_layer(file, mask.layer, store, check)
    if mask.layer:
        raise GuidedStyleError.of(file, "it has no layers", "remove layer:, or name a .psd, .ora or .kra")
    if mask.colour and palette:
        return store.recall(file, palette, partial(read_labels, file, palette, check))
    read = read_alpha if mask.channel == "alpha" else read_grey
    return store.recall(file, read, partial(read, file, check))


def _read_layer(file: Path, name: str | None, store: MaskStore, check: Check) -> Pixels:
    if name:
        check(_open_document(file, store).size)
        return store.recall(file, name, partial(_decode_layer, file, name, store))
    names = ", ".join(layer.path for layer in _open_document(file, store).layers if not layer.problem)
    remedy = f"name one of its layers: layer: {names}" if names else "paint a layer in it, and name that"
    raise GuidedStyleError.of(file, "it is a layered document", remedy)


def _open_document(file: Path, store: MaskStore) -> LayeredDocument:
    return store.recall(file, LayeredDocument, partial(open_layered, file))


def _decode_layer(file: Path, name: str, store: MaskStore) -> Pixels:
    return read_layer(_open_document(file, store), name)


def read_grey(file: Path, check: Check = _accept) -> Opacities:
    """Read a grey mask (H, W), upright: its grey value times its alpha.

    Raises GuidedStyleError if the file is not an image, is painted in colour, or only its alpha holds the mask.
    """
    with open_image(file) as picture:
        check(picture.size)
        upright = _upright(picture, file)
        if upright.mode.startswith(("I", "F")):
            return _read_deep_grey(upright, file)
        grey = _read_plain_grey(upright, file)
        if picture.format == "JPEG":
            return np.clip((grey / np.float32(255) - LOSSY) / (1 - 2 * LOSSY), 0, 1).astype(np.float32)
        if not upright.has_transparency_data:
            return grey
        alpha = find_alpha(upright)
        masked = np.asarray(cv2.multiply(grey, alpha, scale=1 / 255), np.uint8)
        if not masked.any() and alpha.any() and not alpha.all():
            rule = "its paint is black: only its alpha channel shows a shape"
            raise GuidedStyleError.of(file, rule, "use the alpha channel: {file: ..., channel: alpha}")
        return masked


def read_alpha(file: Path, check: Check = _accept) -> Opacities:
    """Read the alpha channel (H, W) of an image, upright; raises GuidedStyleError if it has none."""
    with open_image(file) as picture:
        check(picture.size)
        upright = _upright(picture, file)
        if not upright.has_transparency_data:
            raise GuidedStyleError.of(file, "it has no alpha channel", "remove channel: alpha, or save it with one")
        return find_alpha(upright)


def read_labels(file: Path, palette: Palette, check: Check = _accept) -> Labels:
    """Read a colour-coded image by the colours of its palette; transparent pixels have no label."""
    with open_image(file) as picture:
        check(picture.size)
        pixels = np.array(_upright(picture, file).convert("RGBA"))
    return label_pixels(pixels, palette, file)


def _upright(picture: Image.Image, file: Path) -> Image.Image:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise GuidedStyleError.of(file, f"it holds {frames} images", "save the mask as an image of its own")
    return ImageOps.exif_transpose(picture)


def _read_plain_grey(picture: Image.Image, file: Path) -> Pixels:
    if picture.mode not in ("1", "L", "LA"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        _refuse_colour(picture, file)
    return np.asarray(picture.convert("L"))


def _read_deep_grey(picture: Image.Image, file: Path) -> Array:
    values = np.asarray(picture, np.float32)
    top = 1.0 if picture.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        rule = f"its values are not all between 0 and {top:g}"
        raise GuidedStyleError.of(file, rule, "save the mask as a grey image of 8 or 16 bits")
    return (values / top).astype(np.float32)


def _refuse_colour(picture: Image.Image, file: Path) -> None:
    small = np.asarray(picture.resize(fit_size(picture.size, min(512, max(picture.size))), Image.Resampling.NEAREST))
    seen = small[small[..., 3] > 0] if small.shape[2] == 4 else small.reshape(-1, 3)
    spread = seen[:, :3].max(1).astype(int) - seen[:, :3].min(1) if len(seen) else np.zeros(1)
    share = float((spread > COLOURED).mean())
    if share > 0.001:
        rule = f"{share:.0%} of this mask is painted in colour"
        code = name_colour(_find_commonest(seen[spread > COLOURED, :3])).split()[0]
        remedy = (
            f"paint white where the region is and black elsewhere, or name a colour: {{file: ..., colour: '{code}'}}"
        )
        if picture.mode == "RGBA":
            remedy = "use the alpha channel: {file: ..., channel: alpha}, or paint white on black"
        raise GuidedStyleError.of(file, rule, remedy)


def _find_commonest(pixels: Pixels) -> RGB:
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    return to_rgb(colours[counts.argmax()])
