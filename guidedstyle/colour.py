"""Colour control as pure functions of pictures (1, 3, H, W) in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
RIDGE = 1e-5  # on the covariances: without it a grey picture has no inverse


def extract_luminance(image: Tensor) -> Tensor:
    """Return Y = .299 R + .587 G + .114 B as a picture of three equal channels."""
    luma = torch.tensor(LUMA, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return (image * luma).sum(1, keepdim=True).expand_as(image)


def replace_luminance(image: Tensor, luminance: Tensor) -> Tensor:
    """Return `image` with the luminance of another picture and its own chroma (Gatys et al. 2017, sec. 5.1)."""
    return image + extract_luminance(luminance) - extract_luminance(image)


def match_colour(image: Tensor, target: Tensor) -> Tensor:
    """Recolour `image` to the mean and covariance of `target`: x' = A (x - mu) + mu_target.

    A is the symmetric one, optimal transport between Gaussians; the pictures may differ in size. Gatys et al.
    2017, sec. 5.2, use Cholesky or PCA, which may turn hues; the symmetric A moves colours least.
    """
    mean, covariance = _moments(image)
    wanted_mean, wanted = _moments(target)
    root = _power(covariance, 0.5)
    inverse = _power(covariance, -0.5)
    transport = inverse @ _power(root @ wanted @ root, 0.5) @ inverse
    pixels = transport @ (image[0].flatten(1) - mean) + wanted_mean
    return pixels.view_as(image)


def match_luminance(image: Tensor, target: Tensor) -> Tensor:
    """Bring the luminance of `image` to the mean and deviation of the target's, as a grey picture."""
    found, wanted = extract_luminance(image), extract_luminance(target)
    scale = (wanted.var() + RIDGE).sqrt() / (found.var() + RIDGE).sqrt()
    return (found - found.mean()) * scale + wanted.mean()


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    pixels = image[0].flatten(1)
    mean = pixels.mean(1, keepdim=True)
    centred = pixels - mean
    ridge = RIDGE * torch.eye(3, dtype=image.dtype, device=image.device)
    return mean, centred @ centred.T / pixels.shape[1] + ridge


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    powered: Tensor = vectors @ torch.diag(values.clamp(min=0).pow(exponent)) @ vectors.T
    return powered
