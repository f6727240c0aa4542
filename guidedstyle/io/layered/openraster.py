"""OpenRaster: a zip of PNGs and a list of them, https://www.openraster.org."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import read_opacity
from guidedstyle.io.layered.base import DAMAGED, check_size, place, read_layer_part, read_xml
from guidedstyle.io.layered.layer import Effect, LayeredDocument, PaintLayer, blend, list_layers, make_group, name_mode
from guidedstyle.io.ownership import write_marked
from guidedstyle.types import Pixels, Size

THUMBNAIL = 256  # px, longest side
TAGS = ("stack", "layer", "text", "filter")


def open_openraster(file: Path) -> LayeredDocument:
    """Open an .ora; raises GuidedStyleError if it is damaged."""
    root = read_xml(file, "stack.xml")
    size = check_size(file, root.get("w"), root.get("h"))
    layers = [layer for stack in reversed(root.findall("stack")) for layer in _list(file, size, stack)]
    return LayeredDocument(file, size, list_layers(layers, front_first=True))


def _list(file: Path, size: Size, stack: Any) -> tuple[PaintLayer, ...]:
    """List the layers of a stack, from back to front; the format lists the front first."""
    return tuple(_describe(file, size, element) for element in reversed(stack) if element.tag in TAGS)


def _describe(file: Path, size: Size, element: Any) -> PaintLayer:
    opacity = min(max(_read_number(file, element, "opacity", 1), 0), 1)
    corner = (round(_read_number(file, element, "x", 0)), round(_read_number(file, element, "y", 0)))
    shown = (element.get("name") or "unnamed", opacity, element.get("visibility", "visible") != "hidden")
    mode = (element.get("composite-op") or "svg:src-over").removeprefix("krita:")
    if element.tag == "stack":
        described = make_group(*shown, _list(file, size, element))
        described = replace(described, passes=element.get("isolation") != "isolate")
        if corner != (0, 0):
            problem = f"a group at {corner[0]}, {corner[1]}, which programs place differently"
            remedy = "set its x and y to 0, move its layers instead, and save again"
            described = replace(described, problem=problem, remedy=remedy)
    elif element.tag == "layer":
        described = PaintLayer(*shown, partial(_read, file, element, corner, size))
    else:
        problem, remedy = f"a {element.tag}, which has no pixels", "merge it with a paint layer, and save again"
        effect: Effect = "unread" if element.tag == "filter" else "cover"
        described = PaintLayer(*shown, problem=problem, remedy=remedy, effect=effect)
    return replace(blend(described, mode), inherits=name_mode(mode) == "src-atop")


def _read_number(file: Path, element: Any, key: str, default: float) -> float:
    """Read a number of a layer; one that is written otherwise, as `50%`, is refused, not ignored."""
    text = element.get(key)
    try:
        number = float(text) if text else default
    except ValueError as error:
        rule = f"{key} {text[:40]!r} of layer {element.get('name')!r} is not a number"
        raise GuidedStyleError.of(file, rule, DAMAGED) from error
    return number if isfinite(number) else default


def _read(file: Path, element: Any, corner: tuple[int, int], size: Size) -> Pixels:
    if not element.get("src"):
        raise GuidedStyleError.of(file, f"layer {element.get('name')!r} has no image", DAMAGED)
    try:
        pixels = read_opacity(file, io.BytesIO(read_layer_part(file, element.get("src"), size)))
    except GuidedStyleError as error:
        (problem,) = error.problems
        remedy = problem.remedy if "too large" in problem.rule else DAMAGED
        raise GuidedStyleError.of(file, f"layer {element.get('name')!r}: {problem.rule}", remedy) from error
    return place(pixels, corner, size)


def write_openraster(
    file: Path,
    layers: Sequence[tuple[str, Image.Image]],
    merged: Image.Image,
    opacities: Sequence[float] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Write RGBA layers by name, from back to front, and the merged image, atomically.

    `opacities` are those of all layers, 0 to 1; without them all are opaque. Raises GuidedStyleError where, unless
    `overwrite`, that would replace a file that this program did not make.
    """
    root = Xml.Element("image", version="0.0.3", w=str(merged.width), h=str(merged.height))
    stack = Xml.SubElement(root, "stack")
    parts = {f"data/layer{index}.png": layer for index, layer in enumerate(layers)}
    named = zip(parts, [name for name, _ in layers], opacities or [1.0] * len(layers), strict=True)
    for part, name, opacity in reversed([*named]):  # the format lists the front first
        layer = {"name": name, "src": part, "x": "0", "y": "0", "opacity": str(opacity), "visibility": "visible"}
        Xml.SubElement(stack, "layer", layer)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "mimetype", "image/openraster"
        )  # first and uncompressed, by which programs recognise the format
        archive.writestr("stack.xml", Xml.tostring(root, "utf-8", xml_declaration=True), zipfile.ZIP_DEFLATED)
        for part, (_, picture) in parts.items():
            archive.writestr(part, _pack(picture))
        archive.writestr("mergedimage.png", _pack(merged))
        thumbnail = merged.copy()
        thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
        archive.writestr("Thumbnails/thumbnail.png", _pack(thumbnail))
    write_marked(file, buffer.getvalue(), overwrite=overwrite)


def _pack(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
