"""Photoshop documents, which GIMP writes too, read and written with psd-tools."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import write_file
from guidedstyle.io.layered.base import (
    DAMAGED,
    LayeredDocument,
    PaintLayer,
    check_size,
    flatten,
    make_group,
    multiply,
    place,
)
from guidedstyle.types import Pixels, Size

MASKED = {"solidcolorfill", "gradientfill", "patternfill"}  # layers whose shape is only their mask


def open_photoshop(file: Path) -> LayeredDocument:
    """Open a .psd or .psb; raises GuidedStyleError if it is damaged."""
    from psd_tools import PSDImage

    logging.getLogger("psd_tools").setLevel(logging.CRITICAL)  # its warnings are about blocks that are not used
    with file.open("rb") as stream:
        header = stream.read(26)
    if len(header) < 26 or header[:4] != b"8BPS":
        raise GuidedStyleError.of(file, "this is not a Photoshop document", DAMAGED)
    size = check_size(file, int.from_bytes(header[18:22], "big"), int.from_bytes(header[14:18], "big"))
    with _report_damage(file, "the document"):
        document = PSDImage.open(file)
        return LayeredDocument(file, size, tuple(flatten(_list(file, size, document))))


@contextmanager
def _report_damage(file: Path, part: str) -> Iterator[None]:
    """Raise GuidedStyleError that `part` is damaged if anything fails while it is read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except GuidedStyleError:
        raise
    except Exception as error:  # a parser of so large a format can raise anything
        raise GuidedStyleError.of(file, f"{part} is damaged ({_first_line(error)})", DAMAGED) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:80]


def _list(file: Path, size: Size, group: Any) -> Iterator[PaintLayer]:
    base: PaintLayer | None = None  # of the clipped layers above it
    for layer in group:
        listed = _describe(file, size, layer)
        if layer.clipping and base and base.read:
            listed = replace(listed, within=(*listed.within, base.read))
        elif not layer.clipping:
            base = listed
        yield listed


def _describe(file: Path, size: Size, layer: Any) -> PaintLayer:
    shown = (layer.name, layer.opacity / 255, layer.visible)
    if layer.is_group():
        masks = (partial(_read_mask, file, layer, size),) if _has_mask(layer) else ()
        return make_group(*shown, tuple(_list(file, size, layer)), masks)
    if layer.kind == "pixel" or layer.has_pixels() or layer.has_mask():
        return PaintLayer(*shown, partial(_read, file, layer, size))
    problem = f"a {layer.kind} layer, which has no pixels"
    return PaintLayer(*shown, problem=problem, remedy="rasterise it and save again")


def _has_mask(layer: Any) -> bool:
    return bool(layer.has_mask() and not layer.mask.disabled)


def _read(file: Path, layer: Any, size: Size) -> Pixels:
    """Read the visible alpha of a layer: its own transparency times its mask."""
    with _report_damage(file, f"layer {layer.name!r}"):
        shape = _read_shape(layer, size)
    return multiply([shape, _read_mask(file, layer, size)]) if _has_mask(layer) else shape


def _read_shape(layer: Any, size: Size) -> Pixels:
    if not layer.has_pixels() or layer.kind in MASKED:  # an empty layer, or one whose shape is only its mask
        return np.full(size[::-1], 255 * layer.has_mask(), np.uint8)
    alpha = layer.topil(channel=-1)
    pixels = np.full((layer.height, layer.width), 255, np.uint8) if alpha is None else np.asarray(alpha.convert("L"))
    return place(pixels, (layer.left, layer.top), size)


def _read_mask(file: Path, layer: Any, size: Size) -> Pixels:
    with _report_damage(file, f"layer {layer.name!r}"):
        mask, picture = layer.mask, layer.mask.topil()
        beyond = np.full(size[::-1], mask.background_color, np.uint8)
        if picture is None:
            return beyond
        inner, corner = np.asarray(picture.convert("L")), (mask.left, mask.top)
    within = place(np.full(inner.shape, 255, np.uint8), corner, size) > 0
    return np.where(within, place(inner, corner, size), beyond)


def write_photoshop(file: Path, layers: Sequence[tuple[str, Image.Image]]) -> None:
    """Write RGBA layers, from back to front, all of the size of the first, atomically."""
    from psd_tools import PSDImage

    document = PSDImage.new("RGBA", layers[0][1].size)  # in RGB, transparency would become a mask
    for name, picture in layers:
        document.create_pixel_layer(picture).name = name  # as an argument, it would be limited to Latin letters
    buffer = io.BytesIO()
    document.save(buffer)
    write_file(file, buffer.getvalue())
