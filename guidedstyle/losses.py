"""Content, style and smoothness as functions of the image: non-negative, unit-free, minimised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.encoder import Encoder
from guidedstyle.gram import Guides, guided_grams, measure_grams

Place = tuple[int, str]  # octave, layer
TINY = 1e-12

# What strength 1, content 1 and smoothness 1 stand for.
CONTENT_WEIGHT = 0.03
SMOOTHNESS_WEIGHT = 0.1


def build_octaves(image: Tensor, count: int) -> list[Tensor]:
    """Halve an image (1, 3, H, W) again and again: `count` pictures, the finest first (Snelgrove 2017)."""
    octaves = [image]
    for _ in range(count - 1):
        height, width = (max(1, side // 2) for side in octaves[-1].shape[2:])
        octaves.append(functional.interpolate(octaves[-1], (height, width), mode="bilinear", antialias=True))
    return octaves


def encode_octaves(encoder: Encoder, image: Tensor, layers: Sequence[str], count: int) -> dict[Place, Tensor]:
    """Encode every octave of an image: {(octave, layer): (1, C, h, w)}."""
    return {
        (octave, layer): features
        for octave, picture in enumerate(build_octaves(image, count))
        for layer, features in encoder.encode(picture, layers).items()
    }


@dataclass(frozen=True)
class StyleTarget:
    """The wanted Gram matrices (R, C, C) of R regions at one octave and layer, and the guides that select them.

    Distances are taken in the layer's `metric` (C, C), where it has one, relative to the matrices' own norms.
    """

    guides: Guides
    grams: Tensor
    metric: Tensor | None = None

    @cached_property
    def norms(self) -> Tensor:
        """What distances are relative to (R,)."""
        return measure_grams(self.grams, self.metric).clamp(min=TINY)


def style_losses(features: dict[Place, Tensor], targets: dict[Place, StyleTarget]) -> Tensor:
    """Compute each region's style loss (R,): the mean over octaves and layers of |G - G'|^2 / |G'|^2.

    Gatys et al. 2016 divide by the number of channels and weigh layers by hand; relative to the target's norm
    the loss has no unit, so all octaves, layers and encoders weigh the same.
    """
    return torch.stack([_gram_distance(features[place], target) for place, target in targets.items()]).mean(0)


def _gram_distance(features: Tensor, target: StyleTarget) -> Tensor:
    error = guided_grams(features, target.guides) - target.grams
    return measure_grams(error, target.metric) / target.norms


def content_losses(features: Tensor, target: Tensor, cells: Tensor) -> Tensor:
    """Compute each region's content loss (R,): its mean |F - P|^2, relative to the whole picture's mean |P|^2.

    `features` and `target` are (1, C, h, w); `cells` (R, h * w) are region weights that sum to 1 per region.
    """
    error = features - target
    squares = torch.linalg.vecdot(error, error, dim=1).to(cells).flatten()
    losses: Tensor = cells @ squares / target.square().sum(1, dtype=cells.dtype).mean().clamp(min=TINY)
    return losses


def smoothness_loss(image: Tensor) -> Tensor:
    """Compute the total variation (): the mean squared difference of neighbouring pixels (1, 3, H, W)."""
    down = image[:, :, 1:] - image[:, :, :-1]
    right = image[:, :, :, 1:] - image[:, :, :, :-1]
    return (down.square().sum() + right.square().sum()) / image.numel()


@dataclass(frozen=True)
class Losses:
    """The weighted sum that is minimised and what it is made of: per region (R,), or one for the picture ()."""

    total: Tensor
    style: Tensor
    content: Tensor
    smoothness: Tensor
