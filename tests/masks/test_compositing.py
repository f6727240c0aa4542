"""Opacities become weights that sum to 1, layered as in an image editor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from guidedstyle.masks.compositing import (
    add_borders,
    measure_overlaps,
    settle_neighbours,
    stack_weights,
    unstack_weights,
)
from guidedstyle.masks.geometry import fade_outwards

LABELS = Path("labels.png")


def opacity(value: float) -> np.ndarray:
    return np.full((4, 6), value, np.float32)


def stack(*opacities: np.ndarray | None) -> list[float]:
    return [round(float(value), 6) for value in stack_weights(opacities, (6, 4))[:, 0, 0]]


def test_convention_a_layer_covers_what_is_behind_it() -> None:
    assert stack(opacity(1), opacity(0.25)) == [0.75, 0.25, 0]
    assert stack(opacity(0.25), opacity(1)) == [0, 1, 0]
    assert stack(opacity(0.5), opacity(0.5)) == [0.25, 0.5, 0.25]


def test_convention_rest_covers_the_remaining_pixels_at_any_position_in_the_list() -> None:
    assert stack(None, opacity(0.25)) == [0.75, 0.25, 0]
    assert stack(opacity(0.25), None) == [0.25, 0.75, 0]
    assert stack(opacity(0.25)) == [0.25, 0.75]


@pytest.mark.parametrize("count", [0, 1, 5, 30])
@pytest.mark.parametrize("rest", [True, False])
def test_convention_weights_sum_to_1_at_every_pixel(count: int, rest: bool) -> None:
    noise = np.random.default_rng(count)
    opacities = [noise.random((50, 70), np.float32) for _ in range(count)] + [None] * rest
    weights = stack_weights(opacities, (70, 50))
    assert weights.shape == (count + rest + 1, 50, 70)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(0), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rest", [True, False])
def test_unstacked_weights_stack_to_the_same_weights(rest: bool) -> None:
    noise = np.random.default_rng(3)
    opacities = [noise.random((50, 70), np.float32) for _ in range(5)]
    opacities[1][:20] = opacities[3][10:30] = 1
    weights = stack_weights([*opacities[:2], *([None] * rest), *opacities[2:]], (70, 50))
    np.testing.assert_allclose(stack_weights(unstack_weights(weights), (70, 50)), weights, atol=1e-5)


def test_convention_colours_of_one_file_are_neighbours_not_layers() -> None:
    """Three colours that share every pixel keep their shares in any order; as layers they would leave a gap."""
    noise = np.random.default_rng(1)
    parts = noise.dirichlet([1, 1, 1], (50, 70)).transpose(2, 0, 1).astype(np.float32)
    weights = stack_weights(settle_neighbours(parts, [LABELS] * 3), (70, 50))
    np.testing.assert_allclose(weights[:3], parts, atol=1e-4)
    assert weights[3].max() < 1e-4
    assert stack_weights(parts, (70, 50))[3].mean() > 0.05


def test_colours_of_one_file_can_be_covered_by_layers_of_others() -> None:
    parts = [opacity(0.25), opacity(0.75), opacity(0.5)]
    weights = stack_weights(settle_neighbours(parts, [LABELS, LABELS, None]), (6, 4))
    assert weights[:, 0, 0].tolist() == pytest.approx([0.125, 0.375, 0.5, 0])


def test_overlaps_are_where_two_masks_are() -> None:
    left, right = np.zeros((4, 6), np.float32), np.zeros((4, 6), np.float32)
    left[:, :4], right[:, 3:] = 1, 1
    assert measure_overlaps([left, None, right]) == pytest.approx([1 / 6, 0, 1 / 6])
    halves = np.zeros((4, 6), np.float32) + 0.5
    assert measure_overlaps([halves, halves]) == [0, 0]


def test_a_kept_regions_border_only_covers_the_styled_regions_around_it() -> None:
    kept, front = np.zeros((60, 100), np.float32), np.zeros((60, 100), np.float32)
    kept[20:40, 40:60], front[:, 80:] = 1, 1
    weights = stack_weights([None, kept, front], (100, 60))
    bordered = add_borders(weights, {1: 8.0})
    np.testing.assert_allclose(bordered.sum(0), 1, atol=1e-5)
    assert (bordered[1][kept == 1] == 1).all()
    assert (bordered[0] <= weights[0] + 1e-6).all()
    assert bordered[1].sum() > 1.3 * weights[1].sum()
    assert (bordered[:, :, 70:] == weights[:, :, 70:]).all()
    assert add_borders(weights, {1: 0.0}) is weights


def test_a_soft_kept_region_is_at_least_as_opaque_as_its_border() -> None:
    ramp = np.tile(np.clip(np.linspace(3, -2, 100), 0, 1), (60, 1)).astype(np.float32)
    bordered = add_borders(stack_weights([None, ramp], (100, 60)), {1: 8.0})
    np.testing.assert_allclose(bordered[1], fade_outwards(ramp, 8), atol=1e-5)
