"""Measure grid artefacts: energy at the frequencies of pooling, in flat areas."""

from __future__ import annotations

import numpy as np

from guidedstyle.types import Array

TILE = 32  # px
TINY = 1e-12
FLAT_SHARE = 0.25  # of the tiles
POOLING = (TILE // 8, TILE // 4, TILE // 2)  # periods of 8, 4 and 2 px, in cycles per tile


def measure_grid(image: Array, content: Array) -> float:
    """Measure the share (0 to 1) of an image's energy at the pooling frequencies, where the content is flat.

    Both are (1, 3, H, W), at least TILE px a side. A grid of n px appears in the spectrum at multiples of 1/n along
    one axis: those rows and columns of each windowed tile's spectrum are summed and divided by the energy of all
    frequencies but the lowest.
    """
    tiles, variance = _cut_tiles(image), _cut_tiles(content).var((1, 2))
    flat = tiles[np.argsort(variance)[: max(1, int(FLAT_SHARE * len(tiles)))]]
    window = np.hanning(TILE)[:, None] * np.hanning(TILE)
    power = np.square(np.abs(np.fft.fft2((flat - flat.mean((1, 2), keepdims=True)) * window))).sum(0)
    frequency = np.minimum(np.arange(TILE), TILE - np.arange(TILE))
    low = frequency < 3
    power[np.ix_(low, low)] = 0
    pooling = np.isin(frequency, POOLING)
    on_axis = (pooling[:, None] & low) | (low[:, None] & pooling)
    return float(power[on_axis].sum() / max(power.sum(), TINY))


def _cut_tiles(image: Array) -> Array:
    """Cut the mean of the channels into tiles (N, TILE, TILE)."""
    grey = image[0].mean(0)
    rows, columns = (side // TILE for side in grey.shape)
    cut = grey[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    tiles: Array = cut.transpose(0, 2, 1, 3).reshape(-1, TILE, TILE)
    return tiles
