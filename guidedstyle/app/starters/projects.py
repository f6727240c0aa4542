"""Folders to begin with: sample images, or a person's own, with a commented recipe."""

from __future__ import annotations

import shutil
from pathlib import Path

from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.schema import EDITOR_LINE

SAMPLE = "harbour.yaml"  # the recipe of a sample folder


def write_starter(folder: Path) -> Path:
    """Fill a new or empty folder with samples, and return its recipe; raises GuidedStyleError if that fails."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        rule = "it is not empty" if folder.is_dir() else "it is a file"
        raise GuidedStyleError.of(folder, rule, "name a new folder")
    samples = _find_samples()
    try:
        shutil.copytree(samples / "recipes" / "images", folder / "images")
        shutil.copytree(samples / "masks", folder / "masks", ignore=shutil.ignore_patterns("*.md"))
        text = (samples / "recipes" / SAMPLE).read_text(encoding="utf-8")
        (folder / "recipe.yaml").write_text(EDITOR_LINE + "\n" + text.replace("../masks/", "masks/"), encoding="utf-8")
    except OSError as error:
        raise GuidedStyleError.of(folder, f"it cannot be written: {error}", "name another folder") from error
    return folder / "recipe.yaml"


def _find_samples() -> Path:
    """Find the samples in the installed package, or next to it in a working copy."""
    package = Path(__file__).parents[2]
    return next(root for root in (package / "starter", package.parent) if (root / "recipes").is_dir())
