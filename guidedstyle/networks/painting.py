"""Paint images in one pass: as a whole, or in tiles with the statistics of a reduced image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.device.free_memory import free_memory
from guidedstyle.errors import is_out_of_memory
from guidedstyle.networks.normalisation import Factors
from guidedstyle.networks.transformer import HALO, StyleNetwork

# Measured on a CPU.
VALUES = 4.0  # times a network's width: values per pixel of its precision that are there at once
PIXEL, REGION = 20, 10  # bytes per pixel of images, and of the weights of a region
PASSING, MOST_PASSING = 220, 400 * 2**20  # bytes per pixel, and at most, of features while bands are computed
SIDE = 1024  # px of a tile
LEAST = 256  # px: images are not reduced to less


@dataclass(frozen=True)
class Painting:
    """An image (1, 3, H, W) in [0, 1], and warnings about how it was painted."""

    image: Tensor
    warnings: list[str]


def estimate_memory(width: int, size: Sequence[int], *, regions: int, itemsize: int) -> int:
    """Estimate the bytes that painting an image of (width, height) takes, as a whole, with a network of some width."""
    pixels = math.prod(size)
    return _estimate_passing(size) + round(pixels * (VALUES * width * itemsize + PIXEL + REGION * regions))


def _estimate_passing(size: Sequence[int]) -> int:
    return min(MOST_PASSING, PASSING * math.prod(size))


def paint(
    network: StyleNetwork, content: Tensor, weights: Tensor, mixes: Tensor, *, limit: float = math.inf
) -> Painting:
    """Paint an image (1, 3, H, W) in [0, 1] in regions of weights (R, H, W), which have mixes (R, S) of styles.

    `mixes` are over the styles of the network. Regions need not cover the image: what they leave is painted as if it
    belonged to all. Where that takes more than `limit` bytes, tiles are painted with the statistics of the image
    reduced as little as possible.
    """
    regions, mixes = weights[None], mixes[None].to(content)
    with torch.no_grad():
        shape = content.shape[2:]
        taken = estimate_memory(network.width, shape, regions=len(weights), itemsize=network.precision.itemsize)
        if taken <= limit:
            if (whole := _try_whole(network, content, regions, mixes)) is not None:
                return Painting(whole, [])
            limit = taken / 2
        passing = _estimate_passing(shape)
        factor = min(1.0, max((max(0, limit - passing) / (taken - passing)) ** 0.5, LEAST / max(shape)))
        reduced = [_reduce(one, factor) for one in (content, regions)]
        painted = _paint_tiles(network, content, regions, mixes, reduced)
        return Painting(painted, [_describe(network, reduced, mixes)])


def _try_whole(network: StyleNetwork, content: Tensor, regions: Tensor, mixes: Tensor) -> Tensor | None:
    """Paint an image as a whole; None: there is not enough memory after all."""
    try:
        return network(content, regions, mixes).contiguous()  # type: ignore[no-any-return]
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    free_memory(content.device)
    return None


def _reduce(image: Tensor, factor: float) -> Tensor:
    height, width = (max(1, round(length * factor)) for length in image.shape[2:])
    return functional.adaptive_avg_pool2d(image, (height, width))


def _paint_tiles(
    network: StyleNetwork, content: Tensor, regions: Tensor, mixes: Tensor, reduced: Sequence[Tensor]
) -> Tensor:
    """Paint tiles of an image with the statistics of the reduced one, in overlapping windows."""
    factors: Factors = {}
    network(*reduced, mixes, factors=factors)
    painted = torch.empty_like(content)
    for top, rows in split_side(content.shape[2]):
        for left, columns in split_side(content.shape[3]):
            window, origin = (..., top, left), (top.start, left.start)
            part = network(content[window], regions[window], mixes, factors=factors, origin=origin)
            inside = (_shift(rows, top.start), _shift(columns, left.start))
            painted[..., rows, columns] = part[(..., *inside)]
    return painted


def split_side(length: int) -> Iterator[tuple[slice, slice]]:
    """Split a side into windows and the tiles in them; windows begin where the coarsest grid has a position."""
    for start in range(0, length, SIDE):
        stop = min(length, start + SIDE)
        yield slice(max(0, start - HALO), min(length, stop + HALO)), slice(start, stop)


def _shift(side: slice, start: int) -> slice:
    return slice(side.start - start, side.stop - start)


def _describe(network: StyleNetwork, reduced: Sequence[Tensor], mixes: Tensor) -> str:
    """Say what statistics of a reduced image change, measured by reducing it once more."""
    content, regions = reduced
    factors: Factors = {}
    network(*(_reduce(one, 0.5) for one in reduced), mixes, factors=factors)
    change = network(content, regions, mixes, factors=factors) - network(content, regions, mixes)
    longest, levels = max(content.shape[2:]), 255 * float(change.abs().mean())
    return (
        f"not enough memory for the statistics of the whole image: those of {longest} px are used; "
        f"half as many px there change the image by {levels:.1f} of 255 levels in the mean"
    )
