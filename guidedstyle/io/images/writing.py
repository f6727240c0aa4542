"""Write images of 8 or 16 bits, with their profile, metadata and a note; read the note again."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo, putchunk

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.metadata import (
    BYTE,
    MOST_IN_JPEG,
    OF_YCBCR,
    XMP,
    Directory,
    Entry,
    add_note,
    find_note,
    read_directories,
    shorten,
    write_directories,
    write_directory,
)
from guidedstyle.io.images.opening import ORIENTATION, open_image
from guidedstyle.io.images.profiles import to_pixels
from guidedstyle.io.ownership import write_marked
from guidedstyle.types import Array, DeepPixels, Subsampling

LONGEST_SIDES = {".webp": 16383}  # px, by suffix: the limit of the format
OPAQUE_SUFFIXES = (".jpg", ".jpeg")  # that hold no alpha
QUALITY_SUFFIXES = (".jpg", ".jpeg", ".webp", ".avif")  # of formats that lose something
SUBSAMPLING_SUFFIXES = (".jpg", ".jpeg", ".avif")
JPEG_QUALITY, AVIF_QUALITY = 95, 90
START_OF_CHUNKS = 33  # bytes of a PNG: its signature and its header


@dataclass(frozen=True, kw_only=True)
class Attached:
    """What a file holds besides pixels: an ICC profile, EXIF, XMP, and a note (key, text) in a PNG or TIFF."""

    profile: bytes | None = None
    exif: Directory | None = None
    xmp: bytes | None = None
    note: tuple[str, str] | None = None


NOTHING = Attached()


def to_pillow(array: Array) -> Image.Image:
    """Convert (1, 3, H, W) in [0, 1] to a Pillow image of 8 bits, the inverse of `to_array`."""
    return Image.fromarray(to_pixels(array[0].transpose(1, 2, 0), 8))


def save_image(
    picture: Image.Image, file: Path, note: tuple[str, str] | None = None, *, overwrite: bool = False
) -> None:
    """Write a Pillow image atomically, as `save_pixels` does, or in any other format that Pillow writes."""
    if file.suffix.lower() in ENCODERS and picture.mode in ("RGB", "RGBA"):
        return save_pixels(np.asarray(picture), file, Attached(note=note), overwrite=overwrite)
    kind = _find_format(file)
    _save(file, kind, lambda: _encode_by_pillow(picture, kind), overwrite)


def save_pixels(
    pixels: DeepPixels,
    file: Path,
    attached: Attached = NOTHING,
    *,
    quality: int | None = None,
    subsampling: Subsampling | None = None,
    overwrite: bool = False,
) -> None:
    """Write pixels (H, W, 3 or 4) of 8 bits, or in a PNG or TIFF of 16, atomically; alpha is straight.

    `quality`, 1 to 100, is that of JPEG (default: 95), AVIF (90) and WebP, which loses nothing without it.
    `subsampling` is that of the chroma in JPEG and AVIF (default: none, 4:4:4). Raises GuidedStyleError if the suffix
    is not that of an image, the file cannot be written, or, unless `overwrite`, one that this program did not make
    would be replaced.
    """
    kind = _find_format(file)
    encode = ENCODERS.get(file.suffix.lower())
    if not encode:
        return _save(file, kind, lambda: _encode_by_pillow(Image.fromarray(pixels), kind), overwrite)
    options = {"quality": quality, "subsampling": subsampling}
    given = {key: value for key, value in options.items() if value}
    _save(file, kind, lambda: encode(pixels, attached, given), overwrite)


def _find_format(file: Path) -> str:
    """Find Pillow's name of the format of a file; raises GuidedStyleError where its suffix is not that of an image."""
    kind = Image.registered_extensions().get(file.suffix.lower(), "")
    if kind not in Image.SAVE:
        rule = f"{file.name!r} does not have the suffix of an image"
        raise GuidedStyleError.of(file, rule, "use .png, .jpg, .tif or .webp")
    return kind


def _save(file: Path, kind: str, encode: Callable[[], bytes], overwrite: bool) -> None:
    try:
        content = encode()
    except (ValueError, RuntimeError, KeyError) as error:  # imagecodecs' errors are RuntimeErrors
        raise GuidedStyleError.of(file, f"it cannot be written as {kind} ({error})", "use .png") from error
    write_marked(file, content, overwrite=overwrite)


def _encode_by_pillow(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _encode_png(pixels: DeepPixels, attached: Attached, options: dict[str, Any]) -> bytes:
    """Encode a PNG; its profile, metadata and note stand before its pixels."""
    from imagecodecs import png_encode  # Pillow writes no colours of 16 bits

    encoded = png_encode(np.ascontiguousarray(pixels))
    chunks = io.BytesIO()
    for chunk in _list_chunks(attached):
        putchunk(chunks, *chunk)
    return bytes(encoded[:START_OF_CHUNKS]) + chunks.getvalue() + bytes(encoded[START_OF_CHUNKS:])


def _list_chunks(attached: Attached) -> Iterator[tuple[bytes, bytes]]:
    import zlib

    if attached.profile:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(attached.profile)
    if attached.exif:
        yield b"eXIf", write_directories(attached.exif)
    texts = PngInfo()
    if attached.note:
        texts.add_itxt(*attached.note)
    if attached.xmp:
        texts.add_itxt("XML:com.adobe.xmp", attached.xmp.decode())
    yield from ((chunk[0], chunk[1]) for chunk in texts.chunks)


def _encode_tiff(pixels: DeepPixels, attached: Attached, options: dict[str, Any]) -> bytes:
    """Encode a TIFF, compressed without loss; its directory, with EXIF, stands after its pixels."""
    from tifffile import imwrite  # Pillow writes no colours of 16 bits

    exif = attached.exif or Directory("<", {})
    buffer = io.BytesIO()
    imwrite(
        buffer,
        np.ascontiguousarray(pixels),
        photometric="rgb",
        compression="zlib",
        predictor=True,
        iccprofile=attached.profile,
        byteorder=exif.order,
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        metadata=None,
        software=False,
    )
    written = read_directories(buffer)
    if not written:  # it is larger than 4 GiB, a BigTIFF
        return buffer.getvalue()
    entries = {tag: entry for tag, entry in exif.entries.items() if tag not in OF_YCBCR}
    if xmp := add_note(attached.xmp, *attached.note) if attached.note else attached.xmp:
        entries[XMP] = Entry(BYTE, len(xmp), xmp)
    content = bytearray(buffer.getvalue() + bytes(len(buffer.getvalue()) % 2))
    struct.pack_into(exif.order + "L", content, 4, len(content))
    whole = Directory(exif.order, {**written.entries, **entries}, exif.within)
    return bytes(content) + write_directory(whole, len(content))


def _encode_jpeg(pixels: DeepPixels, attached: Attached, options: dict[str, Any]) -> bytes:
    exif = {"exif": b"Exif\0\0" + write_directories(shorten(attached.exif, MOST_IN_JPEG))} if attached.exif else {}
    given = {"quality": JPEG_QUALITY, "subsampling": "4:4:4", **options, **exif}
    return _encode_by_pillow(Image.fromarray(pixels), "JPEG", **given, **_attach(attached))


def _encode_webp(pixels: DeepPixels, attached: Attached, options: dict[str, Any]) -> bytes:
    given = {"lossless": "quality" not in options, "exact": True}
    given |= {"quality": options["quality"]} if "quality" in options else {}
    return _encode_by_pillow(Image.fromarray(pixels), "WEBP", **given, **_attach(attached, exif=True))


def _encode_avif(pixels: DeepPixels, attached: Attached, options: dict[str, Any]) -> bytes:
    given = {"quality": AVIF_QUALITY, "subsampling": "4:4:4", **options}
    if attached.exif:  # where EXIF has an orientation, Pillow writes it anew and loses letters that are not ASCII
        attached = replace(attached, exif=attached.exif.without(ORIENTATION))
    return _encode_by_pillow(Image.fromarray(pixels), "AVIF", **given, **_attach(attached, exif=True))


def _attach(attached: Attached, exif: bool = False) -> dict[str, bytes]:
    """Give Pillow the profile, EXIF and XMP of an image."""
    parts = {"icc_profile": attached.profile, "xmp": attached.xmp}
    if exif and attached.exif:
        parts["exif"] = write_directories(attached.exif)
    return {key: part for key, part in parts.items() if part}


ENCODERS: dict[str, Callable[[DeepPixels, Attached, dict[str, Any]], bytes]] = {
    ".png": _encode_png,
    ".tif": _encode_tiff,
    ".tiff": _encode_tiff,
    ".jpg": _encode_jpeg,
    ".jpeg": _encode_jpeg,
    ".webp": _encode_webp,
    ".avif": _encode_avif,
}


def read_note(file: Path, key: str) -> str | None:
    """Read the text that was attached under `key` to a PNG, or within XMP to a TIFF."""
    with open_image(file, note=key) as picture:
        picture.load()
        text, xmp = picture.info.get(key), picture.info.get("xmp")
        if picture.format == "TIFF" and isinstance(xmp, bytes):
            return find_note(xmp, key)
        return str(text) if text is not None else None
