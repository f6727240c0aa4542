"""Propagate region weights from pixels to the grid of a layer at an octave (Gatys et al. 2017; Snelgrove 2017).

Grid weights of a region say how much of each feature position is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from guidedstyle.encoders.architecture import Layer
from guidedstyle.types import Array, Propagation, Shape, Size

MOSTLY = 0.5  # a position with at least this weight belongs mostly to the region
SMALLEST_OCTAVE = 16  # px of the shortest side


def propagate(weights: Array, layer: Layer, *, octave: int, modes: Sequence[Propagation]) -> Array:
    """Propagate weights (R, H, W) to the grid (R, h, w) of a layer at an octave, each region in its mode.

    The grid weights of each region sum to 1. A region without any position `inside` is propagated by `simple` instead.
    """
    image = halve_shape((weights.shape[1], weights.shape[2]), octave)
    grid = layer.grid(image)
    found = np.empty((len(weights), *grid), weights.dtype)
    for index, mode in enumerate(modes):
        region = weights[index : index + 1]
        covered = cover_grid(region, grid, layer, image=image, mode=mode)[0]
        found[index] = covered if mode != "inside" or covered.max() >= MOSTLY else average_to_grid(region, grid)[0]
    return normalise(found)


def cover_grid(weights: Array, grid: Shape, layer: Layer, *, image: Shape, mode: Propagation) -> Array:
    """Compute how much of each position of a grid belongs to each region (R, H, W): (R, h, w) in [0, 1].

    `image` is the (height, width) of the octave. `simple` averages the weights over a position's area, `inside`
    takes the least weight in its receptive field, and `all` the greatest.
    """
    if mode == "simple":
        return average_to_grid(weights, grid)
    morph_to_grid = erode_to_grid if mode == "inside" else dilate_to_grid
    return morph_to_grid(average_to_grid(weights, image), grid, layer)


def average_to_grid(weights: Array, grid: Shape) -> Array:
    """Average weights (R, H, W) over the positions of a coarser grid: (R, h, w)."""
    if weights.shape[1:] == grid:
        return weights
    return np.stack([_average(region, grid) for region in weights])


def _average(region: Array, grid: Shape) -> Array:
    least, most = region.min(), region.max()
    if least == most:  # stays exactly constant, which needs no rows in the guides
        return np.full(grid, least)
    averaged: Array = np.clip(cv2.resize(region, grid[::-1], interpolation=cv2.INTER_AREA), least, most)
    return averaged


def erode_to_grid(weights: Array, grid: Shape, layer: Layer) -> Array:
    """Take the least weight (R, H, W) within the receptive field of every position of a layer: (R, h, w).

    Pixels beyond the image's border are ignored.
    """
    return _morph_to_grid(weights, grid, layer, cv2.erode)


def dilate_to_grid(weights: Array, grid: Shape, layer: Layer) -> Array:
    """Take the greatest weight (R, H, W) within the receptive field of every position, as `erode_to_grid` the least."""
    return _morph_to_grid(weights, grid, layer, cv2.dilate)


def _morph_to_grid(weights: Array, grid: Shape, layer: Layer, morph: Callable[..., Any]) -> Array:
    anchor = (-layer.field_start, -layer.field_start)
    kernel = np.ones((layer.receptive_field, layer.receptive_field), np.uint8)
    found: Array = np.stack([morph(region, kernel, anchor=anchor) for region in weights])
    positions: Array = found[:, :: layer.stride, :: layer.stride][:, : grid[0], : grid[1]]
    return positions


def normalise(grid_weights: Array) -> Array:
    """Divide grid weights (R, h, w), in place, by the sum of each region."""
    sums = grid_weights.sum((1, 2), keepdims=True, dtype=np.float64)
    normal: Array = np.divide(grid_weights, sums.astype(grid_weights.dtype), out=grid_weights)
    return normal


OctaveLayer = tuple[int, str]  # an octave, from 0, and a layer's name


def halve_shape(shape: Shape, times: int = 1) -> Shape:
    """Return the (height, width) of an image halved `times` times, rounded down, to at least 1."""
    return max(1, shape[0] >> times), max(1, shape[1] >> times)


def count_octaves(size: Size, most: int) -> int:
    """Count the octaves, up to `most`, whose shortest side is at least SMALLEST_OCTAVE; always at least one."""
    return max(1, min(most, (min(size) // SMALLEST_OCTAVE).bit_length()))
