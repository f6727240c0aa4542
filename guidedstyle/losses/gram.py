"""Guided Gram matrices and their weighted mixtures (Gatys et al. 2017, sec. 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from guidedstyle.encoders.passes import AddGradient
from guidedstyle.losses.guides import Guides, Rows
from guidedstyle.types import Statistic


@dataclass(frozen=True)
class RegionStatistic:
    """A statistic of regions, which is computed from sums over positions.

    `measure` computes the summand (n, ...) of each block (n, B, C) of guided features t f. `prepare` brings the
    gradient (R, ...) of the sums into the form from which `differentiate` computes that of the blocks. `finish`
    computes the statistic from the sums. A `precise` one reads features in at least float32.
    """

    measure: Callable[[Tensor, Rows | None], Tensor]
    prepare: Callable[[Tensor], Tensor]
    differentiate: Callable[[Tensor, Rows | None, Tensor, Tensor], None]
    finish: Callable[[Tensor], Tensor]
    precise: bool = False

    def __call__(self, features: Tensor, guides: Guides) -> Tensor:
        """Compute the statistic (R, C, C) or (R, C) of features (1, C, h, w) of any float type, in at least float32."""
        return self.finish(_Read.apply(features, guides, self))

    def read(self, features: Tensor, guides: Guides) -> tuple[Tensor, AddGradient]:
        """Compute the sums (R, ...) over features (1, C, h, w), and how to add their gradient to the features'."""
        dtype = torch.promote_types(features.dtype, torch.float32) if self.precise else features.dtype
        blocks = _gather(features, guides, dtype)
        return _sum_blocks(self.measure(blocks, guides.rows), guides), partial(self._add_gradient, blocks, guides)

    def _add_gradient(self, blocks: Tensor, guides: Guides, outer: Tensor, gradient: Tensor) -> None:
        prepared = self.prepare(outer * guides.scales.view(-1, *(1,) * (outer.ndim - 1))).to(blocks.dtype)
        chosen = prepared if guides.one_each else prepared.index_select(0, guides.owners)
        back = blocks.new_empty(blocks.shape[0] * blocks.shape[1] + 1, blocks.shape[2])
        self.differentiate(blocks, guides.rows, chosen, back[:-1].view_as(blocks))
        _scatter(back, guides.rows, gradient[0].permute(1, 2, 0))


class _Read(Function):
    """Reads a statistic by itself; the gradient is channels last, as features are."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, guides: Guides, statistic: RegionStatistic) -> Tensor:
        sums, ctx.add = statistic.read(features, guides)
        ctx.like = features.shape, features.dtype
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        shape, dtype = ctx.like
        empty = gradients[0].new_empty(shape, dtype=dtype)
        gradient = empty.contiguous(memory_format=torch.channels_last).zero_()
        ctx.add(gradients[0], gradient)
        return gradient, None, None


def _gather(features: Tensor, guides: Guides, dtype: torch.dtype) -> Tensor:
    """Gather guided features (1, C, h, w) in blocks (n, B, C) of one region each."""
    taken = features[0].permute(1, 2, 0).flatten(0, 1).to(dtype)
    if rows := guides.rows:
        taken = taken.index_select(0, rows.positions)
        taken[rows.mixed :] *= rows.roots.to(taken)
    return taken.view(len(guides.owners), -1 if len(guides.owners) else 1, taken.shape[1])


def _sum_blocks(blocks: Tensor, guides: Guides) -> Tensor:
    """Sum the results of blocks (n, ...) to those of regions (R, ...), in at least float32."""
    flat, dtype = blocks.flatten(1), torch.promote_types(blocks.dtype, torch.float32)
    sums = guides.scales.to(dtype)[:, None] * flat if guides.one_each else guides.sums.to(dtype) @ flat.to(dtype)
    return sums.view(-1, *blocks.shape[1:])


def _scatter(blocks: Tensor, rows: Rows | None, gradient: Tensor) -> None:
    """Add rows (M + 1, C), the last one for nothing, to the gradient (h, w, C) of their positions."""
    if rows is None:
        gradient.add_(blocks[:-1].view(gradient.shape))
        return
    blocks[rows.mixed : -1] *= rows.roots.to(blocks)
    blocks[-1] = 0
    for found in rows.regions:
        gradient.add_(blocks.index_select(0, found).view(gradient.shape))


def _view_roots(blocks: Tensor, rows: Rows | None) -> Tensor:
    """Return the roots (n, B, 1) of all rows of blocks."""
    roots = blocks.new_ones(*blocks.shape[:2], 1)
    if rows:
        roots.view(-1, 1)[rows.mixed :] = rows.roots.to(roots)
    return roots


def _multiply(blocks: Tensor, rows: Rows | None) -> Tensor:
    """Compute the sum over p of t_p^2 f_p f_p^T of each block (n, C, C)."""
    return torch.bmm(blocks.mT, blocks)


def _add_transposed(gradient: Tensor) -> Tensor:
    """Prepare for a single product, as a Gram matrix is symmetric."""
    return gradient + gradient.mT


def _multiply_back(blocks: Tensor, rows: Rows | None, outer: Tensor, out: Tensor) -> None:
    torch.bmm(blocks, outer, out=out)


def _average(blocks: Tensor, rows: Rows | None) -> Tensor:
    """Compute the sum over p of t_p^2 f_p of each block (n, C)."""
    return (blocks * _view_roots(blocks, rows)).sum(1)


def _average_back(blocks: Tensor, rows: Rows | None, outer: Tensor, out: Tensor) -> None:
    torch.mul(_view_roots(blocks, rows), outer[:, None], out=out)


def _measure_moments(blocks: Tensor, rows: Rows | None) -> Tensor:
    """Compute both, the mean as one more row: (n, C + 1, C)."""
    return torch.cat([_multiply(blocks, rows), _average(blocks, rows)[:, None]], 1)


def _prepare_moments(gradient: Tensor) -> Tensor:
    return torch.cat([_add_transposed(gradient[:, :-1]), gradient[:, -1:]], 1)


def _differentiate_moments(blocks: Tensor, rows: Rows | None, outer: Tensor, out: Tensor) -> None:
    roots = _view_roots(blocks, rows) * outer[:, -1:]
    torch.baddbmm(roots, blocks, outer[:, :-1], out=out)


def _centre(moments: Tensor) -> Tensor:
    """Compute the covariances G_r - m_r m_r^T (R, C, C) from moments (R, C + 1, C)."""
    grams, means = moments[:, :-1], moments[:, -1]
    return grams - means[:, :, None] * means[:, None, :]


def _identity(sums: Tensor) -> Tensor:
    return sums


STATISTICS: dict[Statistic, RegionStatistic] = {
    "gram": RegionStatistic(_multiply, _add_transposed, _multiply_back, _identity),
    "mean": RegionStatistic(_average, _identity, _average_back, _identity, precise=True),
    # precise, as the mean dominates a Gram matrix, and in fewer bits the covariance would be lost
    "covariance": RegionStatistic(_measure_moments, _prepare_moments, _differentiate_moments, _centre, precise=True),
}


def guided_grams(features: Tensor, guides: Guides) -> Tensor:
    """Compute the guided Gram matrix of each region: G_r = sum over p of t_rp^2 f_p f_p^T.

    `features` (1, C, h, w) of any float type; returns (R, C, C), in at least float32. Since the squares of a
    guide sum to 1, G_r is a weighted mean and does not depend on the region's area. Gatys et al. 2017,
    arXiv:1611.07865, eq. 5.
    """
    return STATISTICS["gram"](features, guides)


def guided_means(features: Tensor, guides: Guides) -> Tensor:
    """Compute the guided mean of each region: m_r = sum over p of t_rp^2 f_p, (R, C) in at least float32."""
    return STATISTICS["mean"](features, guides)


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
        if metric is None:
            norms: Tensor = torch.linalg.vector_norm(differences.flatten(1), dim=1).square_()
            return norms
        norms = torch.linalg.vecdot(differences.flatten(1), seen.flatten(1))
        return norms

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (seen,) = ctx.saved_tensors
        return (2 * gradients[0]).view(-1, *(1,) * (seen.ndim - 1)) * seen, None
