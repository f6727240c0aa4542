"""Guided Gram matrices against plain Python, and their properties."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from support.grams import aim_at, guide, sum_squares, weigh
from torch import Tensor

from guidedstyle.losses.gram import STATISTICS, guided_grams, guided_means, mix_grams, squared_norms
from guidedstyle.losses.guides import make_guides
from guidedstyle.losses.terms import StyleTerm, measure_style, weigh_distances
from guidedstyle.types import Statistic

GRID = (6, 7)


def make_features(channels: int = 3, grid: tuple[int, int] = GRID, seed: int = 0) -> Tensor:
    return torch.randn(1, channels, *grid, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make_weights(regions: int, grid: tuple[int, int] = GRID, seed: int = 1) -> Tensor:
    drawn = torch.rand(regions, *grid, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.softmax(6 * drawn, 0)


def loop_guided_gram(features: Tensor, guide: Tensor) -> list[list[float]]:
    """Eq. 5 of Gatys et al. 2017 as a triple loop over channels and positions."""
    f, t = features[0].flatten(1).tolist(), guide.flatten().tolist()
    channels, positions = range(len(f)), range(len(t))
    return [[sum(t[p] ** 2 * f[i][p] * f[j][p] for p in positions) for j in channels] for i in channels]


def test_equals_a_triple_loop_in_plain_python() -> None:
    features, weights = make_features(), make_weights(3)
    found = guided_grams(features, guide(weights, GRID))
    for region, gram in zip(weights, found, strict=True):
        expected = torch.tensor(loop_guided_gram(features, (region / region.sum()).sqrt()), dtype=torch.float64)
        torch.testing.assert_close(gram, expected, rtol=1e-12, atol=1e-12)


def test_convention_masks_of_0_and_1_give_the_published_formula() -> None:
    """There the guide is the mask itself, normalised so that its squares sum to 1."""
    features, mask = make_features(), torch.zeros(GRID, dtype=torch.float64)
    mask[1:4, 2:6] = 1
    published = mask / mask.square().sum().sqrt()
    guided = features[0].flatten(1) * published.flatten()
    found = guided_grams(features, guide(mask[None], GRID))[0]
    torch.testing.assert_close(found, guided @ guided.T, rtol=1e-13, atol=1e-13)


def test_one_region_over_everything_is_the_plain_gram() -> None:
    features = make_features()
    flat = features[0].flatten(1)
    found = guided_grams(features, guide(torch.ones(1, *GRID, dtype=torch.float64), GRID))[0]
    torch.testing.assert_close(found, flat @ flat.T / flat.shape[1])


@pytest.mark.parametrize("statistic", ["mean", "covariance"])
def test_means_and_covariances_equal_plain_python(statistic: str) -> None:
    features, weights = make_features(), make_weights(2)
    found = STATISTICS[statistic](features, guide(weights, GRID))
    for region, measured in zip(weights, found, strict=True):
        shares, f = (region / region.sum()).flatten().tolist(), features[0].flatten(1).tolist()
        means = [sum(s * v for s, v in zip(shares, channel, strict=True)) for channel in f]
        spread = [
            [
                sum(s * (a - m) * (b - n) for s, a, b in zip(shares, f[i], f[j], strict=True))
                for j, n in enumerate(means)
            ]
            for i, m in enumerate(means)
        ]
        expected = means if statistic == "mean" else spread
        torch.testing.assert_close(measured, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("regions", [1, 3])
@pytest.mark.parametrize("statistic", ["mean", "covariance"])
def test_gradients_of_other_statistics_are_the_numerical_ones(statistic: str, regions: int) -> None:
    weights = make_weights(regions) if regions > 1 else torch.ones(1, *GRID, dtype=torch.float64)
    guides = guide(weights, GRID)
    assert torch.autograd.gradcheck(lambda f: STATISTICS[statistic](f, guides), make_features().requires_grad_())


def test_covariance_does_not_depend_on_the_mean_and_is_precise_in_bfloat16() -> None:
    features, guides = make_features().float(), guide(make_weights(2).float(), GRID)
    expected = STATISTICS["covariance"](features, guides)
    torch.testing.assert_close(STATISTICS["covariance"](features + 5, guides), expected, rtol=1e-3, atol=1e-4)
    coarse = STATISTICS["covariance"]((features + 5).bfloat16(), guides)
    assert (coarse - expected).norm() < 0.05 * expected.norm()


def test_a_mean_in_a_metric_is_the_mean_of_transformed_features() -> None:
    features, metric, guides = make_features(), torch.randn(3, 3, dtype=torch.float64), guide(make_weights(2), GRID)
    seen = torch.einsum("dc,bchw->bdhw", metric, features)
    found = squared_norms(guided_means(features, guides), metric.T @ metric)
    torch.testing.assert_close(found, guided_means(seen, guides).square().sum(1))


def test_gradient_is_the_numerical_one() -> None:
    guides = guide(make_weights(3), GRID)
    assert torch.autograd.gradcheck(lambda f: guided_grams(f, guides), make_features().requires_grad_())


def test_does_not_change_when_the_image_is_duplicated() -> None:
    features, weights = make_features(), make_weights(2)
    once = guided_grams(features, guide(weights, GRID))
    twice = torch.cat([features, features], 3), torch.cat([weights, weights], 2)
    torch.testing.assert_close(guided_grams(twice[0], guide(twice[1], (6, 14))), once)


def test_two_half_opacities_are_one_whole_region() -> None:
    """The seam keeps its full strength; guides equal to the masks would halve it."""
    features = make_features()
    whole = guided_grams(features, guide(torch.ones(1, *GRID, dtype=torch.float64), GRID))
    halves = guided_grams(features, guide(torch.full((2, *GRID), 0.5, dtype=torch.float64), GRID))
    torch.testing.assert_close(halves, whole.expand(2, -1, -1))


def test_is_linear_in_the_mask() -> None:
    """Weighted by area, the Grams of regions that cover the image sum to the image's Gram."""
    features, weights = make_features(), make_weights(4)
    grams = guided_grams(features, guide(weights, GRID)) * weights.mean((1, 2))[:, None, None]
    flat = features[0].flatten(1)
    torch.testing.assert_close(grams.sum(0), flat @ flat.T / flat.shape[1])


def test_only_positions_of_a_region_have_a_gradient() -> None:
    features = make_features().requires_grad_()
    mask = torch.zeros(1, *GRID, dtype=torch.float64)
    mask[0, :2] = 1
    guided_grams(features, guide(mask, GRID)).sum().backward()
    assert features.grad is not None
    assert features.grad[0, :, 2:].abs().max() == 0
    assert features.grad[0, :, :2].abs().min() > 0


def test_guides_have_as_many_rows_as_positions_for_any_number_of_regions() -> None:
    stripes = torch.eye(16).repeat_interleave(4, 1)[:, None].expand(16, 64, 64)
    rows = guide(stripes, (32, 32)).rows
    assert rows
    assert len(rows.positions) == 32 * 32
    assert [len(found) for found in rows.regions] == [32 * 32]
    overlapping = guide(torch.cat([stripes, stripes[:1]]), (32, 32)).rows
    assert overlapping
    first, second = overlapping.regions
    assert int((first < len(overlapping.positions)).sum()) == 32 * 32
    assert int((second < len(overlapping.positions)).sum()) == 64


def test_convention_squares_of_a_guide_sum_to_1_on_every_grid() -> None:
    weights = make_weights(3, (37, 41))
    for grid in [(37, 41), (18, 20), (9, 10), (2, 3), (1, 1)]:
        guides = guide(weights, grid)
        assert sum_squares(guides).tolist() == pytest.approx([1, 1, 1])


def test_convention_weights_are_averaged_before_the_root() -> None:
    weights = torch.tensor([[[1.0, 0, 0, 0]]])
    guides = guide(weights, (1, 2))
    assert guides.rows
    assert [found.tolist() for found in guides.rows.regions] == [[0, len(guides.rows.positions)]]
    cells = weigh(torch.tensor([[[1.0, 0, 1, 1]]]), (1, 2))
    torch.testing.assert_close(cells, torch.tensor([[[1 / 3, 2 / 3]]]))


@pytest.mark.parametrize("weights", [[1, 1], [0.7, 0.3], [5, 2, 1]])
def test_a_mix_has_the_gradient_of_the_weighted_sum_of_losses(weights: list[float]) -> None:
    features = make_features().requires_grad_()
    guides = guide(make_weights(1), GRID)
    grams = [guided_grams(make_features(seed=9 + i), guides)[0].detach() for i in range(len(weights))]
    apart = sum(w * (guided_grams(features, guides)[0] - g).square().sum() for w, g in zip(weights, grams, strict=True))
    (expected,) = torch.autograd.grad(apart / sum(weights), features)
    together = (guided_grams(features, guides)[0] - mix_grams(grams, weights)).square().sum()
    (found,) = torch.autograd.grad(together, features)
    torch.testing.assert_close(found, expected)


def test_a_mix_has_a_weight_for_each_gram() -> None:
    with pytest.raises(ValueError, match="argument"):
        mix_grams([torch.eye(3)], [1.0, 2.0])


@pytest.mark.parametrize("statistic", get_args(Statistic))
def test_without_a_metric_each_region_has_its_squared_norm(statistic: str) -> None:
    found = STATISTICS[statistic](make_features(), guide(make_weights(3), GRID))
    expected = [sum(number**2 for number in region.flatten().tolist()) for region in found]
    assert squared_norms(found, None).tolist() == pytest.approx(expected, rel=1e-12)
    assert squared_norms(found, torch.eye(3, dtype=torch.float64)).tolist() == pytest.approx(expected, rel=1e-12)


def test_sums_of_bfloat16_features_are_rounded_once() -> None:
    """Summed in bfloat16, 65536 positions would be off by 10%; rounded at the end, by less than 2^-8."""
    features = make_features(4, (256, 256)).bfloat16()
    gram = guided_grams(features, guide(torch.ones(1, 256, 256), (256, 256)))[0]
    flat = features[0].flatten(1).double()
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram.double(), flat @ flat.T / flat.shape[1], rtol=2**-8, atol=2**-8)


@pytest.mark.parametrize("slope", [0, 1])
def test_means_of_bfloat16_features_are_those_of_float64(slope: float) -> None:
    features = make_features(4, (256, 256)).abs().bfloat16()
    weights = 1 + slope * torch.linspace(0, 1, 256).expand(1, 256, 256)
    mean = guided_means(features, guide(weights, (256, 256)))
    expected = (features.double() * weights).sum((2, 3)) / weights.sum()
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("statistic", get_args(Statistic))
@pytest.mark.parametrize("regions", [1, 3])
def test_gradients_of_bfloat16_features_are_those_of_float64_rounded(statistic: str, regions: int) -> None:
    weights = make_weights(regions) if regions > 1 else torch.ones(1, *GRID, dtype=torch.float64)
    half = make_features().bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    found, expected = (
        torch.autograd.grad(STATISTICS[statistic](features, guide(share, GRID)).square().sum(), features)[0]
        for features, share in ((half, weights.float()), (half.double(), weights))
    )
    assert found.dtype == torch.bfloat16
    assert (found.double() - expected).norm() < 2**-6 * expected.norm()


@pytest.mark.parametrize("regions", [1, 3])
def test_a_gradient_is_channels_last(regions: int) -> None:
    weights = make_weights(regions) if regions > 1 else torch.ones(1, *GRID, dtype=torch.float64)
    features = make_features().contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(guided_grams(features, guide(weights, GRID)).sum(), features)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_gradient_of_a_whole_image_is_the_numerical_one() -> None:
    guides = guide(torch.ones(1, *GRID, dtype=torch.float64), GRID)
    assert guides.rows is None
    assert torch.autograd.gradcheck(lambda f: guided_grams(f, guides), make_features().requires_grad_())


def test_a_region_with_a_hole_or_a_slope_is_not_whole() -> None:
    hole = torch.ones(1, *GRID)
    hole[0, 2, 3] = 0
    assert guide(hole, GRID).rows
    assert guide(torch.ones(1, *GRID).cumsum(1), GRID).rows


def test_a_gram_in_a_metric_is_the_gram_of_transformed_features() -> None:
    features, metric = make_features(), torch.randn(3, 3, dtype=torch.float64)
    guides = guide(make_weights(2), GRID)
    seen = torch.einsum("dc,bchw->bdhw", metric, features)
    found = squared_norms(guided_grams(features, guides), metric.T @ metric)
    torch.testing.assert_close(found, guided_grams(seen, guides).square().sum((1, 2)))


def test_gradient_in_a_metric_is_the_numerical_one() -> None:
    guides, metric = guide(make_weights(2), GRID), torch.eye(3, dtype=torch.float64) + 0.2
    expected, features = guided_grams(make_features(seed=4), guides), make_features().requires_grad_()
    (found,) = torch.autograd.grad(squared_norms(guided_grams(features, guides) - expected, metric).sum(), features)
    step, shift = make_features(seed=8), 1e-6
    above, below = (
        squared_norms(guided_grams((features + sign * shift * step).detach(), guides) - expected, metric).sum()
        for sign in (1, -1)
    )
    torch.testing.assert_close((found * step).sum(), (above - below) / (2 * shift), rtol=1e-6, atol=1e-9)


def test_regions_of_half_opacity_weigh_as_one_in_the_loss() -> None:
    features, target = make_features(), make_features(seed=5)
    whole = guide(torch.ones(1, *GRID, dtype=torch.float64), GRID)
    halves = guide(torch.full((2, *GRID), 0.5, dtype=torch.float64), GRID)
    gram = guided_grams(target, whole)

    def measure(term: StyleTerm, sums: Tensor) -> Tensor:
        none = torch.zeros(len(sums), dtype=torch.float64)
        return measure_style([term], weigh_distances([term], none), [sums])

    one = measure(aim_at(gram), guided_grams(features, whole))
    two = measure(aim_at(gram.expand(2, -1, -1)), guided_grams(features, halves))
    torch.testing.assert_close(two.mean(), one.mean())


@pytest.mark.parametrize("rows", [1, 63, 64 * 64, 31 * 4801, 17 * 5003, 262_144])
def test_a_region_alone_is_divided_into_few_equal_blocks(rows: int) -> None:
    """Each block writes a matrix of its own: blocks of a few rows would take gigabytes."""
    blocks = len(make_guides(torch.full((1, 1, rows), 1 / rows)).owners)
    assert rows % blocks == 0
    assert rows // blocks >= min(rows, 64)
