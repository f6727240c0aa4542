"""Tiles of an image with a halo; their sums are exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, product
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from guidedstyle.device.distributed import is_first, sum_over_processes, take_slice
from guidedstyle.encoders.architecture import Layer
from guidedstyle.types import Shape, Size


@dataclass(frozen=True)
class Tile:
    """A part of an image, [start, end) px down and across, and the window around it that its features see."""

    own: tuple[slice, slice]
    window: tuple[slice, slice]
    shape: Shape  # of the image, in px

    def cut(self, picture: Tensor) -> Tensor:
        """Cut the window out of an image (..., H, W)."""
        return picture[(..., *self.window)]

    def cells(self, layer: Layer) -> tuple[slice, slice]:
        """Return the tile's own cells of a layer's grid: those with the centre of their receptive field in it."""
        down, across = (
            slice(layer.count_before(side.start, length), layer.count_before(side.stop, length))
            for side, length in zip(self.own, self.shape, strict=True)
        )
        return down, across

    def take_own(self, features: Tensor, layer: Layer) -> Tensor:
        """Take the tile's own cells from the features (1, C, h, w) of its window."""
        starts = (window.start // layer.stride for window in self.window)
        cells = [slice(c.start - start, c.stop - start) for c, start in zip(self.cells(layer), starts, strict=True)]
        whole = all(c.start == 0 and c.stop == side for c, side in zip(cells, features.shape[2:], strict=True))
        own: Tensor = features if whole else _Crop.apply(features, cells)
        return own


class _Crop(Function):
    """Cut cells out of features, keeping their channels last on the way back too, which slicing would not."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, cells: Sequence[slice]) -> Tensor:
        ctx.cells, ctx.shape = cells, features.shape
        down, across = cells
        return features[..., down, across].contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        like = gradients[0]
        gradient = torch.empty(ctx.shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
        down, across = ctx.cells
        gradient.zero_()[..., down, across] = like
        return gradient, None


def make_tiles(size: Size, side: int, halo: int, stride: int) -> tuple[Tile, ...]:
    """Divide (width, height) evenly into tiles of at most about `side` px, cut at multiples of a stride.

    A `halo` of as many px as the deepest features see beyond their cells, and a multiple of the stride, makes the
    features of a tile those of the whole image.
    """
    width, height = size
    return tuple(
        Tile((down, across), (_widen(down, halo, height), _widen(across, halo, width)), (height, width))
        for down, across in product(_divide(height, side, stride), _divide(width, side, stride))
    )


def _divide(length: int, side: int, stride: int) -> Iterator[slice]:
    count = max(1, -(-length // max(side, stride)))
    edges = [length * index // count // stride * stride for index in range(count)]
    return (slice(start, end) for start, end in pairwise([*edges, length]))


def _widen(side: slice, halo: int, length: int) -> slice:
    return slice(max(0, side.start - halo), min(length, side.stop + halo))


Measure = Callable[[Tensor, int], Sequence[Tensor]]  # of a window (1, C, h, w) and the number of its tile
Coarser = Callable[[Tensor], Sequence[Tensor]]


def sum_tiles(
    picture: Tensor, tiles: Sequence[Tile], measure: Measure, kept: int = 0, coarser: Coarser | None = None
) -> Sequence[Tensor]:
    """Sum what is measured of each tile of an image (1, C, H, W), with its exact gradient.

    Of more than one tile the first pass computes only the sums; the second, when the gradient is asked for, computes
    each tile again and sends the sums' gradient back through it alone, so no more than one tile is in memory at a
    time. The first `kept` tiles stay there and are not computed again. Processes share the tiles between them.
    What `coarser` finds of the image in its own way follows the sums; both add to one gradient in place.
    """
    if len(tiles) == 1:
        return [*measure(picture, 0), *(coarser(picture) if coarser else ())]
    sums: tuple[Tensor, ...] = _SumTiles.apply(picture, tiles, measure, kept, coarser)
    return sums


class _SumTiles(Function):
    @staticmethod
    def forward(
        ctx: Any, picture: Tensor, tiles: Sequence[Tile], measure: Measure, kept: int, coarser: Coarser | None
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(picture)
        ctx.tiles, ctx.measure, ctx.rows, ctx.graphs = tiles, measure, take_slice(split_rows(tiles)), {}
        differentiable = ctx.needs_input_grad[0]
        ctx.coarse = _look_coarser(picture, coarser, differentiable)
        share = [number for row in ctx.rows for number in row]
        totals: list[Tensor] = []
        for number in share:
            with torch.set_grad_enabled(differentiable and number in share[:kept]):
                window = tiles[number].cut(picture).detach().requires_grad_(torch.is_grad_enabled())
                sums = measure(window, number)
            if window.requires_grad:
                ctx.graphs[number] = window, sums
            totals = _accumulate(totals, sums)
        added = [total.to(torch.promote_types(picture.dtype, torch.float32)) for total in sum_over_processes(totals)]
        return (*added, *(one.detach() for one in ctx.coarse[1]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (picture,), (seen, coarse) = ctx.saved_tensors, ctx.coarse
        count = len(gradients) - len(coarse)
        gradient = _differentiate_coarse(coarse, seen, gradients[count:])
        for row in ctx.rows:
            down = ctx.tiles[row[0]].window[0]
            band = torch.zeros_like(picture[:, :, down])
            for number in row:
                with torch.enable_grad():
                    window, sums = ctx.graphs.pop(number, None) or _measure_again(picture, ctx, number)
                (back,) = torch.autograd.grad(sums, window, gradients[:count])
                band[..., ctx.tiles[number].window[1]].add_(back)
            gradient[:, :, down].add_(band)
        return sum_over_processes([gradient])[0], None, None, None, None


def split_rows(tiles: Sequence[Tile]) -> list[list[int]]:
    """Split tiles, by their numbers, into rows.

    Rows are what processes share, and what gradients are summed over first: then no pixel is in more than two sums,
    and it does not matter who adds them up.
    """
    return [list(row) for _, row in groupby(range(len(tiles)), lambda number: tiles[number].own[0].start)]


def _look_coarser(picture: Tensor, coarser: Coarser | None, differentiable: bool) -> tuple[Tensor, Sequence[Tensor]]:
    with torch.set_grad_enabled(differentiable):
        seen = picture.detach().requires_grad_(differentiable)
        return seen, coarser(seen) if coarser else ()


def _differentiate_coarse(coarse: Sequence[Tensor], seen: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """Send the gradient back through the coarser octaves: all processes take part, the first one's counts."""
    if not coarse:
        return torch.zeros_like(seen)
    gradient = torch.autograd.grad(coarse, seen, gradients)[0].contiguous()
    return gradient if is_first() else gradient.zero_()


def _measure_again(picture: Tensor, ctx: Any, number: int) -> tuple[Tensor, Sequence[Tensor]]:
    window = ctx.tiles[number].cut(picture).detach().requires_grad_()
    return window, ctx.measure(window, number)


def _accumulate(totals: Sequence[Tensor], sums: Sequence[Tensor]) -> list[Tensor]:
    """Add in as many bits as there are: the order in which processes add up must not show."""
    precise = [one.detach().to(torch.float32 if one.device.type == "mps" else torch.float64) for one in sums]
    return [total.add_(one) for total, one in zip(totals, precise, strict=True)] if totals else precise


@dataclass(frozen=True)
class Tiling:
    """How a size is computed: in tiles of `side` px (None: whole), of which a share is `kept` in memory.

    `content` tells whether the content image's features stay in memory too.
    """

    side: int | None = None
    kept: float = 0.0
    content: bool = True

    def __str__(self) -> str:
        return f"tiles of {self.side} px, {self.kept:.0%} of them kept" if self.side else "whole"
