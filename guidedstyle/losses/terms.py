"""Loss terms: style, content and total variation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.losses.gram import STATISTICS, measure_statistics
from guidedstyle.types import Statistic

Place = tuple[int, str]  # octave, layer
TINY = 1e-12

# What strength 1, content 1 and smoothness 1 stand for.
CONTENT_WEIGHT = 0.03
SMOOTHNESS_WEIGHT = 0.1
PUBLISHED_STYLE, PUBLISHED_CONTENT = 1e3, 1.0  # of the classic set-up


def build_octaves(image: Tensor, count: int) -> list[Tensor]:
    """Halve an image (1, 3, H, W) again and again: `count` images, the finest first (Snelgrove 2017)."""
    octaves = [image]
    for _ in range(count - 1):
        octaves.append(halve_image(octaves[-1]))
    return octaves


def halve_image(picture: Tensor) -> Tensor:
    """Halve an image (1, 3, H, W)."""
    height, width = (max(1, side // 2) for side in picture.shape[2:])
    return functional.interpolate(picture, (height, width), mode="bilinear", antialias=True)


@dataclass(frozen=True)
class StyleTarget:
    """What P parts of regions are to match at one octave and layer: one statistic, (P, C, C) or (P, C).

    `indices` (P,) number the parts among all of an image, and `weights` (P,) say how much the place counts for each.
    Distances are taken in the layer's `metric` (C, C), where it has one, and divided by `norms` (P,).
    """

    place: Place
    statistic: Statistic
    wanted: Tensor
    norms: Tensor
    indices: Tensor
    weights: Tensor
    metric: Tensor | None = None

    def compare(self, sums: Tensor) -> Tensor:
        """Measure the distance (P,) of what was summed over an image to the target."""
        found = STATISTICS[self.statistic].finish(sums)
        return measure_statistics(found - self.wanted, self.metric) / self.norms


def style_losses(sums: Iterable[Tensor], targets: Iterable[StyleTarget], losses: Tensor) -> Tensor:
    """Compute each part's style loss (P,): the weighted sum over octaves and layers of its distances there.

    `sums` are those of the targets' statistics; `losses` (P,) are zeros, or what the losses are added to.
    """
    for found, target in zip(sums, targets, strict=True):
        losses = losses.index_add(0, target.indices, target.weights * target.compare(found))
    return losses


def relative_norms(wanted: Tensor, metric: Tensor | None) -> Tensor:
    """Return what style distances are divided by (P,): the squared norm of what is wanted.

    Gatys et al. 2016 divide by the number of channels and weigh layers by hand; relative to the target's norm the
    loss has no unit, so all octaves, layers and encoders weigh the same.
    """
    return measure_statistics(wanted, metric).clamp(min=TINY)


def published_norms(wanted: Tensor, unit: float) -> Tensor:
    """Return C^4 / 1e3 of features in units of inputs of 0..255, as in the code of Gatys et al. 2016 (P,).

    Their weight of a layer is 1e3 / C^2, and their loss a mean over C^2; `unit` converts features of an encoder.
    """
    channels = wanted.shape[-1]
    return torch.full_like(wanted[:, 0, 0], channels**4 / PUBLISHED_STYLE / unit**4)


def content_losses(features: Tensor, target: Tensor, cells: Tensor, norm: Tensor | float) -> Tensor:
    """Compute each region's content loss (R,): the sum over channels of its mean |F - P|^2, divided by `norm`.

    `features` and `target` are (1, C, h, w); `cells` (R, h * w) are region weights that sum to 1 per region.
    """
    error = features - target
    squares = torch.linalg.vecdot(error, error, dim=1).to(cells).flatten()
    losses: Tensor = cells @ squares / norm
    return losses


def measure_total_variation(image: Tensor) -> Tensor:
    """Measure the squared differences (h, w) of each pixel (1, 3, h, w) to those below and right, per channel.

    Their mean is the total variation of an image, whatever its size.
    """
    down = (image[:, :, 1:] - image[:, :, :-1]).square()
    right = (image[:, :, :, 1:] - image[:, :, :, :-1]).square()
    rough: Tensor = functional.pad(down, (0, 0, 0, 1)) + functional.pad(right, (0, 1))
    return rough[0].mean(0)


@dataclass(frozen=True)
class Losses:
    """The weighted sum that is minimised and what it is made of: per region (R,), or one for the image ()."""

    total: Tensor
    style: Tensor
    content: Tensor
    smoothness: Tensor

    def detach(self) -> Losses:
        """Return the numbers alone: without the memory that their gradient takes."""
        return Losses(self.total.detach(), self.style.detach(), self.content.detach(), self.smoothness.detach())
