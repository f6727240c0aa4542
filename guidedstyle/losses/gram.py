"""Guided Gram matrices and their weighted mixtures (Gatys et al. 2017, sec. 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from guidedstyle.losses.guides import Guides, Rows
from guidedstyle.types import Statistic


def guided_grams(features: Tensor, guides: Guides) -> Tensor:
    """Compute the guided Gram matrix of each region: G_r = sum over p of t_rp^2 f_p f_p^T.

    `features` (1, C, h, w) of any float type; returns (R, C, C), in at least float32. Since the squares of a
    guide sum to 1, G_r is a weighted mean and does not depend on the region's area. Gatys et al. 2017,
    arXiv:1611.07865, eq. 5.
    """
    grams: Tensor = _GuidedGrams.apply(features, guides)
    return grams


class _GuidedGrams(Function):
    """Multiplies in the features' own precision; backward needs a single product, since a Gram matrix is symmetric.

    The gradient is a tensor of its own, not a view, so that autograd can add to it in place.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, guides: Guides) -> Tensor:
        blocks = _gather(features, guides)
        ctx.save_for_backward(blocks)
        ctx.guides, ctx.shape = guides, features.shape
        return _sum_blocks(torch.bmm(blocks.mT, blocks), guides)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (blocks,), guides = ctx.saved_tensors, ctx.guides
        both = ((gradients[0] + gradients[0].mT) * guides.scales[:, None, None]).to(blocks.dtype)
        both = both if guides.one_each else both.index_select(0, guides.owners)
        gradient = torch.empty(ctx.shape, dtype=blocks.dtype, device=blocks.device, memory_format=torch.channels_last)
        flat = gradient.permute(0, 2, 3, 1).view(-1, blocks.shape[2])
        if guides.rows:
            back = blocks.new_empty(len(guides.rows.positions) + 1, blocks.shape[2])
            torch.bmm(blocks, both, out=back[:-1].view_as(blocks))
            _scatter(back, guides.rows, flat)
        else:
            torch.bmm(blocks, both, out=flat.view_as(blocks))
        return gradient, None


def _gather(features: Tensor, guides: Guides) -> Tensor:
    """Gather guided features (1, C, h, w) in blocks (n, B, C) of one region each."""
    taken = features.permute(0, 2, 3, 1).flatten(0, 2)
    if rows := guides.rows:
        taken = taken.index_select(0, rows.positions)
        taken[rows.mixed :] *= rows.roots.to(taken)
    return taken.view(len(guides.owners), -1, taken.shape[1])


def _sum_blocks(blocks: Tensor, guides: Guides) -> Tensor:
    """Sum the results of blocks (n, ...) to those of regions (R, ...), in at least float32."""
    blocks = blocks.to(torch.promote_types(blocks.dtype, torch.float32))
    flat = blocks.flatten(1)
    sums = guides.scales[:, None] * flat if guides.one_each else guides.sums.to(flat) @ flat
    return sums.view(-1, *blocks.shape[1:])


def _scatter(blocks: Tensor, rows: Rows, out: Tensor) -> None:
    """Scatter rows (M + 1, C) to their positions: summed where regions overlap, zero where there is none."""
    blocks[rows.mixed : -1] *= rows.roots.to(blocks)
    blocks[-1] = 0
    torch.index_select(blocks, 0, rows.first, out=out)
    if len(rows.again):
        out.index_add_(0, rows.positions[rows.again], blocks[rows.again])


def guided_means(features: Tensor, guides: Guides) -> Tensor:
    """Compute the guided mean of each region: m_r = sum over p of t_rp^2 f_p, (R, C) in at least float32."""
    blocks = _gather(features.to(torch.promote_types(features.dtype, torch.float32)), guides)
    taken = blocks.flatten(0, 1)
    if rows := guides.rows:
        taken = torch.cat([taken[: rows.mixed], taken[rows.mixed :] * rows.roots.to(taken)])
    return _sum_blocks(taken.view_as(blocks).sum(1), guides)


def guided_moments(features: Tensor, guides: Guides) -> Tensor:
    """Compute the guided Gram matrix of each region, with its mean as one more row: (R, C + 1, C).

    In at least float32: the mean dominates a Gram matrix, and in fewer bits the covariance would be lost.
    """
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    return torch.cat([guided_grams(features, guides), guided_means(features, guides)[:, None]], 1)


def _centre(moments: Tensor) -> Tensor:
    """Compute the covariances G_r - m_r m_r^T (R, C, C) from moments (R, C + 1, C)."""
    grams, means = moments[:, :-1], moments[:, -1]
    return grams - means[:, :, None] * means[:, None, :]


def _identity(sums: Tensor) -> Tensor:
    return sums


@dataclass(frozen=True)
class RegionStatistic:
    """A statistic of regions: `collect` computes the summand of a tile, `finish` the statistic from the sum."""

    collect: Callable[[Tensor, Guides], Tensor]
    finish: Callable[[Tensor], Tensor]

    def __call__(self, features: Tensor, guides: Guides) -> Tensor:
        """Compute the statistic (R, C, C) or (R, C) of features (1, C, h, w) in a single tile."""
        return self.finish(self.collect(features, guides))


STATISTICS: dict[Statistic, RegionStatistic] = {
    "gram": RegionStatistic(guided_grams, _identity),
    "mean": RegionStatistic(guided_means, _identity),
    "covariance": RegionStatistic(guided_moments, _centre),
}


def mix_grams(grams: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Mix Gram matrices (..., C, C), or other statistics, into their weighted mean.

    The loss against it has the gradient of the weighted mean of the losses against each (sum w_i |G - G_i|^2), so
    that any number of styles costs as much as one.
    """
    total = sum(weights)
    return torch.stack([gram * (weight / total) for gram, weight in zip(grams, weights, strict=True)]).sum(0)


def squared_norms(differences: Tensor, metric: Tensor | None) -> Tensor:
    """Compute the squared norms (R,) of differences of Gram matrices (R, C, C) or of means (R, C).

    `metric` is W = M^T M of a layer's metric M: |M D M^T|^2 = trace(D W D W), whose gradient is 2 W D W, and
    |M d|^2 = d^T W d.
    """
    norms: Tensor = _SquaredNorms.apply(differences, metric)
    return norms


class _SquaredNorms(Function):
    """The product that the norm needs is half the gradient: backward is a single multiplication."""

    @staticmethod
    def forward(ctx: Any, differences: Tensor, metric: Tensor | None) -> Tensor:
        seen = differences
        if metric is not None:
            seen = differences.to(metric.dtype) @ metric
            seen = (seen if differences.ndim == 2 else metric @ seen).to(differences.dtype)
        ctx.save_for_backward(seen)
        return (differences * seen).flatten(1).sum(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (seen,) = ctx.saved_tensors
        return (2 * gradients[0]).view(-1, *(1,) * (seen.ndim - 1)) * seen, None
