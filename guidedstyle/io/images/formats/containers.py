"""What lies beside the pixels in PNG, JPEG and WebP files: only what concerns them reaches the decoder.

Texts, comments, thumbnails and unknown or damaged parts cannot cost the image, however long they are.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import IO, NamedTuple

PNG, JPEG, RIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF"
PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
PNG_ORDER = {b"IHDR": 0, b"PLTE": 1, b"IDAT": 3, b"IEND": 4}  # others between: an orientation may stand at the end
PNG_NOTES = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # where an orientation may stand
MOST_TEXT = 2**20  # bytes of a text
MOST_PROFILE = 2**26  # bytes of a colour profile
WEBP_PIXELS = (b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L", b"ICCP", b"EXIF", b"XMP ")
EXIF, XMP, ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
START_OF_FRAME = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
START_OF_SCAN, END_OF_JPEG = 0xDA, b"\xff\xd9"
MOST_TESTED = 100_000_000  # pixels of a JPEG without end that is decoded to see whether it is whole
MOST_ZEROS = 16  # bytes that may be pixels where a JPEG ends
FILLINGS = (0x55, 0xAA, 0x33, 0xCC, 0x69, 0x96, 0x0F, 0xF0)  # bytes that do not change an image that is whole
GAMMA, PRIMARIES = 45455, (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)  # of sRGB, as gAMA and cHRM state
DAMAGED_PROFILE = "its colour profile is damaged: its colours are taken as sRGB"


@dataclass(frozen=True)
class Container:
    """The stream of an image without the parts that do not concern it, its colour profile, and warnings.

    `frames` is the number of frames of an animation whose frames are left out; 0 if nothing is known. `doubts` are
    warnings about its colours, which do not concern masks.
    """

    stream: IO[bytes]
    profile: bytes | None = None
    frames: int = 0
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class Part(NamedTuple):
    """A chunk or segment of a file: its kind, and where it lies, with its header."""

    kind: bytes
    start: int
    end: int
    content: bytes = b""  # if it is short, or may be needed
    valid: bool = True


def open_container(stream: IO[bytes], note: str | None = None) -> Container:
    """Leave out of a file what does not concern its pixels; the text `note` of a PNG is kept."""
    magic = stream.read(12)
    if magic.startswith(PNG):
        return _open_png(stream, note)
    if magic.startswith(JPEG):
        return _open_jpeg(stream)
    if magic.startswith(RIFF) and magic.endswith(b"WEBP"):
        return _open_webp(stream)
    stream.seek(0)
    return Container(stream)


class Spliced(io.RawIOBase):
    """The parts of a stream between pairs of offsets, one after the other."""

    def __init__(self, source: IO[bytes], spans: list[tuple[int, int]]) -> None:
        self.source, self.spans, self.position = source, spans, 0
        self.starts = list(accumulate((end - start for start, end in spans), initial=0))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to an offset from the start, the position or the end."""
        self.position = max(0, offset + (0, self.position, self.starts[-1])[whence])
        return self.position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to the end of a span."""
        if self.position >= self.starts[-1]:
            return 0
        index = bisect_right(self.starts, self.position) - 1
        left = self.starts[index + 1] - self.position
        self.source.seek(self.spans[index][0] + self.position - self.starts[index])
        found = self.source.read(min(len(buffer), left))
        buffer[: len(found)] = found
        self.position += len(found)
        return len(found)


def _splice(stream: IO[bytes], spans: list[tuple[int, int]]) -> IO[bytes]:
    whole = [(start, end) for start, end in spans if end > start]
    return io.BufferedReader(Spliced(stream, whole), 2**16)


def _open_png(stream: IO[bytes], note: str | None) -> Container:
    parts = list(_list_png(stream))
    keys = (*PNG_NOTES, *([note.encode("latin-1", "replace")] if note else []))
    kept = [part for part in parts if part.kind in PNG_PIXELS or _is_kept(part, keys)]
    kept.sort(key=lambda part: PNG_ORDER.get(part.kind, 2))
    profile, notes, doubts, frames = None, list[str](), list[str](), 0
    for part in parts:
        if part.kind == b"iCCP":
            profile = _inflate(part.content.partition(b"\0")[2][1:], MOST_PROFILE) if part.valid else None
            doubts += [] if profile else [DAMAGED_PROFILE]
        elif part.kind == b"tRNS" and part not in kept:
            notes.append("its transparency is damaged and left out")
        elif part.kind == b"acTL" and len(part.content) == 8:
            frames = struct.unpack(">I", part.content[:4])[0]
        elif part.kind == b"cICP" and part.content[:2] != b"\1\r":
            doubts.append("its colours are marked by a cICP chunk, which is not used: they are taken as sRGB")
    if _means_other_colours(parts):
        doubts.append("its gamma or primaries (gAMA, cHRM) are not those of sRGB, as which its colours are taken")
    if any(part.kind == b"IDAT" and not part.valid for part in parts) and not _is_intact(stream, parts):
        raise ValueError("the checksums of its pixels are wrong")
    spans = [(0, len(PNG)), *((part.start, part.end) for part in kept)]
    return Container(_splice(stream, spans), profile, max(1, frames), tuple(notes), tuple(doubts))


def _means_other_colours(parts: list[Part]) -> bool:
    """Return whether a PNG states colours other than sRGB by numbers, which a profile or sRGB would override."""
    found = {part.kind: part.content for part in parts if part.valid}
    if found.keys() & {b"iCCP", b"sRGB", b"cICP"}:
        return False
    gamma, primaries = found.get(b"gAMA", b""), found.get(b"cHRM", b"")
    if len(gamma) == 4 and abs(struct.unpack(">I", gamma)[0] - GAMMA) > 0.02 * GAMMA:
        return True
    stated = struct.unpack(">8I", primaries) if len(primaries) == 32 else PRIMARIES
    return any(abs(one - usual) > 1000 for one, usual in zip(stated, PRIMARIES, strict=True))


def _is_intact(stream: IO[bytes], parts: list[Part]) -> bool:
    """Return whether the pixels of a PNG have the checksum of their compression, though not that of their chunks."""
    inflater = zlib.decompressobj()
    try:
        for part in parts:
            if part.kind == b"IDAT":
                stream.seek(part.start + 8)
                rest = stream.read(part.end - part.start - 12)
                while rest and not inflater.eof:
                    inflater.decompress(rest, 2**20)
                    rest = inflater.unconsumed_tail
    except zlib.error:
        return False
    return inflater.eof


def _list_png(stream: IO[bytes]) -> Iterator[Part]:
    """List the chunks of a PNG, up to one that is cut short."""
    start = len(PNG)
    while True:
        stream.seek(start)
        header = stream.read(8)
        if len(header) < 8:
            return
        length, kind = struct.unpack(">I4s", header)
        end = start + 12 + length
        if kind == b"IDAT":
            yield Part(kind, start, end, valid=_is_valid(stream, length, zlib.crc32(kind)))
        elif kind in PNG_PIXELS:  # their checksums are the decoder's affair
            yield Part(kind, start, end)
        elif length <= MOST_PROFILE:
            content, checksum = stream.read(length), stream.read(4)
            valid = checksum == struct.pack(">I", zlib.crc32(kind + content))
            yield Part(kind, start, end, content, valid)
        if kind == b"IEND":
            return
        start = end


def _is_valid(stream: IO[bytes], length: int, checksum: int) -> bool:
    """Return whether the content of a chunk, read from here, has its checksum, or is cut short."""
    while length and (content := stream.read(min(length, 2**20))):
        checksum, length = zlib.crc32(content, checksum), length - len(content)
    stated = stream.read(4)
    return len(stated) < 4 or stated == struct.pack(">I", checksum)


def _is_kept(part: Part, keys: tuple[bytes, ...]) -> bool:
    if not part.valid:
        return False
    if part.kind in (b"tEXt", b"zTXt", b"iTXt"):
        key, _, text = part.content.partition(b"\0")
        return key in keys and _is_short(part.kind, text)
    return part.kind == b"eXIf" or (part.kind == b"tRNS" and len(part.content) > 0)


def _is_short(kind: bytes, text: bytes) -> bool:
    """Return whether the text of a PNG is short enough for Pillow to be read, also when it is decompressed."""
    if kind == b"iTXt" and text[:1] == b"\1":
        text = text[2:].split(b"\0", 2)[-1]
        return _inflate(text, MOST_TEXT - 1) is not None
    if kind == b"zTXt":
        return _inflate(text[1:], MOST_TEXT - 1) is not None
    return len(text) < MOST_TEXT


def _inflate(content: bytes, most: int) -> bytes | None:
    """Decompress bytes; None if they are damaged, or more than `most`."""
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(content, most)
    except zlib.error:
        return None
    return plain if inflater.eof else None


def _open_jpeg(stream: IO[bytes]) -> Container:
    parts = list(_list_jpeg(stream))
    if not parts or parts[-1].kind != bytes([START_OF_SCAN]):
        stream.seek(0)
        return Container(stream)
    kept = [part for index, part in enumerate(parts) if _concerns_jpeg(part, parts[:index])]
    pieces = sorted(part.content[len(ICC) :] for part in parts if part.kind == b"\xe2" and part.content.startswith(ICC))
    numbers = [piece[:2] for piece in pieces]
    whole = numbers == [bytes([number + 1, len(pieces)]) for number in range(len(pieces))]
    profile = b"".join(piece[2:] for piece in pieces) if whole else b""
    doubts = (DAMAGED_PROFILE,) if pieces and not profile else ()
    notes: tuple[str, ...] = ()
    spliced = _splice(stream, [(0, len(JPEG)), *((part.start, part.end) for part in kept)])
    if not _has_end(stream, parts[-1]):
        spliced, notes = _end_jpeg(spliced, parts)
    return Container(spliced, profile or None, 1, notes, doubts)


def _has_end(stream: IO[bytes], scans: Part) -> bool:
    """Return whether the end of a JPEG is marked; it is searched for from behind."""
    start = scans.end
    while start > scans.start:
        start = max(scans.start, start - 2**20)
        stream.seek(start)
        if END_OF_JPEG in stream.read(2**20 + 1):
            return True
    return False


def _end_jpeg(stream: IO[bytes], parts: list[Part]) -> tuple[IO[bytes], tuple[str, ...]]:
    """Add its end to a JPEG that lacks it but has all its pixels; many zeros fill up one that is cut."""
    stream.seek(0)
    filled = stream.read().removesuffix(END_OF_JPEG[:1])
    content, start = filled.rstrip(b"\0"), len(filled) - (parts[-1].end - parts[-1].start)
    zeros = len(filled) - len(content)
    if zeros <= MOST_ZEROS or (_is_whole(filled, start, parts) and not _is_whole(filled[:-2], start, parts)):
        content = filled  # its zeros are pixels, as those of flat colours are
    elif content.endswith(b"\xff"):
        content += b"\0"  # a value of 255 is FF 00
    if not _is_whole(content, start, parts):
        return io.BytesIO(content), ()
    return io.BytesIO(content + END_OF_JPEG), ("its end is missing, but all its pixels are there",)


def _is_whole(content: bytes, scans: int, parts: list[Part]) -> bool:
    """Return whether all pixels of a JPEG without end are there: only then does it not matter what follows them.

    `scans` is where its scans begin; they must hold all coefficients of all its components to the last bit.
    """
    frame = next((part.content for part in parts if part.kind[0] in START_OF_FRAME), b"")
    if len(frame) < 6 or int.from_bytes(frame[1:3], "big") * int.from_bytes(frame[3:5], "big") > MOST_TESTED:
        return False
    left = {(frame[place], index) for place in range(6, len(frame), 3) for index in range(64)}
    for scan in re.compile(rb"\xff\xda..(.)", re.DOTALL).finditer(content, scans):
        names, end = content[scan.end() : scan.end() + 2 * scan[1][0] : 2], scan.end() + 2 * scan[1][0]
        if len(content) < end + 3:
            return False
        first, last, precision = content[end : end + 3]
        left -= {(name, index) for name in names for index in range(first, last + 1) if not precision & 15}
    plain = b"" if left else _decode(content + END_OF_JPEG)
    filled = (content + bytes([byte]) * MOST_ZEROS + END_OF_JPEG for byte in FILLINGS)
    return plain != b"" and all(_decode(other) == plain for other in filled)


def _decode(content: bytes) -> bytes:
    """Decode a JPEG that may be damaged; empty if that is not possible."""
    import imagecodecs  # slow to import

    try:
        return bytes(imagecodecs.jpeg8_decode(content).tobytes())
    except RuntimeError:  # of imagecodecs
        return b""


def _concerns_jpeg(part: Part, before: list[Part]) -> bool:
    """Return whether a segment is needed to decode a JPEG, or is the first that may hold its orientation."""
    if part.kind == b"\xe0":  # JFIF and Adobe say which colours are stored
        return part.content.startswith(b"JFIF\0") and len(part.content) >= 14
    if part.kind == b"\xee":
        return part.content.startswith(b"Adobe") and len(part.content) >= 12
    if part.kind == b"\xe1":
        name = next((name for name in (EXIF, XMP) if part.content.startswith(name)), None)
        return name is not None and not any(other.content.startswith(name) for other in before)
    return not (0xE0 <= part.kind[0] <= 0xEF or part.kind == b"\xfe")


def _list_jpeg(stream: IO[bytes]) -> Iterator[Part]:
    """List the segments of a JPEG; the last, from the start of the first scan, reaches to the end of the file."""
    stream.seek(start := len(JPEG))
    while (marker := stream.read(2))[:1] == b"\xff":
        while marker[1:] == b"\xff":  # fill bytes
            start, marker = start + 1, marker[1:] + stream.read(1)
        if len(marker) < 2:
            return
        if marker[1] == START_OF_SCAN:
            yield Part(marker[1:], start, stream.seek(0, io.SEEK_END))
            return
        length = int.from_bytes(stream.read(2), "big")
        if length < 2:
            return
        yield Part(marker[1:], start, start + 2 + length, stream.read(length - 2))
        start += 2 + length


def _open_webp(stream: IO[bytes]) -> Container:
    """Keep the whole chunks of a WebP that are known."""
    stream.seek(0)
    content = memoryview(stream.read())
    kept, start = [content[8:12]], 12
    while start + 8 <= len(content):
        kind, length = struct.unpack("<4sI", content[start : start + 8])
        end = start + 8 + length + length % 2
        if kind in WEBP_PIXELS and (start + 8 + length <= len(content) or kind not in (b"EXIF", b"XMP ")):
            kept.append(content[start:end])
        start = end
    body = b"".join(kept)
    body += bytes(len(body) % 2)
    return Container(io.BytesIO(RIFF + struct.pack("<I", len(body)) + body))
