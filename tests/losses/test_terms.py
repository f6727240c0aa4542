"""Loss terms: known answers, gradients and units."""

from __future__ import annotations

import pytest
import torch
from support.grams import aim_at, guide, weigh

from guidedstyle.losses import terms
from guidedstyle.losses.gram import guided_grams
from guidedstyle.losses.guides import Guides
from guidedstyle.losses.terms import StyleTerm, content_losses, total_variation, weigh_distances

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
