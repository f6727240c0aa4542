"""Texts of new recipes: a line for editors, comments, file names relative to the recipe, names of styles."""

from __future__ import annotations

import shlex
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import MappingProxyType

from guidedstyle.errors import HIDDEN, GuidedStyleError, Problem
from guidedstyle.io.images.samples import read_frame
from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.recipe.loading.loader import relate_path
from guidedstyle.recipe.schema import EDITOR_LINE
from guidedstyle.recipe.values import is_too_long

COLUMN = 31  # where comments begin
LONGEST_STYLE_NAME = 40
TAKEN = ("rest", "all", "style")  # words of recipes

MASK_HEAD = """\
# 1. Paint every region on its own layer of {document}, in any colour: opaque pixels are the region. Save.
# 2. Name your style images below, and give every region one.
# 3. Check the masks:  guidedstyle mask show {recipe} -o sheet.png
# 4. guidedstyle render {recipe}    (while you paint:  guidedstyle watch {recipe})
"""

FIRST_HEAD = """\
# guidedstyle render {recipe}    renders this recipe again
# guidedstyle watch {recipe}     shows the effect of every change when it is saved
"""
FIRST_TAIL = """
# Other styles in other places: paint a mask for each region in Krita or GIMP, in the document that this makes:
#   guidedstyle mask new {content} --regions sky,land -o {document} {styles}
"""
PAINTED = "painted"  # the region where a mask is white
SIZE = "longest side in px; without this line the photo's own"
MIX = "several by weights: {one: 0.7, other: 0.3}"
KNOBS: dict[str, tuple[object, str]] = {  # keys worth changing: an example and what it does
    "strength": (2, "more of the painting; below 1: less"),
    "content_strength": (2, "keep more of the photo's shapes"),
    "colour": ("content", "the photo's own colours; match: the painting's strokes, recoloured to the photo"),
    "octaves": ("coarse", "larger forms of the painting; fine: only its small strokes"),
    "solver": ({"steps": 300}, "more steps take longer and come closer to the painting"),
}
NOTHING: Mapping[str, object] = MappingProxyType({})


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


def write_first_recipe(
    recipe: Path,
    *,
    content: Path,
    styles: Sequence[Path],
    mask: Path | None = None,
    output: Path | None = None,
    values: Mapping[str, object] = NOTHING,
) -> str:
    """Write a recipe to begin with: style images for the whole content image, or for what is white in a mask.

    `output` is written where it is not the recipe's default. Keys without one of the `values` stand in comments.
    """
    style_images = name_styles(styles)
    weights = Counter(styles)
    mixed = quote_data({name: weights[file] for name, file in style_images.items()})
    style = mixed if len(style_images) > 1 else next(iter(style_images))
    lines = [EDITOR_LINE, FIRST_HEAD.format(recipe=shlex.quote(recipe.name))]
    lines.append(f"content: {_relate(content, recipe)}")
    lines += [comment(f"size: {values['size']}", SIZE)] if "size" in values else []
    lines += [f"output: {quote(output.name)}"] if output and output.name != recipe.with_suffix(".png").name else []
    lines += [comment("styles:", "style images, by names of your choice"), *_list_styles(style_images, recipe)]
    lines += _write_painted(mask, style, recipe) if mask else [comment(f"style: {style}", MIX)]
    lines += ["", "# More to change; a line without its # counts:"]
    for key, (example, about) in KNOBS.items():
        mark = "" if key in values else "# "
        lines.append(comment(f"{mark}{key}: {quote_data(values.get(key, example))}", about))
    document = shlex.quote(f"{recipe.stem}-masks.ora")
    photo, *paintings = (shlex.quote(str(relate_path(file, recipe.parent))) for file in (content, *styles))
    given = " ".join(f"--style {painting}" for painting in paintings)
    lines.append(FIRST_TAIL.format(content=photo, document=document, styles=given))
    return "\n".join(lines)


def _write_painted(mask: Path, style: str, recipe: Path) -> list[str]:
    """Write the regions of a recipe whose styles go where a mask is white."""
    return [
        comment("regions:", "back to front, like layers in an image editor"),
        comment("  - {name: kept, mask: rest, keep: true}", "the photo's own pixels"),
        f"  - {{name: {PAINTED}, mask: {_relate(mask, recipe)}, style: {style}}}",
    ]


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
    return f"{text:{COLUMN - 2}}  # {about}"


def quote_data(data: object) -> str:
    """Write data as YAML on one line."""
    return write_yaml([data], in_line=True).strip()[1:-1]


def quote(text: object) -> str:
    """Write a text as YAML, quoted if necessary."""
    return quote_data(str(text))


def check_name(file: Path) -> None:
    """Raise GuidedStyleError if a new file cannot have this name."""
    if is_too_long(file):
        raise GuidedStyleError.of("--output", f"the name {file.name} is too long", "choose a shorter one")
    if HIDDEN.search(file.name):
        raise GuidedStyleError.of("--output", f"{file.name!r} contains invisible characters", "choose another name")


def check_images(files: Iterable[Path], place: str = "", remedy: str = "check the name and the folder") -> None:
    """Raise GuidedStyleError with the errors of all files that a recipe cannot name as images.

    `place` is the option that names them, `remedy` that of a missing file.
    """
    problems = list[Problem]()
    for file in dict.fromkeys(files):
        try:
            if not file.is_file():
                raise GuidedStyleError.of(place or file, f"there is no file {file}", remedy)
            if HIDDEN.search(str(file)):
                raise GuidedStyleError.of(place or file, "its name contains invisible characters", "rename it")
            read_frame(file)
        except GuidedStyleError as error:
            problems += error.problems
    if problems:
        raise GuidedStyleError(problems)
