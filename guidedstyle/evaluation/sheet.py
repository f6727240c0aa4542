"""The contact sheet: what was compared, to look at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

CELL, MARGIN, LABEL = 320, 8, 18

Row = Sequence[tuple[str, Image.Image]]  # labels and pictures


def make_sheet(rows: Sequence[Row]) -> Image.Image:
    """Lay labelled pictures out in rows."""
    drawn = [_draw_row(row) for row in rows]
    sheet = Image.new("RGB", (max(row.width for row in drawn), sum(row.height for row in drawn)), "white")
    top = 0
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _draw_row(row: Row) -> Image.Image:
    pictures = [_fit(picture) for _, picture in row]
    height = max(picture.height for picture in pictures) + LABEL + MARGIN
    drawn = Image.new("RGB", (len(row) * (CELL + MARGIN), height), "white")
    pen = ImageDraw.Draw(drawn)
    for index, ((label, _), picture) in enumerate(zip(row, pictures, strict=True)):
        pen.text((index * (CELL + MARGIN), 0), label, fill="black")
        drawn.paste(picture, (index * (CELL + MARGIN), LABEL))
    return drawn


def _fit(picture: Image.Image) -> Image.Image:
    width, height = (max(1, round(side * CELL / max(picture.size))) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)
