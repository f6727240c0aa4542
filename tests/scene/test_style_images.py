"""Style images are rotated and mirrored, and their strokes keep their size."""

from __future__ import annotations

import numpy as np
import pytest

from guidedstyle.recipe.model import StyleChoice
from guidedstyle.scene.scene import StyleImage, turn_style_image


def make(height: int, width: int) -> StyleImage:
    noise = np.random.default_rng(0)
    image = noise.random((1, 3, height, width)).astype(np.float32)
    return StyleImage(image, noise.random((height, width)).astype(np.float32), (2 * width, 2 * height))


def turn(style_image: StyleImage, **keys: object) -> StyleImage:
    return turn_style_image(style_image, StyleChoice(**keys))


@pytest.mark.parametrize(
    ("flip", "row", "column"), [("horizontal", 0, -1), ("vertical", -1, 0), ("both", -1, -1), (None, 0, 0)]
)
def test_mirroring_swaps_corners(flip: str | None, row: int, column: int) -> None:
    before = make(20, 30)
    after = turn(before, flip=flip)
    assert (after.image[0, :, 0, 0] == before.image[0, :, row, column]).all()
    assert after.mask[0, 0] == before.mask[row, column]
    assert after.mask.shape == before.mask.shape


@pytest.mark.parametrize(("degrees", "row", "column"), [(90, 0, -1), (180, -1, -1), (-90, -1, 0), (360, 0, 0)])
def test_right_angles_are_exact_and_anticlockwise(degrees: float, row: int, column: int) -> None:
    before = make(20, 30)
    after = turn(before, rotate=degrees)
    assert (after.image[0, :, 0, 0] == before.image[0, :, row, column]).all()
    assert after.mask[0, 0] == before.mask[row, column]
    assert after.size == ((60, 40) if degrees % 180 == 0 else (40, 60))
    assert after.extent == 1


def draw_stripes(size: int, period: float) -> StyleImage:
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * np.arange(size) / period)
    image = np.broadcast_to(wave, (1, 3, size, size)).astype(np.float32)
    return StyleImage(image, np.ones((size, size), np.float32), (size, size))


@pytest.mark.parametrize("degrees", [30, 45, -20])
def test_any_angle_rotates_the_strokes_and_keeps_their_size(degrees: float) -> None:
    """The peak of the spectrum rotates by the angle, and keeps its frequency at a given scale."""
    turned = turn(draw_stripes(240, 8), rotate=degrees)
    width, height = turned.fit(240)
    assert (width, height) == turned.mask.shape[::-1]
    middle = turned.image[0, 0][height // 2 - 64 : height // 2 + 64, width // 2 - 64 : width // 2 + 64]
    window = np.hanning(128)
    power = np.abs(np.fft.fft2((middle - middle.mean()) * window[:, None] * window))
    y, x = np.unravel_index(power[:, :64].argmax(), (128, 64))
    frequency = np.hypot(x, y - 128 * (y > 64))
    angle = np.degrees(np.arctan2(-(y - 128 * (y > 64)), x))
    assert frequency == pytest.approx(128 / 8, abs=1.0)
    assert angle == pytest.approx(degrees, abs=3)


def test_empty_corners_are_not_used_and_continue_the_image() -> None:
    turned = turn(draw_stripes(200, 8), rotate=30)
    assert turned.mask[0, 0] == turned.mask[-1, -1] == 0
    assert turned.mask.sum() == pytest.approx(200 * 200, rel=0.02)
    assert turned.image[0, 0, :20, :20].std() > 0.1
