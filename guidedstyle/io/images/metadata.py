"""Metadata that an image keeps when it is rendered: EXIF, and the rights stated in XMP."""

from __future__ import annotations

import io
import struct
import xml.etree.ElementTree as Xml
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.formats.cameras import is_raw, read_raw_preview
from guidedstyle.io.images.opening import COLOUR_SPACE, EXIF, INTEROPERABILITY, ORIENTATION, open_image
from guidedstyle.types import Size

XMP, GPS, WIDTH, HEIGHT, MAKER_NOTE = 0x02BC, 0x8825, 0xA002, 0xA003, 0x927C
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes, by type
Order = Literal["<", ">"]
BYTE, SHORT, LONG = 1, 3, 4
ORDERS: dict[bytes, Order] = {b"II*\0": "<", b"MM\0*": ">"}  # of bytes, by how a TIFF begins
MOST_ENTRIES, MOST_BYTES = 1000, 2**20  # of a directory; more is damaged
MOST_IN_JPEG = 65_000  # bytes
STRUCTURE = {  # tags of a TIFF that say how its pixels are stored, or where other parts are
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291),
    *(292, 293, 317, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339, 340, 341, 343, 347, 512, 513),
    *(514, 515, 517, 518, 519, 520, 521, 559, 700, 32781, 33421, 33422, 33723, 34377, 34675, 37724, 50341),
}
SPACES = {  # of XMP, by their usual prefixes
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "guidedstyle": "urn:guidedstyle:1",
}
PACKET = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'  # as XMP's standard has it
RIGHTS: dict[str, tuple[str, ...] | None] = {  # what is kept of XMP, by the prefix of its space; None: all of it
    "dc": ("rights", "creator", "title", "description"),
    "xmpRights": None,
    "photoshop": ("Credit", "Source", "Headline", "AuthorsPosition"),
    "Iptc4xmpCore": ("CreatorContactInfo",),
    "plus": None,
}
FIRST_OF_RAW = 50_706  # this tag and all above it describe camera raw data, or belong to programs
OF_YCBCR = {529, 530, 531, 532}  # tags without meaning in a TIFF that holds RGB


class Entry(NamedTuple):
    """An entry of a directory: the number of its type, how many values it has, and their bytes."""

    kind: int
    number: int
    data: bytes


@dataclass(frozen=True)
class Directory:
    """A directory of EXIF: entries by tag, in the byte order `<` or `>`, and further directories by the tag of each."""

    order: Order
    entries: Mapping[int, Entry]
    within: Mapping[int, Directory] = field(default_factory=dict)

    def set_number(self, tag: int, number: int, kind: int = SHORT) -> Directory:
        """Replace the value of a tag."""
        entry = Entry(kind, 1, struct.pack(self.order + ("H" if kind == SHORT else "L"), number))
        return replace(self, entries={**self.entries, tag: entry})

    def without(self, *tags: int) -> Directory:
        """Leave out tags, and the directories of tags."""
        entries = {tag: entry for tag, entry in self.entries.items() if tag not in tags}
        return replace(self, entries=entries, within={tag: one for tag, one in self.within.items() if tag not in tags})


@dataclass(frozen=True)
class Metadata:
    """The EXIF of an image, and what its XMP says about rights."""

    exif: Directory | None = None
    rights: bytes | None = None


NO_METADATA = Metadata()


def read_metadata(file: Path) -> Metadata:
    """Read the metadata of an image that can be read; what is damaged is left out."""
    with file.open("rb") as stream:
        first = read_directories(stream)
    if not first and is_raw(file):
        return Metadata(_read_exif_of_preview(file))
    if first:  # it is a TIFF, or camera raw data in one
        return Metadata(first, carry_xmp(first.entries[XMP].data if XMP in first.entries else None))
    try:
        with open_image(file) as picture:
            return Metadata(read_exif(picture), carry_xmp(picture.info.get("xmp")))
    except GuidedStyleError:  # no format of Pillow's
        return NO_METADATA


def _read_exif_of_preview(file: Path) -> Directory | None:
    """Read the EXIF of the JPEG within camera raw data."""
    try:
        with Image.open(io.BytesIO(read_raw_preview(file) or b"")) as preview:
            return read_exif(preview)
    except OSError:
        return None


def read_exif(picture: Image.Image) -> Directory | None:
    """Read the EXIF of an opened image that is not a TIFF; None: it has none, or none that can be read.

    Damaged entries are left out.
    """
    data = picture.info.get("exif") or _read_raw_profile(picture.info.get("Raw profile type exif"))
    return read_directories(io.BytesIO(data.removeprefix(b"Exif\0\0"))) if isinstance(data, bytes) else None


def _read_raw_profile(text: object) -> bytes | None:
    """Read EXIF as ImageMagick once wrote it into the text of a PNG: a name, a length, and hexadecimal digits."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:])) if isinstance(text, str) else None
    except ValueError:
        return None


def read_directories(stream: BinaryIO) -> Directory | None:
    """Read the first directory of a TIFF, and those of EXIF, GPS and interoperability within it."""
    try:
        stream.seek(0)
        order = ORDERS[stream.read(4)]
        (start,) = struct.unpack(order + "L", stream.read(4))
        first = _read_directory(stream, order, start, within=(EXIF, GPS))
    except (KeyError, struct.error):
        return None
    return first if first.entries or first.within else None


def _read_directory(stream: BinaryIO, order: Order, start: int, *, within: tuple[int, ...] = ()) -> Directory:
    """Read a directory; raises struct.error where it ends too early."""
    stream.seek(start)
    (count,) = struct.unpack(order + "H", stream.read(2))
    table = stream.read(12 * min(count, MOST_ENTRIES))
    found = dict(_read_entries(stream, order, table[: len(table) // 12 * 12]))
    inner = {}
    for tag in within:
        if tag in found and len(found[tag].data) == 4:
            (place,) = struct.unpack(order + "L", found[tag].data)
            inner[tag] = _read_directory(stream, order, place, within=(INTEROPERABILITY,) if tag == EXIF else ())
    pointers = {EXIF, GPS, INTEROPERABILITY}
    entries = {tag: entry for tag, entry in found.items() if tag not in pointers}
    return Directory(order, entries, {tag: one for tag, one in inner.items() if one.entries or one.within})


def _read_entries(stream: BinaryIO, order: Order, table: bytes) -> Iterator[tuple[int, Entry]]:
    left = MOST_BYTES
    for tag, kind, count, value in struct.iter_unpack(order + "HHL4s", table):
        size = WIDTHS.get(kind, 0) * count
        if not 0 < size <= left:
            continue
        left -= size
        if size > 4:
            stream.seek(*struct.unpack(order + "L", value))
            value = stream.read(size)
        if len(value) >= size:
            yield tag, Entry(kind, count, value[:size])


def write_directories(first: Directory) -> bytes:
    """Write directories as EXIF: a TIFF without an image."""
    header = next(start for start, order in ORDERS.items() if order == first.order)
    return header + struct.pack(first.order + "L", 8) + write_directory(first, 8)


def write_directory(directory: Directory, start: int) -> bytes:
    """Write a directory that begins at the byte `start` of a file, and those within it."""
    order, entries = directory.order, dict(directory.entries)
    end = start + _measure(directory)
    inner = b""
    for tag, one in directory.within.items():
        entries[tag] = Entry(LONG, 1, struct.pack(order + "L", end + len(inner)))
        inner += write_directory(one, end + len(inner))
    values, table, place = b"", struct.pack(order + "H", len(entries)), start + 12 * len(entries) + 6
    for tag, (kind, count, data) in sorted(entries.items()):
        held = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "L", place + len(values))
        table += struct.pack(order + "HHL", tag, kind, count) + held
        values += _pad(data) if len(data) > 4 else b""
    return table + bytes(4) + values + inner


def _measure(directory: Directory) -> int:
    """Measure the bytes of a directory without those within it."""
    values = sum(len(_pad(entry.data)) for entry in directory.entries.values() if len(entry.data) > 4)
    return 6 + 12 * (len(directory.entries) + len(directory.within)) + values


def _pad(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)  # values begin at even bytes


def carry_exif(exif: Directory, *, size: Size, srgb: bool | None = None, gps: bool = False) -> Directory:
    """Choose what an image of (width, height) keeps of a content image's EXIF: all, but for what is named here.

    Orientation becomes 1, since its pixels are upright. The thumbnail and the camera's MakerNote are left out: they
    describe other pixels. The position (GPS) is left out unless `gps`. The size is the new one, and where colours are
    converted, the colour space is sRGB, or uncalibrated for any other, and the mark of Adobe RGB is left out; `srgb`
    None: they are not converted.
    """
    tags = {tag for tag in exif.entries if tag in STRUCTURE or tag >= FIRST_OF_RAW}
    kept = exif.without(*tags, *(() if gps else (GPS,))).set_number(ORIENTATION, 1)
    if not (inner := kept.within.get(EXIF)):
        return kept
    inner = inner.without(MAKER_NOTE)
    for tag, side in ((WIDTH, size[0]), (HEIGHT, size[1])):
        inner = inner.set_number(tag, side, LONG) if tag in inner.entries else inner
    if srgb is not None:
        inner = inner.without(INTEROPERABILITY)
    if srgb is not None and COLOUR_SPACE in inner.entries:
        inner = inner.set_number(COLOUR_SPACE, 1 if srgb else 0xFFFF)
    return replace(kept, within={**kept.within, EXIF: inner})


def shorten(exif: Directory, most: int) -> Directory:
    """Leave out the longest entries until a directory, and those within it, take at most `most` bytes."""
    while len(write_directories(exif)) > most:
        own, inner = exif.entries, exif.within.get(EXIF, Directory(exif.order, {}))
        tag = max((*own, *inner.entries), key=lambda tag: len((own.get(tag) or inner.entries[tag]).data))
        within = {**exif.within, EXIF: inner.without(tag)}
        exif = exif.without(tag) if tag in own else replace(exif, within=within)
    return exif


def carry_xmp(data: object) -> bytes | None:
    """Choose what is kept of an image's XMP: who made it, whose it is, and what it shows; None: nothing."""
    try:
        found = list(_find_rights(fromstring(data.strip(b"\0"))) if isinstance(data, bytes) else ())
    except (Xml.ParseError, DefusedXmlException, ValueError):
        return None
    return _write_xmp(found) if found else None


def _find_rights(packet: Xml.Element) -> Iterator[Xml.Element]:
    """Find properties about rights, which are written as elements or, if they are plain texts, as attributes."""
    for description in packet.iter(_name("rdf", "Description")):
        yield from (element for element in description if _is_about_rights(element.tag))
        for name, text in description.attrib.items():
            if _is_about_rights(name):
                element = Xml.Element(name)
                element.text = text
                yield element


def _is_about_rights(name: str) -> bool:
    space, _, local = name.removeprefix("{").partition("}")
    return any(space == SPACES[prefix] and (not names or local in names) for prefix, names in RIGHTS.items())


def _write_xmp(properties: Sequence[Xml.Element]) -> bytes:
    for prefix, space in SPACES.items():
        Xml.register_namespace(prefix, space)
    packet = Xml.Element(_name("x", "xmpmeta"))
    about = {_name("rdf", "about"): ""}
    Xml.SubElement(Xml.SubElement(packet, _name("rdf", "RDF")), _name("rdf", "Description"), about).extend(properties)
    text: bytes = Xml.tostring(packet, "utf-8", xml_declaration=False)
    return PACKET + text + b'<?xpacket end="w"?>'


def add_note(xmp: bytes | None, key: str, text: str) -> bytes:
    """Add a note to XMP that was written here."""
    found = list(_find_rights(fromstring(xmp))) if xmp else []
    note = Xml.Element(_name("guidedstyle", key.replace(" ", "-")))
    note.text = text
    return _write_xmp([*found, note])


def find_note(xmp: bytes, key: str) -> str | None:
    """Find the note that `add_note` added to XMP."""
    try:
        found = fromstring(xmp.strip(b"\0")).find(f".//{_name('guidedstyle', key.replace(' ', '-'))}")
    except (Xml.ParseError, DefusedXmlException, ValueError):
        return None
    return found.text if found is not None else None


def _name(prefix: str, local: str) -> str:
    return f"{{{SPACES[prefix]}}}{local}"
