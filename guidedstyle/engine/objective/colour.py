"""Match the colours of a style image; luminance and chroma."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guidedstyle.types import Array, ColourMethod

LUMA = (0.299, 0.587, 0.114)


def extract_luminance(image: Tensor) -> Tensor:
    """Return Y = .299 R + .587 G + .114 B as an image of three equal channels."""
    return (image * _make_luma(image.dtype, image.device)).sum(1, keepdim=True).expand_as(image)


@cache
def _make_luma(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Make the shares of the channels (1, 3, 1, 1), once for each device: it would wait for them in every step."""
    with torch.inference_mode(False):
        return torch.tensor(LUMA, dtype=dtype, device=device).view(1, 3, 1, 1)


def replace_luminance(image: Tensor, luminance: Tensor) -> Tensor:
    """Return `image` with the luminance of another image and its own chroma (Gatys et al. 2017, sec. 5.1).

    The luminance goes only as far as every channel stays within [0, 1]: clipping a channel would change the chroma.
    """
    chroma = image - extract_luminance(image)
    least, most = -chroma.amin(1, keepdim=True), 1 - chroma.amax(1, keepdim=True)
    return chroma + extract_luminance(luminance).clamp(least, most)


Matrix = NDArray[np.float64]

LUMA_ROW = np.array(LUMA)
RIDGE = 1e-5  # added to covariances: that of a grey image has no inverse
KNOTS = 256
ROTATIONS = 16
DECIMALS = 9


class Swatch(NamedTuple):
    """Colours (3, N) with weights (N,): the pixels of a region, or a palette."""

    colours: Matrix
    weights: Matrix


def take_swatch(image: Array, weights: Array) -> Swatch:
    """Take the pixels of an image (1, 3, h, w) where weights (h, w) are above 0."""
    chosen = weights > 0
    return Swatch(image[0][:, chosen].astype(np.float64), weights[chosen].astype(np.float64))


def match_colours(image: Array, mask: Array, target: Swatch, method: ColourMethod = "symmetric") -> Array:
    """Recolour an image so that its masked part has the colours of `target`.

    The linear methods match mean and covariance, x' = A (x - mu) + mu_target: `symmetric` is optimal transport between
    Gaussians, which moves colours least; `pca` and `cholesky` are those of Gatys et al. 2017, sec. 5.2.
    `histogram` matches the whole distribution, along randomly rotated axes one after another (Pitie et al. 2007,
    doi:10.1016/j.cviu.2006.11.011), after the symmetric map.
    """
    colours = image[0].reshape(3, -1).astype(np.float64)
    source = Swatch(colours, mask.reshape(-1).astype(np.float64))
    linear: ColourMethod = "symmetric" if method == "histogram" else method
    matched = _match_moments(source, target, linear)
    if method == "histogram":
        for rotation in _draw_rotations():
            matched = _match_axes(rotation, Swatch(matched, source.weights), target)
    return matched.reshape(image.shape).astype(np.float32)


def match_palette(image: Array, mask: Array, palette: Sequence[tuple[int, int, int]]) -> Array:
    """Recolour an image towards a palette of 0 to 255, of which the masked part uses all colours equally.

    Returns the mean of the linear map, whose colours are not all in the palette, and the histogram's, which has only
    the palette's few colours, so that strokes keep their shading.
    """
    target = Swatch(np.array(palette, np.float64).T / 255, np.ones(len(palette)))
    linear, flat = (match_colours(image, mask, target, method) for method in ("symmetric", "histogram"))
    return np.asarray((linear + flat) / 2, np.float32)


def match_luminance(image: Array, mask: Array, target: Swatch) -> Array:
    """Make an image grey; the luminance of its masked part gets the mean and standard deviation of the target's.

    As in the paper (Gatys et al. 2017, sec. 5.1); the authors' code matches only the mean.
    """
    grey = np.tensordot(LUMA_ROW, image[0], 1)
    mean, deviation = _measure_mean_and_deviation(grey.reshape(-1), mask.reshape(-1))
    target_mean, target_deviation = _measure_mean_and_deviation(LUMA_ROW @ target.colours, target.weights)
    matched = (grey - mean) * (target_deviation / deviation) + target_mean
    return np.broadcast_to(matched, image.shape).astype(np.float32)


def _measure_mean_and_deviation(values: Matrix, weights: NDArray[np.floating]) -> tuple[float, float]:
    mean = np.average(values, weights=weights)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=weights) + RIDGE))


def _match_moments(source: Swatch, target: Swatch, method: ColourMethod) -> Matrix:
    (mean, covariance), (target_mean, target_covariance) = _measure_moments(source), _measure_moments(target)
    if method == "cholesky":
        change = np.linalg.cholesky(target_covariance) @ np.linalg.inv(np.linalg.cholesky(covariance))
    elif method == "pca":
        change = _power(target_covariance, 0.5) @ _power(covariance, -0.5)
    else:
        change = find_transport(covariance, target_covariance)
    moved: Matrix = change @ (source.colours - mean) + target_mean
    return moved


def find_transport(covariance: Matrix, target: Matrix) -> Matrix:
    """Find the optimal transport between Gaussians of two covariances: the symmetric A with A C A = C'."""
    root, inverse = _power(covariance, 0.5), _power(covariance, -0.5)
    change: Matrix = inverse @ _power(root @ target @ root, 0.5) @ inverse
    return change


def _measure_moments(swatch: Swatch) -> tuple[Matrix, Matrix]:
    """Measure mean (3, 1) and covariance (3, 3) of colours, with the ridge."""
    shares = swatch.weights / swatch.weights.sum()
    mean = (swatch.colours @ shares)[:, None]
    centred = swatch.colours - mean
    return mean, (centred * shares) @ centred.T + RIDGE * np.eye(3)


def _power(matrix: Matrix, exponent: float) -> Matrix:
    values, vectors = np.linalg.eigh(matrix)
    powered: Matrix = (vectors * values.clip(1e-12) ** exponent) @ vectors.T
    return powered


def _draw_rotations() -> list[Matrix]:
    """Draw random rotations from a fixed seed; the last one is the identity: red, green and blue themselves."""
    noise = np.random.default_rng(0)
    turned = [np.linalg.qr(noise.normal(size=(3, 3)))[0] for _ in range(ROTATIONS - 1)]
    return [*turned, np.eye(3)]


def _match_axes(rotation: Matrix, source: Swatch, target: Swatch) -> Matrix:
    """Match the distribution of colours to the target's along each axis of a rotation."""
    source_values = (rotation @ source.colours).round(DECIMALS)  # so that flat areas stay flat
    target_values = rotation @ target.colours
    pairs = zip(source_values, target_values, strict=True)
    matched = [
        _look_up(values, _find_quantiles(values, source.weights), _find_quantiles(goals, target.weights))
        for values, goals in pairs
    ]
    moved: Matrix = rotation.T @ np.stack(matched)
    return moved


def _find_quantiles(values: Matrix, weights: Matrix) -> Matrix:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) - weights[order] / 2
    return np.interp(np.linspace(0, 1, KNOTS), reached / weights.sum(), values[order]).round(DECIMALS)


def _look_up(values: Matrix, before: Matrix, after: Matrix) -> Matrix:
    """Map values to those of the same quantile; equal values get the middle of their quantiles."""
    quantiles = np.linspace(0, 1, KNOTS)
    last = np.interp(values, before, quantiles)
    first = 1 - np.interp(-values, -before[::-1], quantiles)
    return np.interp((first + last) / 2, quantiles, after)
