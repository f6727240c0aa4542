"""What holds for any recipe, shape, stack of masks and grid of cells, against answers that are reckoned otherwise."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from strategies import recipes, words

from guidedstyle.architecture import LITE
from guidedstyle.document import write_yaml
from guidedstyle.geometry import feather, fill_ellipse, fill_gradient, fill_polygon, fill_rectangle, grow, shrink
from guidedstyle.guidance import average_cells, enclose_fields, weigh_cells
from guidedstyle.images import Array, Frame
from guidedstyle.listing import share_masks
from guidedstyle.mask_keys import Mask
from guidedstyle.masks import MaskReader, resize_mask
from guidedstyle.reading import move_paths, parse_setting, read_recipe, write_recipe
from guidedstyle.recipe import Recipe
from guidedstyle.stacking import add_borders, settle_neighbours, stack_weights, unstack_weights
from guidedstyle.variants import parse_axis

settings.register_profile("steady", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("steady")

SIZE = (37, 29)  # (width, height)
MARGIN = 0.12  # of a pixel: how far a drawn edge may be from where it should
units = st.floats(0, 1, width=32)


def opacities(count: int, size: tuple[int, int] = (5, 4)) -> st.SearchStrategy[list[Array]]:
    """Make so many layers, many of their pixels all or nothing."""
    levels = st.sampled_from([0, 0.5, 1]) | units
    return st.lists(arrays.arrays(np.float32, size[::-1], elements=levels), min_size=count, max_size=count)


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@example({"init": {"content": 1, "picture": 0, "file": "a.png"}})
@example({"method": "classic", "content_layers": None, "solver": {"steps": None}})
@example({"style_layers": ["\x85", "\u2028"]})
@given(recipes)
def test_any_recipe_is_the_same_when_it_is_written_and_read(tmp_path_factory: Any, data: dict[str, Any]) -> None:
    folder: Path = tmp_path_factory.getbasetemp()
    recipe = share_masks(move_paths(Recipe.model_validate(data), lambda path: folder / path))
    file = folder / "recipe.yaml"
    file.write_text(write_recipe(recipe, folder), encoding="utf-8")
    reading = read_recipe(file)
    assert not reading.broken
    assert reading.recipe == recipe


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(words, values, max_size=3),
    max_leaves=5,
)


@given(st.lists(plain, min_size=1, max_size=3))
def test_values_of_a_setting_and_of_a_sweep_are_read_as_they_were_written(values: list[Any]) -> None:
    written = [write_yaml([value], in_line=True).strip()[1:-1] for value in values]
    assert parse_axis(f"a.b={','.join(written)}") == ("a.b", values)
    assert parse_setting(f"a.b={written[0]}")[:2] == ("a.b", values[0])


def draw_exactly(box: list[float], size: tuple[int, int]) -> Array:
    """Reckon the share of every pixel that a box in fractions covers."""
    (left, top, right, bottom), (width, height) = box, size
    x, y = np.arange(width), np.arange(height)
    across = np.clip(np.minimum(x + 1, right * width) - np.maximum(x, left * width), 0, 1)
    down = np.clip(np.minimum(y + 1, bottom * height) - np.maximum(y, top * height), 0, 1)
    return np.asarray(np.outer(down, across), np.float32)


def measure_polygon(corners: np.ndarray) -> float:
    """Reckon the area of a polygon by Gauss's formula."""
    x, y = corners.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


ordered = st.tuples(units, units).map(sorted).filter(lambda ends: ends[1] - ends[0] > 0.05)


@given(ordered, ordered)
def test_a_rectangle_covers_of_every_pixel_what_it_should(across: list[float], down: list[float]) -> None:
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
    """Its corners lie around the middle, each so far away, and an angle after the one before."""
    turns = np.cumsum([turn for _, turn in rays]) / sum(turn for _, turn in rays) * 2 * np.pi
    lengths = np.array([length for length, _ in rays])
    corners = 0.5 + lengths[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)
    in_pixels = corners * SIZE
    around = np.hypot(*(in_pixels - np.roll(in_pixels, 1, 0)).T).sum()
    covered = fill_polygon([(x, y) for x, y in corners], SIZE).sum()
    assert abs(covered - measure_polygon(in_pixels)) < MARGIN * around + 1


@given(st.tuples(units, units), st.tuples(units, units))
def test_a_gradient_and_its_way_back_make_one(start: tuple[float, float], end: tuple[float, float]) -> None:
    assume(np.hypot(start[0] - end[0], start[1] - end[1]) > 0.05)
    there, back = fill_gradient(start, end, SIZE), fill_gradient(end, start, SIZE)
    np.testing.assert_allclose(there + back, 1, atol=1e-4)
    assert (there.min(), there.max()) >= (0, 0) and there.max() <= 1


soft_masks = opacities(2, (23, 17))
radii = st.integers(0, 12) | st.floats(0, 12)


@given(soft_masks, radii, radii)
def test_operations_keep_order_and_bounds(masks: list[Array], radius: float, other: float) -> None:
    """More of a mask never gives less of it, and a wider brush never covers less."""
    least, most = np.minimum(*masks), np.maximum(*masks)
    for operation in (grow, shrink, feather):
        assert (operation(least, radius) <= operation(most, radius) + 2e-5).all()
        assert -1e-6 <= operation(most, radius).min() <= operation(most, radius).max() <= 1 + 1e-6
    assert (shrink(most, radius) <= most + 1e-6).all()
    assert (most <= grow(most, radius) + 1e-6).all()
    np.testing.assert_allclose(feather(1 - most, radius), 1 - feather(most, radius), atol=1e-4)


@given(soft_masks, st.integers(0, 12))
def test_growing_masks_together_is_growing_each(masks: list[Array], radius: int) -> None:
    together = grow(np.maximum(*masks), radius)
    assert (together == np.maximum(grow(masks[0], radius), grow(masks[1], radius))).all()


@given(st.sets(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=5), st.integers(1, 12))
def test_growing_reaches_as_far_as_it_says(dots: set[tuple[int, int]], radius: int) -> None:
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


def stack_by_hand(layers: list[Array | None]) -> Array:
    """Reckon each weight as its opacity times what all in front let through; `rest` takes what is left."""
    seen = [None if layer is None else layer.astype(np.float64) for layer in layers]
    weights = [
        np.zeros((4, 5)) if layer is None else layer * np.prod([1 - f for f in seen[index + 1 :] if f is not None], 0)
        for index, layer in enumerate(seen)
    ]
    left = 1 - np.sum(weights, axis=0)
    return np.stack([left if layer is None else weight for layer, weight in zip(seen, weights, strict=True)])


@given(opacities(4), st.integers(0, 4))
def test_a_weight_is_an_opacity_times_what_is_left(layers: list[Array], place: int) -> None:
    stacked: list[Array | None] = [*layers[:place], None, *layers[place:]]
    weights = stack_weights(stacked, (5, 4))
    np.testing.assert_allclose(weights[:-1], stack_by_hand(stacked), atol=1e-6)
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-6)
    assert weights.min() >= 0
    assert (weights[-1] == 0).all()


@given(opacities(3), st.permutations(range(3)))
def test_parts_that_do_not_overlap_may_lie_in_any_order(noise: list[Array], order: list[int]) -> None:
    owner = np.argmax(noise, 0)
    parts = [noise[index] * (owner == index) for index in range(3)]
    turned = stack_weights([parts[index] for index in order], (5, 4))
    weights = stack_weights(parts, (5, 4))
    np.testing.assert_allclose(turned[:3], weights[order], atol=1e-6)
    np.testing.assert_allclose(turned[3], weights[3], atol=1e-6)


@given(opacities(3))
def test_colours_of_one_file_share_a_pixel_alike_in_any_order(noise: list[Array]) -> None:
    parts = np.array(noise) / np.maximum(np.sum(noise, axis=0), 1)
    for order in permutations(range(3)):
        settled = settle_neighbours([parts[index] for index in order], [Path("labels.png")] * 3)
        np.testing.assert_allclose(stack_weights(settled, (5, 4))[:3], parts[list(order)], atol=2e-4)


@given(opacities(4))
def test_any_weights_can_be_turned_into_layers_and_back(layers: list[Array]) -> None:
    weights = stack_weights([None, *layers], (5, 4))
    np.testing.assert_allclose(stack_weights(unstack_weights(weights), (5, 4)), weights, atol=1e-5)


@given(opacities(3, (23, 17)), st.floats(0, 8), st.booleans())
def test_borders_of_kept_regions_take_from_paint_alone(layers: list[Array], width: float, rest: bool) -> None:
    weights = stack_weights([*([None] * rest), *layers], (23, 17))
    bordered = add_borders(weights, {1: width})
    np.testing.assert_allclose(bordered.sum(0), 1, atol=1e-5)
    assert (bordered[1] >= weights[1] - 1e-6).all()
    assert (bordered[[0, 2]] <= weights[[0, 2]] + 1e-6).all()
    assert (bordered[-1] == weights[-1]).all()


grids = st.tuples(st.integers(1, 17), st.integers(1, 23))


@given(opacities(3, (23, 17)), grids)
def test_cells_share_out_what_pixels_have(layers: list[Array], grid: tuple[int, int]) -> None:
    """Regions that take every pixel whole take every cell whole, and none gains or loses by it."""
    weights = stack_weights(layers, (23, 17))
    cells = average_cells(weights, grid)
    np.testing.assert_allclose(cells.sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(cells.mean((1, 2)), weights.mean((1, 2)), atol=1e-5)


def erode_by_hand(region: Array, layer: Any) -> Array:
    """Reckon the least within the receptive field of every position, which begins at a multiple of the stride."""
    before = (layer.receptive_field - layer.stride) // 2
    fields = [
        [
            region[max(0, y - before) : y - before + layer.receptive_field, max(0, x - before) :][
                :, : x - before + layer.receptive_field - max(0, x - before)
            ].min()
            for x in range(0, region.shape[1], layer.stride)
        ]
        for y in range(0, region.shape[0], layer.stride)
    ]
    return np.array(fields, np.float32)


@pytest.mark.parametrize("name", ["relu1_1", "relu2_1", "relu3_1"])
@given(opacities(2, (24, 16)))
def test_inside_is_the_least_that_a_position_sees(name: str, layers: list[Array]) -> None:
    layer = LITE.layers[name]
    grid = (16 // layer.stride, 24 // layer.stride)
    fields = enclose_fields(np.stack(layers), grid, layer)
    assert (fields == np.stack([erode_by_hand(region, layer) for region in layers])).all()


@given(opacities(2, (24, 16)), st.sampled_from(["simple", "inside"]))
def test_guides_sum_to_one(layers: list[Array], kind: Any) -> None:
    weights = np.stack([np.maximum(layer, 1e-3) for layer in layers])
    layer = LITE.layers["relu2_1"]
    np.testing.assert_allclose(weigh_cells(weights, 0, (8, 12), layer, [kind] * 2).sum((1, 2)), 1, atol=1e-5)
