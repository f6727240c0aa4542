"""One run of `compare`: a sheet of pictures, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from guidedstyle.comparison import Comparison, compare_pictures, is_file
from guidedstyle.contact_sheet import make_sheet
from guidedstyle.errors import DONE, GuidedStyleError
from guidedstyle.io.images import save_picture
from guidedstyle.recipe.files import find_overwritten, identify
from guidedstyle.report import print_comparison, print_json
from guidedstyle.variants import arrange


def run_compare(files: Sequence[Path], sheet: Path, as_json: bool) -> int:
    """Compare pictures, write their sheet, print what differs, and return the exit code."""
    comparison = compare_pictures(files)
    save_comparison(comparison, sheet)
    if as_json:
        print_json(describe_comparison(comparison, sheet))
    else:
        print_comparison(comparison, sheet)
    return DONE


def save_comparison(comparison: Comparison, sheet: Path) -> None:
    """Lay the pictures out, numbered; raises GuidedStyleError where the sheet would overwrite what it is made of."""
    if overwritten := find_overwritten(identify((str(file), file) for file in _list_files(comparison)), [sheet]):
        raise GuidedStyleError.of("--output", overwritten, "choose another name (-o)")
    cells = [(f"{number} {one.file.name}", one.picture) for number, one in enumerate(comparison.pictures, 1)]
    save_picture(make_sheet(list(arrange(cells, len(cells)))), sheet)


def _list_files(comparison: Comparison) -> Iterator[Path]:
    """List the pictures, and the files that those were made of."""
    for picture in comparison.pictures:
        yield picture.file
        recipe = picture.known.get("recipe", {})
        yield from (Path(value) for key, value in recipe.items() if is_file(key.split("."), value))


def describe_comparison(comparison: Comparison, sheet: Path) -> dict[str, object]:
    """Describe a comparison for programs: every list has an entry for each picture, null where it has no such value."""
    pictures = [{"file": str(picture.file), "recipe": picture.source} for picture in comparison.pictures]
    return {"pictures": pictures, "sheet": str(sheet), **comparison.sections}
