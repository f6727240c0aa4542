"""Texts of new recipes: a line for editors, comments, file names relative to the recipe, names of styles."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.recipe.loading.loader import relate_path
from guidedstyle.recipe.schema import EDITOR_LINE

COLUMN = 31  # where comments begin
LONGEST_STYLE_NAME = 40
TAKEN = ("rest", "all", "style")  # words of recipes

MASK_HEAD = """\
# 1. Paint every region on its own layer of {document}, in any colour: opaque pixels are the region. Save.
# 2. Name your style images below.
# 3. Check the masks:  guidedstyle mask show {recipe} -o sheet.png
# 4. guidedstyle render {recipe}
"""


def name_styles(files: Iterable[Path]) -> dict[str, Path]:
    """Name style images after their files; each file gets one name, in the order given."""
    names = dict[str, Path]()
    for file in dict.fromkeys(files):
        names[_number(make_name(file.stem), names)] = file
    return names


def make_name(text: str, instead: str = "style") -> str:
    """Turn a text into a name of letters, digits, - and _ that YAML reads as text; `instead` begins one that it is not.

    Of at most LONGEST_STYLE_NAME characters.
    """
    composed = unicodedata.normalize("NFC", text)
    kept = (letter if letter in "-_" or unicodedata.category(letter)[0] in "LMN" else " " for letter in composed)
    name = "_".join("".join(kept).split())[:LONGEST_STYLE_NAME].strip("-_")
    return name if name and name not in TAKEN and quote(name) == name else f"{instead}_{name}".strip("-_")


def _number(name: str, taken: Collection[str]) -> str:
    """Add a number to a name that is taken already, in whatever case."""
    known = {one.casefold() for one in taken}
    candidates = (name if number == 1 else f"{name}_{number}" for number in count(1))
    return next(candidate for candidate in candidates if candidate.casefold() not in known)


def write_mask_recipe(
    recipe: Path, *, content: Path, names: Sequence[str], styles: Sequence[Path], document: str
) -> str:
    """Write a recipe whose regions are the layers of a document, with the style images in turn."""
    style_images = name_styles(styles) or {"painting": recipe.parent / "painting.jpg"}
    lines = [EDITOR_LINE, MASK_HEAD.format(document=document, recipe=recipe.name)]
    lines += [f"content: {_relate(content, recipe)}", f"masks: {quote(document)}", "", "styles:"]
    lines += _list_styles(style_images, recipe)
    lines += ["", comment("regions:", "back to front, as the layers")]
    by_file = {file: name for name, file in style_images.items()}
    used = [by_file[style] for style in styles] or list(style_images)
    for index, name in enumerate(names):
        style = used[index % len(used)]
        lines.append(f"  - {{name: {quote(name)}, mask: {{layer: {quote(name)}}}, style: {style}}}")
    return "\n".join(lines) + "\n"


def _list_styles(style_images: Mapping[str, Path], recipe: Path) -> Iterator[str]:
    return (f"  {name}: {_relate(file, recipe)}" for name, file in style_images.items())


def _relate(file: Path, recipe: Path) -> str:
    return quote(relate_path(file, recipe.parent))


def comment(text: str, about: str) -> str:
    """Write a line of a recipe with a comment."""
    return f"{text:{COLUMN - 1}} # {about}"


def quote(text: object) -> str:
    """Write a text as YAML, quoted if necessary."""
    return write_yaml([str(text)], in_line=True).strip()[1:-1]
