"""Octaves: how many there are, and what halving keeps."""

from __future__ import annotations

import pytest
import torch

from guidedstyle.losses.propagation import count_octaves
from guidedstyle.losses.statistics import build_octaves


@pytest.mark.parametrize(
    ("size", "octaves"), [((384, 288), 3), ((64, 64), 3), ((300, 40), 2), ((31, 31), 1), ((16, 16), 1)]
)
def test_there_are_octaves_as_long_as_the_shortest_side_has_16_px(size: tuple[int, int], octaves: int) -> None:
    assert count_octaves(size, 3) == octaves


def test_octaves_halve_and_keep_the_mean() -> None:
    image = torch.rand(1, 3, 37, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    octaves = build_octaves(image, 3)
    assert [tuple(octave.shape[2:]) for octave in octaves] == [(37, 64), (18, 32), (9, 16)]
    for octave in octaves:
        torch.testing.assert_close(octave.mean(), image.mean(), rtol=0, atol=0.02)
