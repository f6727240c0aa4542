"""The text of a recipe's file, in the encodings that editors save, and files that are no text at all."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from guidedstyle.errors import GuidedStyleError

MARKS = (  # of byte order, the longer first
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DOCUMENTS = {  # how files begin that are no text
    b"PK\x03\x04": "a zipped document, such as .docx or .odt",
    b"{\\rtf": "a document of a word processor (.rtf)",
    b"\xd0\xcf\x11\xe0": "a document of a word processor (.doc)",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a packed file",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<": "XML",
    b"bplist": "a property list",
}
IMAGES = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"8BPS",
    b"RIFF",
    b"\0\0\0\x1cftyp",
    b"gimp xcf",
)
AS_TEXT = "write the recipe in a text editor, and save it as plain UTF-8 text (.yaml)"
LINE_END = re.compile(r"\r\n|\r")


def decode(content: bytes, file: Path) -> str:
    """Decode a recipe, its lines ended by line feeds.

    Raises GuidedStyleError, with the line, if it is not text in UTF-8 or UTF-16.
    """
    if content.startswith(IMAGES):
        remedy = "give a recipe (.yaml); content images go with --content, patterns in quotes: 'photos/*.jpg'"
        raise GuidedStyleError.of(file, "this is an image, not a recipe", remedy)
    for start, what in DOCUMENTS.items():
        if content.lstrip(b"\xef\xbb\xbf \r\n").startswith(start):
            raise GuidedStyleError.of(file, f"this is {what}, not a recipe", AS_TEXT)
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), _guess_encoding(content))
    try:
        return LINE_END.sub("\n", content.decode(encoding))
    except UnicodeDecodeError as error:
        raise _explain(content, error, file) from error


def _guess_encoding(content: bytes) -> str:
    """Find the encoding of a text that begins with a plain letter: in UTF-16 every second byte is 0."""
    start = content[:64]
    if len(start) >= 4 and not start[0] and not any(start[::2]) and all(start[1::2]):
        return "utf-16-be"
    if len(start) >= 4 and not start[1] and not any(start[1::2]) and all(start[::2]):
        return "utf-16-le"
    return "utf-8"


def _explain(content: bytes, error: UnicodeDecodeError, file: Path) -> GuidedStyleError:
    line = len(re.findall(rb"\r\n|\r|\n", content[: error.start])) + 1
    begin = max(content.rfind(end, 0, error.start) + 1 for end in (b"\n", b"\r"))
    shown = re.split(rb"[\r\n]", content[begin : error.start + 40])[0].decode("cp1252", "replace").strip()
    rule = f"it is not UTF-8 text: byte 0x{content[error.start]:02X}"
    if not shown.isprintable():
        return GuidedStyleError.of(file, rule, "save the recipe as UTF-8 text")
    remedy = f"save the recipe as UTF-8 text; in the encoding of Windows this line reads `{shown}`"
    return GuidedStyleError.of(f"{file}:{line}", rule, remedy)
