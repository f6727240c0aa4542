"""Guided Gram matrices and their mixtures: the heart of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guidedstyle.guidance import Guides


def guided_grams(features: Tensor, guides: Guides) -> Tensor:
    """Compute the guided Gram matrix of each region: G_r = sum over p of t_rp^2 f_p f_p^T.

    `features` (1, C, h, w) of any float type; returns (R, C, C), accumulated in at least float32. Since the
    squares of a guide sum to 1, G_r is a weighted mean and does not depend on the region's area. Gatys et al.
    2017, arXiv:1611.07865, eq. 5.
    """
    positions_by_channels = features[0].flatten(1).T
    rows = positions_by_channels.index_select(0, guides.positions) * guides.roots  # float32, as the roots are
    return torch.stack([region.T @ region for region in rows.split(guides.counts)])


def mix_grams(grams: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Mix Gram matrices (..., C, C) into their weighted mean.

    Matching it has the gradient of the weighted mean of the losses against each (sum w_i |G - G_i|^2), so any
    number of styles costs as much as one.
    """
    total = sum(weights)
    return torch.stack([gram * (weight / total) for gram, weight in zip(grams, weights, strict=True)]).sum(0)
