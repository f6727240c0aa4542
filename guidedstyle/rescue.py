"""A picture that was rendered is written somewhere, whatever became of its place meanwhile."""

from __future__ import annotations

import tempfile
from pathlib import Path

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import make_folder
from guidedstyle.progress import Style
from guidedstyle.report import print_failure, print_notes
from guidedstyle.result import Result


def save_or_rescue(result: Result, style: Style) -> bool:
    """Write a picture where it belongs, or else where files are kept for a while, and tell so.

    Returns whether it is where it belongs; raises GuidedStyleError where it can be nowhere.
    """
    output = result.scene.recipe.output
    try:
        if not output.parent.is_dir():
            make_folder(output.parent, "output")
            if style == "shown":
                print_notes([f"the folder {output.parent} was removed meanwhile, and is made anew"])
        result.save()
    except GuidedStyleError as error:
        print_failure(f"{output} is not written, but kept as {_rescue(result, error)}", str(error))
        return False
    return True


def _rescue(result: Result, error: GuidedStyleError) -> Path:
    try:
        return result.save(Path(tempfile.mkdtemp(prefix="guidedstyle-")) / result.scene.recipe.output.name)
    except (OSError, GuidedStyleError):
        raise error from None
