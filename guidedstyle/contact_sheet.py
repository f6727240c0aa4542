"""Pictures side by side with labels: what was compared, to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

CELL, MARGIN, LINE = 320, 10, 18  # px
FONT_SIZE = 14
PAPER, INK = "white", (30, 30, 30)

Row = Sequence[tuple[str, Image.Image]]  # labels and pictures


def make_sheet(rows: Sequence[Row]) -> Image.Image:
    """Lay labelled pictures out in rows."""
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
    """Break a label into lines as wide as a picture, between words where that can be."""
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
