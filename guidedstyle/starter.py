"""A folder to start from: a commented recipe with its sample pictures and masks."""

from __future__ import annotations

import shutil
from pathlib import Path

from guidedstyle.errors import GuidedStyleError

RECIPE = "harbour.yaml"


def write_starter(folder: Path) -> Path:
    """Fill a new or empty folder and return its recipe; raises GuidedStyleError where that cannot be done."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        rule = "it is not empty" if folder.is_dir() else "it is a file"
        raise GuidedStyleError.of(folder, rule, "name a new folder")
    samples = _find_samples()
    try:
        shutil.copytree(samples / "recipes" / "images", folder / "images")
        shutil.copytree(samples / "masks", folder / "masks")
        text = (samples / "recipes" / RECIPE).read_text(encoding="utf-8")
        (folder / "recipe.yaml").write_text(text.replace("../masks/", "masks/"), encoding="utf-8")
    except OSError as error:
        raise GuidedStyleError.of(folder, f"it cannot be written: {error}", "name another folder") from error
    return folder / "recipe.yaml"


def _find_samples() -> Path:
    """Find the samples: in the installed package, or beside it in a working copy."""
    package = Path(__file__).parent
    return next(root for root in (package / "starter", package.parent) if (root / "recipes").is_dir())
