"""The content image in the colours and contrasts of each region's styles, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guidedstyle.device.transfer import fetch, send
from guidedstyle.engine.objective.canvas import Canvas, resize
from guidedstyle.engine.objective.colour import Matrix, find_transport
from guidedstyle.engine.objective.targets import draw_style_image, recolours, size_style_image
from guidedstyle.losses.statistics import build_octaves, halve_image
from guidedstyle.masks.compositing import Part
from guidedstyle.recipe.controls import Controls
from guidedstyle.scene.scene import Scene

MOST_BANDS = 4
CHUNK = 2**22  # pixels that are measured at a time
SPREAD = 3  # positions: weights reach at most this far when they are halved
SMALLEST = 12  # px of the shortest side of what is left without the bands
RIDGE = 1e-6  # added to covariances: that of a flat image has no inverse
LEAST_GAIN, MOST_GAIN = 1 / 20, 8.0  # of what is left without the bands
BAND_GAINS = (1.5, 3.0)  # at most, of the finest band and of the others: noise of calm areas must stay faint


def make_matched_image(scene: Scene, canvas: Canvas) -> Tensor:
    """Give the content image (1, 3, h, w) at the size of a canvas the colours and contrasts of each region's styles.

    Each band of a Laplacian pyramid (Burt & Adelson 1983) gets the covariance of colours that it has in the mix of
    styles, and what is left without the bands also gets the mean: x' = A (x - m) + m', where A is the optimal
    transport between Gaussians, which moves colours least. Regions fade into each other in each band over about its
    wavelength, so that no seam is seen. Where a region has no style, is kept, or has `colour: content`, the content is
    unchanged. On a canvas, noise takes the place of the content. The image is a copy that may be overwritten.
    """
    content = canvas.content if scene.recipe.content else draw_noise(scene.recipe.solver.seed, canvas.content)
    parts = [part for part in canvas.parts if weigh_colours(canvas.controls[part.region]) > 0]
    if not parts:
        return content.clone()
    styles = _StyleLevels(scene, canvas, parts)
    levels = split(content, styles.bands)
    weights = [PartWeights.of(part, content, len(levels)) for part in parts]
    moments, targets = _measure_levels(levels, weights), [styles.mix(part) for part in parts]
    for number, level in enumerate(levels):
        last = number == styles.bands
        levels[number] = level.clone()
        for index, part in enumerate(parts):
            most = MOST_GAIN if last else BAND_GAINS[min(number, 1)]
            change, shift = match_moments(moments[number][index], targets[index][number], most=most, last=last)
            share, (box, own) = weigh_colours(canvas.controls[part.region]), weights[index].at(number)
            _add_change(levels[number][box], level[box], share * own, change, shift)
    return join(levels)


@dataclass(frozen=True)
class PartWeights:
    """The weights of a part at each level, and the rows and columns at the finest one outside which they are 0."""

    levels: Sequence[Tensor]
    box: tuple[slice, slice]

    @classmethod
    def of(cls, part: Part, like: Tensor, count: int) -> PartWeights:
        """Halve the weights repeatedly, in the data type of an image and on its device."""
        finest = send(torch.from_numpy(part.weights)[None, None].to(like.dtype), like.device)
        rows, columns = (np.flatnonzero(part.weights.any(axis)) for axis in (1, 0))
        return cls(build_octaves(finest, count), (_span(rows), _span(columns)))

    def at(self, number: int) -> tuple[tuple[slice, ...], Tensor]:
        """Return a box (1, 3, h, w) of a level outside which the weights are 0, and the weights (1, 1, h, w) in it."""
        rows, columns = (_halve(one, number) for one in self.box)
        box = (slice(None), slice(None), rows, columns)
        return box, self.levels[number][box]


def _halve(side: slice, times: int) -> slice:
    """Halve a range of positions repeatedly, with the positions that weights spread to meanwhile."""
    return slice(max(0, (side.start >> times) - SPREAD), (side.stop >> times) + SPREAD)


def _span(indices: NDArray[np.intp]) -> slice:
    return slice(int(indices[0]), int(indices[-1]) + 1) if len(indices) else slice(0, 0)


def draw_noise(seed: int, like: Tensor) -> Tensor:
    """Draw uniform noise in [0, 1] of the shape of an image, from a seed: the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(like.shape, generator=generator).to(like.device)


def weigh_colours(controls: Controls) -> float:
    """Return the share of the paint's own colours in a region."""
    return 1 - controls.colour_strength if controls.colour.content else 1.0


def _add_change(to: Tensor, level: Tensor, weights: Tensor, change: Matrix, shift: Matrix) -> None:
    """Add weights (1, 1, h, w) times the change of a level (1, 3, h, w) by a map to another one, in place.

    Channel by channel: a large image is changed at the size of the output, where every copy counts.
    """
    matrix, offset = (send(torch.from_numpy(one).to(level.dtype), level.device) for one in (change - np.eye(3), shift))
    for channel in range(3):
        mixed = torch.tensordot(matrix[channel], level[0], 1).add_(offset[channel])
        to[0, channel].addcmul_(weights[0, 0], mixed)


def split(image: Tensor, bands: int) -> list[Tensor]:
    """Split an image (1, 3, h, w) in [0, 1] into `bands` of a Laplacian pyramid, the finest first, and what is left."""
    levels = []
    for _ in range(bands):
        half = halve_image(image)
        coarse = resize(half, (image.shape[3], image.shape[2]))
        levels.append(torch.sub(image, coarse, out=coarse))
        image = half
    return [*levels, image]


def join(levels: Sequence[Tensor]) -> Tensor:
    """Join what `split` returned, overwriting it, to an image (1, 3, h, w), clipped to [0, 1] at every level."""
    *bands, image = levels
    for band in reversed(bands):
        image = band.add_(resize(image, (band.shape[3], band.shape[2])))
    return image.clamp_(0, 1)


@dataclass(frozen=True)
class Moments:
    """The weighted mean (3,) and covariance (3, 3) of colours."""

    mean: Matrix
    covariance: Matrix


def measure_moments(image: Tensor, weights: Tensor) -> Moments:
    """Measure the moments of an image (1, 3, h, w) under weights (1, 1, h, w)."""
    return _read_moments(_sum_moments(image, weights).cpu())


def _sum_moments(image: Tensor, weights: Tensor) -> Tensor:
    """Return (3, 5): first moments from the plain mean, second moments, and the plain mean, of an image under weights.

    Colours are measured from their plain mean: the covariance of an almost flat image would be lost in float32.
    """
    rows = max(1, CHUNK // max(1, image.shape[3]))
    centre, total = image[0].mean((1, 2))[:, None], weights.sum().clamp(min=1e-12)
    found = torch.zeros_like(centre).repeat(1, 4)
    for part, share in zip(image[0].split(rows, 1), weights[0].split(rows, 1), strict=True):
        offsets = part.flatten(1) - centre
        weighted = offsets * (share.flatten(1) / total)
        found += torch.cat([weighted.sum(1, keepdim=True), weighted @ offsets.T], 1)
    return torch.cat([found, centre], 1)


def _read_moments(sums: Tensor) -> Moments:
    found = sums.double().numpy()
    mean, second, middle = found[:, 0], found[:, 1:4], found[:, 4]
    return Moments(mean + middle, second - np.outer(mean, mean))


def _measure_levels(levels: Sequence[Tensor], weights: Sequence[PartWeights]) -> list[list[Moments]]:
    """Measure the moments of each level under the weights of each part there; the device is waited for once."""
    boxes = [(level, *one.at(number)) for number, level in enumerate(levels) for one in weights]
    sums = [_sum_moments(level[box], own) for level, box, own in boxes]
    found = [_read_moments(one) for one in fetch(sums)]
    return [found[start : start + len(weights)] for start in range(0, len(found), len(weights))]


def mix_moments(moments: Sequence[Moments], shares: Sequence[float]) -> Moments:
    """Mix moments as the statistics of styles are mixed: the weighted means of first and second moments."""
    mean = np.average([one.mean for one in moments], axis=0, weights=shares)
    apart = [one.covariance + np.outer(one.mean - mean, one.mean - mean) for one in moments]
    return Moments(mean, np.average(apart, axis=0, weights=shares))


def match_moments(found: Moments, target: Moments, *, most: float, last: bool) -> tuple[Matrix, Matrix]:
    """Return A (3, 3) and b (3,) of the map A x + b that matches the covariance, and with `last` also the mean."""
    covariances = (one.covariance + RIDGE * np.eye(3) for one in (found, target))
    change = limit_gain(find_transport(*covariances), most)
    return change, (target.mean - change @ found.mean if last else np.zeros(3))


def limit_gain(change: Matrix, most: float) -> Matrix:
    """Limit the factor by which a symmetric map (3, 3) scales any colour direction: LEAST_GAIN to `most`."""
    values, vectors = np.linalg.eigh(change)
    limited: Matrix = (vectors * values.clip(LEAST_GAIN, most)) @ vectors.T
    return limited


class _StyleLevels:
    """The moments of the style images that parts of a canvas use, level by level."""

    def __init__(self, scene: Scene, canvas: Canvas, parts: Sequence[Part]) -> None:
        self.scene, self.canvas, self.measured = scene, canvas, dict[tuple[object, ...], list[Moments]]()
        used = dict.fromkeys((part.region, name) for part in parts for name in self._name(part))
        sizes = [canvas.content.shape[2:], *(size_style_image(scene, canvas, *key) for key in used)]
        self.bands = min(min(MOST_BANDS, (min(size) // SMALLEST).bit_length() - 1) for size in sizes)
        self.bands = max(0, self.bands)

    def mix(self, part: Part) -> list[Moments]:
        """Mix the moments of the styles of a part, level by level."""
        found, shares = [self._find(part.region, name) for name in self._name(part)], [one for one in part.mix if one]
        return [mix_moments(level, shares) for level in zip(*found, strict=True)]

    def _find(self, region: int, name: str) -> list[Moments]:
        """Find the moments of a style; regions that take its own colours share what was measured."""
        owner = region if recolours(self.canvas.controls[region], grey=False) else None
        known = (name, size_style_image(self.scene, self.canvas, region, name), owner)
        if known not in self.measured:
            drawn = draw_style_image(self.scene, self.canvas, region, name, grey=False)
            self.measured[known] = self._measure(*drawn)
        return self.measured[known]

    def _name(self, part: Part) -> list[str]:
        """Name the styles that a part uses."""
        names = self.canvas.regions[part.region].style
        return [name for name, share in zip(names, part.mix, strict=True) if share]

    def _measure(self, image: np.ndarray, mask: np.ndarray) -> list[Moments]:
        weights, found = torch.from_numpy(mask)[None], list[Moments]()
        for level in split(torch.from_numpy(image), self.bands):
            found.append(measure_moments(level, weights))
            weights = halve_image(weights)
        return found
