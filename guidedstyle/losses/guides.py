"""Guides on a layer's grid, laid out so that cost follows pixels and not regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

LONGEST_BLOCK = 4096  # rows; longer ones are multiplied no faster, and by one core alone
SHORTEST_BLOCK = 64
BLOCKS = 4  # at least so many for a region of average area, so that little is padding


@dataclass(frozen=True)
class Rows:
    """The M rows of N grid positions that regions own, and the way back.

    `positions` (M,) are flat grid indices, in blocks of one region each. The last rows have `roots` (m, 1), those
    before them 1, and padding 0. `first` (N,) is the row of the first region at each position, M where there is
    none, and `again` (k,) are the rows of other regions there.
    """

    positions: Tensor
    roots: Tensor
    first: Tensor
    again: Tensor

    @property
    def mixed(self) -> int:
        """Where the rows with roots begin."""
        return len(self.positions) - len(self.roots)


@dataclass(frozen=True)
class Guides:
    """The guides of R regions on a grid, holding only the positions where a region has weight.

    A guide is t = sqrt(weight), normalised so that over the whole image the squares of each region sum to 1. Here
    the largest t of a region is 1, and `scales` (R,) hold the square of what it was divided by. Each block of rows
    belongs to one of the `owners` (n,). M is N plus overlaps and padding, however many regions there are; one region
    that covers the grid evenly needs no `rows`.
    """

    scales: Tensor
    owners: Tensor
    rows: Rows | None = None

    @cached_property
    def sums(self) -> Tensor:
        """What sums blocks into regions (R, n): the scale of each where a block is its own."""
        regions = torch.arange(len(self.scales), device=self.owners.device)
        return (regions[:, None] == self.owners) * self.scales[:, None]


def make_guides(cells: Tensor) -> Guides:
    """Make the guides of regions whose weights in the `cells` (R, N) of an image's grid sum to 1 each.

    Departs from Gatys et al. 2017 (arXiv:1611.07865), whose guides are the masks themselves: with the square
    root the guided Gram is linear in the mask, so that two soft masks that sum to 1 leave no unstyled seam. For
    masks of 0 and 1 both are the same.
    """
    scales = cells.amax(1)
    there = torch.nonzero(scales).flatten()
    if not len(there):
        there = torch.nonzero(scales == 0).flatten()[:1]  # any: of nothing there is as much everywhere
    if len(there) == 1 and bool(cells[there[0]].amin() == scales[there[0]]):
        return Guides(scales, there.expand(_divide(cells.shape[1])))
    block = _choose_block(cells.shape[1], len(there))
    layouts = [_lay_out(cells[region] / scales[region], block) for region in there.tolist()]
    return _join(scales, there, layouts, block, cells.shape[1])


def _divide(rows: int) -> int:
    """Divide rows into the fewest equal blocks that are not too long; of a prime number of rows there is only one."""
    least = -(-rows // LONGEST_BLOCK)
    return next((count for count in range(least, rows // SHORTEST_BLOCK + 1) if rows % count == 0), 1)


def _choose_block(rows: int, regions: int) -> int:
    wanted = rows // (BLOCKS * regions)
    return min(max(SHORTEST_BLOCK, 1 << wanted.bit_length() >> 1), LONGEST_BLOCK)


@dataclass(frozen=True)
class _Layout:
    """A region's positions: whole blocks of those with root 1, and blocks of the others, with their roots."""

    plain: Tensor
    mixed: Tensor
    roots: Tensor


def _lay_out(squares: Tensor, block: int) -> _Layout:
    everywhere = torch.nonzero(squares).flatten()
    found = squares[everywhere]
    full = found > 1 - 4 * torch.finfo(found.dtype).eps  # as far as averaging rounds
    even = everywhere[full]
    plain, left = even[: len(even) // block * block], even[len(even) // block * block :]
    mixed = torch.cat([left, everywhere[~full]])
    roots = torch.cat([torch.ones_like(left, dtype=found.dtype), found[~full].sqrt()])
    padding = -len(mixed) % block
    return _Layout(plain, *(functional.pad(one, (0, padding)) for one in (mixed, roots)))


def _join(scales: Tensor, there: Tensor, layouts: Sequence[_Layout], block: int, size: int) -> Guides:
    parts = [one.plain for one in layouts] + [one.mixed for one in layouts]
    counts = torch.tensor([len(part) // block for part in parts], device=there.device)
    positions = torch.cat(parts)
    roots = torch.cat([one.roots for one in layouts])
    first, again = _find_rows(positions, roots, counts.tolist(), block, size)
    owners = there.repeat(2).repeat_interleave(counts)
    rows = Rows(positions.int(), roots[:, None], first.int(), again.int())  # half the memory of 64 bits
    return Guides(scales, owners, rows)


def _find_rows(positions: Tensor, roots: Tensor, counts: Sequence[int], block: int, size: int) -> tuple[Tensor, Tensor]:
    """Find the first row of each of `size` positions, and all other rows."""
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
