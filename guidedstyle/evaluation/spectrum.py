"""Grids in flat regions: energy at the frequencies of pooling."""

from __future__ import annotations

import numpy as np

from guidedstyle.types import Array

TILE = 32
TINY = 1e-12
FLATTEST = 0.25  # the share of tiles that are looked at
POOLING = (TILE // 8, TILE // 4, TILE // 2)  # periods of 8, 4 and 2 pixels, in cycles per tile


def measure_grid(image: Array, content: Array) -> float:
    """Measure the share of an image's energy at the pooling frequencies, where the content is flat.

    Both are (1, 3, H, W), at least TILE a side. A grid of n px stands in the spectrum at multiples of 1/n along
    one axis: those rows and columns of each windowed tile's spectrum are summed, and divided by all but the
    slowest frequencies.
    """
    tiles, flatness = _cut_tiles(image), _cut_tiles(content).var((1, 2))
    flat = tiles[np.argsort(flatness)[: max(1, int(FLATTEST * len(tiles)))]]
    window = np.hanning(TILE)[:, None] * np.hanning(TILE)
    power = np.square(np.abs(np.fft.fft2((flat - flat.mean((1, 2), keepdims=True)) * window))).sum(0)
    along = np.minimum(np.arange(TILE), TILE - np.arange(TILE))
    slow = along < 3
    power[np.ix_(slow, slow)] = 0
    grid = np.isin(along, POOLING)
    on_axis = (grid[:, None] & slow) | (slow[:, None] & grid)
    return float(power[on_axis].sum() / max(power.sum(), TINY))


def _cut_tiles(image: Array) -> Array:
    """Cut the luminance into tiles (N, TILE, TILE)."""
    grey = image[0].mean(0)
    rows, columns = (side // TILE for side in grey.shape)
    cut = grey[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    tiles: Array = cut.transpose(0, 2, 1, 3).reshape(-1, TILE, TILE)
    return tiles
