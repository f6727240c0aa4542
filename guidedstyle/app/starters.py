"""New layered documents with their recipes, and sample folders."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from guidedstyle.errors import HIDDEN, GuidedStyleError
from guidedstyle.io.files import explaining_errors, write_file
from guidedstyle.io.images.reading import read_frame, read_image
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
SAMPLE = "harbour.yaml"  # the recipe of a sample folder

HEAD = """\
# 1. Paint every region on its own layer of {document}, in any colour: opaque pixels are the region. Save.
# 2. Name your style images below.
# 3. Check the masks:  guidedstyle masks {recipe} -o sheet.png
# 4. guidedstyle render {recipe}
"""


def begin_masks(content: Path, names: Sequence[str], *, styles: Sequence[Path], document: Path) -> Path:
    """Write a document with the content image and an empty layer for each region, and a recipe that uses it.

    Returns the file of the recipe; raises GuidedStyleError if a name cannot be used or a file exists already.
    """
    masks = dict.fromkeys(_check_names(names))
    _check_output(document)
    _check_style_images(styles)
    return _write_masks(content, read_image(content), masks=masks, styles=styles, document=document)


def suggest_masks(content: Path, count: int, *, styles: Sequence[Path], document: Path) -> Path:
    """Write the same as `begin_masks`, with `count` suggested regions painted on the layers."""
    if not 2 <= count <= MOST_REGIONS:
        raise GuidedStyleError.of("--regions", f"{count} is not from 2 to {MOST_REGIONS}", "choose another number")
    _check_output(document)
    _check_style_images(styles)
    image = read_image(content)
    masks = {f"region {index}": mask for index, mask in enumerate(suggest_regions(np.asarray(image), count), 1)}
    return _write_masks(content, image, masks=masks, styles=styles, document=document)


def _check_names(names: Sequence[str]) -> list[str]:
    cleaned = [name.strip() for name in names]
    invalid = [name for name in cleaned if not 1 <= len(name) <= LONGEST_REGION_NAME or not name.isprintable()]
    if invalid or len(set(cleaned)) < len(cleaned) or {CONTENT_LAYER, "rest"} & set(cleaned):
        remedy = f"give each its own name, and none {CONTENT_LAYER} or rest: --regions sky,sea,boat"
        raise GuidedStyleError.of("--regions", f"{','.join(names)!r} does not name regions", remedy)
    if len(cleaned) > MOST_REGIONS:
        raise GuidedStyleError.of("--regions", f"{len(cleaned)} regions are too many", f"name at most {MOST_REGIONS}")
    return cleaned


def _write_masks(
    content: Path,
    image: Image.Image,
    *,
    masks: Mapping[str, Pixels | None],
    styles: Sequence[Path],
    document: Path,
) -> Path:
    """Write the document of a content image, with a layer for each mask by its name, and its recipe."""
    recipe = document.with_suffix(".yaml")
    layers = [(CONTENT_LAYER, image.convert("RGBA"))]
    layers += [(name, _paint_flat(mask, image.size, index)) for index, (name, mask) in enumerate(masks.items())]
    if document.suffix.lower() == ".psd":
        write_photoshop(document, layers)
    else:
        write_openraster(document, layers, image)
    text = _write_recipe(recipe, content=content, names=list(masks), styles=styles, document=document.name)
    write_file(recipe, text.encode())
    return recipe


def _check_output(document: Path) -> None:
    if document.suffix.lower() not in DOCUMENTS:
        raise GuidedStyleError.of("--output", f"{document.name!r} is not a layered document", "use .ora or .psd")
    with explaining_errors(document, "it cannot be written"):
        document.parent.stat()
    for file in (document, document.with_suffix(".yaml")):
        if is_too_long(file):
            raise GuidedStyleError.of("--output", f"the name {file.name} is too long", "choose a shorter one")
        if HIDDEN.search(file.name):
            raise GuidedStyleError.of("--output", f"{file.name!r} contains invisible characters", "choose another name")
        if file.exists():
            raise GuidedStyleError.of("--output", f"{file} exists already", "choose another name, or remove it")


def _check_style_images(styles: Sequence[Path]) -> None:
    for style in styles:
        if not style.is_file():
            raise GuidedStyleError.of("--style", f"there is no file {style}", "check the name and the folder")
        read_frame(style)


def _paint_flat(mask: Pixels | None, size: tuple[int, int], index: int) -> Image.Image:
    """Paint a mask on a transparent layer, in a colour chosen by `index`; without a mask the layer is empty."""
    if mask is None:
        return Image.new("RGBA", size)
    layer = Image.new("RGBA", size, tint(index))
    layer.putalpha(Image.fromarray(mask))
    return layer


def _write_recipe(recipe: Path, *, content: Path, names: Sequence[str], styles: Sequence[Path], document: str) -> str:
    """Write the text of a new recipe, whose regions are the layers of a document, with the styles in turn."""
    style_images = {f"style{index}" if len(styles) > 1 else "painting": style for index, style in enumerate(styles, 1)}
    style_images = style_images or {"painting": recipe.parent / "painting.jpg"}
    lines = [HEAD.format(document=document, recipe=recipe.name)]
    lines += [f"content: {_quote(relate_path(content, recipe.parent))}", f"masks: {_quote(document)}", "", "styles:"]
    lines += [f"  {name}: {_quote(relate_path(style, recipe.parent))}" for name, style in style_images.items()]
    lines += ["", "regions:                         # back to front, as the layers"]
    for index, name in enumerate(names):
        style = list(style_images)[index % len(style_images)]
        lines.append(f"  - {{name: {_quote(name)}, mask: {{layer: {_quote(name)}}}, style: {style}}}")
    return "\n".join(lines) + "\n"


def _quote(text: object) -> str:
    """Write a text as YAML, quoted if necessary."""
    return write_yaml([str(text)], in_line=True).strip()[1:-1]


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
        (folder / "recipe.yaml").write_text(text.replace("../masks/", "masks/"), encoding="utf-8")
    except OSError as error:
        raise GuidedStyleError.of(folder, f"it cannot be written: {error}", "name another folder") from error
    return folder / "recipe.yaml"


def _find_samples() -> Path:
    """Find the samples in the installed package, or next to it in a working copy."""
    package = Path(__file__).parents[1]
    return next(root for root in (package / "starter", package.parent) if (root / "recipes").is_dir())
