"""Contact sheets: labelled images in rows, and the regions of a scene."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import making_folders
from guidedstyle.io.images.reading import fit_size
from guidedstyle.io.images.writing import save_image, to_pillow
from guidedstyle.masks.geometry import resize_mask
from guidedstyle.recipe.inputs import find_overwritten, identify, list_given
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.values import parse_colour
from guidedstyle.scene.scene import NEGLIGIBLE_SHARE, Scene
from guidedstyle.types import RGB, Array

CELL, MARGIN, LINE, SWATCH = 320, 10, 18, 10  # px: longest side of an image, gaps, line height, side of a swatch
OVERVIEW = 3 * CELL + 2 * MARGIN  # px, longest side: as wide as three images
LABEL_SIZE, NAME_SIZE = 14, 20  # of fonts
PAPER, INK = (255, 255, 255), (30, 30, 30)
MOST_COLUMNS = 6  # where a sheet has a single axis
TINT, KEPT_TINT = 0.55, 0.15  # opacity of a region's tint
TINTS = (  # Okabe & Ito 2008: distinguishable with colour blindness too
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
)

T = TypeVar("T")


class Cell(NamedTuple):
    """An image of a sheet, its label, and the colour of the swatch before the label, if any."""

    label: str
    image: Image.Image
    colour: RGB | None = None


Row = Sequence[Cell | tuple[str, Image.Image]]


def arrange(cells: Sequence[T], last: int) -> Iterator[Sequence[T]]:
    """Split cells into rows as long as the `last` axis, or as a sheet may be wide where that is the only axis."""
    lines = math.ceil(len(cells) / MOST_COLUMNS)
    width = last if last < len(cells) else math.ceil(len(cells) / max(1, lines))
    for start in range(0, len(cells), width):
        yield cells[start : start + width]


def make_sheet(rows: Sequence[Row], heading: Image.Image | None = None) -> Image.Image:
    """Lay labelled images out in rows, below a `heading` at its own size; images are scaled to CELL px."""
    strips = [_draw_row([Cell(*cell) for cell in row]) for row in rows]
    if heading:
        strips.insert(0, ImageOps.expand(heading, (MARGIN, 0, MARGIN, MARGIN), PAPER))
    size = max(strip.width for strip in strips), MARGIN + sum(strip.height for strip in strips)
    sheet, top = Image.new("RGB", size, PAPER), MARGIN
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _draw_row(cells: Sequence[Cell]) -> Image.Image:
    images = [cell.image.resize(fit_size(cell.image.size, CELL), Image.Resampling.LANCZOS) for cell in cells]
    indents = [SWATCH + 6 if cell.colour else 0 for cell in cells]
    labels = [list(_wrap(cell.label, CELL - indent)) for cell, indent in zip(cells, indents, strict=True)]
    top = LINE * max(map(len, labels)) + 4
    height = top + max(image.height for image in images) + MARGIN
    row = Image.new("RGB", (MARGIN + len(cells) * (CELL + MARGIN), height), PAPER)
    pen, font = ImageDraw.Draw(row), ImageFont.load_default(LABEL_SIZE)
    for index, (cell, image, indent, lines) in enumerate(zip(cells, images, indents, labels, strict=True)):
        left = MARGIN + index * (CELL + MARGIN)
        if cell.colour:
            pen.rectangle((left, 3, left + SWATCH, 3 + SWATCH), cell.colour)
        pen.multiline_text((left + indent, 0), "\n".join(lines), INK, font, spacing=4)
        row.paste(image, (left, top))
    return row


def _wrap(label: str, width: int) -> Iterator[str]:
    """Break a label into lines of at most `width` px, between words where possible."""
    font, line = ImageFont.load_default(LABEL_SIZE), ""
    for word in label.split(" "):
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            yield line
            longer = word
        while font.getlength(longer) > width:
            fits = next(end for end in range(len(longer), 0, -1) if font.getlength(longer[:end]) <= width)
            yield longer[:fits]
            longer = longer[fits:]
        line = longer
    yield line


def save_mask_sheet(scene: Scene, recipe: Path, file: Path, *, overwrite: bool = False) -> None:
    """Write the mask sheet of a scene.

    Raises GuidedStyleError where that would overwrite an input of the recipe or, unless `overwrite`, any other file
    that guidedstyle did not make.
    """
    if overwritten := find_overwritten(identify(list_given(scene.recipe, recipe)), [file]):
        raise GuidedStyleError.of("--output", overwritten, "choose another name (-o)")
    with making_folders([file]):
        save_image(draw_mask_sheet(scene), file, overwrite=overwrite)


def draw_mask_sheet(scene: Scene) -> Image.Image:
    """Draw the overview above a cell for every region and every style image."""
    overview, cells = draw_overview(scene), [*_draw_regions(scene), *_draw_style_images(scene)]
    columns = max(1, (overview.width + MARGIN) // (CELL + MARGIN))
    return make_sheet([cells[start : start + columns] for start in range(0, len(cells), columns)], overview)


def _draw_regions(scene: Scene) -> Iterator[Cell]:
    content, unused = to_pillow(scene.content), scene.shares[-1]
    for region, weight, share, colour in zip(
        scene.recipe.regions, scene.weights, scene.shares, _list_tints(scene), strict=False
    ):
        style = "kept" if region.keep else " + ".join(region.style)
        yield Cell(f"{region.name}: {style}, {share:.1%}", cut_out(content, weight, CELL), colour)
    if unused > NEGLIGIBLE_SHARE:
        yield Cell(f"no region: unchanged, {unused:.1%}", cut_out(content, scene.weights[-1], CELL))


def _draw_style_images(scene: Scene) -> Iterator[Cell]:
    for name, style_image in scene.style_images.items():
        used = f", {style_image.mask.mean():.1%} of it used" if scene.recipe.styles[name].mask else ""
        yield Cell(f"style {name}{used}", cut_out(to_pillow(style_image.image), style_image.mask, CELL))


def cut_out(image: Image.Image, weight: Array, longest: int) -> Image.Image:
    """Show an image, `longest` px, where it has weight (h, w), and a chequerboard elsewhere."""
    size = fit_size(image.size, longest)
    opacity = resize_mask(weight, size)[..., None]
    board = 225 + 20.0 * ((np.indices(size[::-1]) // 8).sum(0) % 2)[..., None]
    shown = np.asarray(image.resize(size), np.float32) * opacity + board * (1 - opacity)
    return Image.fromarray(shown.astype(np.uint8))


def tint(index: int, mask: Mask | None = None) -> RGB:
    """Return the colour of a region in previews: that of its mask if it has one."""
    return parse_colour(mask.colour) if mask and mask.colour else TINTS[index % len(TINTS)]


def _list_tints(scene: Scene) -> list[RGB]:
    return [tint(index, region.mask) for index, region in enumerate(scene.recipe.regions)]


def draw_overview(scene: Scene, longest: int = OVERVIEW) -> Image.Image:
    """Tint the grey content image by region weights, kept regions faintly over its colours, and hatch the rest."""
    content = to_pillow(scene.content)
    width, height = fit_size(content.size, longest)
    small = np.asarray(content.resize((width, height)), np.float32)
    weights = [resize_mask(weight, (width, height)) for weight in scene.weights]
    grey = small.mean(2, keepdims=True)
    mixed = (0.5 * small + 127 * _hatch(height, width)) * weights[-1][..., None]
    tints = _list_tints(scene)
    for region, weight, colour in zip(scene.recipe.regions, weights, tints, strict=False):
        opacity = KEPT_TINT if region.keep else TINT
        tinted = (1 - opacity) * (small if region.keep else grey) + opacity * np.array(colour, np.float32)
        mixed += tinted * weight[..., None]
    overview = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(overview)
    for region, weight, colour in zip(scene.recipe.regions, weights, tints, strict=False):
        if weight.any():
            _write_name(pen, region.name, _find_middle(weight), colour)
    return overview


def _hatch(height: int, width: int) -> Array:
    """Draw diagonal stripes (H, W, 1) of 0 and 1."""
    return np.asarray((np.indices((height, width)).sum(0) // 6 % 2)[..., None], np.float32)


def _find_middle(weight: Array) -> tuple[int, int]:
    """Find the point of a region (h, w) that is farthest from its edge, as (x, y)."""
    inside = cv2.copyMakeBorder((weight > 0.5 * weight.max()).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    y, x = np.unravel_index(int(cv2.distanceTransform(inside, cv2.DIST_L2, 3).argmax()), inside.shape)
    return int(x), int(y)


def _write_name(pen: ImageDraw.ImageDraw, name: str, middle: tuple[int, int], colour: RGB) -> None:
    """Write a name in a box around `middle`, moved into the image where it would cross an edge."""
    font = ImageFont.load_default(NAME_SIZE)
    half = font.getlength(name) / 2 + 7, NAME_SIZE / 2 + 4
    x, y = (
        max(MARGIN + length, min(place, side - MARGIN - length))
        for place, side, length in zip(middle, pen.im.size, half, strict=True)
    )
    pen.rounded_rectangle((x - half[0], y - half[1], x + half[0], y + half[1]), 5, PAPER, colour, 3)
    pen.text((x, y), name, INK, font, "mm")
