"""Region weights to guides on a layer's grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


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


def average_to_grid(weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average weights (R, H, W) over the cells of a coarser grid, each region to a sum of 1: (R, h * w)."""
    cells = functional.adaptive_avg_pool2d(weights[None], grid)[0].flatten(1)
    return cells / cells.sum(1, keepdim=True)


def make_guides(weights: Tensor, grid: tuple[int, int]) -> Guides:
    """Make the guides on a (h, w) grid of regions with `weights` (R, H, W).

    Departs from Gatys et al. 2017 (arXiv:1611.07865), whose guides are the masks themselves: with the square
    root the guided Gram is linear in the mask, so that two soft masks that sum to 1 leave no unstyled seam. For
    masks of 0 and 1 both are the same.
    """
    cells = average_to_grid(weights, grid)
    regions, positions = torch.nonzero(cells, as_tuple=True)
    counts = torch.bincount(regions, minlength=len(weights)).tolist()
    whole = len(cells) == 1 and bool(cells.amin() == cells.amax())
    return Guides(positions, cells[regions, positions].sqrt()[:, None], tuple(counts), whole)
