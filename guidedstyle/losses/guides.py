"""Guides on a layer's grid, stored so that the cost grows with pixels and not with regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.device.transfer import send

LONGEST_BLOCK = 4096  # rows; longer blocks are not multiplied faster, and by a single core
SHORTEST_BLOCK = 16
SHORTEST_PART = 64  # of a single region
BLOCK_COST = 32  # rows whose product takes as long as to write the matrix of a block, and to add it


@dataclass(frozen=True)
class Rows:
    """The M rows of guided features, one for each region at each of its positions on a grid of N.

    `positions` (M,) are flat grid indices, in blocks of one region each. The last rows are multiplied by `roots`
    (m, 1), which are 0 for padding; those before them by 1. For the backward pass, `first` (N,) is the row of the first
    region at each position, M if there is none, and `again` (k,) are the rows of further regions.
    """

    positions: Tensor
    roots: Tensor
    first: Tensor
    again: Tensor

    @property
    def mixed(self) -> int:
        """The index of the first row with a root."""
        return len(self.positions) - len(self.roots)


@dataclass(frozen=True)
class Guides:
    """The guides of R regions on a grid, stored at the positions where a region has weight.

    A guide is t = sqrt(weight), normalised so that over the whole image the squares of each region sum to 1. Here the
    largest t of a region is 1, and `scales` (R,) are the squares of the divisors. Block i of the rows belongs to
    region `owners[i]`; where there is `one_each`, block i is all of region i. M is N plus overlaps and padding, for any
    number of regions; a single region that covers the grid evenly needs no `rows`.
    """

    scales: Tensor
    owners: Tensor
    rows: Rows | None = None
    one_each: bool = False

    def to(self, device: torch.device) -> Guides:
        """Copy them to a device."""
        rows = self.rows and Rows(*(send(getattr(self.rows, one.name), device) for one in fields(Rows)))
        return Guides(send(self.scales, device), send(self.owners, device), rows, self.one_each)

    @cached_property
    def sums(self) -> Tensor:
        """The matrix (R, n) that sums blocks to regions: the region's scale where it owns the block, or else 0."""
        regions = torch.arange(len(self.scales), device=self.owners.device)
        return (regions[:, None] == self.owners) * self.scales[:, None]


def make_guides(grid_weights: Tensor) -> Guides:
    """Make the guides of regions from their grid weights (R, N), which sum to 1 over the image for each region.

    On the CPU, as how many rows there are depends on the weights: another device would have to wait for each answer.

    Departs from Gatys et al. 2017 (arXiv:1611.07865), whose guides are the masks themselves: with the square root the
    guided Gram is linear in the mask, so that two soft masks that sum to 1 leave no unstyled seam. For masks of 0 and 1
    both are the same.
    """
    scales = grid_weights.amax(1)
    there = torch.nonzero(scales).flatten()
    if not len(there):
        there = torch.nonzero(scales == 0).flatten()[:1]  # any one: all are 0
    if len(there) == 1 and bool(grid_weights[there[0]].amin() == scales[there[0]]):
        return Guides(scales, there.expand(_divide(grid_weights.shape[1])))
    found = [_find_positions(grid_weights[region] / scales[region]) for region in there.tolist()]
    block = _choose_block([(len(one.plain), len(one.mixed)) for one in found])
    layouts = [_lay_out(one, block) for one in found]
    return _join(scales, there, layouts, block=block, size=grid_weights.shape[1])


def _divide(rows: int) -> int:
    """Return the smallest number of equal blocks that are not too long; one for a prime number of rows."""
    least = -(-rows // LONGEST_BLOCK)
    return next((count for count in range(least, rows // SHORTEST_PART + 1) if rows % count == 0), 1)


def _choose_block(counts: Sequence[tuple[int, int]]) -> int:
    """Choose the length of blocks for regions with these counts of positions, with root 1 and with others."""
    lengths = [size for power in range(4, 13) for size in (1 << power, 3 << power - 1)]

    def cost(block: int) -> int:
        blocks = sum(plain // block - (-(plain % block + mixed) // block) for plain, mixed in counts)
        return blocks * (block + BLOCK_COST)

    return min((one for one in lengths if SHORTEST_BLOCK <= one <= LONGEST_BLOCK), key=cost)


@dataclass(frozen=True)
class _Layout:
    """A region's positions: those with root 1, and the others with their roots."""

    plain: Tensor
    mixed: Tensor
    roots: Tensor


def _find_positions(squares: Tensor) -> _Layout:
    everywhere = torch.nonzero(squares).flatten()
    found = squares[everywhere]
    full = found > 1 - 4 * torch.finfo(found.dtype).eps  # up to the rounding of averages
    return _Layout(everywhere[full], everywhere[~full], found[~full].sqrt())


def _lay_out(region: _Layout, block: int) -> _Layout:
    """Lay out whole blocks of positions with root 1, and blocks of all others, padded with roots of 0."""
    whole = len(region.plain) // block * block
    plain, left = region.plain[:whole], region.plain[whole:]
    mixed, roots = (
        torch.cat([left, region.mixed]),
        torch.cat([torch.ones_like(left, dtype=region.roots.dtype), region.roots]),
    )
    padding = -len(mixed) % block
    return _Layout(plain, *(functional.pad(one, (0, padding)) for one in (mixed, roots)))


def _join(scales: Tensor, there: Tensor, layouts: Sequence[_Layout], *, block: int, size: int) -> Guides:
    parts = [one.plain for one in layouts] + [one.mixed for one in layouts]
    counts = torch.tensor([len(part) // block for part in parts], device=there.device)
    positions = torch.cat(parts)
    roots = torch.cat([one.roots for one in layouts])
    first, again = _find_rows(positions, roots, counts=counts.tolist(), block=block, size=size)
    owners = there.repeat(2).repeat_interleave(counts)
    rows = Rows(positions.int(), roots[:, None], first.int(), again.int())  # half the memory of 64 bits
    return Guides(scales, owners, rows, owners.tolist() == list(range(len(scales))))


def _find_rows(
    positions: Tensor, roots: Tensor, *, counts: Sequence[int], block: int, size: int
) -> tuple[Tensor, Tensor]:
    """Return the first row (N,) of each of `size` positions, and all further rows (k,)."""
    rows, nothing = torch.arange(len(positions), device=positions.device), len(positions)
    padding = torch.zeros_like(rows, dtype=torch.bool)
    padding[nothing - len(roots) :] = roots == 0
    first, again = rows.new_full((size,), nothing), []
    for part in rows.split([count * block for count in counts]):
        part = part[~padding[part]]
        known = first[positions[part]] < nothing
        first[positions[part[~known]]] = part[~known]
        again.append(part[known])
    return first, torch.cat(again)
