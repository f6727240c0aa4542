"""The contact sheet: what was compared, to look at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

CELL, MARGIN, LABEL = 320, 8, 18


def make_sheet(rows: Sequence[Sequence[tuple[str, Image.Image]]]) -> Image.Image:
    """Lay labelled pictures out in rows."""
    width = max(len(row) for row in rows) * (CELL + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, len(rows) * (CELL + LABEL + MARGIN) + MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    for down, row in enumerate(rows):
        for right, (label, picture) in enumerate(row):
            left, top = MARGIN + right * (CELL + MARGIN), MARGIN + down * (CELL + LABEL + MARGIN)
            pen.text((left, top), label, fill="black")
            sheet.paste(_fit(picture), (left, top + LABEL))
    return sheet


def _fit(picture: Image.Image) -> Image.Image:
    scale = CELL / max(picture.size)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
