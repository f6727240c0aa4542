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
from guidedstyle.encoders.passes import Reader
from guidedstyle.types import Shape, Size


@dataclass(frozen=True)
class Tile:
    """A part of an image, [start, end) px down and across, and the window around it that its features depend on."""

    own: tuple[slice, slice]
    window: tuple[slice, slice]
    shape: Shape  # of the image, in px

    def cut(self, image: Tensor) -> Tensor:
        """Cut the window out of an image (..., H, W)."""
        return image[(..., *self.window)]

    def positions(self, layer: Layer) -> tuple[slice, slice]:
        """Return the tile's own positions on a layer's grid: those whose receptive field has its centre in the tile."""
        down, across = (
            slice(layer.count_before(side.start, length), layer.count_before(side.stop, length))
            for side, length in zip(self.own, self.shape, strict=True)
        )
        return down, across

    def take_own(self, features: Tensor, layer: Layer) -> Tensor:
        """Crop the features (1, C, h, w) of the window to the tile's own positions."""
        starts = (window.start // layer.stride for window in self.window)
        down, across = (
            slice(p.start - start, p.stop - start) for p, start in zip(self.positions(layer), starts, strict=True)
        )
        return features[..., down, across]


def make_tiles(size: Size, side: int, *, halo: int, stride: int) -> tuple[Tile, ...]:
    """Divide (width, height) evenly into tiles of at most about `side` px, cut at multiples of a stride.

    With a `halo`, a multiple of the stride, at least as wide as the deepest features reach beyond their positions, the
    features of a tile are those of the whole image.
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


MeasureTile = Callable[[Tensor, int], Sequence[Tensor]]  # of a window (1, C, h, w) and the number of its tile
MeasureImage = Callable[[Tensor], Sequence[Tensor]]  # of a whole image (1, C, H, W)


def sum_tiles(
    image: Tensor,
    tiles: Sequence[Tile],
    measure: MeasureTile,
    *,
    kept: int = 0,
    whole: Sequence[Reader] = (),
    measure_coarser: MeasureImage | None = None,
) -> Sequence[Tensor]:
    """Sum what `measure` returns for each tile of an image (1, C, H, W), with the exact gradient.

    With more than one tile, the forward pass computes only the sums. The backward pass computes each tile again and
    sends the gradient of the sums through it, so that the graph of a single tile is in memory at a time. The graphs of
    the first `kept` tiles stay in memory instead. Processes share the tiles. What readers read of the `whole` image
    follows the sums, and then the results of `measure_coarser`, for the coarser octaves of the image; all add to one
    gradient in place. A single tile is the whole image: `measure` reads all of it.
    """
    if len(tiles) == 1:
        return [*measure(image, 0), *(measure_coarser(image) if measure_coarser else ())]
    sums: tuple[Tensor, ...] = _SumTiles.apply(image, tiles, measure, kept, whole, measure_coarser)
    return sums


class _SumTiles(Function):
    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        tiles: Sequence[Tile],
        measure: MeasureTile,
        kept: int,
        whole: Sequence[Reader],
        measure_coarser: MeasureImage | None,
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(image)
        ctx.tiles, ctx.measure, ctx.rows, ctx.graphs = tiles, measure, take_slice(split_rows(tiles)), {}
        differentiable = ctx.needs_input_grad[0]
        ctx.coarse = _measure_coarser(image, measure_coarser, differentiable)
        read = [reader(image) for reader in whole]
        ctx.adders = [add for _, add in read]  # without what was read: an output that its own node keeps is not freed
        share = [number for row in ctx.rows for number in row]
        totals: list[Tensor] = []
        for number in share:
            with torch.set_grad_enabled(differentiable and number in share[:kept]):
                window = tiles[number].cut(image).detach().requires_grad_(torch.is_grad_enabled())
                sums = measure(window, number)
            if window.requires_grad:
                ctx.graphs[number] = window, sums
            totals = _accumulate(totals, sums)
        added = [total.to(torch.promote_types(image.dtype, torch.float32)) for total in sum_over_processes(totals)]
        return (*added, *(found for found, _ in read), *(one.detach() for one in ctx.coarse[1]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (image,), (leaf, coarse) = ctx.saved_tensors, ctx.coarse
        count = len(gradients) - len(ctx.adders) - len(coarse)
        gradient = _differentiate_coarse(coarse, leaf, gradients[count + len(ctx.adders) :])
        for add, outer in zip(ctx.adders if is_first() else (), gradients[count:], strict=False):
            add(outer, gradient)
        for row in ctx.rows:
            down = ctx.tiles[row[0]].window[0]
            band = torch.zeros_like(image[:, :, down])
            for number in row:
                with torch.enable_grad():
                    window, sums = ctx.graphs.pop(number, None) or _measure_again(image, ctx, number)
                (back,) = differentiate(sums, [window], gradients[:count])
                band[..., ctx.tiles[number].window[1]].add_(back)
            gradient[:, :, down].add_(band)
        return sum_over_processes([gradient])[0], None, None, None, None, None


def split_rows(tiles: Sequence[Tile]) -> list[list[int]]:
    """Split the numbers of tiles into rows.

    Rows are distributed over the processes, and gradients are summed over each row first. No pixel is in more than
    two of these sums, so that the result does not depend on the number of processes.
    """
    return [list(row) for _, row in groupby(range(len(tiles)), lambda number: tiles[number].own[0].start)]


def _measure_coarser(
    image: Tensor, measure: MeasureImage | None, differentiable: bool
) -> tuple[Tensor, Sequence[Tensor]]:
    """Return a leaf of the coarser octaves' own graph, and their results."""
    with torch.set_grad_enabled(differentiable):
        leaf = image.detach().requires_grad_(differentiable)
        return leaf, measure(leaf) if measure else ()


def _differentiate_coarse(coarse: Sequence[Tensor], leaf: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """Send the gradient back through the coarser octaves; all processes compute it, that of the first one counts."""
    if not coarse:
        return torch.zeros_like(leaf)
    gradient = differentiate(coarse, [leaf], gradients)[0].contiguous()
    return gradient if is_first() else gradient.zero_()


def differentiate(outputs: Sequence[Tensor], inputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> Sequence[Tensor]:
    """Send the gradients of outputs back to inputs.

    Given them as `grad_outputs`, `torch.autograd.grad` would first import SymPy, which takes 0.4 s.
    """
    with torch.enable_grad():
        given = _Give.apply(gradients, *outputs)
    return torch.autograd.grad(given, inputs)


class _Give(Function):
    """Makes a scalar of outputs, whose gradients are given."""

    @staticmethod
    def forward(ctx: Any, gradients: Sequence[Tensor], *outputs: Tensor) -> Tensor:
        ctx.gradients = gradients
        return outputs[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return None, *ctx.gradients


def _measure_again(image: Tensor, ctx: Any, number: int) -> tuple[Tensor, Sequence[Tensor]]:
    window = ctx.tiles[number].cut(image).detach().requires_grad_()
    return window, ctx.measure(window, number)


def _accumulate(totals: Sequence[Tensor], sums: Sequence[Tensor]) -> list[Tensor]:
    """Add in float64 where there is one: the order in which processes add must not change the result."""
    precise = [one.detach().to(torch.float32 if one.device.type == "mps" else torch.float64) for one in sums]
    return [total.add_(one) for total, one in zip(totals, precise, strict=True)] if totals else precise


@dataclass(frozen=True)
class Tiling:
    """How a stage is computed: in tiles of `side` px, or whole (None).

    The graphs of a fraction `kept` of the tiles stay in memory, and with `content` the content image's features too.
    """

    side: int | None = None
    kept: float = 0.0
    content: bool = True

    def __str__(self) -> str:
        return f"tiles of {self.side} px, {self.kept:.0%} of them kept" if self.side else "whole"
