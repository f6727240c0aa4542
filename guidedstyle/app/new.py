"""New documents for style image masks, new recipes, sample folders."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from guidedstyle.errors import HIDDEN, GuidedStyleError
from guidedstyle.io.files import explaining_errors, write_file
from guidedstyle.io.images import read_frame, read_image
from guidedstyle.io.layered.base import CONTENT_LAYER
from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.io.layered.photoshop import write_photoshop
from guidedstyle.masks.segmentation import suggest_regions
from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.recipe.loading.loader import relate_path
from guidedstyle.recipe.model import LONGEST_REGION_NAME, MOST_REGIONS
from guidedstyle.recipe.values import is_too_long
from guidedstyle.results.sheets import tint
from guidedstyle.types import Pixels

DOCUMENTS = (".ora", ".psd")

HEAD = """\
# 1. Paint every region on its own layer of {document}, in any colour; what is opaque is the region. Save.
# 2. Name your style images below.
# 3. Look at what was understood:  guidedstyle masks {recipe} -o sheet.png
# 4. guidedstyle render {recipe}
"""


def begin_masks(photo: Path, names: Sequence[str], styles: Sequence[Path], document: Path) -> Path:
    """Write a document with the content image and an empty layer for each region, and the recipe that uses it.

    Returns the recipe's file; raises GuidedStyleError where a name cannot be used or a file is there already.
    """
    masks = dict.fromkeys(_check_names(names))
    _check_places(document)
    _check_style_images(styles)
    return _write_masks(photo, read_image(photo), masks, styles, document)


def suggest_masks(photo: Path, count: int, styles: Sequence[Path], document: Path) -> Path:
    """Write the same with a first guess at `count` regions painted in."""
    if not 2 <= count <= MOST_REGIONS:
        raise GuidedStyleError.of("--regions", f"{count} is not from 2 to {MOST_REGIONS}", "choose another number")
    _check_places(document)
    _check_style_images(styles)
    picture = read_image(photo)
    masks = {f"region {index}": mask for index, mask in enumerate(suggest_regions(np.asarray(picture), count), 1)}
    return _write_masks(photo, picture, masks, styles, document)


def _check_names(names: Sequence[str]) -> list[str]:
    cleaned = [name.strip() for name in names]
    unfit = [name for name in cleaned if not 1 <= len(name) <= LONGEST_REGION_NAME or not name.isprintable()]
    if unfit or len(set(cleaned)) < len(cleaned) or {CONTENT_LAYER, "rest"} & set(cleaned):
        remedy = f"give each its own name, and none {CONTENT_LAYER} or rest: --regions sky,sea,boat"
        raise GuidedStyleError.of("--regions", f"{','.join(names)!r} does not name regions", remedy)
    if len(cleaned) > MOST_REGIONS:
        raise GuidedStyleError.of("--regions", f"{len(cleaned)} regions are too many", f"name at most {MOST_REGIONS}")
    return cleaned


def _write_masks(
    photo: Path, picture: Image.Image, masks: Mapping[str, Pixels | None], styles: Sequence[Path], document: Path
) -> Path:
    recipe = document.with_suffix(".yaml")
    layers = [(CONTENT_LAYER, picture.convert("RGBA"))]
    layers += [(name, _paint_flat(mask, picture.size, index)) for index, (name, mask) in enumerate(masks.items())]
    if document.suffix.lower() == ".psd":
        write_photoshop(document, layers)
    else:
        write_openraster(document, layers, picture)
    write_file(recipe, _write_recipe(photo, list(masks), styles, recipe, document.name).encode())
    return recipe


def _check_places(document: Path) -> None:
    if document.suffix.lower() not in DOCUMENTS:
        raise GuidedStyleError.of("--output", f"{document.name!r} is no layered document", "let it end in .ora or .psd")
    with explaining_errors(document, "it cannot be written"):
        document.parent.stat()
    for file in (document, document.with_suffix(".yaml")):
        if is_too_long(file):
            raise GuidedStyleError.of("--output", f"{file.name} is too long for a name", "choose a shorter one")
        if HIDDEN.search(file.name):
            raise GuidedStyleError.of("--output", f"{file.name!r} holds what cannot be seen", "choose a plain name")
        if file.exists():
            raise GuidedStyleError.of("--output", f"{file} is there already", "choose another name, or remove it")


def _check_style_images(styles: Sequence[Path]) -> None:
    for style in styles:
        if not style.is_file():
            raise GuidedStyleError.of("--style", f"there is no file {style}", "check the name and the folder")
        read_frame(style)


def _paint_flat(mask: Pixels | None, size: tuple[int, int], index: int) -> Image.Image:
    """Paint a mask in a colour of its own on a transparent layer; none leaves it empty."""
    if mask is None:
        return Image.new("RGBA", size)
    layer = Image.new("RGBA", size, tint(index))
    layer.putalpha(Image.fromarray(mask))
    return layer


def _write_recipe(photo: Path, names: Sequence[str], styles: Sequence[Path], recipe: Path, document: str) -> str:
    style_images = {f"style{index}" if len(styles) > 1 else "painting": style for index, style in enumerate(styles, 1)}
    style_images = style_images or {"painting": recipe.parent / "painting.jpg"}
    lines = [HEAD.format(document=document, recipe=recipe.name)]
    lines += [f"content: {_quote(relate_path(photo, recipe.parent))}", f"masks: {_quote(document)}", "", "styles:"]
    lines += [f"  {name}: {_quote(relate_path(style, recipe.parent))}" for name, style in style_images.items()]
    lines += ["", "regions:                         # back to front, as the layers"]
    for index, name in enumerate(names):
        style = list(style_images)[index % len(style_images)]
        lines.append(f"  - {{name: {_quote(name)}, mask: {{layer: {_quote(name)}}}, style: {style}}}")
    return "\n".join(lines) + "\n"


def _quote(text: object) -> str:
    """Write a text as YAML, quoted where it has to be."""
    return write_yaml([str(text)], in_line=True).strip()[1:-1]


RECIPE = "harbour.yaml"


def write_starter(folder: Path) -> Path:
    """Fill a new or empty folder and return its recipe; raises GuidedStyleError where that cannot be done."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        rule = "it is not empty" if folder.is_dir() else "it is a file"
        raise GuidedStyleError.of(folder, rule, "name a new folder")
    samples = _find_samples()
    try:
        shutil.copytree(samples / "recipes" / "images", folder / "images")
        shutil.copytree(samples / "masks", folder / "masks", ignore=shutil.ignore_patterns("*.md"))
        text = (samples / "recipes" / RECIPE).read_text(encoding="utf-8")
        (folder / "recipe.yaml").write_text(text.replace("../masks/", "masks/"), encoding="utf-8")
    except OSError as error:
        raise GuidedStyleError.of(folder, f"it cannot be written: {error}", "name another folder") from error
    return folder / "recipe.yaml"


def _find_samples() -> Path:
    """Find the samples: in the installed package, or beside it in a working copy."""
    package = Path(__file__).parents[1]
    return next(root for root in (package / "starter", package.parent) if (root / "recipes").is_dir())
