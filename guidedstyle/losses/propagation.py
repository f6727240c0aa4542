"""Propagate region weights to the grid of a layer: simple and inside."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from guidedstyle.encoders.architecture import Layer
from guidedstyle.types import Array, Propagation, Shape

MOSTLY = 0.5  # a cell of which a region has so much is its own


def halve(shape: Shape, octave: int) -> Shape:
    """Return the shape of an image after `octave` halvings."""
    return max(1, shape[0] >> octave), max(1, shape[1] >> octave)


def average_cells(weights: Array, grid: Shape) -> Array:
    """Average weights (R, H, W) over the cells of a coarser grid: (R, h, w)."""
    if weights.shape[1:] == grid:
        return weights
    return np.stack([_average(region, grid) for region in weights])


def _average(region: Array, grid: Shape) -> Array:
    least, most = region.min(), region.max()
    if least == most:  # stays exactly even, which costs least
        return np.full(grid, least)
    averaged: Array = np.clip(cv2.resize(region, grid[::-1], interpolation=cv2.INTER_AREA), least, most)
    return averaged


def enclose_fields(weights: Array, grid: Shape, layer: Layer) -> Array:
    """Take the least weight (R, H, W) within the receptive field of every position of a layer: (R, h, w).

    Beyond the image's border nothing is asked of a region.
    """
    anchor = (-layer.field_start, -layer.field_start)
    kernel = np.ones((layer.receptive_field, layer.receptive_field), np.uint8)
    eroded: Array = np.stack([cv2.erode(region, kernel, anchor=anchor) for region in weights])
    fields: Array = eroded[:, :: layer.stride, :: layer.stride][:, : grid[0], : grid[1]]
    return fields


def cover_cells(weights: Array, picture: Shape, grid: Shape, layer: Layer, kind: Propagation) -> Array:
    """Tell how much of every cell of a `image`'s grid each region (R, H, W) has: (R, h, w) in [0, 1].

    `simple` averages the weights over the cell; `inside` asks for the position's whole receptive field
    (Gatys et al. 2017, arXiv:1611.07865).
    """
    if kind == "simple":
        return average_cells(weights, grid)
    return enclose_fields(average_cells(weights, picture), grid, layer)


def weigh_cells(weights: Array, octave: int, grid: Shape, layer: Layer, kinds: Sequence[Propagation]) -> Array:
    """Weigh the cells of a grid for regions (R, H, W), each of its kind, to a sum of 1: (R, h, w).

    A region with no position `inside` at this octave and layer falls back to `simple` there.
    """
    picture = halve((weights.shape[1], weights.shape[2]), octave)
    cells = np.empty((len(weights), *grid), weights.dtype)
    for index, kind in enumerate(kinds):
        cells[index] = _cover_or_fall_back(weights[index : index + 1], picture, grid, layer, kind)
    return normalise_cells(cells)


def normalise_cells(cells: Array) -> Array:
    """Divide cells (R, h, w) by the sum of each region."""
    sums = cells.sum((1, 2), keepdims=True, dtype=np.float64)
    normal: Array = np.divide(cells, sums.astype(cells.dtype), out=cells)
    return normal


def _cover_or_fall_back(weights: Array, picture: Shape, grid: Shape, layer: Layer, kind: Propagation) -> Array:
    cells = cover_cells(weights, picture, grid, layer, kind)[0]
    chosen: Array = cells if kind == "simple" or cells.max() >= MOSTLY else average_cells(weights, grid)[0]
    return chosen
