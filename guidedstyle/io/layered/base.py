"""Bounded reading of a layered document's archive."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.formats.limits import MOST_PIXELS
from guidedstyle.types import Pixels, Size

LARGEST_PART = 2**31  # bytes of one part, unpacked
ROOM = 2**28  # bytes that a layer may have in any document: it may reach far beyond the edges
MOST_XML = 2**24
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, NotImplementedError, RuntimeError)
CONTENT_LAYER = "photograph"  # the bottom layer of documents that we write
DAMAGED = "open it in its program and save it again"


def place(pixels: Pixels, corner: tuple[int, int], size: Size) -> Pixels:
    """Place pixels (h, w) in a document of (width, height), their upper left `corner` at (x, y); 0 elsewhere."""
    (x, y), (height, width) = corner, pixels.shape
    if (x, y, width, height) == (0, 0, *size):
        return pixels
    canvas = np.zeros(size[::-1], np.uint8)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, size[0]), min(y + height, size[1])
    if left < right and top < bottom:
        canvas[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]
    return canvas


def check_size(file: Path, width: object, height: object) -> Size:
    """Parse and check the size that a document states, before it is decoded."""
    try:
        size = (int(str(width)), int(str(height)))
    except ValueError as error:
        raise GuidedStyleError.of(file, "it does not state its size", DAMAGED) from error
    if min(size) < 1:
        raise GuidedStyleError.of(file, f"{size[0]} x {size[1]} px is not a size", DAMAGED)
    if size[0] * size[1] > MOST_PIXELS:
        remedy = f"scale it to at most {MOST_PIXELS:,} pixels"
        raise GuidedStyleError.of(file, f"{size[0]} x {size[1]} px is too large", remedy)
    return size


def read_part(file: Path, name: str, most: int = LARGEST_PART) -> bytes:
    """Read one part of a zipped document into memory, if it unpacks to at most `most` bytes."""
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo(name).file_size > most:
                raise GuidedStyleError.of(file, f"its part {name} is too large", DAMAGED)
            return archive.read(name)
    except KeyError as error:
        raise GuidedStyleError.of(file, f"its part {name} is missing", DAMAGED) from error
    except BROKEN_ZIP as error:
        raise GuidedStyleError.of(file, f"the document is damaged ({error})", DAMAGED) from error


def read_layer_part(file: Path, name: str, size: Size) -> bytes:
    """Read the pixels of a layer; the `size` of its document bounds the bytes they may unpack to."""
    return read_part(file, name, min(LARGEST_PART, ROOM + 32 * size[0] * size[1]))


def read_xml(file: Path, name: str) -> Any:
    """Read an XML part of a zipped document; entities and external references are refused."""
    try:
        return fromstring(read_part(file, name, MOST_XML))
    except DefusedXmlException as error:
        raise GuidedStyleError.of(file, f"its {name} uses entities, which are not read", DAMAGED) from error
    except (ParseError, ValueError, LookupError) as error:
        raise GuidedStyleError.of(file, f"its {name} cannot be read ({error})", DAMAGED) from error
