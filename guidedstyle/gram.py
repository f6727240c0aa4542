"""Guided Gram matrices and their mixtures: the heart of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function


@dataclass(frozen=True)
class Guides:
    """The guides of R regions on one grid, holding only the positions where a region has weight.

    A guide is t = sqrt(weight), normalised so that the squares of each region sum to 1. The rows of region r
    follow those of region r - 1: `positions` (M,) are flat grid indices, `roots` (M, 1) the values of t, and
    `counts` the rows of each region. M is the grid's size plus the overlaps, however many regions there are.
    One region that covers the `whole` grid evenly needs neither positions nor roots: 1 / M scales its Gram matrix.
    """

    positions: Tensor
    roots: Tensor
    counts: tuple[int, ...]
    whole: bool

    @property
    def scale(self) -> float:
        """The factor that `roots` leave to the Gram matrix."""
        return 1 / self.counts[0] if self.whole else 1.0


def make_guides(cells: Tensor) -> Guides:
    """Make the guides of regions whose weights in the `cells` (R, h * w) of a grid sum to 1 each.

    Departs from Gatys et al. 2017 (arXiv:1611.07865), whose guides are the masks themselves: with the square
    root the guided Gram is linear in the mask, so that two soft masks that sum to 1 leave no unstyled seam. For
    masks of 0 and 1 both are the same.
    """
    regions, positions = torch.nonzero(cells, as_tuple=True)
    counts = torch.bincount(regions, minlength=len(cells)).tolist()
    whole = len(cells) == 1 and bool(cells.amin() == cells.amax())
    return Guides(positions, cells[regions, positions].sqrt()[:, None], tuple(counts), whole)


def guided_grams(features: Tensor, guides: Guides) -> Tensor:
    """Compute the guided Gram matrix of each region: G_r = sum over p of t_rp^2 f_p f_p^T.

    `features` (1, C, h, w) of any float type; returns (R, C, C), in at least float32. Since the squares of a
    guide sum to 1, G_r is a weighted mean and does not depend on the region's area. Gatys et al. 2017,
    arXiv:1611.07865, eq. 5.
    """
    grams: Tensor = _GuidedGrams.apply(features, guides)
    return grams


class _GuidedGrams(Function):
    """Multiply in the features' own precision, and once on the way back: a Gram matrix is symmetric.

    The gradient comes back as a tensor of its own, not a view, so that autograd adds to it in place.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, guides: Guides) -> Tensor:
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)
        if not guides.whole:
            rows = rows.index_select(0, guides.positions) * guides.roots.to(rows)
        ctx.save_for_backward(rows)
        ctx.guides, ctx.shape = guides, features.shape
        grams = torch.stack([region.T @ region for region in rows.split(guides.counts)])
        return grams.to(torch.promote_types(grams.dtype, torch.float32)) * guides.scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (rows,), guides = ctx.saved_tensors, ctx.guides
        both = (gradients[0] + gradients[0].mT).to(rows.dtype) * guides.scale
        gradient = torch.empty(ctx.shape, dtype=rows.dtype, device=rows.device, memory_format=torch.channels_last)
        everywhere = gradient.permute(0, 2, 3, 1).view(-1, rows.shape[1])
        back = everywhere if guides.whole else torch.empty_like(rows)
        for region, side, out in zip(rows.split(guides.counts), both, back.split(guides.counts), strict=True):
            torch.mm(region, side, out=out)
        if not guides.whole:
            everywhere.zero_().index_add_(0, guides.positions, back.mul_(guides.roots.to(back)))
        return gradient, None


def guided_means(features: Tensor, guides: Guides) -> Tensor:
    """Compute the guided mean of each region: m_r = sum over p of t_rp^2 f_p, (R, C) in at least float32."""
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    if guides.whole:
        return rows.mean(0, keepdim=True)
    squares = guides.roots.to(rows).square()
    parts = zip(squares.split(guides.counts), rows.index_select(0, guides.positions).split(guides.counts), strict=True)
    return torch.cat([square.T @ region for square, region in parts])


def guided_covariances(features: Tensor, guides: Guides) -> Tensor:
    """Compute the guided covariance of each region, G_r - m_r m_r^T: (R, C, C).

    In at least float32: in fewer bits the mean, which is most of a Gram matrix, drowns the rest.
    """
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    means = guided_means(features, guides)
    return guided_grams(features, guides) - means[:, :, None] * means[:, None, :]


Statistic = Literal["gram", "mean", "covariance"]
STATISTICS: dict[Statistic, Callable[[Tensor, Guides], Tensor]] = {
    "gram": guided_grams,
    "mean": guided_means,
    "covariance": guided_covariances,
}


def mix_grams(grams: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Mix Gram matrices (..., C, C), or other statistics, into their weighted mean.

    Matching it has the gradient of the weighted mean of the losses against each (sum w_i |G - G_i|^2), so any
    number of styles costs as much as one.
    """
    total = sum(weights)
    return torch.stack([gram * (weight / total) for gram, weight in zip(grams, weights, strict=True)]).sum(0)


def measure_statistics(found: Tensor, metric: Tensor | None) -> Tensor:
    """Compute the squared norms (R,) of differences of Gram matrices (R, C, C) or of means (R, C).

    `metric` is W = M^T M of a layer's metric M: |M G M^T|^2 = trace(G W G W), whose gradient is 2 W G W, and
    |M m|^2 = m^T W m.
    """
    if metric is None:
        return found.square().flatten(1).sum(1)
    if found.ndim == 2:
        return ((found @ metric) * found).sum(1)
    seen = metric @ found.detach() @ metric
    return 2 * (found * seen).sum((1, 2)) - (found.detach() * seen).sum((1, 2))
