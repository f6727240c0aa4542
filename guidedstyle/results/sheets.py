"""Contact sheets of images and of masks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images import fit_size, save_image, to_pillow
from guidedstyle.masks.geometry import resize_mask
from guidedstyle.recipe.files import find_overwritten, identify, list_given
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.values import parse_colour
from guidedstyle.scene.scene import FAINT, Scene
from guidedstyle.types import RGB, Array

CELL, MARGIN, LINE = 320, 10, 18  # px
FONT_SIZE = 14
PAPER, INK = "white", (30, 30, 30)

Row = Sequence[tuple[str, Image.Image]]  # labels and images


def make_sheet(rows: Sequence[Row]) -> Image.Image:
    """Lay labelled images out in rows."""
    drawn = [_draw_row(row) for row in rows]
    width = max(row.width for row in drawn)
    sheet = Image.new("RGB", (width, sum(row.height for row in drawn) + MARGIN), PAPER)
    top = MARGIN
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _draw_row(row: Row) -> Image.Image:
    pictures, labels = [_fit(picture) for _, picture in row], [list(_wrap(label)) for label, _ in row]
    above = LINE * max(len(lines) for lines in labels) + 4
    height = max(picture.height for picture in pictures) + above + MARGIN
    drawn = Image.new("RGB", (len(row) * (CELL + MARGIN) + MARGIN, height), PAPER)
    pen = ImageDraw.Draw(drawn)
    for index, (lines, picture) in enumerate(zip(labels, pictures, strict=True)):
        left = MARGIN + index * (CELL + MARGIN)
        pen.multiline_text((left, 0), "\n".join(lines), INK, ImageFont.load_default(FONT_SIZE), spacing=4)
        drawn.paste(picture, (left, above))
    return drawn


def _wrap(label: str) -> Iterator[str]:
    """Break a label into lines as wide as an image, between words where that can be."""
    font, line = ImageFont.load_default(FONT_SIZE), ""
    for word in label.split(" "):
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > CELL:
            yield line
            longer = word
        while font.getlength(longer) > CELL:
            fits = next(end for end in range(len(longer), 0, -1) if font.getlength(longer[:end]) <= CELL)
            yield longer[:fits]
            longer = longer[fits:]
        line = longer
    yield line


def _fit(picture: Image.Image) -> Image.Image:
    width, height = (max(1, round(side * CELL / max(picture.size))) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


OVERVIEW, PANEL, GAP, CAPTION, SHEET_MARGIN = 1000, 320, 16, 26, 10  # px
TINT, KEPT_TINT = 0.55, 0.15
SHEET_PAPER, SHEET_INK = (255, 255, 255), (30, 30, 30)
TINTS = (  # Okabe & Ito 2008, told apart by the colour-blind too
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
)


def save_sheet(scene: Scene, recipe: Path, file: Path) -> None:
    """Draw the sheet into a file; raises GuidedStyleError where that would overwrite what the recipe is made of."""
    if overwritten := find_overwritten(identify(list_given(scene.recipe, recipe)), [file]):
        raise GuidedStyleError.of("--output", overwritten, "choose another name (-o)")
    save_image(draw_sheet(scene), file)


def draw_sheet(scene: Scene) -> Image.Image:
    """Draw the overview above a panel for every region and for every style image of which only a part is used."""
    overview = draw_overview(scene)
    panels = [*_draw_regions(scene), *_draw_style_images(scene)]
    columns = max(1, (overview.width + GAP) // (PANEL + GAP))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    height = overview.height + sum(max(panel.height for panel in row) + GAP for row in rows)
    sheet = Image.new("RGB", (overview.width + 2 * GAP, height + 2 * GAP), SHEET_PAPER)
    sheet.paste(overview, (GAP, GAP))
    top = 2 * GAP + overview.height
    for row in rows:
        for column, panel in enumerate(row):
            sheet.paste(panel, (GAP + column * (PANEL + GAP), top))
        top += max(panel.height for panel in row) + GAP
    return sheet


def tint(index: int, mask: Mask | None = None) -> RGB:
    """Return the colour in which a region is shown: that of its mask if it has one."""
    return parse_colour(mask.colour) if mask and mask.colour else TINTS[index % len(TINTS)]


def draw_overview(scene: Scene, longest: int = OVERVIEW) -> Image.Image:
    """Tint the grey content image by region weights, kept ones faintly and in colour; uncovered pixels hatched."""
    photograph = to_pillow(scene.content)
    width, height = fit_size(photograph.size, longest)
    small = np.asarray(photograph.resize((width, height)), np.float32)
    weights = [resize_mask(weight, (width, height)) for weight in scene.weights]
    grey = small.mean(2, keepdims=True)
    mixed = (0.5 * small + 127 * _hatch(height, width)) * weights[-1][..., None]
    for index, region in enumerate(scene.recipe.regions):
        share = KEPT_TINT if region.keep else TINT
        tinted = (1 - share) * (small if region.keep else grey) + share * np.array(tint(index, region.mask), np.float32)
        mixed += tinted * weights[index][..., None]
    picture = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for index, region in enumerate(scene.recipe.regions):
        _write_name(draw, region.name, _find_middle(weights[index]), tint(index, region.mask))
    return picture


def _hatch(height: int, width: int) -> Array:
    """Draw slanting stripes (H, W, 1) of 0 and 1."""
    return np.asarray((np.indices((height, width)).sum(0) // 6 % 2)[..., None], np.float32)


def _find_middle(weight: Array) -> tuple[int, int]:
    """Find the point of a region that lies deepest within it."""
    inside = cv2.copyMakeBorder((weight > 0.5 * weight.max()).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    y, x = np.unravel_index(int(cv2.distanceTransform(inside, cv2.DIST_L2, 3).argmax()), inside.shape)
    return int(x), int(y)


def _write_name(draw: ImageDraw.ImageDraw, name: str, middle: tuple[int, int], colour: RGB) -> None:
    font, (width, height) = ImageFont.load_default(20), draw.im.size
    left, top, right, bottom = draw.textbbox(middle, name, font, "mm")
    x = middle[0] + min(0, width - right - SHEET_MARGIN) + max(0, SHEET_MARGIN - left)
    y = middle[1] + min(0, height - bottom - SHEET_MARGIN) + max(0, SHEET_MARGIN - top)
    left, top, right, bottom = draw.textbbox((x, y), name, font, "mm")
    draw.rounded_rectangle((left - 7, top - 5, right + 7, bottom + 5), 5, SHEET_PAPER, colour, 3)
    draw.text((x, y), name, SHEET_INK, font, "mm")


def _draw_regions(scene: Scene) -> Iterator[Image.Image]:
    photograph = to_pillow(scene.content)
    for index, region in enumerate(scene.recipe.regions):
        caption = f"{region.name}: {'kept' if region.keep else ' + '.join(region.style)}, {scene.shares[index]:.1%}"
        yield _draw_panel(photograph, scene.weights[index], caption, tint(index, region.mask))
    if scene.shares[-1] > FAINT:
        yield _draw_panel(
            photograph, scene.weights[-1], f"no region: stays as it is, {scene.shares[-1]:.1%}", SHEET_PAPER
        )


def _draw_style_images(scene: Scene) -> Iterator[Image.Image]:
    for name, style_image in scene.style_images.items():
        part = f", {style_image.mask.mean():.1%} of its style image" if scene.recipe.styles[name].mask else ""
        yield _draw_panel(to_pillow(style_image.image), style_image.mask, f"style {name}{part}", SHEET_PAPER)


def _draw_panel(picture: Image.Image, weight: Array, caption: str, colour: Sequence[int]) -> Image.Image:
    """Show an image where it has weight, and a caption below."""
    shown = cut_out(picture, weight, PANEL)
    panel = Image.new("RGB", (PANEL, shown.height + CAPTION), SHEET_PAPER)
    panel.paste(shown, (0, 0))
    draw = ImageDraw.Draw(panel)
    draw.rectangle((0, shown.height + 6, 10, shown.height + 20), tuple(colour))
    draw.text((16, shown.height + 4), _shorten(draw, caption), SHEET_INK, ImageFont.load_default(15))
    return panel


def cut_out(picture: Image.Image, weight: Array, longest: int) -> Image.Image:
    """Show an image where it has weight (h, w), a chequered ground elsewhere, its longest side `longest` px."""
    size = fit_size(picture.size, longest)
    opacity = resize_mask(weight, size)[..., None]
    board = 225 + 20.0 * ((np.indices(size[::-1]) // 8).sum(0) % 2)[..., None]
    shown = np.asarray(picture.resize(size), np.float32) * opacity + board * (1 - opacity)
    return Image.fromarray(shown.astype(np.uint8))


def _shorten(draw: ImageDraw.ImageDraw, text: str) -> str:
    font = ImageFont.load_default(15)
    if draw.textlength(text, font) <= PANEL - 16:
        return text
    while draw.textlength(f"{text}…", font) > PANEL - 16:
        text = text[:-1]
    return f"{text}…"


WIDEST = 6  # images side by side, where there is one axis


T = TypeVar("T")


def arrange(cells: Sequence[T], last: int) -> Iterator[Sequence[T]]:
    """Arrange the cells of a sheet in rows as long as the `last` axis, or as a sheet is wide."""
    lines = math.ceil(len(cells) / WIDEST)
    width = last if last < len(cells) else math.ceil(len(cells) / max(1, lines))
    for start in range(0, len(cells), width):
        yield cells[start : start + width]
