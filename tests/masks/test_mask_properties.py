"""Properties of any shape and any mask, against independent computations."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from support.strategies import opacities, units

from guidedstyle.io.images.samples import Frame
from guidedstyle.masks.geometry import (
    feather,
    fill_ellipse,
    fill_gradient,
    fill_polygon,
    fill_rectangle,
    grow,
    resize_mask,
    shrink,
)
from guidedstyle.masks.reader import MaskReader
from guidedstyle.recipe.mask import Mask
from guidedstyle.types import Array

SIZE = (37, 29)  # (width, height)
MARGIN = 0.12  # of a pixel: the tolerance of a drawn edge


def draw_exactly(box: list[float], size: tuple[int, int]) -> Array:
    """Compute the share of every pixel that a box in fractions covers."""
    (left, top, right, bottom), (width, height) = box, size
    x, y = np.arange(width), np.arange(height)
    across = np.clip(np.minimum(x + 1, right * width) - np.maximum(x, left * width), 0, 1)
    down = np.clip(np.minimum(y + 1, bottom * height) - np.maximum(y, top * height), 0, 1)
    return np.asarray(np.outer(down, across), np.float32)


def measure_polygon(corners: np.ndarray) -> float:
    """Compute the area of a polygon by Gauss's formula."""
    x, y = corners.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


ordered = st.tuples(units, units).map(sorted).filter(lambda ends: ends[1] - ends[0] > 0.05)


@given(ordered, ordered)
def test_a_rectangle_covers_the_right_share_of_every_pixel(across: list[float], down: list[float]) -> None:
    box = [across[0], down[0], across[1], down[1]]
    assert np.abs(fill_rectangle(box, SIZE) - draw_exactly(box, SIZE)).max() < 0.4
    length = 2 * ((box[2] - box[0]) * SIZE[0] + (box[3] - box[1]) * SIZE[1])
    assert abs(fill_rectangle(box, SIZE).sum() - draw_exactly(box, SIZE).sum()) < MARGIN * length + 1


@given(ordered, ordered)
def test_an_ellipse_has_its_area(across: list[float], down: list[float]) -> None:
    wide, high = (across[1] - across[0]) * SIZE[0], (down[1] - down[0]) * SIZE[1]
    covered = fill_ellipse([across[0], down[0], across[1], down[1]], SIZE).sum()
    assert abs(covered - np.pi / 4 * wide * high) < MARGIN * np.pi * max(wide, high) + 1


@given(st.lists(st.tuples(st.floats(0.1, 0.5), st.floats(0.5, 1.5)), min_size=3, max_size=9))
def test_a_polygon_has_its_area(rays: list[tuple[float, float]]) -> None:
    """Its corners are around the middle, given by distances and increasing angles."""
    turns = np.cumsum([turn for _, turn in rays]) / sum(turn for _, turn in rays) * 2 * np.pi
    lengths = np.array([length for length, _ in rays])
    corners = 0.5 + lengths[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)
    in_pixels = corners * SIZE
    around = np.hypot(*(in_pixels - np.roll(in_pixels, 1, 0)).T).sum()
    covered = fill_polygon([(x, y) for x, y in corners], SIZE).sum()
    assert abs(covered - measure_polygon(in_pixels)) < MARGIN * around + 1


@given(st.tuples(units, units), st.tuples(units, units))
def test_a_gradient_and_its_reverse_sum_to_one(start: tuple[float, float], end: tuple[float, float]) -> None:
    assume(np.hypot(start[0] - end[0], start[1] - end[1]) > 0.05)
    there, back = fill_gradient(start, end, SIZE), fill_gradient(end, start, SIZE)
    np.testing.assert_allclose(there + back, 1, atol=1e-4)
    assert (there.min(), there.max()) >= (0, 0) and there.max() <= 1


soft_masks = opacities(2, (23, 17))
radii = st.integers(0, 12) | st.floats(0, 12)


@given(soft_masks, radii, radii)
def test_operations_keep_order_and_bounds(masks: list[Array], radius: float, other: float) -> None:
    """A larger mask never gives a smaller one, and a larger radius never covers less."""
    least, most = np.minimum(*masks), np.maximum(*masks)
    for operation in (grow, shrink, feather):
        assert (operation(least, radius) <= operation(most, radius) + 2e-5).all()
        assert -1e-6 <= operation(most, radius).min() <= operation(most, radius).max() <= 1 + 1e-6
    assert (shrink(most, radius) <= most + 1e-6).all()
    assert (most <= grow(most, radius) + 1e-6).all()
    np.testing.assert_allclose(feather(1 - most, radius), 1 - feather(most, radius), atol=1e-4)


@given(soft_masks, st.integers(0, 12))
def test_growing_the_union_is_the_union_of_grown_masks(masks: list[Array], radius: int) -> None:
    together = grow(np.maximum(*masks), radius)
    assert (together == np.maximum(grow(masks[0], radius), grow(masks[1], radius))).all()


@given(st.sets(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=5), st.integers(1, 12))
def test_growing_reaches_exactly_its_radius(dots: set[tuple[int, int]], radius: int) -> None:
    mask = np.zeros((31, 41), np.float32)
    x, y = np.mgrid[0:31, 0:41][::-1]
    away = np.min([np.hypot(x - dot[0], y - dot[1]) for dot in dots], axis=0)
    mask[away == 0] = 1
    assert (grow(mask, radius)[away <= 0.9 * radius - 0.5] == 1).all()
    assert (grow(mask, radius)[away > radius + 1] == 0).all()


@given(ordered, ordered)
def test_inverting_twice_gives_the_mask(across: list[float], down: list[float]) -> None:
    box = [across[0], down[0], across[1], down[1]]
    reader, once = MaskReader({}), {"any": [{"ellipse": box, "invert": True}], "invert": True}
    twice = reader.read(Mask.model_validate(once), Frame(SIZE), SIZE)
    np.testing.assert_allclose(twice, fill_ellipse(box, SIZE), atol=2e-5)


@given(opacities(1, (24, 18)), st.sampled_from([1, 2, 3, 6]))
def test_shrinking_a_mask_averages_blocks(masks: list[Array], factor: int) -> None:
    blocks = masks[0].reshape(18 // factor, factor, 24 // factor, factor).mean((1, 3))
    np.testing.assert_allclose(resize_mask(masks[0], (24 // factor, 18 // factor)), blocks, atol=1e-5)
