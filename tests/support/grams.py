"""Guides, targets and features for tests of the losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.losses.gram import guided_grams
from guidedstyle.losses.guides import Guides, make_guides
from guidedstyle.losses.propagation import average_cells, normalise_cells
from guidedstyle.losses.terms import Place, StyleTarget, build_octaves, relative_norms


def weigh(weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average weights (R, H, W) over the cells of a grid: (R, h * w), each region to a sum of 1."""
    return torch.from_numpy(normalise_cells(average_cells(weights.numpy(), grid).copy())).flatten(1)


def guide(weights: Tensor, grid: tuple[int, int]) -> Guides:
    """Make `simple` guides on a grid."""
    return make_guides(weigh(weights, grid))


def aim_at(wanted: Tensor, place: Place) -> StyleTarget:
    """Make the target of Gram matrices (R, C, C), one of each region, with the same weight for all."""
    everywhere = torch.ones(len(wanted), dtype=wanted.dtype)
    numbers = torch.arange(len(wanted))
    return StyleTarget(place, "gram", wanted, relative_norms(wanted, None), numbers, everywhere)


def sum_squares(guides: Guides) -> Tensor:
    """Sum the squares of each region's guide: its Gram matrix of features that are 1 everywhere."""
    size = len(guides.rows.first) if guides.rows else 1
    return guided_grams(torch.ones(1, 1, 1, size, dtype=torch.float64), guides)[:, 0, 0]


def encode_octaves(encoder: Encoder, image: Tensor, places: Sequence[Place]) -> dict[Place, Tensor]:
    """Encode an image at the octaves and layers of places: {(octave, layer): (1, C, h, w)}."""
    octaves = build_octaves(image, 1 + max(octave for octave, _ in places))
    return {(octave, layer): encoder.encode(octaves[octave], [layer])[layer] for octave, layer in places}
