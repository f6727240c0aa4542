"""Painted masks become weights that sum to 1, layered as in an image editor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.masks import read_mask, resize_mask, stack_weights


def opacity(value: float) -> np.ndarray:
    return np.full((4, 6), value, np.float32)


def stack(*opacities: np.ndarray | None) -> list[float]:
    return [round(float(value), 6) for value in stack_weights(opacities, (6, 4))[:, 0, 0]]


def test_convention_a_layer_covers_what_is_behind_it() -> None:
    assert stack(opacity(1), opacity(0.25)) == [0.75, 0.25, 0]
    assert stack(opacity(0.25), opacity(1)) == [0, 1, 0]
    assert stack(opacity(0.5), opacity(0.5)) == [0.25, 0.5, 0.25]


def test_convention_rest_takes_what_nobody_covers_wherever_it_stands() -> None:
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


def test_shrinking_averages_what_a_pixel_covers() -> None:
    mask = np.zeros((40, 40), np.float32)
    mask[:, :10] = 1
    np.testing.assert_allclose(resize_mask(mask, (2, 1)), [[0.5, 0]], atol=1e-6)
    assert resize_mask(mask, (13, 7)).mean() == pytest.approx(mask.mean(), abs=1e-6)


@pytest.mark.parametrize("size", [(700, 467), (700, 468), (700, 466), (350, 234), (1400, 935), (1050, 701)])
def test_the_same_shape_up_to_rounding_fits(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size, 255).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png", (700, 467), (70, 47)) == 1).all()


@pytest.mark.parametrize("size", [(467, 700), (700, 460), (700, 525), (690, 467)])
def test_another_shape_is_refused_with_both_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "mask.png"
    Image.new("L", size, 255).save(file)
    with pytest.raises(GuidedStyleError) as caught:
        read_mask(file, (700, 467), (70, 47))
    assert str(caught.value) == (
        f"{file}: the mask is {size[0]} x {size[1]} px, its picture 700 x 467\n"
        "    paint it over the picture itself, or crop it to the same shape"
    )
