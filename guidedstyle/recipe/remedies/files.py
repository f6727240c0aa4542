"""What to write instead of the name of a file that is not there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote

from PIL import ImageColor

from guidedstyle.recipe.model import IMAGE_SUFFIXES
from guidedstyle.recipe.remedies.lines import quote

DRIVE = re.compile(r"[A-Za-z]:[\\/]")
REST = {"rest", "remaining", "remainder", "other", "others", "else", "elsewhere", "background"}
ALL = {"all", "everything", "everywhere", "whole", "full"}
MOST_FILES = 2000  # of a folder that are looked at
LIKE = 0.75  # likeness of two names from which one may be meant by the other


def suggest_file(file: Path, folder: Path, advice: str) -> str:
    """Suggest what to write instead of a missing `file`, which a recipe in `folder` names; `advice` where none is."""
    written = _relate(file, folder)
    if {"http:", "https:"} & set(file.parts):
        return "download the image, and write the name of its file"
    if file.is_dir():
        names = [one.name for one in _list_files(file) if "." in one.name.strip(".")]
        return f"{advice}; a file in it is {names[0]}" if names and folder != file else advice
    if same := _find_first(_list_same(written, folder)):
        return f"write `{_write(same, folder)}`"
    if re.search(r"[*?\[]", written) and (found := sorted(folder.glob(written))[:1]):
        return f"write one file, such as `{_write(found[0], folder)}`; patterns are only for --content"
    if re.search(r"\$\w+|\$\{|%\w+%", written):
        return "write the path itself: variables of the system are not read in recipes"
    if DRIVE.search(written) and os.name != "nt":
        return "this is a path of Windows; write the path that the file has on this machine"
    similar = _find_first(_list_similar(Path(_clean(written)), folder))
    return f"did you mean `{_write(similar, folder)}`? {advice}" if similar else advice


def suggest_mask(file: Path, *, coded: bool) -> str | None:
    """Suggest a mask instead of a missing file: rest, all, its inverse, a colour where the shared file is `coded`."""
    word = file.name.strip().casefold()
    if word in REST | ALL:
        return f"write `{'rest' if word in REST else 'all'}`"
    if coded and word in ImageColor.colormap:
        return f"write `{{colour: {word}}}`"
    found = re.fullmatch(r"(?:not|except|invert(?:ed)?)\s+(.+)", file.name)
    if found and file.with_name(found[1]).is_file():
        return f"write `{{file: {quote(found[1])}, invert: true}}`"
    return None


def find_image(stem: str, folder: Path) -> str | None:
    """Find the name of the image with this stem in a folder; None if there is none."""
    images = (one for one in _list_files(folder) if one.suffix.lower() in IMAGE_SUFFIXES)
    return next((one.name for one in images if one.stem.casefold() == stem.casefold()), None)


def _find_first(files: Iterator[Path]) -> Path | None:
    for file in files:
        with suppress(OSError, ValueError):
            if file.is_file():
                return file
    return None


def _clean(written: str) -> str:
    """Take away what belongs to no name: spaces and quotes around it, letters that cannot be seen, backslashes."""
    plain = re.sub(r"[\u200b\ufeff]", "", written).strip().strip("'\"“”„‘’«»` ")
    return re.sub(r"[\u00a0\u2007\u202f]", " ", plain)


def _list_same(written: str, folder: Path) -> Iterator[Path]:
    """List the files whose path may be written so: as an address, with backslashes, from the home or working folder."""
    plain = _clean(written)
    address = unquote(re.sub(r"^file:/*(?=[^/])", "", plain))
    for text in dict.fromkeys((plain, plain.replace("\\", "/"), plain.replace("\\ ", " "), address, f"/{address}")):
        yield folder / text
        if text.startswith("~"):
            with suppress(RuntimeError):  # there is no home folder
                yield Path(text).expanduser()
    yield Path.cwd() / plain.replace("\\", "/")
    place = folder / plain.replace("\\", "/")
    yield from (one for one in _list_files(place.parent) if one.name.casefold() == place.name.casefold())


def _list_similar(written: Path, folder: Path) -> Iterator[Path]:
    """List files with almost the same name, there or next to the recipe: elsewhere, of another kind, misspelt."""
    wanted = Path(str(written).replace("\\", "/"))
    for place in dict.fromkeys(((folder / wanted).parent, folder)):
        files = _list_files(place)
        yield from (one for one in files if one.name.casefold() == wanted.name.casefold())
        images = [one for one in files if one.suffix.lower() in IMAGE_SUFFIXES]
        yield from (one for one in images if one.stem.casefold() == wanted.stem.casefold())
        stems = {one.stem: one for one in files if one.suffix.casefold() == wanted.suffix.casefold()}
        yield from (stems[key] for key in get_close_matches(wanted.stem, stems, 1, LIKE))


def _list_files(folder: Path) -> list[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry, _ in zip(entries, range(MOST_FILES), strict=False))
    return []


def _write(file: Path, folder: Path) -> str:
    """Write the path of a file as in YAML, in quotes where it needs them."""
    path = _relate(file, folder)
    return quote(path) if re.search(r"^[%@`&*!|>'\"?-]| #|: |[,\[\]{}]", path) else path


def _relate(file: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix() if os.name == "nt" else os.path.relpath(file, folder)
    except ValueError:  # another drive
        return str(file)
