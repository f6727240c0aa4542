"""Paths of the cache and of the files next to an output: record, checkpoint, preview, lock, frames."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

SHEET, TABLE = "sheet.png", "table.csv"  # of a sweep
PREVIEW, WATCHED = ".preview.png", ".watch.png"
CACHE_VARIABLE = "GUIDEDSTYLE_CACHE"  # the environment variable that names another cache
NO_CACHE = Path(os.devnull, "guidedstyle")  # a folder that cannot exist: nothing is found there, and nothing stored


def find_cache() -> Path:
    """Return the folder of the cache, whether it exists or not; NO_CACHE where the user has no home folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    try:
        found = user_cache_path("guidedstyle")
    except RuntimeError:  # neither HOME nor an entry in the list of users, as in a container
        return NO_CACHE
    return found if found.is_absolute() else NO_CACHE


def name_record(output: Path) -> Path:
    """Return the path of an output's record."""
    return output.with_name(output.name + ".json")


def name_checkpoint(output: Path) -> Path:
    """Return the path of the checkpoint from which an interrupted render is resumed."""
    return output.with_name(output.name + ".state")


def name_old_checkpoint(output: Path) -> Path:
    """Return the path to which a checkpoint is moved when its render starts over."""
    return output.with_name(output.name + ".state.old")


def name_lock(output: Path) -> Path:
    """Return the path of the lock that keeps other processes from rendering the same output."""
    return output.with_name(f".{output.name}.lock")


def name_preview(output: Path) -> Path:
    """Return the path of the image so far."""
    return output.with_suffix(PREVIEW)


def name_watched(output: Path) -> Path:
    """Return the path of the preview that `watch` renders."""
    return output.with_suffix(WATCHED)


def name_frames(output: Path) -> Path:
    """Return the folder of an output's numbered frames."""
    return output.with_name(output.name + ".frames")


def list_frames(folder: Path) -> list[Path]:
    """List the frames in a folder in the order of their numbers; links are left out, as we write none."""
    return sorted(
        file for file in folder.glob("*.png") if file.stem.isdecimal() and file.is_file() and not file.is_symlink()
    )


def name_sweep(recipe: Path, *, draft: bool = False) -> Path:
    """Return the default folder of a recipe's sweep, or of one of drafts."""
    return recipe.parent / f"{recipe.stem}-sweep{'-draft' if draft else ''}"


def list_output_files(output: Path) -> list[Path]:
    """List an output and every file that may be written next to it."""
    names = (name_record, name_checkpoint, name_old_checkpoint, name_lock, name_preview, name_watched, name_frames)
    return [output, *(name(output) for name in names if output.name)]  # the path `.` has no name
