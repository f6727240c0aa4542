"""Normalisation by regions: against plain formulas, and its gradient against differences."""

from __future__ import annotations

import pytest
import torch
from support.images import draw_tensor
from torch import Tensor, nn

from guidedstyle.networks import normalisation
from guidedstyle.networks.normalisation import (
    CHANNELS,
    EPSILON,
    PERIOD,
    Layout,
    StyleNormalisation,
    measure_moments,
    repeat_noise,
)

NONE = torch.zeros(CHANNELS, PERIOD, PERIOD)


def make_layout(regions: Tensor, mixes: Tensor, origin: tuple[int, int] = (0, 0)) -> Layout:
    return Layout.of(regions, mixes, [1], origin=origin, factors=None)


def make_normalisation(channels: int, styles: int, *, noise: bool = False) -> StyleNormalisation:
    module = StyleNormalisation(channels, styles, noise=noise)
    with torch.no_grad():
        for number, weights in enumerate(module.parameters(), 1):
            weights.copy_(draw_tensor(number + 5, *weights.shape)[number])
    return module


def test_one_region_and_style_is_instance_normalisation() -> None:
    x, module = draw_tensor(2, 3, 5, 7), make_normalisation(3, 4)
    mixes = torch.eye(4)[2].expand(2, 1, 4)
    found = module(x, make_layout(torch.ones(2, 1, 5, 7), mixes), 1, NONE)
    expected = nn.functional.instance_norm(x, weight=module.scales[2], bias=module.shifts[2], eps=EPSILON)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_each_region_has_its_own_statistics_and_mix() -> None:
    x, module = draw_tensor(1, 3, 4, 6), make_normalisation(3, 2, noise=True)
    left = torch.zeros(4, 6)
    left[:, :2] = 1
    mixes, noise = torch.tensor([[[0.25, 0.75], [1.0, 0.0]]]), draw_tensor(CHANNELS, PERIOD, PERIOD)
    found = module(x, make_layout(torch.stack([left, 1 - left])[None], mixes), 1, noise)
    assert module.noise is not None
    for number, columns in enumerate((slice(0, 2), slice(2, 6))):
        part, shares = x[0, :, :, columns], mixes[0, number]
        mean, variance = part.mean((1, 2)), part.var((1, 2), correction=0)
        for channel in range(3):
            expected = (part[channel] - mean[channel]) / (variance[channel] + EPSILON).sqrt()
            expected = expected * (shares @ module.scales[:, channel]) + shares @ module.shifts[:, channel]
            for grain in range(CHANNELS):
                expected = expected + shares @ module.noise[:, grain, channel] * noise[grain, :4, columns]
            torch.testing.assert_close(found[0, channel, :, columns], expected, rtol=1e-5, atol=1e-5)


def test_soft_regions_are_averaged_by_their_weights() -> None:
    x, module = draw_tensor(1, 2, 3, 3), make_normalisation(2, 2)
    weights = draw_tensor(2, 3, 3).softmax(0)
    found = module(x, make_layout(weights[None], torch.eye(2)[None]), 1, NONE)
    expected = torch.zeros_like(x)
    for number in range(2):
        share = weights[number] / weights[number].sum()
        mean = (share * x[0]).sum((1, 2), keepdim=True)
        variance = (share * (x[0] - mean).square()).sum((1, 2), keepdim=True)
        normal = (x[0] - mean) / (variance + EPSILON).sqrt()
        own = module.scales[number][:, None, None] * normal + module.shifts[number][:, None, None]
        expected += weights[number] * own
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_gradient_is_that_of_central_differences() -> None:
    weights, mixes = draw_tensor(1, 2, 3, 4).softmax(1).double(), draw_tensor(1, 2, 3).softmax(2).double()
    module, noise = make_normalisation(2, 3, noise=True).double(), draw_tensor(CHANNELS, PERIOD, PERIOD).double()
    layout = Layout({1: weights}, {1: weights}, mixes, (0, 0), {})

    def normalise(x: Tensor, *own: Tensor) -> Tensor:
        layout.factors.clear()
        state = dict(zip(dict(module.named_parameters()), own, strict=True))
        found: Tensor = torch.func.functional_call(module, state, (x, layout, 1, noise))
        return found

    torch.autograd.gradcheck(normalise, [draw_tensor(1, 2, 3, 4).double().requires_grad_(), *module.parameters()])


def test_order_of_regions_changes_nothing() -> None:
    x, module = draw_tensor(1, 3, 5, 5), make_normalisation(3, 2, noise=True)
    weights, mixes = draw_tensor(1, 4, 5, 5).softmax(1), draw_tensor(1, 4, 2).softmax(2)
    order, noise = [2, 0, 3, 1], draw_tensor(CHANNELS, PERIOD, PERIOD)
    found = module(x, make_layout(weights, mixes), 1, noise)
    again = module(x, make_layout(weights[:, order], mixes[:, order]), 1, noise)
    torch.testing.assert_close(found, again, rtol=1e-5, atol=1e-5)


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weights = draw_tensor(2, 3, 9, 7), draw_tensor(2, 2, 9, 7).softmax(1)
    module, noise = make_normalisation(3, 2, noise=True), draw_tensor(CHANNELS, PERIOD, PERIOD)
    layout = make_layout(weights, draw_tensor(2, 2, 2).softmax(2), (126, 5))
    whole = module(x, layout, 1, noise)
    monkeypatch.setattr(normalisation, "BAND", 50)
    assert len(list(normalisation.split_rows(9, 21))) == 4
    again = module(x, make_layout(weights, layout.mixes, (126, 5)), 1, noise)
    torch.testing.assert_close(whole, again, rtol=1e-5, atol=1e-5)


def test_uncovered_positions_belong_to_all_regions_equally() -> None:
    weights = torch.zeros(1, 2, 2, 2)
    weights[0, 0, 0, 0], weights[0, 1, 0, 1] = 0.5, 0.25
    shares = make_layout(weights, torch.ones(1, 2, 1)).shares[1]
    assert shares[0, :, 0, 0].tolist() == [1, 0]
    assert shares[0, :, 0, 1].tolist() == [0, 1]
    assert (shares[0, :, 1] == 0.5).all()


def test_positions_of_no_region_do_not_count_in_statistics() -> None:
    x, module, weights = draw_tensor(1, 3, 4, 6), make_normalisation(3, 1), torch.zeros(1, 1, 4, 6)
    weights[..., :3] = 1
    alone = module(x[..., :3], make_layout(torch.ones(1, 1, 4, 3), torch.ones(1, 1, 1)), 1, NONE)
    x[..., 3:] = 100
    torch.testing.assert_close(module(x, make_layout(weights, torch.ones(1, 1, 1)), 1, NONE)[..., :3], alone)


def test_calm_features_are_normalised_in_full_precision() -> None:
    x, module = (5 + 0.05 * draw_tensor(1, 3, 20, 20)).bfloat16(), make_normalisation(3, 1)
    layout = make_layout(torch.ones(1, 1, 20, 20), torch.ones(1, 1, 1))
    found = module(x, layout, 1, NONE)
    assert found.dtype == torch.bfloat16
    exact = module(x.float(), make_layout(torch.ones(1, 1, 20, 20), torch.ones(1, 1, 1)), 1, NONE)
    torch.testing.assert_close(found.float(), exact, rtol=0.01, atol=0.01)


def test_moments_are_those_of_float64_where_values_are_far_from_zero() -> None:
    x = (20 + draw_tensor(1, 4, 40, 40)).bfloat16()
    weights = draw_tensor(1, 2, 40, 40).softmax(1)
    means, variances = measure_moments(x, weights)
    share = (weights / weights.sum((2, 3), keepdim=True)).double().flatten(2)
    rows = x[0].double().flatten(1).T
    torch.testing.assert_close(means[0], (share[0] @ rows).float(), rtol=1e-4, atol=1e-4)
    expected = share[0] @ rows.square() - (share[0] @ rows).square()
    torch.testing.assert_close(variances[0], expected.float(), rtol=2e-3, atol=1e-3)


def test_noise_repeats_and_is_cut_at_its_origin() -> None:
    noise = draw_tensor(CHANNELS, PERIOD, PERIOD)
    found = repeat_noise(noise, (PERIOD - 1, 3), (3, 2))
    assert (found[0] == 1).all()
    assert torch.equal(found[1:, 0], noise[:, PERIOD - 1, 3:5])
    assert torch.equal(found[1:, 1:], noise[:, :2, 3:5])
