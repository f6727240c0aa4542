"""Luminance and chroma are separated exactly."""

from __future__ import annotations

import torch

from guidedstyle.engine.objective.colour import extract_luminance, replace_luminance


def draw(seed: int, *size: int) -> torch.Tensor:
    pixels = torch.rand(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    mix = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.2, 0.0, 0.4]], dtype=torch.float64) + seed / 20
    return torch.einsum("ij,bjhw->bihw", mix, pixels)


def test_replacing_luminance_keeps_chroma_and_takes_luminance() -> None:
    """The luminance is limited where a channel would leave [0, 1]: there one channel is 0 or 1."""
    image, painted = draw(1, 8, 8), draw(2, 8, 8)
    mixed = replace_luminance(image, painted)
    torch.testing.assert_close(mixed - extract_luminance(mixed), image - extract_luminance(image))
    expected = image - extract_luminance(image) + extract_luminance(painted)
    fits = ((expected >= 0) & (expected <= 1)).all(1)[0]
    assert 0.2 < fits.double().mean() < 0.9
    torch.testing.assert_close(extract_luminance(mixed)[..., fits], extract_luminance(painted)[..., fits])
    nearest = torch.where((expected < 0).any(1), mixed.amin(1), 1 - mixed.amax(1))[0]
    assert nearest[~fits].abs().max() < 1e-12
    assert mixed.min() > -1e-12
    assert mixed.max() < 1 + 1e-12


def test_the_gradient_of_replaced_luminance_is_the_numerical_one() -> None:
    image, target = draw(1, 4, 4).requires_grad_(), draw(2, 4, 4)
    assert torch.autograd.gradcheck(lambda x: replace_luminance(target, x), image)
