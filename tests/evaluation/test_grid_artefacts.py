"""Grid artefacts of known images."""

from __future__ import annotations

import numpy as np
import pytest

from guidedstyle.evaluation.judge import TILE, measure_grid
from guidedstyle.types import Array

pytestmark = pytest.mark.slow

FLAT = np.full((1, 3, 128, 128), 0.5, np.float32)


def wave(period: float) -> Array:
    """Draw a wave of this period along x."""
    line = 0.5 + 0.3 * np.cos(2 * np.pi * np.arange(128) / period)
    return np.broadcast_to(line, FLAT.shape).astype(np.float32)


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_wave_of_a_pooling_period_is_mostly_grid(period: int) -> None:
    """A Hann window moves a third of its energy to neighbouring frequencies."""
    assert measure_grid(wave(period), FLAT) > 0.6
    assert measure_grid(wave(period).transpose(0, 1, 3, 2), FLAT) > 0.6


@pytest.mark.parametrize("period", [3, 5.3])
def test_other_waves_are_not_grid(period: float) -> None:
    assert measure_grid(wave(period), FLAT) < 0.01


def test_white_noise_has_the_share_of_its_frequencies() -> None:
    """Of 32 x 32 frequencies without the 5 x 5 lowest, 5 x 5 pairs of a pooling and a low one are on each axis."""
    noise = np.random.default_rng(0).random((1, 1, 1024, 1024), np.float32).repeat(3, 1)
    assert measure_grid(noise, np.full_like(noise, 0.5)) == pytest.approx(2 * 5 * 5 / (TILE**2 - 5**2), rel=0.05)


def test_only_flat_areas_of_the_content_count() -> None:
    """A grid over the three textured quarters of the content does not count."""
    textured = np.random.default_rng(0).random(FLAT.shape).astype(np.float32)
    content, image = textured.copy(), wave(4)
    content[..., :64, :64], image[..., :64, :64] = 0.5, wave(5.3)[..., :64, :64]
    assert measure_grid(image, content) < 0.01
    assert measure_grid(image, textured[..., ::-1, ::-1].copy() * (content == 0.5) + (content != 0.5)) > 0.3
