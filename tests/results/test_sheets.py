"""Contact sheets and mask sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.results.sheets import CELL, MARGIN, OVERVIEW, TINTS, Cell, arrange, draw_mask_sheet, make_sheet
from guidedstyle.scene.opening import open_scene
from guidedstyle.types import Array

RED, BLUE = (255, 0, 0), (0, 0, 255)


def find_box(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Find the box (left, top, right, bottom) of the pixels of exactly this colour."""
    box = Image.fromarray(np.all(np.asarray(sheet) == colour, axis=2)).getbbox()
    assert box
    return box


@pytest.mark.parametrize(("count", "rows"), [(1, [1]), (6, [6]), (7, [4, 3]), (13, [5, 5, 3])])
def test_a_single_axis_is_split_into_rows_of_about_the_same_length(count: int, rows: list[int]) -> None:
    assert [len(row) for row in arrange(list(range(count)), count)] == rows


@pytest.mark.parametrize("size", [(300, 200), (20, 400), (640, 640), (1000, 1)])
def test_images_are_scaled_to_the_cell(size: tuple[int, int]) -> None:
    sheet = make_sheet([[("a", Image.new("RGB", size, RED))]])
    left, top, right, bottom = find_box(sheet, RED)
    assert max(right - left, bottom - top) == CELL
    assert abs((right - left) / CELL - size[0] / max(size)) * CELL <= 1
    assert (left, sheet.height - bottom) == (MARGIN, MARGIN)


def test_labels_are_wrapped_to_the_width_of_their_image() -> None:
    picture = Image.new("RGB", (300, 200), "blue")
    short, long = make_sheet([[("a", picture)]]), make_sheet([[("word " * 30 + "x" * 90, picture), ("b", picture)]])
    assert long.width == 2 * short.width - 10
    assert long.height > short.height + 3 * 18
    between = np.asarray(long)[:, CELL + 10 : CELL + 20]
    assert (between == 255).all()


def test_a_label_is_never_cut_and_starts_after_its_swatch() -> None:
    image = Image.new("RGB", (CELL, 10), BLUE)
    plain, swatched = (make_sheet([[Cell("w" * 60, image, colour)]]) for colour in (None, RED))
    texts = [read_ink(sheet.crop((0, 0, sheet.width, find_box(sheet, BLUE)[1]))) for sheet in (plain, swatched)]
    assert texts[0].sum() == pytest.approx(texts[1].sum(), rel=0.02)
    assert find_box(swatched, RED)[0] == MARGIN
    assert np.nonzero(texts[1].sum(0))[0][0] > find_box(swatched, RED)[2]


def read_ink(sheet: Image.Image) -> Array:
    """Measure how dark each pixel is, leaving out red ones."""
    dark = 255 - np.asarray(sheet, np.float32)
    dark[np.all(np.asarray(sheet) == RED, axis=2)] = 0
    return dark.sum(2)


def test_a_heading_keeps_its_size_above_the_rows() -> None:
    sheet = make_sheet([[("a", Image.new("RGB", (10, 10), BLUE))]], Image.new("RGB", (700, 50), RED))
    assert find_box(sheet, RED) == (MARGIN, MARGIN, MARGIN + 700, MARGIN + 50)
    assert sheet.width == 700 + 2 * MARGIN
    assert find_box(sheet, BLUE)[1] > MARGIN + 50


def open_sheet(project: Path, size: tuple[int, int]) -> Image.Image:
    Image.new("RGB", size, (100, 100, 100)).save(project / "photo.png")
    mask = np.zeros(size[::-1], np.uint8)
    mask[: size[1] // 2] = 255
    Image.fromarray(mask).save(project / "left.png")
    return draw_mask_sheet(open_scene(read_recipe(project / "recipe.yaml")))


def is_painted(sheet: Array, left: int, top: int) -> bool:
    return bool(np.any(sheet[top : top + CELL // 2, left : left + CELL] != 255))


@pytest.mark.parametrize(("size", "columns"), [((96, 64), 3), ((64, 96), 2), ((32, 96), 1)])
def test_a_mask_sheet_has_as_many_columns_as_its_overview_is_wide(
    project: Path, size: tuple[int, int], columns: int
) -> None:
    """Two regions and two style images follow; the overview's upper half is the front region's tint."""
    sheet = np.asarray(open_sheet(project, size))
    shown = [round(OVERVIEW * side / max(size)) for side in size]
    assert sheet.shape[1] == max(shown[0], columns * (CELL + MARGIN) - MARGIN) + 2 * MARGIN
    tinted = 0.45 * 100 + 0.55 * np.array(TINTS[1])
    assert np.abs(sheet[MARGIN + 20, MARGIN + 20] - tinted).max() < 2
    below = MARGIN + shown[1] + 20
    edges = range(MARGIN, sheet.shape[1] - CELL, CELL + MARGIN)
    assert [is_painted(sheet, left, below) for left in edges] == [True] * columns
