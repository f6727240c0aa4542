"""Properties of any stack of masks and any grid, against independent computations."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import opacities

from guidedstyle.encoders.vgg import LITE
from guidedstyle.losses.propagation import average_to_grid, erode_to_grid, propagate
from guidedstyle.masks.compositing import add_borders, settle_neighbours, stack_weights, unstack_weights
from guidedstyle.types import Array


def stack_by_hand(layers: list[Array | None]) -> Array:
    """Compute each weight as its opacity times the transparency of all layers in front; `rest` gets the remainder."""
    seen = [None if layer is None else layer.astype(np.float64) for layer in layers]
    weights = [
        np.zeros((4, 5)) if layer is None else layer * np.prod([1 - f for f in seen[index + 1 :] if f is not None], 0)
        for index, layer in enumerate(seen)
    ]
    left = 1 - np.sum(weights, axis=0)
    return np.stack([left if layer is None else weight for layer, weight in zip(seen, weights, strict=True)])


@given(opacities(4), st.integers(0, 4))
def test_a_weight_is_an_opacity_times_the_remaining_transparency(layers: list[Array], place: int) -> None:
    stacked: list[Array | None] = [*layers[:place], None, *layers[place:]]
    weights = stack_weights(stacked, (5, 4))
    np.testing.assert_allclose(weights[:-1], stack_by_hand(stacked), atol=1e-6)
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-6)
    assert weights.min() >= 0
    assert (weights[-1] == 0).all()


@given(opacities(3), st.permutations(range(3)))
def test_layers_that_do_not_overlap_can_be_in_any_order(noise: list[Array], order: list[int]) -> None:
    owner = np.argmax(noise, 0)
    parts = [noise[index] * (owner == index) for index in range(3)]
    turned = stack_weights([parts[index] for index in order], (5, 4))
    weights = stack_weights(parts, (5, 4))
    np.testing.assert_allclose(turned[:3], weights[order], atol=1e-6)
    np.testing.assert_allclose(turned[3], weights[3], atol=1e-6)


@given(opacities(3))
def test_colours_of_one_file_keep_their_shares_in_any_order(noise: list[Array]) -> None:
    parts = np.array(noise) / np.maximum(np.sum(noise, axis=0), 1)
    for order in permutations(range(3)):
        settled = settle_neighbours([parts[index] for index in order], [Path("labels.png")] * 3)
        np.testing.assert_allclose(stack_weights(settled, (5, 4))[:3], parts[list(order)], atol=2e-4)


@given(opacities(4))
def test_any_weights_can_be_unstacked_and_stacked(layers: list[Array]) -> None:
    weights = stack_weights([None, *layers], (5, 4))
    np.testing.assert_allclose(stack_weights(unstack_weights(weights), (5, 4)), weights, atol=1e-5)


@given(opacities(3, (23, 17)), st.floats(0, 8), st.booleans())
def test_borders_of_kept_regions_only_cover_styled_regions(layers: list[Array], width: float, rest: bool) -> None:
    weights = stack_weights([*([None] * rest), *layers], (23, 17))
    bordered = add_borders(weights, {1: width})
    np.testing.assert_allclose(bordered.sum(0), 1, atol=1e-5)
    assert (bordered[1] >= weights[1] - 1e-6).all()
    assert (bordered[[0, 2]] <= weights[[0, 2]] + 1e-6).all()
    assert (bordered[-1] == weights[-1]).all()


grids = st.tuples(st.integers(1, 17), st.integers(1, 23))


@given(opacities(3, (23, 17)), grids)
def test_cells_average_the_weights_of_their_pixels(layers: list[Array], grid: tuple[int, int]) -> None:
    """Regions whose weights sum to 1 at every pixel do so at every cell, and the share of each stays the same."""
    weights = stack_weights(layers, (23, 17))
    cells = average_to_grid(weights, grid)
    np.testing.assert_allclose(cells.sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(cells.mean((1, 2)), weights.mean((1, 2)), atol=1e-5)


def erode_by_hand(region: Array, layer: Any) -> Array:
    """Compute the minimum within the receptive field of every position, position by position."""
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
def test_inside_is_the_minimum_over_the_receptive_field(name: str, layers: list[Array]) -> None:
    layer = LITE.layers[name]
    grid = (16 // layer.stride, 24 // layer.stride)
    fields = erode_to_grid(np.stack(layers), grid, layer)
    assert (fields == np.stack([erode_by_hand(region, layer) for region in layers])).all()


@given(opacities(2, (24, 16)), st.sampled_from(["simple", "inside"]))
def test_guides_sum_to_one(layers: list[Array], kind: Any) -> None:
    weights = np.stack([np.maximum(layer, 1e-3) for layer in layers])
    layer = LITE.layers["relu2_1"]
    np.testing.assert_allclose(propagate(weights, layer, octave=0, modes=[kind] * 2).sum((1, 2)), 1, atol=1e-5)
