"""The network: its size, its convolutions, and what it does and does not depend on."""

from __future__ import annotations

import pytest
import torch
from support.images import draw_tensor
from support.networks import make_network
from torch.nn import functional

from guidedstyle.networks import normalisation
from guidedstyle.networks.transformer import COARSEST, HALO, Convolution, StyleNetwork

STYLES = ("ink", "oil", "wax")


def count_weights(width: int, styles: int) -> int:
    """Count by hand: kernels, then scales, shifts and two channels of noise of each style, then the last bias."""
    deep = 4 * width
    kernels = 2 * 3 * width * 81 + 2 * 9 * width * 2 * width + 2 * 9 * 2 * width * deep + 12 * 9 * deep * deep
    normal = 2 * (width + 2 * width) + 3 * deep + 8 * deep + 2 * deep  # channels that are normalised: down, blocks, up
    noisy = 3 * deep + 4 * deep  # those with noise: down from stride 4 on, first layers of blocks
    return kernels + styles * (2 * normal + 2 * noisy) + 3 + 9 + styles * 2 * 3  # the last bias, and the colours


@pytest.mark.parametrize(("width", "styles"), [(16, 4), (32, 1)])
def test_weights_are_as_many_as_counted_by_hand(width: int, styles: int) -> None:
    network = StyleNetwork([f"style {number}" for number in range(styles)], width=width)
    assert sum(weights.numel() for weights in network.parameters()) == count_weights(width, styles)


@pytest.mark.parametrize(("stride", "enlarge"), [(1, False), (2, False), (1, True)])
def test_convolutions_are_those_of_a_replicated_border(
    stride: int, enlarge: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = Convolution(3, 5, 3, stride=stride, enlarge=enlarge, bias=True), draw_tensor(2, 3, 12, 8)
    larger = functional.interpolate(x, size=(24, 16), mode="bilinear") if enlarge else x
    expected = functional.conv2d(
        functional.pad(larger, (1, 1, 1, 1), mode="replicate"), module.weight.view(5, 3, 3, 3), module.bias, stride
    )
    torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(normalisation, "BAND", 90)  # every band of a few rows
    torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = make_network(STYLES), draw_tensor(1, 3, 67, 90).sigmoid()
    regions, mixes = draw_tensor(1, 2, 67, 90).softmax(1), draw_tensor(1, 2, 3).softmax(2)
    whole = network(image, regions, mixes)
    monkeypatch.setattr(normalisation, "BAND", 2**11)
    torch.testing.assert_close(network(image, regions, mixes), whole, rtol=0, atol=1e-4)


def test_order_of_regions_changes_nothing() -> None:
    network, image = make_network(STYLES), draw_tensor(1, 3, 48, 64).sigmoid()
    regions, mixes, order = draw_tensor(1, 3, 48, 64).softmax(1), draw_tensor(1, 3, 3).softmax(2), [2, 0, 1]
    found = network(image, regions, mixes)
    torch.testing.assert_close(network(image, regions[:, order], mixes[:, order]), found, rtol=0, atol=1e-4)


def test_the_contrast_of_one_region_hardly_moves_another() -> None:
    network, image = make_network(STYLES), 0.5 + 0.02 * draw_tensor(1, 3, 32, 640)
    loud, left = image.clone(), torch.zeros(1, 1, 32, 640)
    loud[..., :64], left[..., :64] = (10 * (image[..., :64] - 0.5)) + 0.5, 1
    both, mixes = torch.cat([left, 1 - left], 1), torch.eye(3)[None, :1].expand(1, 2, 3)

    def measure_change(regions: torch.Tensor) -> float:
        own = mixes[:, : regions.shape[1]]
        return float((network(loud, regions, own) - network(image, regions, own))[..., 64 + HALO :].abs().mean())

    assert measure_change(both) < measure_change(torch.ones_like(left)) / 4


def test_a_batch_is_painted_like_each_image_alone() -> None:
    network, images = make_network(STYLES), draw_tensor(3, 3, 32, 48).sigmoid()
    regions, mixes = draw_tensor(3, 2, 32, 48).softmax(1), draw_tensor(3, 2, 3).softmax(2)
    together = network(images, regions, mixes)
    each = [network(images[n : n + 1], regions[n : n + 1], mixes[n : n + 1]) for n in range(3)]
    torch.testing.assert_close(together, torch.cat(each), rtol=0, atol=1e-4)


def test_a_pixel_depends_on_nothing_farther_than_the_halo() -> None:
    network = make_network(STYLES)
    torch.manual_seed(1)
    length = 2 * HALO + 160
    image, regions, mixes = torch.rand(1, 3, 32, length), torch.ones(1, 1, 32, length), torch.eye(3)[None, :1]
    factors: normalisation.Factors = {}
    network(image, regions, mixes, factors=factors)
    before = network(image, regions, mixes, factors=factors)
    image[..., 80] = 1 - image[..., 80]
    changed = (network(image, regions, mixes, factors=factors) - before).abs().amax((0, 1, 2)) > 0
    assert changed[80]
    assert not changed[80 + HALO :].any()
    assert HALO % COARSEST == 0


def test_styles_keep_their_weights_when_others_join() -> None:
    network, image = make_network(STYLES), draw_tensor(1, 3, 32, 32).sigmoid()
    more = network.with_styles(["new", *STYLES])
    regions = torch.ones(1, 1, 32, 32)
    for number in range(3):
        own, other = torch.eye(3)[None, number : number + 1], torch.eye(4)[None, number + 1 : number + 2]
        assert torch.equal(network(image, regions, own), more(image, regions, other))
    mean = torch.full((1, 1, 3), 1 / 3)
    new = more(image, regions, torch.eye(4)[None, :1])
    torch.testing.assert_close(new, network(image, regions, mean), rtol=0, atol=1e-4)
