"""Krita documents: a zip of XML and of layers in tiles, after docs.krita.org and files that the program wrote."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.layered.base import (
    BROKEN_ZIP,
    DAMAGED,
    LayeredDocument,
    PaintLayer,
    check_size,
    flatten,
    make_group,
    multiply,
    read_layer_part,
    read_part,
    read_xml,
)
from guidedstyle.types import Pixels, Size

SPACE = "{http://www.calligra.org/DTD/krita}"
HEADER = re.compile(rb"VERSION 2\nTILEWIDTH (\d{1,9})\nTILEHEIGHT (\d{1,9})\nPIXELSIZE (\d{1,9})\nDATA (\d{1,9})\n")
LARGEST_TILE = 512  # px; Krita's are 64


def open_krita(file: Path) -> LayeredDocument:
    """Open a .kra; raises GuidedStyleError if it is damaged."""
    image = read_xml(file, "maindoc.xml").find(f"{SPACE}IMAGE")
    if image is None:
        raise GuidedStyleError.of(file, "its maindoc.xml names no image", DAMAGED)
    size = check_size(file, image.get("width"), image.get("height"))
    try:
        return LayeredDocument(file, size, tuple(flatten(_list(file, size, image))))
    except ValueError as error:
        raise GuidedStyleError.of(file, f"its maindoc.xml cannot be read ({error})", DAMAGED) from error


def _list(file: Path, size: Size, parent: Any) -> Iterator[PaintLayer]:
    for element in parent.iterfind(f"{SPACE}layers/{SPACE}layer"):
        kind, opacity = element.get("nodetype"), min(max(int(element.get("opacity", 255)), 0), 255) / 255
        shown = (element.get("name", "unnamed"), opacity, element.get("visible") != "0")
        if kind == "grouplayer":
            masks = tuple(partial(_read_tiles, file, name, mask, size) for name, mask in _find_masks(element))
            yield make_group(*shown, tuple(_list(file, size, element)), masks)
        elif kind != "paintlayer":
            yield PaintLayer(*shown, problem=f"a {kind}", remedy="convert it to a paint layer, and save again")
        elif "F" in element.get("colorspacename", ""):
            remedy = "convert the image to 8 or 16 bits, and save again"
            yield PaintLayer(*shown, problem="painted in floating point", remedy=remedy)
        else:
            yield PaintLayer(*shown, partial(_read, file, element, size))


def _find_masks(element: Any) -> Iterator[tuple[str, Any]]:
    """Find the visible transparency masks of a layer: the name of each one's part, and its element."""
    for mask in element.iterfind(f"{SPACE}masks/{SPACE}mask"):
        if mask.get("nodetype") == "transparencymask" and mask.get("visible") != "0":
            yield f"{mask.get('filename')}.pixelselection", mask


def _read(file: Path, element: Any, size: Size) -> Pixels:
    """Read the visible alpha of a layer: its own times its transparency masks."""
    parts = [(str(element.get("filename")), element), *_find_masks(element)]
    return multiply([_read_tiles(file, name, at, size) for name, at in parts])


def _read_tiles(file: Path, name: str, element: Any, size: Size) -> Pixels:
    """Read the last byte of every pixel, its alpha or the high byte of it, over the whole document."""
    data = read_layer_part(file, _find_part(file, name), size)
    header = HEADER.match(data)
    if not header:
        raise GuidedStyleError.of(file, f"its part {name} is not a layer of Krita 3 or later", DAMAGED)
    width, height, depth, count = map(int, header.groups())
    if max(width, height) > LARGEST_TILE or depth > 32:
        raise GuidedStyleError.of(file, f"its part {name} has tiles of {width} x {height} px", DAMAGED)
    ground, at = read_part(file, _find_part(file, f"{name}.defaultpixel")), header.end()
    try:
        corner = (int(element.get("x", 0)), int(element.get("y", 0)))
        canvas = np.full(size[::-1], ground[-1], np.uint8)
        for _ in range(count):
            end = data.index(b"\n", at)
            x, y, _, length = data[at:end].split(b",")
            packed = data[end + 1 : end + 1 + int(length)]
            tile = _unpack_tile(packed, width * height, depth).reshape(height, width)
            _paste(canvas, tile, (int(x) + corner[0], int(y) + corner[1]))
            at = end + 1 + int(length)
    except (ValueError, IndexError) as error:
        raise GuidedStyleError.of(file, f"its part {name} is damaged", DAMAGED) from error
    return canvas


def _find_part(file: Path, name: str) -> str:
    """Find a part by the end of its path: its folder has the name of the image."""
    try:
        with zipfile.ZipFile(file) as archive:
            return next((part for part in archive.namelist() if part.endswith(f"/layers/{name}")), f"layers/{name}")
    except BROKEN_ZIP as error:
        raise GuidedStyleError.of(file, f"the document is damaged ({error})", DAMAGED) from error


def _paste(canvas: Pixels, tile: Pixels, corner: tuple[int, int]) -> None:
    (x, y), (height, width) = corner, canvas.shape
    inner = tile[max(0, -y) : max(0, height - y), max(0, -x) : max(0, width - x)]
    canvas[max(y, 0) : max(y, 0) + inner.shape[0], max(x, 0) : max(x, 0) + inner.shape[1]] = inner


@lru_cache(maxsize=64)  # most tiles have one colour
def _unpack_tile(packed: bytes, pixels: int, depth: int) -> Pixels:
    """Unpack the last byte of each pixel; a packed tile holds all first bytes, then all second bytes, and so on."""
    if packed[0] == 0:
        return np.frombuffer(packed[1 : 1 + pixels * depth], np.uint8)[depth - 1 :: depth]
    planes = _unpack_lzf(packed[1:], pixels * depth)
    return np.frombuffer(planes, np.uint8)[-pixels:]


def _unpack_lzf(packed: bytes, length: int) -> bytes:
    """Unpack LZF (M. Lehmann): literal runs, and copies of earlier output."""
    out, at = bytearray(), 0
    while at < len(packed):
        control = packed[at]
        at += 1
        if control < 32:
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        count = control >> 5
        if count == 7:
            count += packed[at]
            at += 1
        start = len(out) - ((control & 31) << 8) - packed[at] - 1
        at += 1
        count += 2
        if start < 0 or len(out) + count > length:
            raise ValueError("a copy from before the beginning")
        before = out[start : start + count]
        out += (before * (count // len(before) + 1))[:count]
    if len(out) != length:
        raise ValueError("too short")
    return bytes(out)
