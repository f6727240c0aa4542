"""Guides, targets and features for tests of the losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guidedstyle.encoders.architecture import Layer
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.losses.gram import guided_grams
from guidedstyle.losses.guides import Guides, make_guides
from guidedstyle.losses.propagation import OctaveLayer, average_to_grid, normalise
from guidedstyle.losses.statistics import GuidedStatistic, build_octaves
from guidedstyle.losses.terms import StyleTerm, relative_norms


def weigh(weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average weights (R, H, W) over the positions of a grid: (R, h, w), with a sum of 1 for each region."""
    return torch.from_numpy(normalise(average_to_grid(weights.numpy(), grid).copy()))


def guide(weights: Tensor, grid: tuple[int, int]) -> Guides:
    """Make `simple` guides on a grid."""
    return make_guides(weigh(weights, grid))


def aim_at(targets: Tensor, guides: Guides | None = None) -> StyleTerm:
    """Make the style term of target Gram matrices (R, C, C), one of each region, with the same weight for all."""
    return StyleTerm(
        octave=0,
        statistic=GuidedStatistic(Layer(), "gram", [guides] if guides else []),
        targets=targets,
        norms=relative_norms(targets, None),
        indices=torch.arange(len(targets)),
        weights=torch.ones(len(targets), dtype=targets.dtype),
    )


def sum_squares(guides: Guides) -> Tensor:
    """Sum the squares of each region's guide: its Gram matrix of features that are 1 everywhere."""
    size = len(guides.rows.regions[0]) if guides.rows else 1
    return guided_grams(torch.ones(1, 1, 1, size, dtype=torch.float64), guides)[:, 0, 0]


def encode_octaves(encoder: Encoder, image: Tensor, keys: Sequence[OctaveLayer]) -> dict[OctaveLayer, Tensor]:
    """Encode an image at octaves and layers: {(octave, layer): (1, C, h, w)}."""
    octaves = build_octaves(image, 1 + max(octave for octave, _ in keys))
    return {(octave, layer): encoder.encode(octaves[octave], [layer])[layer] for octave, layer in keys}
