"""Loss terms: known answers, gradients and units."""

from __future__ import annotations

from functools import partial
from typing import get_args

import pytest
import torch
from support.grams import aim_at, guide, weigh

from guidedstyle.encoders.passes import IMAGE, Reader, read_frozen
from guidedstyle.losses import terms
from guidedstyle.losses.gram import guided_grams
from guidedstyle.losses.guides import Guides, make_guides
from guidedstyle.losses.statistics import PIXELS, GuidedStatistic
from guidedstyle.losses.terms import (
    ContentTerm,
    FrameTerm,
    StyleTerm,
    TotalVariationTerm,
    content_losses,
    measure_frame,
    total_variation,
    weigh_distances,
)
from guidedstyle.losses.tiles import Tile
from guidedstyle.types import Statistic

GRID = (5, 6)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make_term(regions: int = 2, scale: float = 1) -> StyleTerm:
    return aim_at(draw(regions, 3, 3, seed=2) * scale**2)


def measure_style(features: torch.Tensor, term: StyleTerm, guides: Guides | None = None) -> torch.Tensor:
    sums = guided_grams(features, guides or guide(draw(len(term.targets), *GRID, seed=1), GRID))
    weights = weigh_distances([term], torch.zeros(len(term.targets), dtype=features.dtype))
    return terms.measure_style([term], weights, [sums])


def test_gradients_are_the_numerical_ones() -> None:
    features, target = draw(1, 3, *GRID).requires_grad_(), draw(1, 3, *GRID, seed=3)
    cells = weigh(draw(2, *GRID, seed=4), GRID)
    style = make_term()
    assert torch.autograd.gradcheck(lambda f: measure_style(f, style), features)
    assert torch.autograd.gradcheck(total_variation, features)
    assert torch.autograd.gradcheck(lambda f: content_losses(f - target, cells, 2.0), features)


def check_gradient(reader: Reader, image: torch.Tensor) -> None:
    """Compare the gradient that a reader adds with central differences, for a sum with weights that differ."""

    def measure(one: torch.Tensor) -> torch.Tensor:
        (found,) = read_frozen(one, [], [(IMAGE, reader)])
        return (found * torch.arange(1, 1 + found.numel()).view_as(found) / found.numel()).sum()

    (gradient,) = torch.autograd.grad(measure(one := image.clone().requires_grad_()), one)
    steps = 1e-6 * torch.eye(image.numel(), dtype=image.dtype).view(-1, *image.shape)
    expected = [float(measure(image + step) - measure(image - step)) / 2e-6 for step in steps]
    torch.testing.assert_close(gradient.flatten(), torch.tensor(expected, dtype=image.dtype), rtol=1e-6, atol=1e-8)


WINDOW, WHOLE = (slice(1, 6), slice(0, 7)), (7, 9)  # of a tile that is not at every border
TILES = [
    Tile((slice(0, 7), slice(0, 9)), (slice(0, 7), slice(0, 9)), WHOLE),
    Tile((slice(2, 5), slice(0, 6)), WINDOW, WHOLE),
]


@pytest.mark.parametrize("tile", TILES, ids=["whole", "tile"])
def test_gradients_that_readers_add_are_the_numerical_ones(tile: Tile) -> None:
    """Of every term, also where a tile is less than its window, and to a gradient that is there already."""
    window = draw(1, 3, *WHOLE)[(..., *tile.window)].clone()
    down, across = (side.stop - side.start for side in tile.own)
    weights, target = draw(2, *WHOLE, seed=4), draw(1, 3, down, across, seed=3)
    content = ContentTerm(PIXELS, lambda number: target, weights, 2.0, torch.ones(2))
    variation = TotalVariationTerm(draw(*WHOLE, seed=5))
    guides = make_guides(draw(2, down, across, seed=6) / 60)
    style = [GuidedStatistic(PIXELS, kind, [guides]) for kind in get_args(Statistic)]
    seen = GuidedStatistic(PIXELS, "gram", [guides], draw(3, 3, seed=7))
    for term in (content, variation, *style, seen):
        check_gradient(partial(term.read, tile=tile, number=0), window)
    window.requires_grad_()
    both = [(IMAGE, partial(term.read, tile=tile, number=0)) for term in (content, variation)]
    found = torch.autograd.grad(sum(one.sum() for one in read_frozen(window, [], both)), window)[0]
    apart = [torch.autograd.grad(read_frozen(window, [], [one])[0].sum(), window)[0] for one in both]
    torch.testing.assert_close(found, apart[0] + apart[1])


@pytest.mark.parametrize("size", [(9, 30), (3, 20), (2, 2)])
def test_the_gradient_of_a_frame_is_the_numerical_one(size: tuple[int, int]) -> None:
    """Where the image is smaller than the frame is deep, too."""
    image, term = draw(1, 3, *size), FrameTerm(draw(*size, seed=1))
    torch.testing.assert_close(term.read(image)[0], measure_frame(image, term.weights))
    check_gradient(term.read, image)


@pytest.mark.parametrize("scale", [1e-3, 1, 255])
def test_convention_style_has_no_unit(scale: float) -> None:
    features = draw(1, 3, *GRID)
    plain = measure_style(features, make_term())
    torch.testing.assert_close(measure_style(features * scale, make_term(scale=scale)), plain)


def test_style_loss_is_0_at_the_target_and_1_for_zero_features() -> None:
    features, weights = draw(1, 3, *GRID), draw(2, *GRID, seed=1)
    guides = guide(weights, GRID)
    target = aim_at(guided_grams(features, guides))
    assert measure_style(features, target).tolist() == pytest.approx([0, 0], abs=1e-20)
    assert measure_style(features * 0, target).tolist() == pytest.approx([1, 1])


def test_a_black_style_image_gives_no_nan() -> None:
    target, guides = aim_at(torch.zeros(1, 3, 3)), guide(torch.ones(1, *GRID), GRID)
    assert torch.isfinite(measure_style(torch.zeros(1, 3, *GRID), target, guides)).all()


def test_content_loss_is_a_weighted_mean_over_the_region() -> None:
    target = torch.ones(1, 2, 1, 4)  # |P|^2 is 2 everywhere
    features = target + torch.tensor([0.0, 0.0, 1.0, 3.0])
    cells = weigh(torch.tensor([[[1.0, 1, 0, 0]], [[0, 0, 1.0, 1]]]), (1, 4))
    assert content_losses(features - target, cells, 2.0).tolist() == pytest.approx([0, (1 + 9) / 2])


def test_total_variation_of_a_ramp_and_of_a_checkerboard() -> None:
    ramp = torch.arange(4.0).expand(1, 1, 1, 4)
    assert total_variation(ramp).mean().item() == pytest.approx(3 / 4)
    board = torch.tensor([[0.0, 1], [1, 0]])[None, None]
    assert total_variation(board).mean().item() == pytest.approx(4 / 4)
    assert total_variation(torch.full((1, 3, 8, 8), 0.3)).mean().item() == 0
