"""Which files this program made: it marks what it writes, and overwrites nothing else.

The mark of a file holds a digest of all its other bytes, in a place that its format leaves for comments, so that a file
that another program has changed counts as the user's. An image is also known by the digest in the record beside it,
checkpoints and records by what is in them. Images of versions that wrote no marks are known by their recipe or record.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.files import MOST_BYTES, atomic_write, read_small_file
from guidedstyle.io.paths import SHEET, name_record

CHECKPOINT_KEYS = (b"identity", b"student", b"descent")  # of a render, of trainings
NETWORK_KEY = "guidedstyle.network"  # of the card of a style network, in the metadata of its file
RECIPE_KEY = "guidedstyle recipe"  # of the PNG's text that carries the recipe
TABLE_KEY = "guidedstyle table"  # of a sheet's text that carries the digest of the table beside it
DIGEST_KEY = "digest"  # of a record
RECORD_KEYS = {"inputs", "versions", "result", "plan"}  # one of which every record has, besides its recipe
RECORD_START = b'{\n  "recipe": {'
MARK = b"guidedstyle mark"
PNG_START, PNG_TEXTS = b"\x89PNG\r\n\x1a\n", (b"tEXt", b"iTXt", b"zTXt")
CHECKPOINT_HEAD = 2**16  # bytes in which the first keys of a checkpoint lie
MOST_SECONDS = 120.0  # between the times of an image and of its record without a digest: after that it was edited

Wrap = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Place:
    """How a format wraps a mark, always into as many bytes, and how many bytes of the file follow it."""

    wrap: Wrap
    after: int = 0


def _wrap_png(text: bytes) -> bytes:
    data = b"tEXt" + MARK + b"\0" + text
    return len(data[4:]).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big")


def _wrap_jpeg(text: bytes) -> bytes:
    data = MARK + b" " + text
    return b"\xff\xfe" + (len(data) + 2).to_bytes(2, "big") + data


def _wrap_gif(text: bytes) -> bytes:
    data = MARK + b" " + text
    return b"\x21\xfe" + bytes([len(data)]) + data + b"\0"


def _wrap_film(text: bytes) -> bytes:
    data = b"free" + MARK + b" " + text
    return (len(data) + 4).to_bytes(4, "big") + data


def _wrap_riff(text: bytes) -> bytes:
    data = MARK + b" " + text  # an even number of bytes, as RIFF asks for
    return b"JUNK" + len(data).to_bytes(4, "little") + data


def _wrap_page(text: bytes) -> bytes:
    return b"<!-- " + MARK + b" " + text + b" -->\n"


def _wrap_recipe(text: bytes) -> bytes:
    return b"# " + MARK + b" " + text + b"\n"


def _wrap_bytes(text: bytes) -> bytes:
    """Wrap the mark for formats whose readers ignore what follows the end."""
    return b"\n%" + MARK + b" " + text + b"\n"


END_OF_FILE = Place(_wrap_bytes)
PLACES = {
    (".png",): Place(_wrap_png, 12),
    (".jpg", ".jpeg"): Place(_wrap_jpeg, 2),
    (".gif",): Place(_wrap_gif, 1),
    (".mp4", ".avif"): Place(_wrap_film),
    (".webp", ".avi"): Place(_wrap_riff),
    (".html", ".htm"): Place(_wrap_page),
    (".yaml", ".yml"): Place(_wrap_recipe),
}
BY_SUFFIX = {suffix: place for suffixes, place in PLACES.items() for suffix in suffixes}
ZIPPED = (".ora",)  # their last two bytes count those of the comment that follows
COUNTED = (".webp", ".avi")  # their second four bytes count all that follow
UNMARKED = (".csv",)


def write_marked(file: Path, content: bytes, *, overwrite: bool = False) -> None:
    """Write a file atomically with its mark.

    Raises GuidedStyleError if it cannot be written, or, unless `overwrite`, would replace a file of someone else.
    """
    with atomic_write(file, ready=lambda: protect([file], overwrite=overwrite)) as temporary:
        temporary.write_bytes(add_mark(content, file.suffix))


def add_mark(content: bytes, suffix: str) -> bytes:
    """Add the mark to a file's content, in the format of its suffix; tables have no place for one."""
    if suffix.lower() in UNMARKED:
        return content
    if suffix.lower() in ZIPPED:
        content = content[:-2] + len(_wrap_bytes(_hash([]))).to_bytes(2, "little")
    place = _find_place(suffix)
    if suffix.lower() in COUNTED:
        content = content[:4] + (len(content) - 8 + len(place.wrap(_hash([])))).to_bytes(4, "little") + content[8:]
    cut = len(content) - place.after
    return content[:cut] + place.wrap(_hash([content])) + content[cut:]


def _find_place(suffix: str) -> Place:
    return BY_SUFFIX.get(suffix.lower(), END_OF_FILE)


def _hash(parts: Iterable[bytes | memoryview]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return b"sha256:" + digest.hexdigest().encode()


def is_marked(content: bytes, suffix: str) -> bool:
    """Whether a file's content carries its mark, and nothing of it has been changed since."""
    place = _find_place(suffix)
    length, end = len(place.wrap(_hash([]))), len(content) - place.after
    block, rest = content[end - length : end], (memoryview(content)[: end - length], memoryview(content)[end:])
    return MARK in block and block == place.wrap(_hash(rest))


def protect(places: Iterable[Path], *, overwrite: bool = False) -> None:
    """Raise GuidedStyleError if one of these files exists and was not made by this program, or is a link.

    With `overwrite` only links are refused. Files that do not exist, and folders, are left to other checks.
    """
    problems = [problem for place in dict.fromkeys(places) if (problem := _find_problem(place, overwrite))]
    if problems:
        raise GuidedStyleError(problems)


def find_foreign(places: Iterable[Path]) -> list[Path]:
    """List the files that may not be replaced: links, and those that this program did not make."""
    return [place for place in dict.fromkeys(places) if _find_problem(place, False)]


def _find_problem(file: Path, overwrite: bool) -> Problem | None:
    if file.is_symlink():
        remedy = "name that file itself, or another one (-o), or remove the link"
        return Problem(
            str(file), f"it is a link to {os.path.realpath(file)}, and links are not written through", remedy
        )
    if overwrite or not file.is_file() or is_ours(file):
        return None
    rule = "it exists, and guidedstyle did not make it, or it was changed since"
    remedy = "choose another name (-o), or replace it with --overwrite (in Python, `overwrite`)"
    return Problem(str(file), rule, remedy)


def is_ours(file: Path) -> bool:
    """Whether this program made a file, as it is now; a file that cannot be read counts as someone else's."""
    try:
        return _RECOGNISED.get(file.suffix.lower(), _is_own_image)(file)
    except (OSError, ValueError):
        return False


def discard(file: Path) -> None:
    """Delete a file if it exists and this program made it; raises OSError if it cannot be deleted."""
    if file.is_file() and not file.is_symlink() and is_ours(file):
        file.unlink(missing_ok=True)


def _is_own_image(file: Path) -> bool:
    """Whether an image, page or film carries its mark, or belongs to the record beside it."""
    content = file.read_bytes()
    if is_marked(content, file.suffix):
        return True
    record = _read_record(name_record(file))
    if record and DIGEST_KEY in record:
        return bool(record[DIGEST_KEY] == hash_content(content))
    if MARK in content:  # something else has changed since
        return False
    if file.suffix.lower() == ".png":  # renders have always carried their recipe
        return any(key == RECIPE_KEY for key, _ in read_texts(content))
    return record is not None and _is_as_old(file, name_record(file))


def _is_as_old(file: Path, record: Path) -> bool:
    return abs(file.stat().st_mtime - record.stat().st_mtime) <= MOST_SECONDS


def hash_content(content: bytes) -> str:
    """Hash the whole content of a file, with its mark, as records state it."""
    return _hash([content]).decode()


def read_texts(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the texts of a PNG by key, as they are stored; nothing of another format."""
    place = len(PNG_START) if content.startswith(PNG_START) else len(content)
    while place + 12 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        if kind in PNG_TEXTS:
            key, _, text = content[place + 8 : place + 8 + length].partition(b"\0")
            yield key.decode("latin-1"), text
        place += 12 + length


def _read_record(file: Path) -> dict[str, Any] | None:
    """Read a record as plain data; None: there is none, or another program wrote the file."""
    try:
        data = json.loads(read_small_file(file, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(data, dict) and isinstance(data.get("recipe"), dict) and RECORD_KEYS & data.keys()
    return data if known else None


def _is_record(file: Path) -> bool:
    """Whether a file is a record, or the beginning of one that was cut off."""
    with file.open("rb") as stream:
        start = stream.read(len(RECORD_START))
    return _read_record(file) is not None or (RECORD_START.startswith(start) and not _is_json(file))


def _is_json(file: Path) -> bool:
    try:
        json.loads(read_small_file(file, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _is_checkpoint(file: Path) -> bool:
    with file.open("rb") as stream:
        head = stream.read(CHECKPOINT_HEAD)
    return b"data.pkl" in head and any(key in head for key in CHECKPOINT_KEYS)


def _is_weights(file: Path) -> bool:
    """Whether weights are those of a training, by their metadata."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        head = json.loads(stream.read(min(length, MOST_BYTES)))
    notes = head.get("__metadata__") if isinstance(head, dict) else None
    if not isinstance(notes, dict):
        return False
    return "for guidedstyle" in notes.get("what", "") or NETWORK_KEY in notes


def _is_exported(file: Path) -> bool:
    return NETWORK_KEY.encode() in file.read_bytes()


def _is_table(file: Path) -> bool:
    """Whether the sheet beside a table knows it."""
    sheet = (file.parent / SHEET).read_bytes()
    known = dict(read_texts(sheet)).get(TABLE_KEY, b"")
    return is_marked(sheet, Path(SHEET).suffix) and hash_content(file.read_bytes()).encode() in known


def _is_lock(file: Path) -> bool:
    """Whether a file holds the number of a process, or nothing."""
    with suppress(OSError):
        return file.stat().st_size <= 20 and (not (text := file.read_bytes()) or text.isdigit())
    return False


_RECOGNISED: dict[str, Callable[[Path], bool]] = {
    ".json": _is_record,
    ".state": _is_checkpoint,
    ".old": _is_checkpoint,
    ".ckpt": _is_checkpoint,
    ".safetensors": _is_weights,
    ".onnx": _is_exported,
    ".csv": _is_table,
    ".lock": _is_lock,
}
