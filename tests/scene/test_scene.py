"""Stages, octaves and grids of layers are halves of one another, by one rule of rounding."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from guidedstyle.losses.propagation import SMALLEST_OCTAVE, count_octaves, halve_shape
from guidedstyle.losses.statistics import build_octaves
from guidedstyle.scene.scene import plan_stages

sides = st.integers(1, 300)


def halve_again_and_again(side: int, times: int) -> int:
    for _ in range(times):
        side = max(1, side // 2)
    return side


@given(sides, sides, st.integers(1, 6))
def test_octaves_are_halves_rounded_down(height: int, width: int, count: int) -> None:
    """Images that are halved one by one, and shapes that are halved at once, agree with plain division."""
    octaves = build_octaves(torch.zeros(1, 3, height, width), count)
    for octave, image in enumerate(octaves):
        expected = (halve_again_and_again(height, octave), halve_again_and_again(width, octave))
        assert tuple(image.shape[2:]) == halve_shape((height, width), octave) == expected


@given(sides, sides, st.integers(1, 12))
def test_as_many_octaves_as_are_large_enough(height: int, width: int, most: int) -> None:
    count = count_octaves((width, height), most)
    assert 1 <= count <= most
    assert count == 1 or min(halve_shape((height, width), count - 1)) >= SMALLEST_OCTAVE
    assert count == most or min(halve_shape((height, width), count)) < SMALLEST_OCTAVE


@given(st.integers(16, 4000), st.integers(16, 4000), st.integers(1, 500), st.integers(1, 5), st.integers(1, 8))
def test_every_stage_has_half_the_size_and_about_twice_the_steps_of_the_next(
    height: int, width: int, steps: int, octaves: int, most: int
) -> None:
    """A stage's size is rounded to the nearest pixel, an octave's down, so they differ by a pixel at most."""
    stages = plan_stages((width, height), steps, octaves, most)
    assert stages[-1].size == (width, height)
    assert sum(stage.steps for stage in stages) == steps
    assert len(stages) <= most
    for index, stage in enumerate(stages):
        assert stage.halvings == len(stages) - 1 - index
        expected = halve_shape((height, width), stage.halvings)
        assert max(abs(stage.size[1] - expected[0]), abs(stage.size[0] - expected[1])) <= 1
        assert stage.octaves == count_octaves(stage.size, octaves)
    assert all(coarse.steps >= fine.steps for coarse, fine in pairwise(stages))
