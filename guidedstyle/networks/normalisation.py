"""Normalise features with the statistics of each region, and give each the scales, shifts and noise of its styles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5
BAND = 2**24  # values of features that are computed at a time, so that no copies of large ones are made
EVERYTHING = slice(None)
PERIOD = 128  # positions after which the noise repeats
CHANNELS = 2  # of noise


Factors = dict[nn.Module, tuple[Tensor, Tensor]]  # of regions, by the normalisation that applies them
Place = tuple[int, int]  # (row, column) in px


@dataclass(frozen=True)
class Layout:
    """Which styles are where: the weights (B, R, h, w) of regions on the grid of each stride, and mixes (B, R, S).

    Statistics are those of `weights`; `shares` sum to 1 at every position, also where no region has weight. Mixes sum
    to 1 in every region. `origin` is the place of the first pixel, where the noise is concerned. `factors` are used
    where there are any, and are noted where there are none.
    """

    weights: dict[int, Tensor]
    shares: dict[int, Tensor]
    mixes: Tensor
    origin: Place
    factors: Factors

    @classmethod
    def of(
        cls, regions: Tensor, mixes: Tensor, strides: Sequence[int], *, origin: Place, factors: Factors | None
    ) -> Layout:
        """Make it from the weights (B, R, H, W) of regions; where all are 0, every region counts equally."""
        sums = regions.sum(1, keepdim=True)
        shares = torch.where(sums > EPSILON, regions / sums.clamp(min=EPSILON), 1 / regions.shape[1])
        own, filled = _pool(regions, strides), _pool(shares, strides)
        return cls(own, filled, mixes / mixes.sum(2, keepdim=True), origin, {} if factors is None else factors)


def _pool(weights: Tensor, strides: Sequence[int]) -> dict[int, Tensor]:
    return {stride: weights if stride == 1 else functional.avg_pool2d(weights, stride) for stride in strides}


class StyleNormalisation(nn.Module):
    """Instance normalisation with the statistics of each region, and the scales, shifts and noise of its styles.

    In a region of weights w and a mix of weights a, a feature x becomes s (x - mean) / deviation + b + sum_k c_k n_k,
    with the weighted mean and deviation of the region, s = sum_i a_i s_i, and b and c_k likewise. The n_k are fixed
    noise: without it a calm sky would stay calm, whatever its style. Where regions overlap, the results are averaged by
    their weights. With one region, one style and c = 0 it is the conditional instance normalisation of Dumoulin et al.
    2017 (arXiv:1610.07629).
    """

    def __init__(self, channels: int, styles: int, *, noise: bool = False) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.ones(styles, channels))
        self.shifts = nn.Parameter(torch.zeros(styles, channels))
        self.noise = nn.Parameter(0.1 * torch.randn(styles, CHANNELS, channels)) if noise else None

    def forward(self, x: Tensor, layout: Layout, stride: int, noise: Tensor) -> Tensor:
        """Normalise features (B, C, h, w) on the grid of a stride; `noise` (K, PERIOD, PERIOD) repeats."""
        if self not in layout.factors:
            layout.factors[self] = self._find_factors(x, layout.weights[stride], layout.mixes)
        row, column = (place // stride for place in layout.origin)
        return self._apply_factors(x, layout.shares[stride], layout.factors[self], noise, (row, column))

    def _find_factors(self, x: Tensor, weights: Tensor, mixes: Tensor) -> tuple[Tensor, Tensor]:
        """Find what features are multiplied by in each region, (B, R, C), and what is added then.

        That is (B, R, 1 + K, C): the shift, and for each channel of noise its factor.
        """
        means, variances = measure_moments(x, weights)
        scales = (mixes @ self.scales) / (variances + EPSILON).sqrt()
        added = (mixes @ self.shifts - means * scales)[:, :, None]
        if self.noise is not None:
            added = torch.cat([added, torch.einsum("brs,skc->brkc", mixes, self.noise)], 2)
        return scales, added

    def _apply_factors(
        self, x: Tensor, weights: Tensor, factors: tuple[Tensor, Tensor], noise: Tensor, origin: Place
    ) -> Tensor:
        """Multiply features (B, C, h, w) by factors of regions, and add the others; `origin` is on their grid."""
        scales, added = factors
        own = noise if self.noise is not None else noise[:0]

        def apply(rows: slice) -> Tensor:
            part, here = x[:, :, rows], weights[:, :, rows]
            grains = repeat_noise(own, (origin[0] + (rows.start or 0), origin[1]), part.shape[2:])
            carriers = (here[:, :, None] * grains).flatten(1, 2)
            # In the precision of the factors: in fewer bits a calm region's mean would not cancel.
            added_here = spread(added.flatten(1, 2), carriers)
            return torch.addcmul(added_here, part.to(added_here), spread(scales, here)).to(x)

        return join_bands(apply, x.shape[2], x.shape[1] * x.shape[3])


def repeat_noise(noise: Tensor, origin: Place, shape: Sequence[int]) -> Tensor:
    """Repeat noise (K, PERIOD, PERIOD) over a grid, after a channel of ones: (1 + K, h, w)."""
    rows, columns = (
        torch.arange(first, first + count, device=noise.device) % PERIOD
        for first, count in zip(origin, shape, strict=True)
    )
    return torch.cat([noise.new_ones(1, *shape), noise[:, rows][:, :, columns]])


def spread(factors: Tensor, weights: Tensor) -> Tensor:
    """Spread factors (B, R, C) over positions by weights (B, R, h, w): (B, C, h, w)."""
    shape = weights.shape
    return (weights.flatten(2).mT @ factors).view(len(factors), *shape[2:], -1).permute(0, 3, 1, 2)


def measure_moments(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Measure means and variances (B, R, C) of features (B, C, h, w) under weights (B, R, h, w), in their precision."""
    shares = weights / weights.sum((2, 3), keepdim=True).clamp(min=EPSILON)
    first = second = shares.new_zeros(())
    for rows in split_rows(x.shape[2], x.shape[1] * x.shape[3]):
        part = x[:, :, rows].permute(0, 2, 3, 1).flatten(1, 2).to(weights)
        own = shares[:, :, rows].flatten(2)
        first, second = first + own @ part, second + own @ part.square()
    return first, (second - first.square()).clamp(min=0)


def split_rows(height: int, values: int) -> Iterator[slice]:
    """Split rows of so many values into bands: one, EVERYTHING, where they are few, or their number is a variable."""
    count = 1 if torch.compiler.is_exporting() else min(height, math.ceil(height * values / BAND))
    edges = [height * index // count for index in range(count + 1)]
    return (slice(*edge) for edge in pairwise(edges)) if count > 1 else iter([EVERYTHING])


def join_bands(compute: Callable[[slice], Tensor], height: int, values: int) -> Tensor:
    """Compute features (B, C, h, w), whose rows hold so many values, band by band."""
    bands = [compute(rows) for rows in split_rows(height, values)]
    return bands[0] if len(bands) == 1 else torch.cat(bands, 2)
