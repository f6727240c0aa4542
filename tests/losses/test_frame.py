"""A frame around an image is measured, and strokes that reach the border are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from guidedstyle.losses import terms


def measure_frame(image: Tensor) -> Tensor:
    """Measure it where every pixel counts."""
    return terms.measure_frame(image, torch.ones(image.shape[2:]))


def draw_texture(height: int = 96, width: int = 128) -> Tensor:
    """Draw oblique strokes of 8 px, without any line along the border."""
    y, x = np.mgrid[:height, :width]
    wave = 0.5 + 0.3 * np.sin((x + y) * np.pi / 8)
    return torch.from_numpy(np.broadcast_to(wave, (1, 3, height, width)).astype(np.float32)).clone()


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_line_along_any_side_is_measured(side: str, depth: int) -> None:
    image = draw_texture()
    turned = {"top": image, "bottom": image.flip(2), "left": image.mT, "right": image.mT.flip(3)}[side]
    before = float(measure_frame(turned))
    view = {"top": turned[:, :, :depth], "bottom": turned[:, :, -depth:]}.get(side)
    view = view if view is not None else (turned[..., :depth] if side == "left" else turned[..., -depth:])
    view += 0.1
    assert float(measure_frame(turned)) > 4 * before


def test_it_equals_the_sum_over_averages_along_the_border() -> None:
    """Computed again with numpy, window by window."""
    image = torch.from_numpy(np.random.default_rng(0).random((1, 3, 20, 30), np.float32))
    pixels, total = image.numpy()[0].astype(np.float64), 0.0
    for side in (pixels, pixels[:, ::-1], pixels.transpose(0, 2, 1), pixels[:, :, ::-1].transpose(0, 2, 1)):
        for row in range(4):
            jump = side[:, row + 1] - side[:, row]
            total += sum(np.square(jump[:, at : at + 15].mean(1)).sum() for at in range(jump.shape[1] - 14))
    assert float(measure_frame(image)) == pytest.approx(total / pixels.size, rel=1e-5)


def test_strokes_hardly_count_and_a_flat_image_not_at_all() -> None:
    texture = draw_texture()
    line = torch.full_like(texture, 0.5)
    line[:, :, 0] = 0.9
    assert float(measure_frame(texture)) < 0.03 * float(measure_frame(line))
    assert float(measure_frame(torch.full((1, 3, 40, 40), 0.7))) == 0


@pytest.mark.parametrize("size", [(16, 16), (3, 50), (2, 2), (1, 50), (50, 1)])
def test_small_images_have_a_finite_frame_and_gradient(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    measure_frame(image).backward()
    assert torch.isfinite(image.grad).all()


def test_a_line_counts_only_where_a_style_is_painted() -> None:
    image, weights = torch.full((1, 3, 40, 60), 0.5), torch.zeros(40, 60)
    image[:, :, :2] = 1
    assert float(terms.measure_frame(image, weights)) == 0
    weights[:, :30] = 1
    half, whole = (float(terms.measure_frame(image, one)) for one in (weights, torch.ones(40, 60)))
    assert 0.4 * whole < half < 0.6 * whole
