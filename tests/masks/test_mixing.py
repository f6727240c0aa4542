"""Mixes that vary are split into parts whose weighted mean is the mix, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from guidedstyle.masks.compositing import split_region


def draw_shares(styles: int, *size: int, seed: int = 0) -> np.ndarray:
    raw = np.random.default_rng(seed).random((styles, *size)).astype(np.float32) ** 3
    return raw / raw.sum(0)


@pytest.mark.parametrize("styles", [2, 3, 4, 5, 7])
def test_parts_sum_to_the_region_and_to_every_pixels_mix(styles: int) -> None:
    shares, weights = draw_shares(styles, 9, 11), np.random.default_rng(1).random((9, 11)).astype(np.float32)
    parts = list(split_region(3, weights, shares))
    np.testing.assert_allclose(sum(part.weights for part in parts), weights, rtol=0, atol=1e-5)
    mean = sum(np.multiply.outer(part.mix, part.weights) for part in parts)
    np.testing.assert_allclose(mean, shares * weights, rtol=0, atol=1e-5)
    assert all(sum(part.mix) == pytest.approx(1) and min(part.mix) >= 0 for part in parts)
    assert {part.region for part in parts} == {3}
    assert len({part.mix for part in parts}) == len(parts)


def test_a_pixel_belongs_to_mixes_near_its_own() -> None:
    """No pixel belongs to a mix more than one step of the lattice away."""
    shares = draw_shares(3, 20, 20)
    for part in split_region(0, np.ones((20, 20), np.float32), shares):
        apart = np.abs(shares - np.array(part.mix).reshape(-1, 1, 1)).max(0)
        assert apart[part.weights > 1e-5].max() <= 1 / 3 + 1e-5


def test_two_styles_in_a_gradient_make_five_even_steps() -> None:
    rise = np.linspace(0, 1, 401, dtype=np.float32)[None]
    parts = list(split_region(0, np.ones((1, 401), np.float32), np.stack([1 - rise, rise])))
    assert sorted(part.mix[1] for part in parts) == [0, 0.25, 0.5, 0.75, 1]
    middle = next(part for part in parts if part.mix == (0.5, 0.5))
    assert middle.weights[0, 200] == pytest.approx(1, abs=1e-5)
    assert middle.weights[0, 150] == pytest.approx(0.5, abs=0.01)
    assert middle.weights[0, :100].max() == pytest.approx(0, abs=1e-5)


def test_a_mix_that_does_not_vary_is_one_part() -> None:
    (part,) = split_region(1, np.ones((4, 4), np.float32), np.array([0.3, 0.7], np.float32))
    assert part.mix == pytest.approx((0.3, 0.7))
    assert (part.weights == 1).all()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_shares_on_the_lattice_are_one_part(share: float) -> None:
    shares = np.full((2, 3, 3), share, np.float32)
    shares[0] = 1 - share
    (part,) = split_region(0, np.ones((3, 3), np.float32), shares)
    assert part.mix == (1 - share, share)
