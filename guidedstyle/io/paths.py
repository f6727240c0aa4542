"""Names of the files beside an output: record, checkpoint, preview, frames."""

from __future__ import annotations

from pathlib import Path

SHEET, TABLE = "sheet.png", "table.csv"  # of a sweep
PREVIEW, WATCHED = ".preview.png", ".watch.png"


def name_record(output: Path) -> Path:
    """Name the record of an image."""
    return output.with_name(output.name + ".json")


def name_checkpoint(output: Path) -> Path:
    """Name what an interrupted render of an image goes on from."""
    return output.with_name(output.name + ".state")


def name_old_checkpoint(output: Path) -> Path:
    """Name where a state is kept when a render begins anew."""
    return output.with_name(output.name + ".state.old")


def name_lock(output: Path) -> Path:
    """Name what is there while an image is rendered, so that no other process begins it too."""
    return output.with_name(f".{output.name}.lock")


def name_preview(output: Path) -> Path:
    """Name the image so far."""
    return output.with_suffix(PREVIEW)


def name_watched(output: Path) -> Path:
    """Name the preview that is made at every save."""
    return output.with_suffix(WATCHED)


def name_frames(output: Path) -> Path:
    """Name the folder of an image's frames."""
    return output.with_name(output.name + ".frames")


def name_sweep(recipe: Path) -> Path:
    """Name the folder of a recipe's variants, where none is named."""
    return recipe.parent / f"{recipe.stem}-sweep"


def list_output_files(output: Path) -> list[Path]:
    """List an image and all that may be written beside it."""
    names = (name_record, name_checkpoint, name_old_checkpoint, name_lock, name_preview, name_watched, name_frames)
    return [output, *(name(output) for name in names if output.name)]  # a folder may have no name: `.`
