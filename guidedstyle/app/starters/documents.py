"""New layered documents to paint masks in, with their recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from guidedstyle.app.starters.recipes import check_images, check_name, write_mask_recipe
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import check_folder_path, making_folders, write_file
from guidedstyle.io.images.reading import read_image
from guidedstyle.io.layered.base import CONTENT_LAYER
from guidedstyle.io.layered.krita import write_krita
from guidedstyle.io.layered.layer import MARKER, VIEW_OPACITY
from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.io.layered.photoshop import write_photoshop
from guidedstyle.masks.segmentation import suggest_regions
from guidedstyle.recipe.model import LONGEST_REGION_NAME, MOST_REGIONS
from guidedstyle.results.sheets import tint
from guidedstyle.types import Pixels

DOCUMENTS = (".ora", ".psd", ".kra")


def begin_masks(content: Path, names: Sequence[str], *, styles: Sequence[Path], document: Path) -> Path:
    """Write a document with the content image and an empty layer for each region, and a recipe that uses it.

    Returns the file of the recipe; raises GuidedStyleError if a name cannot be used or a file exists already.
    """
    masks = dict.fromkeys(_check_names(names))
    _check_output(document)
    check_images([content])
    check_images(styles, "--style")
    return _write_masks(content, read_image(content), masks=masks, styles=styles, document=document)


def suggest_masks(content: Path, count: int, *, styles: Sequence[Path], document: Path) -> Path:
    """Write the same as `begin_masks`, with `count` suggested regions painted on the layers."""
    if not 2 <= count <= MOST_REGIONS:
        raise GuidedStyleError.of("--regions", f"{count} is not from 2 to {MOST_REGIONS}", "choose another number")
    _check_output(document)
    check_images([content])
    check_images(styles, "--style")
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
    layers = [(f"{CONTENT_LAYER} {MARKER}", image.convert("RGBA"))]
    layers += [(name, _paint_flat(mask, image.size, index)) for index, (name, mask) in enumerate(masks.items())]
    text = write_mask_recipe(recipe, content=content, names=list(masks), styles=styles, document=document.name)
    with making_folders([document]):
        _write_document(document, layers)
        write_file(recipe, text.encode())
    return recipe


def _write_document(document: Path, layers: Sequence[tuple[str, Image.Image]]) -> None:
    """Write layers above the content image so that it can be seen through them; the marker says that this is all."""
    opacities = [1.0, *([VIEW_OPACITY] * (len(layers) - 1))]
    if document.suffix.lower() == ".psd":
        write_photoshop(document, layers, opacities)
        return
    merged = layers[0][1].copy()
    for _, layer in layers[1:]:
        seen = layer.getchannel("A").point(lambda alpha: round(alpha * VIEW_OPACITY))
        merged.paste(layer.convert("RGB"), mask=seen)
    write = write_krita if document.suffix.lower() == ".kra" else write_openraster
    write(document, layers, merged.convert("RGB"), opacities)


def _check_output(document: Path) -> None:
    if document.suffix.lower() not in DOCUMENTS:
        raise GuidedStyleError.of("--output", f"{document.name!r} is not a layered document", "use .ora, .psd or .kra")
    check_folder_path(document.parent, "--output")
    for file in (document, document.with_suffix(".yaml")):
        check_name(file)
        if file.exists():
            raise GuidedStyleError.of("--output", f"{file} exists already", "choose another name, or remove it")


def _paint_flat(mask: Pixels | None, size: tuple[int, int], index: int) -> Image.Image:
    """Paint a mask on a transparent layer, in a colour chosen by `index`; without a mask the layer is empty."""
    if mask is None:
        return Image.new("RGBA", size)
    layer = Image.new("RGBA", size, tint(index))
    layer.putalpha(Image.fromarray(mask))
    return layer
