"""Colour control does exactly what it says."""

from __future__ import annotations

import torch

from guidedstyle.colour import extract_luminance, match_colour, match_luminance, replace_luminance


def draw(seed: int, *size: int) -> torch.Tensor:
    pixels = torch.rand(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    mix = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.2, 0.0, 0.4]], dtype=torch.float64) + seed / 20
    return torch.einsum("ij,bjhw->bihw", mix, pixels)


def moments(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = image[0].flatten(1)
    return pixels.mean(1), torch.cov(pixels, correction=0)


def test_matching_brings_mean_and_covariance_to_the_target() -> None:
    image, target = draw(1, 20, 30), draw(2, 15, 10)
    mean, covariance = moments(match_colour(image, target))
    wanted_mean, wanted_covariance = moments(target)
    torch.testing.assert_close(mean, wanted_mean)
    torch.testing.assert_close(covariance, wanted_covariance, rtol=0, atol=1e-4)


def test_a_picture_matched_to_itself_stays() -> None:
    torch.testing.assert_close(match_colour(draw(1, 9, 9), draw(1, 9, 9)), draw(1, 9, 9))


def test_grey_and_flat_pictures_are_safe() -> None:
    grey = draw(1, 8, 8).mean(1, keepdim=True).expand(1, 3, 8, 8)
    flat = torch.full((1, 3, 8, 8), 0.4, dtype=torch.float64)
    for image in (grey, flat):
        for target in (grey, flat, draw(2, 8, 8)):
            assert torch.isfinite(match_colour(image, target)).all()
            assert torch.isfinite(match_luminance(image, target)).all()


def test_replacing_luminance_keeps_chroma_and_takes_luminance() -> None:
    image, painted = draw(1, 8, 8), draw(2, 8, 8)
    mixed = replace_luminance(image, painted)
    torch.testing.assert_close(extract_luminance(mixed), extract_luminance(painted))
    torch.testing.assert_close(mixed - extract_luminance(mixed), image - extract_luminance(image))


def test_matched_luminance_has_the_mean_and_deviation_of_the_target() -> None:
    matched, target = match_luminance(draw(1, 40, 40), draw(2, 30, 30)), extract_luminance(draw(2, 30, 30))
    torch.testing.assert_close(matched.mean(), target.mean())
    torch.testing.assert_close(matched.std(), target.std(), rtol=1e-3, atol=0)


def test_gradients_are_the_numerical_ones() -> None:
    image, target = draw(1, 4, 4).requires_grad_(), draw(2, 4, 4)
    assert torch.autograd.gradcheck(lambda x: match_colour(x, target), image)
    assert torch.autograd.gradcheck(lambda x: replace_luminance(target, x), image)
    assert torch.autograd.gradcheck(lambda x: match_luminance(x, target), image)
