"""Guides on a layer's grid, stored so that the cost grows with pixels and not with regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    (m, 1), which are 0 for padding; those before them by 1. For the backward pass, `regions` holds for the first region
    at each position, the second one, and so on, the index (N,) of its row, or M where there is none.
    """

    positions: Tensor
    roots: Tensor
    regions: tuple[Tensor, ...]

    @property
    def mixed(self) -> int:
        """The index of the first row with a root."""
        return len(self.positions) - len(self.roots)

    def to(self, device: torch.device) -> Rows:
        """Copy them to a device."""
        regions = tuple(send(one, device) for one in self.regions)
        return Rows(send(self.positions, device), send(self.roots, device), regions)


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
        rows = self.rows and self.rows.to(device)
        return Guides(send(self.scales, device), send(self.owners, device), rows, self.one_each)

    @cached_property
    def sums(self) -> Tensor:
        """The matrix (R, n) that sums blocks to regions: the region's scale where it owns the block, or else 0."""
        regions = torch.arange(len(self.scales), device=self.owners.device)
        return (regions[:, None] == self.owners) * self.scales[:, None]


def make_guides(grid_weights: Tensor) -> Guides:
    """Make the guides of regions from their grid weights (R, h, w), which sum to 1 over the image for each region.

    On the CPU, as how many rows there are depends on the weights: another device would have to wait for each answer.

    Departs from Gatys et al. 2017 (arXiv:1611.07865), whose guides are the masks themselves: with the square root the
    guided Gram is linear in the mask, so that two soft masks that sum to 1 leave no unstyled seam. For masks of 0 and 1
    both are the same.
    """
    scales, weights = grid_weights.amax((1, 2)), grid_weights.flatten(1)
    owners, rows = _lay_out(_find_parts(weights, scales), weights.shape[1])
    return Guides(scales, owners, rows, owners.tolist() == list(range(len(scales))))


@dataclass(frozen=True)
class _Part:
    """A region's positions: those with root 1, and the others with their roots."""

    region: int
    plain: Tensor
    mixed: Tensor
    roots: Tensor

    def divide(self, block: int) -> _Part:
        """Leave whole blocks of positions with root 1; all others follow, padded with roots of 0."""
        whole = len(self.plain) // block * block
        plain, left = self.plain[:whole], self.plain[whole:]
        mixed, roots = torch.cat([left, self.mixed]), torch.cat([torch.ones_like(left).to(self.roots), self.roots])
        padding = -len(mixed) % block
        return replace(
            self, plain=plain, mixed=functional.pad(mixed, (0, padding)), roots=functional.pad(roots, (0, padding))
        )


def _find_parts(weights: Tensor, scales: Tensor) -> list[_Part]:
    """Find the positions of each region that has any weight (R, N)."""
    regions, positions = torch.nonzero(weights, as_tuple=True)
    squares = weights[regions, positions] / scales[regions]
    counts = torch.bincount(regions, minlength=len(weights)).tolist()
    pairs = zip(positions.split(counts), squares.split(counts), strict=True)
    return [_split(region, *pair) for region, pair in enumerate(pairs) if counts[region]]


def _split(region: int, positions: Tensor, squares: Tensor) -> _Part:
    full = squares > 1 - 4 * torch.finfo(squares.dtype).eps  # up to the rounding of averages
    return _Part(region, positions[full], positions[~full], squares[~full].sqrt())


def _lay_out(parts: Sequence[_Part], size: int) -> tuple[Tensor, Rows | None]:
    """Lay out regions on a grid of `size` positions in blocks; returns the owner of each block, and their rows."""
    if len(parts) == 1 and len(parts[0].plain) == size:
        return torch.full((_count_blocks(size),), parts[0].region), None
    block = _choose_block([(len(part.plain), len(part.mixed)) for part in parts])
    divided = [part.divide(block) for part in parts]
    pieces = [part.plain for part in divided] + [part.mixed for part in divided]
    owners = torch.tensor([part.region for part in divided], dtype=torch.long).repeat(2)
    owners = owners.repeat_interleave(torch.tensor([len(piece) // block for piece in pieces], dtype=torch.long))
    positions, roots = torch.cat(pieces or [owners]), torch.cat([part.roots for part in divided] or [torch.zeros(0)])
    return owners, Rows(positions.int(), roots[:, None], tuple(_find_rows(positions, roots, size)))


def _count_blocks(rows: int) -> int:
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


def _find_rows(positions: Tensor, roots: Tensor, size: int) -> Iterator[Tensor]:
    """Find the row of the first region at each of `size` positions, of the second one, and so on."""
    real = torch.ones_like(positions, dtype=torch.bool)
    real[len(positions) - len(roots) :] = roots > 0
    left, nothing = torch.nonzero(real).flatten(), len(positions)
    while len(left):
        rows = positions.new_full((size,), nothing)
        rows.scatter_reduce_(0, positions[left], left, "amin")
        yield rows.int()  # half the memory of 64 bits
        left = left[rows[positions[left]] != left]
