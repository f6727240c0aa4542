"""Krita documents: a zip of XML and of layers in tiles, after docs.krita.org and files that the program wrote."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
from PIL import Image, ImageCms

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import write_file
from guidedstyle.io.layered.base import (
    BROKEN_ZIP,
    DAMAGED,
    check_size,
    read_layer_part,
    read_part,
    read_xml,
)
from guidedstyle.io.layered.layer import (
    LayeredDocument,
    PaintLayer,
    blend,
    list_layers,
    make_group,
    multiply,
)
from guidedstyle.types import Pixels, Size

SPACE = "{http://www.calligra.org/DTD/krita}"
HEADER = re.compile(rb"VERSION 2\nTILEWIDTH (\d{1,9})\nTILEHEIGHT (\d{1,9})\nPIXELSIZE (\d{1,9})\nDATA (\d{1,9})\n")
LARGEST_TILE = 512  # px; Krita's are 64
MASKS = {"filtermask": "a filter mask", "transformmask": "a transform mask", "colorizemask": "a colorize mask"}
CONVERT = "convert it to a paint layer, and save again"
FLATTEN = "flatten the layer (Layer > Flatten Layer), and save again"
MERGE = "move it below, or merge it with the layers below (Layer > Merge with Layer Below), and save again"
COLOUR_FILTERS = {  # which leave alpha as it is
    *("asc-cdl", "autocontrast", "brightnesscontrast", "burn", "colorbalance", "crosschannel", "desaturate", "dodge"),
    *("gradientmap", "hsvadjustment", "invert", "levels", "normalize", "posterize", "threshold"),
}


def open_krita(file: Path) -> LayeredDocument:
    """Open a .kra; raises GuidedStyleError if it is damaged."""
    image = read_xml(file, "maindoc.xml").find(f"{SPACE}IMAGE")
    if image is None:
        raise GuidedStyleError.of(file, "its maindoc.xml names no image", DAMAGED)
    size = check_size(file, image.get("width"), image.get("height"))
    try:
        return LayeredDocument(file, size, list_layers(_list(file, size, image), front_first=True))
    except ValueError as error:
        raise GuidedStyleError.of(file, f"its maindoc.xml cannot be read ({error})", DAMAGED) from error


def _list(file: Path, size: Size, parent: Any) -> tuple[PaintLayer, ...]:
    """List the layers of a group, from back to front; the format lists the front first."""
    elements = parent.findall(f"{SPACE}layers/{SPACE}layer")
    return tuple(_describe(file, size, element) for element in reversed(elements))


def _describe(file: Path, size: Size, element: Any) -> PaintLayer:
    kind, opacity = element.get("nodetype"), min(max(int(element.get("opacity", 255)), 0), 255) / 255
    shown = (element.get("name", "unnamed"), opacity, element.get("visible") != "0")
    problem, remedy = _find_problem(element)
    if kind == "grouplayer":
        described = make_group(*shown, _list(file, size, element))
        masks = tuple(partial(_read_mask, file, mask, size) for mask in _find_masks(element, "transparencymask"))
        described = replace(described, masks=masks, problem=problem or described.problem)
        described = replace(described, remedy=remedy or described.remedy, passes=element.get("passthrough") == "1")
        if described.passes:  # its transparency masks, mode and inherited alpha do nothing
            return replace(described, masks=())
    else:
        read = None if problem else partial(_read, file, element, size)
        described = PaintLayer(*shown, read, problem, remedy, covers=kind != "adjustmentlayer")
    described = blend(described, element.get("compositeop", "normal"))
    if kind == "adjustmentlayer" and element.get("filtername") not in COLOUR_FILTERS:
        described = replace(described, effect="unread", problem="a filter layer", remedy=MERGE)
    return replace(described, inherits=(element.get("channelflags") or "").endswith("0"))


def _find_problem(element: Any) -> tuple[str, str]:
    """Find what keeps a layer, or what is in a group, from being read as it is shown, and its remedy."""
    kind = element.get("nodetype")
    if kind not in ("paintlayer", "grouplayer"):
        return f"a {kind}", CONVERT
    if element.get("layerstyle"):
        return "shown with a layer style", f"remove the style, or {FLATTEN}"
    if element.get("keyframes"):
        return "animated", "copy its frame to a new layer, use that, and save again"
    for name, what in MASKS.items():
        if next(_find_masks(element, name), None) is not None:
            return f"shown with {what}", FLATTEN
    if any(mask.get("keyframes") for mask in _find_masks(element, "transparencymask")):
        return "shown with an animated mask", FLATTEN
    if "F" in element.get("colorspacename", ""):
        return "painted in floating point", "convert the image to 8 or 16 bits, and save again"
    return "", ""


def _find_masks(element: Any, kind: str) -> Iterator[Any]:
    """Find the elements of a layer's visible masks of a kind; those of a group lie among its layers."""
    for holder in ("masks", "layers"):
        for mask in element.iterfind(f"{SPACE}{holder}/{SPACE}mask"):
            if mask.get("nodetype") == kind and mask.get("visible") != "0":
                yield mask


def _read(file: Path, element: Any, size: Size) -> Pixels:
    """Read the visible alpha of a layer: its own times its transparency masks."""
    own = _read_tiles(file, str(element.get("filename")), element, size)
    return multiply([own, *(_read_mask(file, mask, size) for mask in _find_masks(element, "transparencymask"))])


def _read_mask(file: Path, mask: Any, size: Size) -> Pixels:
    """Read a transparency mask: a selection of pixels; without one, nothing is selected."""
    name = mask.get("filename")
    if _has_part(file, f"{name}.shapeselection/content.svg"):
        rule = f"the mask {mask.get('name')!r} of a layer is a vector selection, which is not read"
        raise GuidedStyleError.of(file, rule, FLATTEN)
    if not _has_part(file, f"{name}.pixelselection"):
        return np.zeros(size[::-1], np.uint8)
    return _read_tiles(file, f"{name}.pixelselection", mask, size)


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


def _has_part(file: Path, name: str) -> bool:
    return any(part.endswith(f"/layers/{name}") for part in _list_parts(file))


def _find_part(file: Path, name: str) -> str:
    """Find a part by the end of its path: its folder has the name of the image."""
    return next((part for part in _list_parts(file) if part.endswith(f"/layers/{name}")), f"layers/{name}")


def _list_parts(file: Path) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
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


DOCTYPE = "<!DOCTYPE DOC PUBLIC '-//KDE//DTD krita 2.0//EN' 'http://www.calligra.org/DTD/krita-2.0.dtd'>"
NAMESPACE = "http://www.calligra.org/DTD/krita"
TILE = 64  # px


def write_krita(
    file: Path, layers: Sequence[tuple[str, Image.Image]], merged: Image.Image, opacities: Sequence[float] = ()
) -> None:
    """Write RGBA layers by name, from back to front, and the merged image, atomically.

    `opacities` are those of all layers, 0 to 1; without them all are opaque. Tiles are not packed, since the archive
    is; empty ones are left out.
    """
    root = Xml.Element("DOC", {"xmlns": NAMESPACE, "editor": "Krita", "syntaxVersion": "2.0", "kritaVersion": "5.0.0"})
    size = {"width": str(merged.width), "height": str(merged.height), "x-res": "72", "y-res": "72"}
    space = {"colorspacename": "RGBA", "profile": "sRGB-elle-V2-srgbtrc.icc"}
    image = Xml.SubElement(root, "IMAGE", {"mime": "application/x-kra", "name": "masks", **size, **space})
    held = Xml.SubElement(image, "layers")
    parts = {f"layer{index}": layer for index, layer in enumerate(layers, 2)}
    named = zip(parts, [name for name, _ in layers], opacities or [1.0] * len(layers), strict=True)
    for part, name, opacity in reversed([*named]):  # the format lists the front first
        alpha = str(round(255 * opacity))
        place = {"x": "0", "y": "0", "visible": "1", "locked": "0", "collapsed": "0"}
        kind = {"nodetype": "paintlayer", "colorspacename": "RGBA", "compositeop": "normal", "channelflags": ""}
        Xml.SubElement(held, "layer", {"name": name, "filename": part, "opacity": alpha, **place, **kind})
    xml = "<?xml version='1.0' encoding='UTF-8'?>\n" + DOCTYPE + "\n" + Xml.tostring(root, "unicode")
    buffer, profile = io.BytesIO(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/x-krita", zipfile.ZIP_STORED)  # first, by which programs recognise it
        archive.writestr("maindoc.xml", xml.encode())
        for part, (_, picture) in parts.items():
            archive.writestr(f"masks/layers/{part}", _pack_tiles(np.asarray(picture.convert("RGBA"))))
            archive.writestr(f"masks/layers/{part}.defaultpixel", bytes(4))
            archive.writestr(f"masks/layers/{part}.icc", profile)
        png = io.BytesIO()
        merged.save(png, "PNG", compress_level=3)
        archive.writestr("mergedimage.png", png.getvalue(), zipfile.ZIP_STORED)
    write_file(file, buffer.getvalue())


def _pack_tiles(pixels: Pixels) -> bytes:
    """Write the tiles of pixels (H, W, 4), RGBA, that are not empty; Krita stores blue first."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels[..., (2, 1, 0, 3)], ((0, -height % TILE), (0, -width % TILE), (0, 0)))
    tiles = [
        f"{x},{y},LZF,{4 * TILE**2 + 1}\n".encode() + b"\0" + tile.tobytes()
        for y in range(0, height, TILE)
        for x in range(0, width, TILE)
        if (tile := padded[y : y + TILE, x : x + TILE]).any()
    ]
    header = f"VERSION 2\nTILEWIDTH {TILE}\nTILEHEIGHT {TILE}\nPIXELSIZE 4\nDATA {len(tiles)}\n"
    return header.encode() + b"".join(tiles)
