"""Read mask files: grey, alpha, colour codes and layers, each decoded once while its file is unchanged."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.samples import Check, Samples, accept, read_samples, to_eight_bits
from guidedstyle.io.layered.coverage import LayerReading
from guidedstyle.io.layered.formats import inspect_layer, is_layered, open_layered
from guidedstyle.io.layered.layer import LayeredDocument
from guidedstyle.masks.labels import Labels, Palette, label_pixels, to_rgb
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.values import name_colour
from guidedstyle.types import RGB, Array, Opacities, Pixels

T = TypeVar("T")
MOST_BYTES = 2**28  # of decoded masks that are kept for the next scene
COLOURED = 64  # levels between the channels of a pixel that count as colour
DARK = 1.01 / 255  # the opacity of a mask's brightest pixel up to which it is suspicious
BRIGHTEN = "save it so that the region is white: multiply its values, or raise its levels"
LOSSY = 4 / 255  # how far JPEG moves black and white
LOOKED_AT = 512  # px of a mask's longest side, at least, when it is searched for colours
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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


class MaskReading(NamedTuple):
    """The opacities (H, W) of a mask's file, upright, and warnings about the file."""

    alpha: Opacities
    warnings: tuple[str, ...]


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
    if isinstance(value, LayerReading | MaskReading):
        return value.alpha.nbytes
    return value.indices.nbytes if isinstance(value, Labels) else version.size


def read_source(
    file: Path, mask: Mask, *, palette: Palette | None, store: MaskStore, check: Check = accept
) -> MaskReading | Labels | LayerReading:
    """Read the part of its file that a mask names, upright and at its own size; colour-coded files by their `palette`.

    `check` is called with the size in the file's header, before anything is decoded. Raises GuidedStyleError if it
    cannot be read, or if the file has layers and the mask names none, or the reverse.
    """
    if is_layered(file):
        return _read_layer(file, mask, store, check)
    if mask.layer:
        raise GuidedStyleError.of(file, "it has no layers", "remove layer:, or name a .psd, .ora or .kra")
    if mask.colour and palette:
        return store.recall(file, palette, partial(read_labels, file, palette, check))
    read = inspect_alpha if mask.channel == "alpha" else inspect_grey
    return store.recall(file, read, partial(read, file, check))


def _read_layer(file: Path, mask: Mask, store: MaskStore, check: Check) -> LayerReading:
    if mask.layer:
        check(_open_document(file, store).size)
        return store.recall(file, (mask.layer, mask.layer_opacity), partial(_decode_layer, file, mask, store))
    names = ", ".join(layer.path for layer in _open_document(file, store).layers if not layer.problem)
    remedy = f"name one of its layers: layer: {names}" if names else "paint a layer in it, and name that"
    raise GuidedStyleError.of(file, "it is a layered document", remedy)


def _open_document(file: Path, store: MaskStore) -> LayeredDocument:
    return store.recall(file, LayeredDocument, partial(open_layered, file))


def _decode_layer(file: Path, mask: Mask, store: MaskStore) -> LayerReading:
    return inspect_layer(_open_document(file, store), mask.layer or "", mask.layer_opacity)


def read_grey(file: Path, check: Check = accept) -> Opacities:
    """Read a grey mask (H, W) as `inspect_grey` does, without its warnings."""
    return inspect_grey(file, check).alpha


def inspect_grey(file: Path, check: Check = accept) -> MaskReading:
    """Read a grey mask (H, W), upright: its grey value times its alpha.

    Raises GuidedStyleError if the file is not an image, is painted in colour, or only its alpha holds the mask.
    """
    samples = _read_samples(file, check)
    opacities = _read_opacities(samples, file)
    return MaskReading(opacities, (*samples.frame.warnings, *_describe_darkness(opacities, file)))


def _describe_darkness(opacities: Opacities, file: Path) -> Iterator[str]:
    """Tell of a mask whose values are numbers of 0 and 1, or of 8 bits stored in 16."""
    top = float(opacities.max()) / (255 if opacities.dtype == np.uint8 else 1)
    if 0 < top <= DARK:
        yield f"{file.name}: its brightest pixel is {top:.2%} of white: it masks almost nothing ({BRIGHTEN})"


def _read_opacities(samples: Samples, file: Path) -> Opacities:
    grey = _to_grey(samples, file)
    if samples.lossy:
        return np.asarray(np.clip((_to_opacities(grey, file) - LOSSY) / (1 - 2 * LOSSY), 0, 1), np.float32)
    if samples.alpha is None:
        return _to_own_depth(grey, file)
    masked = _multiply(grey, samples.alpha, file)
    if not masked.any() and samples.alpha.any() and not samples.alpha.all():
        rule = "its paint is black: only its alpha channel shows a shape"
        raise GuidedStyleError.of(file, rule, "use the alpha channel: {file: ..., channel: alpha}")
    return masked


def read_alpha(file: Path, check: Check = accept) -> Opacities:
    """Read the alpha channel (H, W) of an image as `inspect_alpha` does, without its warnings."""
    return inspect_alpha(file, check).alpha


def inspect_alpha(file: Path, check: Check = accept) -> MaskReading:
    """Read the alpha channel (H, W) of an image, upright; raises GuidedStyleError if it has none."""
    samples = _read_samples(file, check)
    if samples.alpha is None:
        raise GuidedStyleError.of(file, "it has no alpha channel", "remove channel: alpha, or save it with one")
    return MaskReading(_to_own_depth(samples.alpha, file), samples.frame.warnings)


def read_labels(file: Path, palette: Palette, check: Check = accept) -> Labels:
    """Read a colour-coded image of any depth by the colours of its palette; transparent pixels have no label."""
    samples = _read_samples(file, check)
    if samples.values.dtype == np.float32:
        _to_opacities(samples.values, file)
    return replace(label_pixels(_to_rgba(samples), palette, file), notes=samples.frame.warnings)


def _read_samples(file: Path, check: Check) -> Samples:
    samples = read_samples(file, managed=False, check=check)
    if samples.images > 1:
        rule = f"it holds {samples.images} images"
        raise GuidedStyleError.of(file, rule, "save the mask as an image of its own")
    return samples


def _to_rgba(samples: Samples) -> Pixels:
    """Convert samples of any depth to pixels (H, W, 4) of 8 bits."""
    values = to_eight_bits(samples.values)
    shape = values.shape[:2]
    alpha = np.full(shape, 255, np.uint8) if samples.alpha is None else to_eight_bits(samples.alpha)
    return np.concatenate([np.broadcast_to(values, (*shape, 3)), alpha[..., None]], 2)


def _to_grey(samples: Samples, file: Path) -> NDArray[Any]:
    """Return the grey values (H, W) of samples, at their own depth; raises GuidedStyleError if they have colours."""
    if samples.values.shape[2] == 1:
        return np.asarray(samples.values[..., 0])
    _refuse_colour(samples, file)
    if samples.values.dtype == np.uint8:
        return np.asarray(Image.fromarray(samples.values).convert("L"))
    return _to_opacities(samples.values, file) @ LUMA


def _to_opacities(values: NDArray[Any], file: Path) -> Array:
    """Convert grey values of any depth to opacities of 0 to 1; raises GuidedStyleError if floats exceed these."""
    if values.dtype != np.float32:
        return np.asarray(values / np.float32(np.iinfo(values.dtype).max), np.float32)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        rule = "its values are not all between 0 and 1"
        raise GuidedStyleError.of(file, rule, "save the mask as a grey image of 8 or 16 bits")
    return values


def _to_own_depth(values: NDArray[Any], file: Path) -> Opacities:
    """Keep values of 8 bits; all others become opacities of 0 to 1."""
    return np.asarray(values, np.uint8) if values.dtype == np.uint8 else _to_opacities(values, file)


def _multiply(grey: NDArray[Any], alpha: NDArray[Any], file: Path) -> Opacities:
    if grey.dtype == alpha.dtype == np.uint8:
        return np.asarray(cv2.multiply(grey, alpha, scale=1 / 255), np.uint8)
    return _to_opacities(grey, file) * _to_opacities(alpha, file)


def _refuse_colour(samples: Samples, file: Path) -> None:
    height, width = samples.values.shape[:2]
    step = max(1, max(height, width) // LOOKED_AT)
    small = _to_rgba(replace(samples, values=samples.values[::step, ::step], alpha=_thin(samples.alpha, step)))
    seen = small[small[..., 3] > 0]
    spread = seen[:, :3].max(1).astype(int) - seen[:, :3].min(1) if len(seen) else np.zeros(1)
    share = float((spread > COLOURED).mean())
    if share > 0.001:
        rule = f"{share:.0%} of this mask is painted in colour"
        code = name_colour(_find_commonest(seen[spread > COLOURED, :3])).split()[0]
        remedy = (
            f"paint white where the region is and black elsewhere, or name a colour: {{file: ..., colour: '{code}'}}"
        )
        if samples.alpha is not None:
            remedy = "use the alpha channel: {file: ..., channel: alpha}, or paint white on black"
        raise GuidedStyleError.of(file, rule, remedy)


def _thin(alpha: NDArray[Any] | None, step: int) -> NDArray[Any] | None:
    return None if alpha is None else alpha[::step, ::step]


def _find_commonest(pixels: Pixels) -> RGB:
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    return to_rgb(colours[counts.argmax()])
